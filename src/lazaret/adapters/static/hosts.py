"""The hosts file's text turned into hosts: strict, because a misread line is a wrong permission. Pure; reads no file.

Whatever is wrong makes the whole text unreadable: half a list must not pass for all of it. No message quotes a value.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)

from lazaret.kernel.documents import document
from lazaret.servers.provider import ProviderUnavailable

LONGEST_TEXT = 1_000_000
"""Characters; a thousand hosts need a tenth of it."""
SHOWN_PROBLEMS = 5


class HostsFileUnreadable(ProviderUnavailable):
    """The hosts file cannot be read or understood. Nothing is managed by it, and nothing is moved because of it."""

    code = "hosts_file_unreadable"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message, certainly_not_sent=True, hint=hint)


def _address(value: object) -> str:
    """An identity is an address and no name, which whoever rules the DNS can point elsewhere."""
    if not isinstance(value, str):
        raise ValueError("write an IP address")
    try:
        found = ipaddress.ip_address(value.strip())
    except ValueError:
        raise ValueError("write an IP address, not a name") from None
    if found.is_unspecified or found.is_multicast:
        raise ValueError("write the address of one host")
    return str(found)


def _host_key(value: object) -> str:
    """`<type> <base64>`, a comment after it is dropped."""
    parts = value.split() if isinstance(value, str) else []
    if len(parts) < 2 or not re.fullmatch(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+", parts[0]) or not _is_base64(parts[1]):
        raise ValueError("write a public host key as `ssh-keyscan` prints it, without the address: ssh-ed25519 AAAA...")
    return f"{parts[0]} {parts[1]}"


def _is_base64(text: str) -> bool:
    return len(text) >= 40 and re.fullmatch(r"AAAA[A-Za-z0-9+/]+={0,2}", text) is not None


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?", value):
        raise ValueError("a host name has letters, digits, dots and hyphens")
    return value


Address = Annotated[str, BeforeValidator(_address)]
HostKey = Annotated[str, BeforeValidator(_host_key)]
Name = Annotated[str, AfterValidator(_name)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FirstLogin(_Strict):
    """How to log in once where our key does not work yet: one of both files, read when it is needed."""

    private_key: Path | None = None
    """An OpenSSH private key without passphrase, which the host takes now."""
    password_file: Path | None = None
    """A file whose first line is root's password."""

    @model_validator(mode="after")
    def _is_one(self) -> "FirstLogin":
        if (self.private_key is None) == (self.password_file is None):
            raise ValueError("name either private_key or password_file")
        return self


class StaticHost(_Strict):
    """One host of the file."""

    id: Annotated[StrictInt, Field(gt=0, lt=2**31)]
    """Never changed and never used again: the handle `host-<id>` and all history hang on it."""
    name: Name
    """Its host name, which the set-up gives to the machine."""
    address: Address
    managed: StrictBool = False
    """Whether Lazaret may change it. Left out: it only looks."""
    port: Annotated[StrictInt, Field(ge=1, le=65535)] = 22
    user: Literal["root"] = "root"
    """Lazaret sets up a machine as root."""
    label: Annotated[str, Field(max_length=200)] = ""
    host_keys: tuple[HostKey, ...] = ()
    first_login: FirstLogin | None = None


class _Document(_Strict):
    hosts: list[dict[str, Any]]


def parse_hosts(text: str) -> tuple[StaticHost, ...]:
    """Every host that the text names. Raises `HostsFileUnreadable`, which says where and what, and nothing else."""
    document = _loaded(text)
    try:
        rows = _Document.model_validate(document).hosts
    except ValidationError as error:
        raise _unreadable(_problems(error)) from None
    hosts, problems = [], []
    for number, row in enumerate(rows, start=1):
        try:
            hosts.append(StaticHost.model_validate(row))
        except ValidationError as error:
            problems += [f"host {number}: {problem}" for problem in _problems(error)]
    problems += _repeated("id", (host.id for host in hosts))
    problems += _repeated("address", (host.address for host in hosts))
    problems += _repeated("name", (host.name.lower() for host in hosts))
    if problems:
        raise _unreadable(problems)
    return tuple(hosts)


def _loaded(text: str) -> object:
    if len(text) > LONGEST_TEXT or "\x00" in text:
        raise _unreadable(["this is no text of a sensible length"])
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 - a safe loader that is stricter still
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise _unreadable([f"{where}{_safe_words(error)}"]) from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError):
        raise _unreadable(["this is not YAML"]) from None
    if document is None:
        raise _unreadable(["it is empty; write `hosts: []` if that is meant"])
    return document


class _Loader(yaml.SafeLoader):
    """A key that stands twice is an error: of `managed: false` and `managed: true` none may win silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, _TWICE, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """No aliases: they make a small file huge, and nobody needs them here."""
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, _ALIAS, mark)
        return super().compose_node(parent, index)


_TWICE = "this key stands twice"
_ALIAS = "aliases are not allowed here"


def _safe_words(error: yaml.MarkedYAMLError) -> str:
    """Our own words; the library's may quote what stands in the file."""
    return error.problem if error.problem in {_TWICE, _ALIAS} and error.problem else "this is not YAML"


def _problems(error: ValidationError) -> list[str]:
    found = []
    for problem in error.errors(include_input=False, include_url=False):
        place = ".".join(str(part) for part in problem["loc"] if isinstance(part, str | int))
        words = problem["msg"].removeprefix("Value error, ")
        match problem["type"]:
            case "extra_forbidden":
                words = "there is no such field"
            case "missing":
                words = "it is missing"
            case "literal_error":
                words = "only root"
            case "model_type":
                words = "begin with `hosts:` and a list below it"
        found.append(f"{_plain(place)}: {words[:1].lower()}{words[1:]}" if place else words)
    return found


def _plain(place: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "?", place)[:60]


def _repeated(what: str, values: Iterable[object]) -> list[str]:
    return [f"the {what} {value} stands {count} times" for value, count in Counter(values).items() if count > 1]


def _unreadable(problems: list[str]) -> HostsFileUnreadable:
    more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    return HostsFileUnreadable(
        f"The hosts file cannot be understood: {'; '.join(problems[:SHOWN_PROBLEMS])}{more}.",
        hint="Mend it; until then nothing in it is managed, and no server is moved. "
        f"Form: {document('docs/howto/static_hosts.md')}",
    )
