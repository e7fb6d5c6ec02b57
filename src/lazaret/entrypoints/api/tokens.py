"""Routes of tokens: `/api/tokens/`, for administrators."""

from datetime import datetime

from fastapi import APIRouter, status
from pydantic import AwareDatetime

from lazaret.entrypoints.api.security import Admin, OfficeDep, actor_of
from lazaret.entrypoints.api.shapes import Answer, Id, Request, SomeText
from lazaret.kernel.errors import InvalidInput
from lazaret.users import store
from lazaret.users.model import Role

router = APIRouter(prefix="/api/tokens", tags=["tokens"])


class TokenAnswer(Answer):
    """A token, without its text."""

    id: int
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewTokenAnswer(TokenAnswer):
    """A token with its text, which is shown this once."""

    token: str = ""


class TokenRequest(Request):
    """A new token."""

    name: SomeText
    role: Role
    expires_at: AwareDatetime | None = None


@router.get("/")
async def list_tokens(_: Admin, office: OfficeDep) -> list[TokenAnswer]:
    """Every token, without its text."""
    async with office.db.transaction() as session:
        return [TokenAnswer.model_validate(token) for token in await store.list_tokens(session)]


@router.post("/", status_code=status.HTTP_201_CREATED)
async def create_token(body: TokenRequest, caller: Admin, office: OfficeDep) -> NewTokenAnswer:
    """A new token; its text cannot be read again."""
    now = office.clock.now()
    if body.expires_at is not None and body.expires_at <= now:
        raise InvalidInput("The token's end lies in the past.", hint="Leave it out for a token that does not expire.")
    async with office.db.transaction() as session:
        row, token = await store.create_token(
            session, body.name, body.role, actor_of(caller), at=now, expires_at=body.expires_at
        )
        answer = NewTokenAnswer.model_validate(row)
    return answer.model_copy(update={"token": token.get_secret_value()})


@router.delete("/{token_id}", status_code=status.HTTP_204_NO_CONTENT)
async def revoke_token(token_id: Id, caller: Admin, office: OfficeDep) -> None:
    """From now on the token is refused."""
    async with office.db.transaction() as session:
        await store.revoke_token(session, token_id, actor_of(caller), at=office.clock.now())
