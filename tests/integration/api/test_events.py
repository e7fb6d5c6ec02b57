"""Live events over a real server: they arrive, nothing is missed over a reconnect, streams end with the process."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from lazaret.entrypoints.api.events import Bell
from lazaret.entrypoints.up import QuietServer, listen_on, serve
from lazaret.operations.intents import Intent
from lazaret.operations.model import OperationKind
from lazaret.users.store import list_tokens, revoke_token
from tests.integration.api.conftest import TESTER, Api


@pytest.fixture
async def live(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a real server."""
    listening = listen_on("127.0.0.1", 0)
    serving = asyncio.create_task(serve(api.office, listening))
    token = api["viewer"].headers["Authorization"]
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": token}, trust_env=False, timeout=20) as client:
        yield client
    serving.cancel()
    await asyncio.wait_for(asyncio.gather(serving, return_exceptions=True), 8)


async def read(
    client: httpx.AsyncClient, count: int, *, last: str = "", query: str = "", began: asyncio.Event | None = None
) -> list[dict[str, object]]:
    """So many events; a stream that says nothing for 10 s fails."""
    found: list[dict[str, object]] = []
    headers = {"Last-Event-ID": last} if last else {}
    async with asyncio.timeout(10), client.stream("GET", f"/api/events{query}", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        if began is not None:
            began.set()
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
                if len(found) == count:
                    return found
    return found


async def ask(api: Api) -> int:
    async with api.office.db.transaction() as session:
        operation = await api.office.intents.provision(
            session, "vps-900001", Intent(OperationKind.PROVISION, TESTER), at=api.office.clock.now()
        )
        return operation.id


async def test_two_clients_see_it_happen(api: Api, live: httpx.AsyncClient) -> None:
    began = [asyncio.Event(), asyncio.Event()]
    watching = [asyncio.create_task(read(live, 1, began=one)) for one in began]
    await asyncio.gather(*(one.wait() for one in began))
    operation_id = await ask(api)
    for events in await asyncio.gather(*watching):
        assert [(one["operation_id"], one["kind"]) for one in events] == [(operation_id, "operation")]


async def test_nothing_is_missed_over_a_reconnect(api: Api, live: httpx.AsyncClient) -> None:
    operation_id = await ask(api)
    async with api.office.db.transaction() as session:
        await api.office.intents.cancel(session, operation_id, TESTER, at=api.office.clock.now())
    whole = await read(live, 2, query=f"?operation_id={operation_id}")
    rest = await read(live, 1, last=str(whole[0]["id"]))
    assert rest == whole[1:]


async def test_what_happened_before_the_bell_could_hear_it_is_not_slept_through(api: Api) -> None:
    """The first requests are answered before the database listens for this process."""
    bell = Bell()
    ring = bell.next_ring()
    await ask(api)
    listening = asyncio.create_task(bell.run(api.office.conninfo))
    try:
        await asyncio.wait_for(ring.wait(), 30)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_streams_end_with_the_server(api: Api) -> None:
    listening = listen_on("127.0.0.1", 0)
    serving = asyncio.create_task(serve(api.office, listening))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/api/events"
    token = api["viewer"].headers["Authorization"]
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", url, headers={"Authorization": token}) as stream,
    ):
        assert stream.status_code == 200
        serving.cancel()
        await asyncio.wait_for(asyncio.gather(serving, return_exceptions=True), 8)


async def test_impatience_does_not_cut_the_end_short(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answering, may_end, shutdown = asyncio.Event(), asyncio.Event(), QuietServer.shutdown

    async def lasting(server: QuietServer, sockets: list[socket.socket] | None = None) -> None:
        await may_end.wait()
        await shutdown(server, sockets)

    monkeypatch.setattr(QuietServer, "shutdown", lasting)
    serving = asyncio.create_task(serve(api.office, listen_on("127.0.0.1", 0), answering))
    await answering.wait()
    for _ in range(3):
        serving.cancel()
        await asyncio.sleep(0)
    assert not serving.done(), "it was cut short"
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(serving, 30)
    left = [task for task in asyncio.all_tasks() if "Lifespan" in repr(task.get_coro())]
    assert not left, "the application was not told to end: it would be torn down with a traceback"


async def test_a_stream_ends_with_its_token(api: Api, live: httpx.AsyncClient) -> None:
    async with live.stream("GET", "/api/events") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == ": connected"
        async with api.office.db.transaction() as session:
            for token in await list_tokens(session):
                await revoke_token(session, token.id, TESTER, at=api.office.clock.now())
        await ask(api)
        async with asyncio.timeout(10):
            told = [line async for line in lines]
    assert not any(line.startswith("data") for line in told), "who is not let in any more is told nothing"
