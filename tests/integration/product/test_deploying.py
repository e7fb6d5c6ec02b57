"""A service is asked for in the line after the one that set its server up, before any monitor has measured that."""

import asyncio
from datetime import UTC, datetime

from lazaret.kernel.database import Database
from tests.integration.product.conftest import Shell
from tests.integration.rows import add_server, measured

DEPLOY = ("deployments", "deploy", "shop", "web", "web.yml")


async def test_a_server_that_is_yet_to_be_measured_is_waited_for(shell: Shell, conninfo: str, db: Database) -> None:
    await prepare(shell, conninfo, db, managed="900007")
    asked = await asyncio.create_subprocess_exec(
        str(shell.loaded()),
        *DEPLOY,
        env=shell.whole_environment,
        cwd=shell.directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert asked.stderr is not None
    async with asyncio.timeout(60):
        assert "not measured yet" in (await asked.stderr.readline()).decode()
        async with db.transaction() as session:
            session.add(measured("vps-7", at=datetime.now(UTC)))
        out, err = await asked.communicate()
    assert (asked.returncode, err) == (0, b""), "what is waited for is said, once"
    assert out.decode().startswith("Deployment 1: web on vps-7, port 20000."), out


async def test_what_does_not_pass_by_itself_is_refused_at_once(shell: Shell, conninfo: str, db: Database) -> None:
    await prepare(shell, conninfo, db, managed="900008")
    finished = await shell.run(*DEPLOY, timeout_s=30)
    assert (finished.code, "it is not managed" in finished.err) == (1, True), finished


async def prepare(shell: Shell, conninfo: str, db: Database, *, managed: str) -> None:
    """A server that was set up a moment ago."""
    shell.environment |= {
        "DATABASE_URL": conninfo,
        "TIME4VPS_LOGIN": "somebody",
        "TIME4VPS_PASSWORD": "something",
        "TIME4VPS_MANAGED_SERVER_IDS": managed,
    }
    (shell.directory / "web.yml").write_text("image: nginx:1.29\ncontainer_port: 80\n", encoding="utf-8")
    async with db.transaction() as session:
        await add_server(session, "vps-7", at=datetime.now(UTC))
