"""The client against canned answers: what it sends, what it never sends again, how long it waits."""

import base64
import contextlib
import logging
import traceback

import httpx
import pytest
from pydantic import SecretStr
from tests.unit.adapters.time4vps.canned import PASSWORD, CannedProvider

from lazaret.adapters.time4vps import Time4VPSClient
from lazaret.kernel.clock import ManualClock
from lazaret.servers.call_budget import InMemoryCallBudget
from lazaret.servers.provider import (
    Capability,
    PasswordNotInResult,
    ProviderAddressNotAllowed,
    ProviderBusy,
    ProviderError,
    ProviderLoginRefused,
    ProviderRefused,
    ProviderTaskTimeout,
    ProviderTaskUnknown,
    ProviderThrottled,
    ProviderUnavailable,
)

HTML = httpx.Response(502, html="<html><title>Bad Gateway</title></html>")
DETAILS = {"domain": "jag1.l.time4vps.cloud", "status": "Active", "ip": "203.0.113.20", "os": "debian-13"}
BUSY = DETAILS | {"active_task": {"name": "server_reboot", "activated": "2026-01-01T00:00:00+00:00"}}
ROW = {"server_id": 1, "domain": "a", "ip": "203.0.113.20", "label": ""}
CUT = httpx.RemoteProtocolError("Server disconnected without sending a response.")

UNKNOWN = {"error": ["Invalid task ID"]}
TASK, NAMED = "GET /server/1/task/7", "GET /server/1/task/server_reset_password"
RESET = "POST /server/1/resetpassword"


def throttle(wait_s: float) -> httpx.Response:
    return httpx.Response(401, json={"error": [["wait_x_between_action", wait_s], "unauthorized"]})


def task(*, completed: object = "", results: str = "", began: str = "2026-01-01T00:00:00+00:00") -> dict[str, object]:
    return {
        "name": "server_reset_password",
        "activated": began,
        "assigned": "",
        "completed": completed,
        "results": results,
    }


DONE = task(completed="2026-01-01T00:00:45+00:00", results="Password: q7VtHs29Lm")


async def test_every_call_logs_in(client: Time4VPSClient, canned: CannedProvider):
    canned.on("GET /server", [ROW])
    assert [server.server_id for server in await client.list_servers()] == [1]
    expected = base64.b64encode(f"me@example.org:{PASSWORD}".encode()).decode()
    assert canned.requests[0].headers["authorization"] == f"Basic {expected}"
    assert str(canned.requests[0].url) == "https://provider.test/api/server"


