"""Routes of people: `/users/`."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response, status
from pydantic import Field

from lazaret.entrypoints.api.security import Admin, OfficeDep, Operator, Viewer, actor_of
from lazaret.entrypoints.api.shapes import INT64_MAX, Answer, Digits, Page, Request, ShortText, WindowDep
from lazaret.kernel.errors import Forbidden
from lazaret.users import store
from lazaret.users.model import Role

router = APIRouter(prefix="/users", tags=["users"])

TelegramId = Annotated[int, Field(ge=1, le=INT64_MAX, strict=True)]
TelegramIdInPath = Annotated[int, Path(ge=1, le=INT64_MAX), Digits]


class UserAnswer(Answer):
    """A person known by Telegram."""

    id: int
    telegram_id: int
    username: str | None
    first_name: str | None
    last_name: str | None
    is_admin: bool
    role: Role | None
    """None: a stranger, who may do nothing."""
    created_at: datetime
    last_seen: datetime


class RoleRequest(Request):
    """What a person may do; null: nothing."""

    role: Role | None


class UserRequest(Request):
    """Create or update by `telegram_id`. What is left out stays as it is."""

    telegram_id: TelegramId
    username: ShortText | None = None
    first_name: ShortText | None = None
    last_name: ShortText | None = None
    is_admin: bool | None = None


@router.post("/", status_code=status.HTTP_201_CREATED, responses={200: {"model": UserAnswer}})
async def create_or_update_user(
    body: UserRequest, caller: Operator, office: OfficeDep, response: Response
) -> UserAnswer:
    """Create a user, or update the one with this Telegram id.

    Fields that are left out stay as they are; null empties a name. `last_seen` of a known user stays: it says when they
    last wrote to the bot.
    """
    if body.is_admin is not None and not caller.role.includes(Role.ADMIN):
        raise Forbidden("Only an admin token may say who is an administrator.", hint="Leave is_admin out.")
    async with office.db.transaction() as session:
        user, is_new = await store.upsert_user(
            session, **body.model_dump(exclude_unset=True), at=office.clock.now(), actor=actor_of(caller)
        )
    response.status_code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
    return UserAnswer.model_validate(user)


@router.get("/")
async def list_users(_: Viewer, office: OfficeDep, window: WindowDep) -> Page[UserAnswer]:
    """All users, oldest first."""
    async with office.db.transaction() as session:
        users, total = await store.list_users(session, limit=window.limit, offset=window.offset)
    items = [UserAnswer.model_validate(user) for user in users]
    return Page(items=items, total=total, limit=window.limit, offset=window.offset)


@router.get("/{telegram_id}")
async def get_user(telegram_id: TelegramIdInPath, _: Viewer, office: OfficeDep) -> UserAnswer:
    """The user with this Telegram id."""
    async with office.db.transaction() as session:
        return UserAnswer.model_validate(await store.get_user(session, telegram_id))


@router.put("/{telegram_id}/role")
async def set_role(telegram_id: TelegramIdInPath, body: RoleRequest, caller: Admin, office: OfficeDep) -> UserAnswer:
    """What this person may do from now on, in Telegram and on the dashboard."""
    async with office.db.transaction() as session:
        user = await store.get_user(session, telegram_id, for_update=True)
        store.set_role(session, user, body.role, actor_of(caller), at=office.clock.now())
        return UserAnswer.model_validate(user)
