"""One health check on demand: `health_check.yml` against one server, with its structured result. It only reads."""

from typing import Any

from lazaret.adapters.ssh.access_key import access_key_of
from lazaret.entrypoints.configuration import configuration_of
from lazaret.entrypoints.office import Office
from lazaret.kernel.errors import Conflict
from lazaret.servers.access import SshEndpoint
from lazaret.servers.configuration import TaskEvent
from lazaret.servers.registry import kind_of
from lazaret.servers.store import get_server

PLAYBOOK = "health_check"
PATIENCE_S = 120.0


async def check_health(office: Office, handle: str) -> dict[str, Any]:
    """The playbook's report: `ok`, `reasons` (sentences), `ssh`, `docker`, `disks` (percent), `firewall`, `memory`, ...

    A server that cannot be reached is a report as well: `ok` is false and `ssh.reachable` too. Raises `NotFound`,
    `Conflict` for a server that we may not touch or whose host key is not known, and what the runner raises.
    """
    async with office.db.transaction() as session:
        server = await get_server(session, handle)
        if not server.is_managed:
            raise Conflict(
                f"{handle} is not managed: it is never logged in to.",
                hint=kind_of(server.provider).how_to_allow.format(id=server.provider_id),
            )
        if not server.host_keys or not server.public_ip:
            raise Conflict(
                f"{handle} was never set up, so its host key is not known.", hint=f"lazaret provision {handle}"
            )
        endpoint = SshEndpoint(server.public_ip, server.ssh_port, server.ssh_user)
        host_keys = list(server.host_keys)
    result = await configuration_of(office.settings).run(
        PLAYBOOK,
        endpoint,
        host_keys=host_keys,
        private_key=access_key_of(office.settings).private_key,
        variables={},
        on_event=_nobody_listens,
        timeout_s=PATIENCE_S,
    )
    if not result.ok:
        text = office.redactor.clean(result.error) or "the check did not run"
        return {"ok": False, "reasons": [text], "ssh": {"reachable": not result.unreachable}}
    async with office.db.transaction() as session:
        (await get_server(session, handle, for_update=True)).last_health_check = office.clock.now()
    return dict(result.report)


async def _nobody_listens(_: TaskEvent) -> None:
    """One task; its end is the news."""