class TestReading:
    @pytest.mark.parametrize(
        "failure",
        [
            HTML,
            CUT,
            httpx.ReadTimeout("slow"),
            httpx.ConnectError("no"),
            {"x": 1},
            {"error": ["Something went wrong"]},
            {"error": True},
            {"error": ["Server is busy"]},
        ],
    )
    async def test_a_passing_failure_is_survived(self, client, canned, clock, failure):
        canned.on("GET /server", failure, failure, [ROW])
        assert len(await client.list_servers()) == 1
        assert len(canned.requests) == 3
        assert 0 <= sum(clock.slept_s) <= 2 + 4

    async def test_a_lasting_failure_is_told(self, client, canned):
        canned.on("GET /server", HTML)
        with pytest.raises(ProviderUnavailable, match="502: Bad Gateway"):
            await client.list_servers()
        assert len(canned.requests) == 3

    async def test_a_no_with_a_good_status_is_no_answer_to_a_question(self, client, canned):
        canned.on("GET /server/1", {"error": ["Something went wrong"]})
        with pytest.raises(ProviderUnavailable, match="Something went wrong") as caught:
            await client.get_server(1)
        assert caught.value.retryable, "an operation that reads tries again as well"
        assert len(canned.requests) == 3

    async def test_a_no_with_a_status_of_its_own_is_one(self, client, canned):
        canned.on("GET /server/1", httpx.Response(404, json={"error": ["Server not found"]}))
        with pytest.raises(ProviderRefused):
            await client.get_server(1)
        assert len(canned.requests) == 1

    async def test_a_throttled_call_waits_as_long_as_it_says(self, client, canned, clock):
        canned.on("GET /server", throttle(24), [ROW])
        await client.list_servers()
        assert sum(clock.slept_s) == pytest.approx(24)

    async def test_a_long_throttle_is_told_at_once_and_holds_for_everybody(self, client, canned, clock):
        canned.on("GET /server", throttle(500), [ROW])
        with pytest.raises(ProviderThrottled):
            await client.list_servers()
        with pytest.raises(ProviderThrottled):
            await client.get_server(1)
        assert clock.slept_s == [] and len(canned.requests) == 1

    @pytest.mark.parametrize(
        ("reason", "kind"), [("wronglogin", ProviderLoginRefused), ("ipnotallowed", ProviderAddressNotAllowed)]
    )
    async def test_a_refused_login_is_never_repeated(self, client, canned, reason, kind):
        canned.on("GET /server", httpx.Response(401, json={"error": [reason, "unauthorized"]}))
        with pytest.raises(kind):
            await client.list_servers()
        assert len(canned.requests) == 1

    async def test_redirections_are_followed(self, client, canned):
        canned.on("GET /server", httpx.Response(301, headers={"location": "/api/server/"}))
        canned.on("GET /server/", [ROW])
        assert len(await client.list_servers()) == 1

    async def test_details_are_cached_for_five_minutes(self, client, canned, clock):
        canned.on("GET /server/1", DETAILS)
        first = await client.get_server(1)
        clock.advance(299)
        assert await client.get_server(1) is first
        clock.advance(2)
        assert await client.get_server(1) is not first
        await client.get_server(1, fresh=True)
        assert len(canned.requests) == 3


class TestActing:
    @pytest.mark.parametrize(
        ("act", "path", "body"),
        [
            (lambda client: client.reboot(1), "/server/1/reboot", b""),
            (lambda client: client.reset_password(1), "/server/1/resetpassword", b""),
            (lambda client: client.flush_firewall(1), "/server/1/flushfirewall", b""),
            (lambda client: client.reinstall(1, "debian-13"), "/server/1/reinstall", b'{"os":"debian-13"}'),
        ],
    )
    async def test_what_is_sent(self, client, canned, act, path, body):
        canned.on(f"POST {path}", {"task_id": "4951234"})
        assert await act(client) == 4951234
        assert [request.content for request in canned.requests] == [body]

    @pytest.mark.parametrize(
        "failure", [HTML, CUT, httpx.ReadTimeout("slow"), httpx.WriteError("cut"), httpx.Response(200)]
    )
    async def test_an_uncertain_answer_is_told_and_nothing_is_sent_again(self, client, canned, failure):
        canned.on(RESET, failure)
        with pytest.raises(ProviderUnavailable) as caught:
            await client.reset_password(1)
        assert not caught.value.certainly_not_sent
        assert canned.calls == [RESET]

    @pytest.mark.parametrize("failure", [httpx.ConnectError("no"), httpx.ConnectTimeout("no"), httpx.PoolTimeout("no")])
    async def test_what_was_never_sent_is_told_apart(self, client, canned, failure):
        canned.on(RESET, failure)
        with pytest.raises(ProviderUnavailable) as caught:
            await client.reset_password(1)
        assert caught.value.certainly_not_sent

    async def test_a_throttled_action_is_not_repeated(self, client, canned):
        canned.on(RESET, throttle(5))
        with pytest.raises(ProviderThrottled):
            await client.reset_password(1)
        assert canned.calls == [RESET]

    async def test_an_action_follows_no_redirection(self, client, canned):
        canned.on(RESET, httpx.Response(307, headers={"location": "/api/server/2/resetpassword"}))
        with pytest.raises(ProviderUnavailable):
            await client.reset_password(1)
        assert canned.calls == [RESET]

    @pytest.mark.parametrize("answer", [{}, {"task_id": None}, {"task_id": ""}, {"success": True}, []])
    @pytest.mark.parametrize(("details", "kind"), [(DETAILS, ProviderRefused), (BUSY, ProviderBusy)])
    async def test_no_task_is_a_refusal(self, client, canned, answer, details, kind):
        canned.on(RESET, answer)
        canned.on("GET /server/1", details)
        with pytest.raises(ProviderRefused) as caught:
            await client.reset_password(1)
        assert type(caught.value) is kind

    async def test_a_failed_look_after_an_action_does_not_say_that_it_was_not_sent(self, client, canned):
        canned.on(RESET, {})
        canned.on("GET /server/1", httpx.ConnectError("no"))
        with pytest.raises(ProviderRefused):
            await client.reset_password(1)

    async def test_busy_by_its_words(self, client, canned):
        canned.on(RESET, {"error": ["Server is busy"]})
        with pytest.raises(ProviderBusy):
            await client.reset_password(1)

    @pytest.mark.parametrize("answer", [{"task_id": 7}, CUT, {"error": ["no"]}])
    async def test_an_action_drops_the_cached_details(self, client, canned, answer):
        canned.on("GET /server/1", DETAILS, BUSY)
        canned.on(RESET, answer)
        assert (await client.get_server(1)).active_task is None
        with contextlib.suppress(ProviderError):
            await client.reset_password(1)
        assert (await client.get_server(1)).active_task is not None


