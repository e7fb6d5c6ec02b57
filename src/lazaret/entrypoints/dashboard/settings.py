"""Settings: people and their roles, tokens, freezes and maintenance windows, and how the provider does."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from sqlalchemy import select
from starlette.responses import Response

from lazaret.alerting.self_watch import view_of
from lazaret.entrypoints.api.shapes import Id
from lazaret.entrypoints.dashboard.web import Acting, Ruling, Seeing, text_of
from lazaret.entrypoints.providers import managed_handles
from lazaret.healing import requests as healing
from lazaret.kernel.errors import InvalidInput
from lazaret.kernel.moments import after
from lazaret.kernel.processes import list_processes
from lazaret.probing.model import Monitor
from lazaret.servers.model import SyncState
from lazaret.users import store
from lazaret.users.model import Role

router = APIRouter(include_in_schema=False)
LIVING = timedelta(minutes=1)


@router.get("/settings")
async def settings(visit: Seeing) -> Response:
    """What is configured, and what can be changed here."""
    return await _page(visit)


async def _page(visit: Seeing, *, token: str = "") -> Response:
    is_admin = visit.who.role.includes(Role.ADMIN)
    async with visit.office.db.transaction() as session:
        people, _ = await store.list_users(session, limit=200)
        tokens = await store.list_tokens(session) if is_admin else []
        holds = await healing.list_holds(session, at=visit.at)
        windows = await healing.list_windows(session, at=visit.at)
        syncs = list(await session.scalars(select(SyncState)))
        processes = [
            view_of(row, visit.office.settings.lazaret_silent_after, visit.at) for row in await list_processes(session)
        ]
        monitors = list(await session.scalars(select(Monitor).where(Monitor.seen_at > visit.at - LIVING)))
    return visit.page(
        "settings.html",
        people=people,
        tokens=tokens,
        holds=holds,
        windows=windows,
        syncs=syncs,
        monitors=monitors,
        processes=processes,
        roles=list(Role),
        token=token,
        is_admin=is_admin,
        managed=managed_handles(visit.office.intents.permissions),
    )


@router.post("/settings/people/{telegram_id}")
async def set_role(visit: Ruling, telegram_id: Id) -> Response:
    """What a person may do."""
    form = await visit.request.form()

    async def do() -> str:
        wanted = text_of(form, "role")
        if wanted not in [*Role, ""]:
            raise InvalidInput(visit.say("There is no such role."))
        async with visit.office.db.transaction() as session:
            person = await store.get_user(session, telegram_id, for_update=True)
            store.set_role(session, person, Role(wanted) if wanted else None, visit.actor, at=visit.at)
        return visit.say("The role is changed.")

    return await visit.act("/settings", do)


@router.post("/settings/tokens")
async def create_token(visit: Ruling) -> Response:
    """A new token, whose text is shown on the page that answers, and never again."""
    form = await visit.request.form()
    name, role = text_of(form, "name"), text_of(form, "role")
    if not name or len(name) > 200 or role not in list(Role):
        return visit.back("/settings", visit.say("A token needs a name and a role."), kind="refused")
    async with visit.office.db.transaction() as session:
        _, token = await store.create_token(session, name, Role(role), visit.actor, at=visit.at)
    return await _page(visit, token=token.get_secret_value())


@router.post("/settings/tokens/{token_id}/revoke")
async def revoke_token(visit: Ruling, token_id: Id) -> Response:
    """From now on it is refused, and every session that began with it is over."""

    async def do() -> str:
        async with visit.office.db.transaction() as session:
            await store.revoke_token(session, token_id, visit.actor, at=visit.at)
        return visit.say("Token {id} is revoked.", id=token_id)

    return await visit.act("/settings", do)


@router.post("/settings/freeze")
async def freeze(visit: Acting) -> Response:
    """Stop all action on the fleet."""
    form = await visit.request.form()

    async def do() -> str:
        hours = text_of(form, "hours")
        until = visit.at + timedelta(hours=_hours(hours)) if hours else None
        async with visit.office.db.transaction() as session:
            await healing.hold(session, None, visit.actor, at=visit.at, reason=text_of(form, "reason"), until=until)
        return visit.say("The fleet is frozen: nothing is done anywhere.")

    return await visit.act("/settings", do)


@router.post("/settings/holds/{hold_id}/lift")
async def lift(visit: Acting, hold_id: Id) -> Response:
    """End a hold or a freeze."""

    async def do() -> str:
        async with visit.office.db.transaction() as session:
            await healing.lift(session, hold_id, visit.actor, at=visit.at)
        return visit.say("The hold is lifted.")

    return await visit.act("/settings", do)


@router.post("/settings/windows")
async def plan_window(visit: Acting) -> Response:
    """Plan a time in which nothing is judged or done by itself."""
    form = await visit.request.form()

    async def do() -> str:
        starts_at = _moment(text_of(form, "starts_at")) or visit.at
        async with visit.office.db.transaction() as session:
            await healing.plan_window(
                session,
                text_of(form, "server") or None,
                visit.actor,
                at=visit.at,
                starts_at=starts_at,
                ends_at=after(starts_at, timedelta(hours=_hours(text_of(form, "hours"))), "The window's end"),
                reason=text_of(form, "reason"),
            )
        return visit.say("The maintenance window is planned.")

    return await visit.act("/settings", do)


@router.post("/settings/windows/{window_id}/cancel")
async def cancel_window(visit: Acting, window_id: Id) -> Response:
    """Call a window off."""

    async def do() -> str:
        async with visit.office.db.transaction() as session:
            await healing.cancel_window(session, window_id, visit.actor, at=visit.at)
        return visit.say("The maintenance window is called off.")

    return await visit.act("/settings", do)


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= 24 * 90:
        raise InvalidInput("Give hours between 0 and 2160.", hint="For example 2, or 0.5.")
    return hours


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput("That is no time.", hint="Write it like 2026-03-04T22:00, in UTC.") from None
