"""Signing in: links work once, nothing can be guessed, and nobody is sent elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import select, update

from lazaret.entrypoints.api.app import create_app
from lazaret.entrypoints.dashboard.sign_in import own_path
from lazaret.entrypoints.office import Office
from lazaret.entrypoints.up import listen_on, serve
from lazaret.kernel.errors import Limited
from lazaret.users.model import ApiToken, Role, User
from lazaret.users.sessions import TRIES, LoginLink, WebSession, count_try, create_login_link, forget_try
from lazaret.users.store import create_token
from tests.integration.dashboard.conftest import HOST, TESTER, client_of, sign_in


async def test_a_link_works_once_and_looking_at_it_does_not_use_it(app: FastAPI, office: Office) -> None:
    async with office.db.transaction() as session:
        link = (await create_login_link(session, "ann", Role.VIEWER, TESTER, at=office.clock.now())).get_secret_value()
    async with client_of(app) as http:
        for _ in range(3):
            assert "This link works once" in (await http.get(f"/sign-in/{link}")).text
        first = await http.post(f"/sign-in/{link}")
        assert first.status_code == 303
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie
        assert (await http.get("/")).status_code == 200
    async with client_of(app) as http:
        assert "used up" in (await http.post(f"/sign-in/{link}")).text
    async with office.db.transaction() as session:
        for row in [*await session.scalars(select(LoginLink)), *await session.scalars(select(WebSession))]:
            assert link not in str(vars(row))


async def test_over_https_the_cookie_is_bound_to_this_host(office: Office) -> None:
    from dataclasses import replace

    settings = office.settings.model_copy(update={"lazaret_public_url": "https://lazaret.example"})
    app = create_app(replace(office, settings=settings))
    async with office.db.transaction() as session:
        link = (await create_login_link(session, "ann", Role.VIEWER, TESTER, at=office.clock.now())).get_secret_value()
    async with client_of(app) as http:
        cookie = (await http.post(f"/sign-in/{link}")).headers["set-cookie"]
    assert cookie.startswith("__Host-lazaret=")
    assert "Secure" in cookie and "Path=/" in cookie


async def test_old_links_and_old_sessions_are_over(app: FastAPI, office: Office) -> None:
    now = office.clock.now()
    async with office.db.transaction() as session:
        link = (
            await create_login_link(session, "ann", Role.VIEWER, TESTER, at=now - timedelta(minutes=11))
        ).get_secret_value()
    async with client_of(app) as http:
        assert (await http.post(f"/sign-in/{link}")).status_code == 401
    browser = await sign_in(app, office, Role.VIEWER)
    for change in ({"seen_at": now - timedelta(hours=13)}, {"created_at": now - timedelta(days=15)}):
        async with office.db.transaction() as session:
            await session.execute(update(WebSession).values(seen_at=now, created_at=now))
        assert (await browser.get("/")).status_code == 200
        async with office.db.transaction() as session:
            await session.execute(update(WebSession).values(**change))
        assert (await browser.get("/")).status_code == 303


async def test_signing_out(app: FastAPI, office: Office) -> None:
    browser = await sign_in(app, office, Role.VIEWER)
    cookies = dict(browser.http.cookies)
    assert (await browser.post("/sign-out")).status_code == 303
    async with client_of(app) as http:
        http.cookies.update(cookies)
        assert (await http.get("/")).status_code == 303


async def test_the_role_is_that_of_the_person_at_every_moment(app: FastAPI, office: Office) -> None:
    now = office.clock.now()
    async with office.db.transaction() as session:
        ann = User(telegram_id=1, first_name="Ann", is_admin=False, role="operator", created_at=now, last_seen=now)
        session.add(ann)
        await session.flush()
        link = await create_login_link(session, "ann", Role.OPERATOR, TESTER, at=now, user_id=ann.id)
    async with client_of(app) as http:
        await http.post(f"/sign-in/{link.get_secret_value()}")
        assert "(ann, operator)" in (await http.get("/")).text
        for role, expected in (("viewer", 200), (None, 303)):
            async with office.db.transaction() as session:
                await session.execute(update(User).values(role=role))
            assert (await http.get("/")).status_code == expected


@pytest.mark.parametrize("end", ["revoked_at", "expires_at"])
async def test_a_session_by_link_ends_with_the_token_that_acted(app: FastAPI, office: Office, end: str) -> None:
    now = office.clock.now()
    async with office.db.transaction() as session:
        row, _ = await create_token(session, "ops", Role.ADMIN, TESTER, at=now)
        used, unused = [
            (await create_login_link(session, "ann", Role.VIEWER, TESTER, at=now, token_id=row.id)).get_secret_value()
            for _ in range(2)
        ]
    async with client_of(app) as http:
        await http.post(f"/sign-in/{used}")
        assert "(ann, viewer)" in (await http.get("/")).text, "the role is the link's"
        async with office.db.transaction() as session:
            await session.execute(update(ApiToken).values({end: now}))
        assert (await http.get("/")).status_code == 303
        refused = await http.post(f"/sign-in/{unused}")
        assert refused.status_code == 401 and "used up or has expired" in refused.text


async def test_guessing_is_slowed_down_for_all_processes_together(app: FastAPI, office: Office) -> None:
    other = create_app(office)
    async with client_of(app) as one, client_of(other) as two:
        codes = [
            (await http.post("/sign-in", data={"token": "lzr_guess", "to": "/"})).status_code for http in [one, two] * 6
        ]
    assert codes == [401] * 10 + [429] * 2
    async with office.db.transaction() as session:
        _, token = await create_token(session, "ci", Role.VIEWER, TESTER, at=office.clock.now())
    async with client_of(app) as http:
        answer = await http.post("/sign-in", data={"token": token.get_secret_value(), "to": "/"})
        assert answer.status_code == 429
        assert "Wait five minutes" in answer.text


async def test_only_who_fails_is_counted(app: FastAPI, office: Office) -> None:
    """Behind a proxy many may share an address: who signs in takes nothing away from the others."""
    now = office.clock.now()
    async with office.db.transaction() as session:
        _, token = await create_token(session, "ci", Role.VIEWER, TESTER, at=now)
        links = [await create_login_link(session, "ann", Role.VIEWER, TESTER, at=now) for _ in range(6)]
    forms = [("/sign-in", {"token": token.get_secret_value()})] * 6
    forms += [(f"/sign-in/{link.get_secret_value()}", {}) for link in links]
    async with client_of(app) as http:
        codes = [(await http.post(path, data={"to": "/", **form})).status_code for path, form in forms]
        assert codes == [303] * 12
        used_up = forms[-1][0]
        codes = [(await http.post(path, data={"token": "x"})).status_code for path in ["/sign-in", used_up] * 6]
        assert codes == [401] * 10 + [429] * 2


async def test_a_try_that_is_under_way_counts_until_it_succeeds(office: Office) -> None:
    """Else all that are under way at once would be free."""
    now = office.clock.now()
    async with office.db.transaction() as session:
        tries = [await count_try(session, "203.0.113.5", at=now) for _ in range(TRIES)]
        assert len(set(tries)) == TRIES
        with pytest.raises(Limited):
            await count_try(session, "203.0.113.5", at=now)
        await forget_try(session, tries[0])
        await count_try(session, "203.0.113.5", at=now)


@asynccontextmanager
async def behind_a_proxy(office: Office) -> AsyncIterator[Callable[[str], Awaitable[int]]]:
    """The real server. What is yielded fails to sign in for a visitor whose address this machine forwards."""
    listening = listen_on("127.0.0.1", 0)
    serving = asyncio.create_task(serve(office, listening))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:

        async def fail(visitor: str) -> int:
            headers = {"X-Forwarded-For": visitor}
            return (await http.post("/sign-in", data={"token": "x", "to": "/"}, headers=headers)).status_code

        yield fail
    serving.cancel()
    await asyncio.wait_for(asyncio.gather(serving, return_exceptions=True), 8)


@pytest.mark.parametrize(("trusted", "other"), [(None, 401), ("192.0.2.1,127.0.0.0/8", 401), ("192.0.2.1", 429)])
async def test_a_proxy_that_is_trusted_says_whose_address_it_is(
    office: Office, monkeypatch: pytest.MonkeyPatch, trusted: str | None, other: int
) -> None:
    """As docs/howto/install.md promises of FORWARDED_ALLOW_IPS, which is a variable of uvicorn's own."""
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if trusted is not None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted)
    async with behind_a_proxy(office) as fail:
        assert [await fail("203.0.113.5") for _ in range(TRIES + 1)] == [401] * TRIES + [429]
        assert await fail("203.0.113.6") == other


