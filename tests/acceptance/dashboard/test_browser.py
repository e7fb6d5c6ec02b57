"""The dashboard as people meet it: in a real browser, live, without JavaScript, on a phone, for everybody."""

import asyncio

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Route

from lazaret.entrypoints.dashboard import live
from lazaret.incidents.model import TimelineKind
from lazaret.incidents.store import get_incident, tell
from lazaret.operations.store import add_event, get_operation
from lazaret.servers.store import get_server
from lazaret.users.model import Role
from tests.acceptance.dashboard.conftest import Desk

PAGES = (
    "/",
    "/servers/vps-2002",
    "/servers/vps-2005",
    "/operations",
    "/operations/1",
    "/incidents?show=all",
    "/incidents/1",
    "/approvals",
    "/deployments",
    "/deployments/1",
    "/deployments/new",
    "/audit",
    "/settings",
)

pytestmark = pytest.mark.timeout(400)

AT_LEAST_EVERY_S = live.AT_LEAST_EVERY_S
"""The product's own, which the fixture sets aside."""


async def test_signing_in_by_link_and_out_again(desk: Desk) -> None:
    async with desk.page(role=None) as page:
        await page.goto(f"{desk.url}/incidents")
        assert page.url.endswith("/sign-in?to=/incidents")
        await page.goto(await desk.link())
        await page.click("main button")
        assert await page.inner_text("h1") == "Fleet"
        await page.click("text=Sign out")
        await page.goto(desk.url)
        assert "/sign-in" in page.url


async def test_the_fleet_changes_before_ones_eyes_without_a_jump(desk: Desk) -> None:
    async with desk.page() as page:
        await page.wait_for_selector("#live.on")
        await page.fill("#q", "half a wo")
        await page.evaluate("window.scrollTo(0, 120); window.mine = document.querySelector('#q')")
        async with desk.office.db.transaction() as session:
            server = await get_server(session, "vps-2001")
            server.status, server.status_reason = "error", "its power went"
            await add_event(session, await get_operation(session, 1), "note", "x", at=desk.office.clock.now())
        await page.wait_for_selector("tr:has-text('vps-2001') .badge.error")
        assert await page.evaluate("window.scrollY") == 120
        assert await page.input_value("#q") == "half a wo"
        assert await page.evaluate("window.mine === document.querySelector('#q') && document.activeElement.id") == "q"


async def test_the_log_of_an_operation_grows(desk: Desk) -> None:
    async with desk.page() as page:
        await page.goto(f"{desk.url}/operations/1")
        await page.wait_for_selector("#live.on")
        async with desk.office.db.transaction() as session:
            operation = await get_operation(session, 1)
            await add_event(session, operation, "note", "the newest line", at=desk.office.clock.now())
        await page.wait_for_selector("#log >> text=the newest line")


async def test_what_is_written_while_the_page_is_being_fetched_is_seen_too(desk: Desk) -> None:
    """The answer under way does not have it, and the news that something changed comes before that answer."""
    async with desk.page() as page:
        await page.goto(f"{desk.url}/operations/1")
        held: list[Route] = []

        async def hold(route: Route) -> None:
            if held:
                await route.continue_()
                return
            held.append(route)
            old = await route.fetch()
            async with (
                page.expect_event("console", lambda said: said.text == "told"),
                desk.office.db.transaction() as session,
            ):
                operation = await get_operation(session, 1)
                await add_event(session, operation, "note", "a late line", at=desk.office.clock.now())
            await route.fulfill(response=old)

        await page.route("**/operations/1", hold)
        await page.evaluate(
            """new Promise((ready) => {
                const source = new EventSource("/live");
                source.addEventListener("open", ready);
                source.addEventListener("changed", () => console.log("told"));
            })"""
        )
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await page.wait_for_selector("#log >> text=a late line")


async def test_an_incident_is_acknowledged_and_its_question_answered(desk: Desk) -> None:
    async with desk.page() as page:
        await page.goto(f"{desk.url}/incidents/1")
        await page.click("text=Acknowledge")
        assert await page.inner_text(".flash.done") == "Acknowledged."
        assert await page.locator("button:has-text('Acknowledge')").count() == 0
        await page.click("#head a[href='/approvals']")
        await page.fill("input[name=note]", "not tonight")
        await page.click("button:has-text('Deny')")
        assert await page.inner_text(".flash.done") == "Denied."
        assert "not tonight" in await page.inner_text("table")
        await page.goto(f"{desk.url}/audit?q=approval")
        assert "approval.denied" in await page.inner_text("table")
        assert "dashboard" in await page.inner_text("table")