class TestWaiting:
    async def test_polls_until_it_is_over(self, client, canned, clock):
        canned.on(TASK, task(), task(completed=None), DONE)
        password = await client.wait_for_password_reset(1, 7, timeout_s=300)
        assert password.get_secret_value() == "q7VtHs29Lm"
        assert all(5 <= slept_s <= 6.5 for slept_s in clock.slept_s) and len(clock.slept_s) == 2

    @pytest.mark.parametrize(
        "failure",
        [
            HTML,
            CUT,
            httpx.ConnectError("no"),
            httpx.ReadTimeout("slow"),
            httpx.Response(200),
            {"x": 1},
            {"error": ["Server not found"]},
            httpx.Response(404),
            throttle(24),
        ],
    )
    async def test_a_failed_poll_says_nothing_about_the_task(self, client, canned, failure):
        canned.on(TASK, *[failure] * 6, DONE)
        assert (await client.wait_for_task(1, 7, timeout_s=300)).is_over

    async def test_a_throttled_poll_waits_the_stated_time(self, client, canned, clock):
        canned.on(TASK, throttle(60), DONE)
        await client.wait_for_task(1, 7, timeout_s=300)
        assert sum(clock.slept_s) == pytest.approx(60)

    @pytest.mark.parametrize("wait_s", [100, 600])
    async def test_but_not_beyond_the_deadline(self, client, canned, clock, wait_s):
        canned.on(TASK, throttle(wait_s))
        with pytest.raises(ProviderTaskTimeout):
            await client.wait_for_task(1, 7, timeout_s=50)
        assert clock.monotonic() == pytest.approx(50)
        assert len(canned.requests) == 1

    async def test_a_last_look_at_the_deadline(self, client, canned, clock):
        canned.on(TASK, task(), DONE)
        assert (await client.wait_for_task(1, 7, timeout_s=2)).is_over
        assert clock.monotonic() == pytest.approx(2)

    async def test_a_task_that_never_ends(self, client, canned, clock):
        canned.on(TASK, task())
        with pytest.raises(ProviderTaskTimeout):
            await client.wait_for_task(1, 7, timeout_s=300)
        assert clock.monotonic() == pytest.approx(300)
        assert 300 / 6.5 < len(canned.requests) <= 300 / 5 + 2

    @pytest.mark.parametrize(
        ("reason", "kind"), [("wronglogin", ProviderLoginRefused), ("ipnotallowed", ProviderAddressNotAllowed)]
    )
    async def test_a_refused_login_ends_it_at_once(self, client, canned, reason, kind):
        canned.on(TASK, task(), httpx.Response(401, json={"error": [reason, "unauthorized"]}))
        with pytest.raises(kind):
            await client.wait_for_task(1, 7, timeout_s=300)
        assert len(canned.requests) == 2

    async def test_over_without_a_password(self, client, canned):
        canned.on(TASK, task(completed="2026-01-01 00:00:45", results="Error: operation failed"))
        with pytest.raises(PasswordNotInResult):
            await client.wait_for_password_reset(1, 7)

    async def test_the_end_of_a_task_drops_the_cached_details(self, client, canned):
        canned.on("GET /server/1", BUSY, DETAILS)
        canned.on(TASK, DONE)
        await client.get_server(1)
        await client.wait_for_task(1, 7, timeout_s=10)
        assert (await client.get_server(1)).active_task is None