@pytest.mark.parametrize(
    "to",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/\r\nSet-Cookie: a=b"],
)
async def test_nobody_is_sent_elsewhere(to: str) -> None:
    assert own_path(to) == "/"


async def test_a_form_of_another_site_signs_nobody_in(app: FastAPI, office: Office) -> None:
    async with office.db.transaction() as session:
        _, token = await create_token(session, "ci", Role.VIEWER, TESTER, at=office.clock.now())
    async with client_of(app) as http:
        for origin, code in (("https://evil.example", 403), (HOST, 303)):
            answer = await http.post(
                "/sign-in", data={"token": token.get_secret_value(), "to": "/"}, headers={"Origin": origin}
            )
            assert answer.status_code == code


async def test_behind_a_proxy_forms_come_from_the_public_address(office: Office) -> None:
    from dataclasses import replace

    settings = office.settings.model_copy(update={"lazaret_public_url": "https://lazaret.example"})
    app = create_app(replace(office, settings=settings))
    async with client_of(app) as http:
        for origin, code in (("https://lazaret.example", 401), ("https://evil.example", 403), ("null", 403)):
            answer = await http.post("/sign-in", data={"token": "x", "to": "/"}, headers={"Origin": origin})
            assert answer.status_code == code, origin


async def test_an_odd_token_is_refused_and_not_shown(app: FastAPI) -> None:
    async with client_of(app) as http:
        for token in (SecretStr("x" * 5000), SecretStr("\udcff"), SecretStr("<b>")):
            content = b"to=/&token=" + token.get_secret_value().encode("utf-8", "replace")
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = await http.post("/sign-in", content=content, headers=form)
            assert answer.status_code == 401
            assert token.get_secret_value() not in answer.text