async def test_the_timeline_grows_while_one_reads(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told of a line in it: an open page looks by itself, ever again."""
    assert AT_LEAST_EVERY_S <= 10
    monkeypatch.setattr(live, "AT_LEAST_EVERY_S", 1)
    async with desk.page() as page:
        await page.goto(f"{desk.url}/incidents/1")
        await page.wait_for_selector("#live.on")
        await page.click("summary:has-text('journal')")
        async with desk.office.db.transaction() as session:
            incident = await get_incident(session, 1)
            tell(session, incident, TimelineKind.ATTEMPT, "begins: reinstall", at=desk.office.clock.now())
        await page.wait_for_selector("#timeline >> text=begins: reinstall")
        assert await page.locator("details[open]").count() == 1, "what was open stays open"


async def test_everything_can_be_read_without_javascript(desk: Desk) -> None:
    async with desk.page(javascript=False) as page:
        for path in PAGES:
            await page.goto(desk.url + path)
            assert (await page.inner_text("h1")).strip(), path
        await page.goto(desk.url)
        await page.fill("#q", "vps-2005")
        await page.click("form.filters button")
        assert await page.locator("tbody tr").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_serious_violation_of_accessibility(desk: Desk, scheme: str) -> None:
    axe, found = Axe(), []
    async with desk.page(scheme=scheme) as page:
        for path in (*PAGES, "/nothing"):
            await page.goto(desk.url + path)
            results = await axe.run(page)
            found += [
                f"{path}: {one['id']} {one['nodes'][0]['html'][:160]} {one['nodes'][0]['failureSummary'][:200]}"
                for one in results.response["violations"]
                if one["impact"] in {"serious", "critical"}
            ]
    desk.faults[:] = [fault for fault in desk.faults if "404" not in fault]
    assert not found, "\n".join(found)


async def test_a_phone_shows_every_page_without_scrolling_sideways(desk: Desk) -> None:
    async with desk.page(phone=True) as page:
        for path in PAGES:
            await page.goto(desk.url + path)
            wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, path


async def test_keys_and_the_choice_of_light_or_dark(desk: Desk) -> None:
    async with desk.page() as page:
        await page.wait_for_selector("#live.on")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "To the content"
        await page.keyboard.press("Enter")
        await page.keyboard.press("/")
        assert await page.evaluate("document.activeElement.id") == "q"
        await page.click("#theme")
        await page.goto(f"{desk.url}/incidents")
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"


async def test_in_russian(desk: Desk) -> None:
    async with desk.page(role=Role.VIEWER) as page:
        await page.click("text=Русский")
        assert await page.inner_text("h1") == "Парк"
        await page.goto(f"{desk.url}/incidents/1")
        assert "Совсем не отвечает" in await page.inner_text("h1")


async def test_two_hundred_open_pages_cost_one_listener(desk: Desk) -> None:
    import httpx

    async with desk.page() as page:
        cookies = {one["name"]: one["value"] for one in await page.context.cookies()}  # type: ignore[typeddict-item]
    limits = httpx.Limits(max_connections=220)
    async with httpx.AsyncClient(base_url=desk.url, cookies=cookies, limits=limits, timeout=30) as http:
        rung = asyncio.Event()
        counts = {"open": 0, "told": 0}

        async def follow() -> None:
            async with http.stream("GET", "/live") as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("retry"):
                        counts["open"] += 1
                    if line == "event: changed" and rung.is_set():
                        counts["told"] += 1
                        return

        async with asyncio.TaskGroup() as group:
            for _ in range(200):
                group.create_task(follow())
            while counts["open"] < 200:
                await asyncio.sleep(0.05)
            rung.set()
            async with desk.office.db.transaction() as session:
                operation = await get_operation(session, 1)
                await add_event(session, operation, "note", "x", at=desk.office.clock.now())
    assert counts["told"] == 200
