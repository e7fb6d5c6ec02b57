"""Two people follow a night, in English and in Russian, on their phones and on the dashboard, and they decide."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from playwright.async_api import Browser, Page, async_playwright

from lazaret.entrypoints.bot.process import run_bot
from lazaret.entrypoints.up import serve
from lazaret.kernel.loops import end_tasks
from lazaret.lab.calls import Call
from lazaret.lab.telegram.client import Phone
from lazaret.lab.telegram.server import TelegramServer
from lazaret.users.model import Role
from lazaret.users.sessions import create_login_link
from tests.healing_scene import OPERATOR, Scene, scene_of
from tests.integration.healing.test_recovery import acts, host_of

ANN, BORIS = 501, 502
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.timeout(500),
    pytest.mark.skipif(CHROMIUM is None, reason="There is no Chromium here: apt-get install chromium"),
]


@dataclass
class Night:
    """A fleet at work, two phones, a browser."""

    scene: Scene
    ann: Phone
    boris: Phone
    browser: Browser
    dashboard: str
    phones: str

    @asynccontextmanager
    async def dashboard_page(self) -> AsyncIterator[Page]:
        async with self.scene.office.db.transaction() as session:
            link = await create_login_link(session, "ann", Role.ADMIN, OPERATOR, at=self.scene.office.clock.now())
        page = await self.browser.new_page(locale="en-GB")
        await page.goto(f"{self.dashboard}/sign-in/{link.get_secret_value()}")
        await page.click("main button")
        yield page
        await page.close()


@asynccontextmanager
async def night_of(hosts: int) -> AsyncIterator[Night]:
    listening = socket.create_server(("127.0.0.1", 0))
    dashboard = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with (
        TelegramServer().running() as telegram,
        httpx.AsyncClient(base_url=telegram.root_url, timeout=30) as http,
    ):
        settings = telegram.environment(ANN, BORIS) | {"LAZARET_PUBLIC_URL": dashboard}
        async with scene_of(hosts, **settings) as scene, async_playwright() as playwright:
            tasks = [
                asyncio.create_task(run_bot(scene.office)),
                asyncio.create_task(serve(scene.office, listening)),
            ]
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            try:
                ann = await Phone.of(http, ANN, "Ann")
                boris = await Phone.of(http, BORIS, "Boris", "ru")
                await asyncio.gather(ann.ask("/start"), boris.ask("/start"))
                yield Night(scene, ann, boris, browser, dashboard, telegram.root_url)
            finally:
                print(await scene.story())  # what a test that failed does not say by itself
                await browser.close()
                await end_tasks(*tasks)
                listening.close()


@pytest.fixture
async def night() -> AsyncIterator[Night]:
    async with night_of(2) as made:
        yield made


async def test_a_server_loses_its_power_and_comes_back_and_everybody_sees_it(night: Night) -> None:
    lost = night.scene.handles()[0]
    phone = await night.browser.new_page()
    await phone.goto(f"{night.phones}/phone?person={BORIS}")
    async with night.dashboard_page() as page:
        await page.wait_for_selector(f"tr:has-text('{lost}') .badge.ready")
        await night.scene.lab.cloud.power_off(host_of(night.scene, lost).handle_id)
        english = await night.ann.until(
            lambda one: lost in one["text"] and "does not answer" in one["text"], timeout_s=60
        )
        russian = await night.boris.until(lambda one: lost in one["text"] and "не отвечает" in one["text"])
        await phone.wait_for_selector("#chat >> text=не отвечает")
        await page.wait_for_selector(f"tr:has-text('{lost}') .badge.error", timeout=20_000)
        await page.click(f"tr:has-text('{lost}') a[href^='/incidents/']")
        await page.wait_for_selector("#timeline >> text=diagnosis", timeout=20_000)
        assert await night.boris.press("Принять", on=russian) == "Принято."
        await night.scene.until_resolved(lost, timeout_s=120)
        over = await night.ann.until(lambda one: one["id"] == english["id"] and "Over. Detected in" in one["text"])
        assert over["text"].startswith("✅") and over["edits"] >= 2 and not over["keyboard"]
        await night.boris.until(lambda one: one["id"] == russian["id"] and "Закончено. Обнаружено за" in one["text"])
        await page.wait_for_selector("h1 .badge.resolved", timeout=20_000)
        assert "acknowledged by telegram:boris" in await page.inner_text("#timeline")
    of_the_incident = [
        one
        for one in await night.ann.told()
        if lost in one["text"] and ("does not answer" in one["text"] or "Over." in one["text"])
    ]
    assert len(of_the_incident) == 1, "one message for one incident"
    await phone.wait_for_selector("#chat >> text=Закончено")


async def test_a_wiped_system_is_denied_on_the_dashboard_and_approved_in_russian_on_the_phone(night: Night) -> None:
    scene, lost = night.scene, night.scene.handles()[0]
    scene.lab.cloud.order(Call.REINSTALL, host_of(scene, lost).handle_id, {"os": scene.lab.rack.templates[0].os})
    asked = await night.ann.until(
        lambda one: "reinstall the system" in one["text"] and "Approve" in str(one), timeout_s=90
    )
    async with night.dashboard_page() as page:
        await page.goto(f"{night.dashboard}/approvals")
        await page.fill("input[name=note]", "let me look first")
        await page.click("button:has-text('Deny')")
        assert await page.inner_text(".flash") == "Denied."
        closed = await night.ann.until(lambda one: one["id"] == asked["id"] and not one["keyboard"])
        assert "denied by dashboard:ann. let me look first" in closed["text"]
        await night.ann.until(lambda one: "needs a person" in one["text"], timeout_s=60)
        assert acts(scene, lost).count("reinstall") == 1, "the stranger's own"
        await page.goto(f"{night.dashboard}/incidents/{(await scene.incidents(lost))[-1].id}")
        await page.click("button:has-text('Try to recover it')")
    again = await night.boris.until(
        lambda one: "переустановка системы" in one["text"] and "Одобрить" in str(one["keyboard"]), timeout_s=90
    )
    assert await night.boris.press("Одобрить", on=again) == "Одобрено."
    await scene.until_resolved(lost, timeout_s=120)
    assert acts(scene, lost).count("reinstall") == 2
    await night.boris.until(lambda one: "Закончено." in one["text"])