class TestForgottenTask:
    """The provider answers `Invalid task ID` for a task that we saw, or began."""

    async def test_found_by_name_after_it_was_begun(self, client, canned):
        canned.on(RESET, {"task_id": 7})
        canned.on(TASK, UNKNOWN)
        canned.on(NAMED, task(), DONE)
        await client.reset_password(1)
        done = await client.wait_for_task(1, 7, timeout_s=300)
        assert (done.task_id, done.is_over) == (7, True)

    async def test_found_by_name_after_it_was_seen(self, client, canned):
        canned.on(TASK, task(), UNKNOWN)
        canned.on(NAMED, DONE)
        assert (await client.wait_for_task(1, 7, timeout_s=300)).is_over

    async def test_an_older_one_of_that_name_is_not_it(self, client, canned, clock):
        clock.advance(3600)
        canned.on(RESET, {"task_id": 7})
        canned.on(TASK, UNKNOWN)
        canned.on(NAMED, DONE)
        await client.reset_password(1)
        with pytest.raises(ProviderTaskTimeout):
            await client.wait_for_task(1, 7, timeout_s=30)

    async def test_nothing_is_guessed_about_a_task_that_was_never_seen(self, client, canned):
        canned.on(TASK, UNKNOWN)
        with pytest.raises(ProviderTaskTimeout):
            await client.wait_for_task(1, 7, timeout_s=30)
        assert set(canned.calls) == {TASK}

    async def test_one_look_tells(self, client, canned):
        canned.on(TASK, UNKNOWN)
        with pytest.raises(ProviderTaskUnknown):
            await client.get_task_result(1, 7)


class TestSecrets:
    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(502, html=f"<title>cannot log in me@example.org with {PASSWORD}</title>"),
            httpx.Response(200, json={"error": [f"bad password {PASSWORD}"]}),
            httpx.Response(200, text='{"name": "x", "results": "Password: q7VtHs29Lm'),
            httpx.Response(500, text="Password: q7VtHs29Lm"),
            {"results": "Password: q7VtHs29Lm"},
            {"error": ["Password: q7VtHs29Lm"], "results": "Password: q7VtHs29Lm"},
        ],
    )
    async def test_no_error_and_no_log_line_shows_one(self, client, canned, caplog, answer):
        caplog.set_level(logging.DEBUG)
        canned.on(TASK, answer)
        with pytest.raises(ProviderError) as caught:
            await client.get_task_result(1, 7)
        told = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + caplog.text + repr(client)
        basic = base64.b64encode(f"me@example.org:{PASSWORD}".encode()).decode()
        for secret in (PASSWORD, "q7VtHs29Lm", basic):
            assert secret not in told

    async def test_a_waited_for_password_is_not_logged(self, client, canned, caplog):
        caplog.set_level(logging.DEBUG)
        canned.on(TASK, DONE)
        password = await client.wait_for_password_reset(1, 7)
        assert "q7VtHs29Lm" not in caplog.text + repr(password)


async def test_calls_keep_to_the_budget(canned: CannedProvider):
    clock = ManualClock()
    canned.on("GET /server", [ROW])
    client = Time4VPSClient(
        base_url="https://provider.test/api",
        login="me",
        password=SecretStr(PASSWORD),
        budget=InMemoryCallBudget(clock),
        clock=clock,
        transport=httpx.MockTransport(canned),
    )
    async with client:
        for _ in range(40):
            await client.list_servers()
    assert clock.monotonic() == pytest.approx(
        (40 - 7) / 0.5
    )  # ten at once less three in reserve, then one in two seconds


def test_what_it_says_of_itself(client: Time4VPSClient):
    assert client.name == "time4vps"
    assert client.capabilities == frozenset(Capability) == frozenset(client.task_names)
