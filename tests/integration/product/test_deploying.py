"""A service is asked for in the line after the one that set its server up, before any monitor has measured that."""

import asyncio
from datetime import UTC, datetime

import pytest

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


@pytest.mark.parametrize(
    ("project", "service", "says"), [("../x", "web", "The project's name"), ("shop", "../web", "The service's name")]
)
async def test_a_name_that_could_lead_elsewhere_is_refused(
    shell: Shell, conninfo: str, db: Database, project: str, service: str, says: str
) -> None:
    await prepare(shell, conninfo, db, managed="900007")
    finished = await shell.run("deployments", "deploy", project, service, "web.yml", timeout_s=30)
    assert (finished.code, says in finished.err) == (2, True), finished


async def test_a_file_as_deep_as_it_is_long_is_refused_in_words(shell: Shell, conninfo: str, db: Database) -> None:
    await prepare(shell, conninfo, db, managed="900007")
    (shell.directory / "web.yml").write_text("[" * 30_000, encoding="utf-8")
    finished = await shell.run(*DEPLOY, timeout_s=30)
    assert (finished.code, "nested too deep" in finished.err) == (2, True), finished


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
