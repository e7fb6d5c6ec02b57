"""Signing in: links work once, nothing can be guessed, and nobody is sent elsewhere."""

from datetime import timedelta

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import select, update

from lazaret.entrypoints.api.app import create_app
from lazaret.entrypoints.dashboard.sign_in import own_path
from lazaret.entrypoints.office import Office
from lazaret.users.model import Role, User
from lazaret.users.sessions import LoginLink, WebSession, create_login_link
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
