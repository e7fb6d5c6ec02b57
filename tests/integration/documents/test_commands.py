"""Every command in the documents is typed, and prints what they promise.

One session serves all pages, each with a server of its own; a page, or a block marked `(newcomer)`, that begins with
nothing has a session to itself. The convention is told in docs/README.md, the pages are read by `tests.documents`.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.documents import COMMANDS, OUTPUT, Block, blocks_of, run_pages
from tests.integration.documents.matching import matches
from tests.integration.documents.session import (
    LONG_RUNNING,
    QUICK,
    Printed,
    Session,
    acting_and_reading,
    close_terminal,
    new_terminal,
)

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1500)]
MOST_FAILURES = 15
PATIENCE_S = float(os.environ.get("PATIENCE_S", "200"))
"""A remedy that was used a moment ago rests for two minutes."""
HOSTS = 6
"""Each page looks at a server of its own, in turn."""


def is_typed(block: Block) -> bool:
    """Whether its commands are typed here: the others are typed on machines that are made for it, or say why not."""
    return block.language == COMMANDS and not block.why_not_run and not block.tested_elsewhere


PAGES = [page for page in run_pages() if any(is_typed(block) for block in blocks_of(page))]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(zygote: Path) -> AsyncIterator[Session]:
    """A lab, its Telegram, and `lazaret up` that has set all servers up."""
    terminal = new_terminal(zygote, QUICK)
    session = Session(terminal)
    try:
        await session.telegram("lazaret lab telegram --port 8899")
        printed = await terminal.type(f'eval "$(lazaret lab up --simulated --hosts {HOSTS} --time-scale 0.003 --env)"')
        assert printed.code == 0, printed.out
        await session.up()
        assert session.token
        async with asyncio.timeout(90):
            while not await all_are_ready_and_measured(session):
                await asyncio.sleep(0.2)
        yield session
    finally:
        await close_terminal(terminal)


async def all_are_ready_and_measured(session: Session) -> bool:
    servers = (await session.get("/api/servers/?status=ready&limit=100"))["items"]
    return len(servers) == HOSTS and all(server["last_health_check"] for server in servers)


def steps_of(page: Path) -> Iterator[tuple[Block, Block | None]]:
    """The page's commands and files, each with the output that follows it."""
    blocks = blocks_of(page)
    for position, block in enumerate(blocks):
        if block.language == OUTPUT:
            continue
        following = blocks[position + 1] if position + 1 < len(blocks) else None
        yield block, following if following is not None and following.language == OUTPUT else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_commands(page: Path, shared: Session, zygote: Path) -> None:
    shared.handle = f"vps-{900001 + PAGES.index(page) % HOSTS}"
    newcomer = Session(new_terminal(zygote, QUICK))
    exported = shared.terminal.exported.read_text()
    wrong: list[str] = []
    try:
        for block, promised in steps_of(page):
            session = newcomer if "newcomer" in block.marks else shared
            if block.file:
                file = session.terminal.directory / block.file
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(session.here(block.text), encoding="utf-8")
            elif is_typed(block):
                try:
                    wrong += await do(session, block, promised)
                except TimeoutError:
                    wrong.append(f"{block.place}: nothing came up that its ID could mean")
            if len(wrong) == MOST_FAILURES:
                break
    finally:
        await close_terminal(newcomer.terminal)
        shared.terminal.exported.write_text(exported)
        await tidy(shared)
    if wrong:
        pytest.fail("\n\n".join(wrong), pytrace=False)


async def do(session: Session, block: Block, promised: Block | None) -> list[str]:
    """Type one block; what stays is started beside it. Returns what is not as the document says."""
    lines = block.text.splitlines()
    staying = [line for line in lines if LONG_RUNNING.match(line.strip())]
    text = "\n".join(line for line in lines if line not in staying).strip()
    wrong = []
    if text:
        printed = await typed(session, block, text, promised)
        if not is_as_promised(session, block, promised, printed):
            wanted = f" and promises\n{promised.text}" if promised is not None else ""
            said = f"{block.place}: {text}\nended with {printed.code} and printed\n{printed.out}"
            why = (await session.terminal.type(f"lazaret why {session.handle}; lazaret incidents")).out
            wrong.append(f"{said}\nThe document says exit code {block.exit_code}{wanted}\n\nAs it stands:\n{why}")
    for line in staying:
        command = re.sub(r"\s+#.*", "", line.strip())
        if "telegram" in command:
            await session.telegram(command)
        else:
            await session.up()
    return wrong


def is_as_promised(session: Session, block: Block, promised: Block | None, printed: Printed) -> bool:
    """Exit code and output."""
    as_said = promised is None or matches(session.here(promised.text), printed.out)
    return as_said and printed.code == block.exit_code


async def typed(session: Session, block: Block, text: str, promised: Block | None) -> Printed:
    """What acts once; what only reads behind it, until all prints what is promised or patience ends."""
    acting, reading = acting_and_reading(text)
    done = await session.terminal.type(await session.command(acting)) if acting else Printed(0, "")
    if not reading or done.code:
        return done
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        seen = await session.terminal.type(await session.command(reading))
        printed = Printed(seen.code, done.out + seen.out)
        if is_as_promised(session, block, promised, printed) or asyncio.get_running_loop().time() > deadline:
            return printed
        await asyncio.sleep(0.3)


async def tidy(session: Session) -> None:
    """Leave nothing behind for the next page."""
    await session.terminal.type(f"lazaret lab heal {session.handle}; lazaret lab switch --clear; lazaret unfreeze")
