"""The environment that points Lazaret at a lab. Pure."""

import shlex
from collections.abc import Mapping, Sequence

from lazaret.lab.account import Account


def lab_environment(
    *,
    base_url: str,
    account: Account,
    server_ids: Sequence[int],
    ssh_port: int,
    os_template: str,
    time_scale: float,
    simulated: bool,
) -> dict[str, str]:
    """The variables, all servers managed. Holds the account's password."""
    variables = {
        "TIME4VPS_BASE_URL": base_url,
        "TIME4VPS_LOGIN": account.login,
        "TIME4VPS_PASSWORD": account.password.get_secret_value(),
        "TIME4VPS_MANAGED_SERVER_IDS": ",".join(map(str, server_ids)),
        "PASSWORD_RESET_POLL_INTERVAL": f"{max(0.1, 5 * time_scale):g}",
        "DEFAULT_OS_TEMPLATE": os_template,
        "LAZARET_PROVIDER_CALLS_PER_MINUTE": "6000",
        "SERVER_SYNC_INTERVAL": "2",
    }
    if ssh_port != 22:
        variables["LAZARET_SSH_PORT"] = str(ssh_port)
    if simulated:
        variables["LAZARET_LAB_SIMULATED"] = "1"
    return variables


def as_shell(variables: Mapping[str, str]) -> str:
    """Lines `export NAME=value` for a POSIX shell's `eval`."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
