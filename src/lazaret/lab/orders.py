"""What the provider accepts as an order: the parameters of each action, checked. Pure."""

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence

from lazaret.lab.calls import Call
from lazaret.lab.servers import CloudServer
from lazaret.servers.provider import OsTemplate

_HOSTNAME = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.IGNORECASE)
CONSOLE_LIFETIMES = ("1h", "3h", "6h", "12h", "24h")


class Refusal(Exception):
    """The provider says no; the text becomes the first element of the `error` list."""

    def __init__(self, text: str, *, status: int = 400) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


def check_parameters(
    call: Call, sent: Mapping[str, str], *, server: CloudServer, templates: Sequence[OsTemplate]
) -> dict[str, str]:
    """The parameters that count for this action, without the others. Raises `Refusal`."""
    match call:
        case Call.REINSTALL:
            _required_in(sent, "os", {template.os for template in templates}, "Invalid OS template")
            return _chosen(sent, "os", "script", "ssh_key")
        case Call.WEB_CONSOLE:
            _required_in(sent, "timeout", CONSOLE_LIFETIMES, "Invalid timeout")
            _required_in(sent, "whitelabel", ("true", "false"), "Invalid whitelabel")
            return _chosen(sent, "timeout", "whitelabel")
        case Call.RENAME:
            _require_hostname(sent)
            return _chosen(sent, "hostname")
        case Call.CHANGE_PTR:
            _require_hostname(sent)
            _required_in(sent, "ip_address", server.additional_ips, "Invalid IP address")
            return _chosen(sent, "ip_address", "hostname")
        case Call.CHANGE_DNS:
            _required(sent, "ns1")
            chosen = _chosen(sent, "ns1", "ns2", "ns3", "ns4")
            if not all(_is_address(value) for value in chosen.values()):
                raise Refusal("Invalid DNS server")
            return chosen
        case _:
            return {}


def _required_in(sent: Mapping[str, str], name: str, allowed: Collection[str], complaint: str) -> None:
    if _required(sent, name) not in allowed:
        raise Refusal(complaint)


def _required(sent: Mapping[str, str], name: str) -> str:
    if not sent.get(name):
        raise Refusal(f"Missing parameter {name}")
    return sent[name]


def _chosen(sent: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: sent[name] for name in names if sent.get(name)}


def _require_hostname(sent: Mapping[str, str]) -> None:
    if not _HOSTNAME.fullmatch(_required(sent, "hostname")):
        raise Refusal("Invalid hostname")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
