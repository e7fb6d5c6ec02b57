"""Whether the services of a server answer somebody outside, asked in their own words. It only reads."""

from dataclasses import dataclass

import httpx

from lazaret.deployments import store
from lazaret.deployments.spec import HttpCheck, spec_from
from lazaret.kernel.database import Database
from lazaret.servers.access import PortState, RemoteAccess

MOST_DOORS = 5
PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Doors:
    """The public ports of the services that should run."""

    db: Database
    access: RemoteAccess

    async def answer(self, handle: str, address: str, *, handshake_counts: bool) -> bool:
        """Whether any of them answers.

        The kernel of a machine that hangs still shakes hands for programs that no longer run: where the SSH server
        takes connections and says nothing, a handshake alone is no answer, and only HTTP can give one.
        """
        async with self.db.transaction() as session:
            kept = await store.specs_running(session, [handle])
        doors = [(row.port, spec) for row, stored in kept if (spec := spec_from(stored, {})).is_public]
        for port, spec in doors[:MOST_DOORS]:
            if isinstance(spec.health, HttpCheck):
                if await _says_http(f"http://{address}:{port}{spec.health.path}"):
                    return True
            elif handshake_counts and await self._shakes_hands(address, port):
                return True
        return False

    async def _shakes_hands(self, address: str, port: int) -> bool:
        return await self.access.probe_port(address, port, timeout_s=PATIENCE_S) is PortState.OPEN


async def _says_http(url: str) -> bool:
    """Any status is an answer: an error page was still written by a program that runs."""
    try:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client,
            client.stream("GET", url),
        ):
            return True
    except httpx.HTTPError:
        return False
