"""A real browser (Debian's Chromium) on a real server over an example fleet."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from lazaret.entrypoints.dashboard import live
from lazaret.entrypoints.office import Office, open_office
from lazaret.entrypoints.up import serve
from lazaret.kernel import audit
from lazaret.kernel.embedded_postgres import EmbeddedPostgres
from lazaret.kernel.loops import end_tasks
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import load_settings
from lazaret.users.model import Role
from lazaret.users.sessions import create_login_link
from tests.example_fleet import add_example_fleet

CHROMIUM = shutil.which("chromium")
TESTER = audit.Actor("tester", audit.Channel.CLI)
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 860}
PATIENCE_S = 60
"""How long a page is waited for on a machine with much else to do."""
NEVER_S = 600
"""Longer than any test: what is seen by then was told."""


@dataclass
class Desk:
    """A dashboard with a fleet, and a browser to look at it."""

    office: Office
    url: str
    browser: Browser
    faults: list[str] = field(default_factory=list)
    """What pages complained of, and what left this origin."""

    async def link(self, role: Role = Role.ADMIN) -> str:
        async with self.office.db.transaction() as session:
            secret = await create_login_link(session, "ann", role, TESTER, at=self.office.clock.now())
        return f"{self.url}/sign-in/{secret.get_secret_value()}"

    @asynccontextmanager
    async def page(
        self, *, role: Role | None = Role.ADMIN, scheme: str = "light", phone: bool = False, javascript: bool = True
    ) -> AsyncIterator[Page]:
        context: BrowserContext = await self.browser.new_context(
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport=PHONE if phone else DESK,  # type: ignore[arg-type]
            java_script_enabled=javascript,
            locale="en-GB",
        )
        context.set_default_timeout(1000 * PATIENCE_S)
        page = await context.new_page()
        page.on("console", lambda one: self.faults.append(one.text) if one.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda one: None if one.url.startswith(self.url) else self.faults.append(one.url))
        if role is not None:
            await page.goto(await self.link(role))
            await page.click("main button")
        yield page
        await context.close()


@asynccontextmanager
async def desk_of(*, servers: int = 12) -> AsyncIterator[Desk]:
    directory = Path(tempfile.mkdtemp(prefix="lazaret-dashboard-"))
    directory.chmod(0o755)
    postgres = EmbeddedPostgres(directory / "postgres")
    address = await asyncio.to_thread(postgres.start)
    settings = load_settings({"DATABASE_URL": address, "LAZARET_DATA_DIR": str(directory / "data")})
    try:
        async with open_office(settings, redactor=Redactor()) as office, async_playwright() as playwright:
            async with office.db.transaction() as session:
                await add_example_fleet(session, at=office.clock.now(), servers=servers)
            listening = socket.create_server(("127.0.0.1", 0))
            serving = asyncio.create_task(serve(office, listening))
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            try:
                yield Desk(office, f"http://127.0.0.1:{listening.getsockname()[1]}", browser)
            finally:
                await browser.close()
                await end_tasks(serving)
                listening.close()
    finally:
        await asyncio.to_thread(postgres.wipe)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """No page looks again without being told that something changed."""
    if CHROMIUM is None:
        pytest.skip("There is no Chromium here: apt-get install chromium")
    monkeypatch.setattr(live, "AT_LEAST_EVERY_S", NEVER_S)
    async with desk_of() as made:
        yield made
        assert made.faults == []
