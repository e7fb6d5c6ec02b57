"""What a Compose file may hold: a list of what is admitted, for a service must not reach for the host. Pure.

What is not in these tables is refused, be it harmless. Why: docs/decisions/0047-compose-by-allow-list.md.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lazaret.deployments.plain_yaml import read_yaml, write_yaml
from lazaret.kernel.documents import document

PORT = "${LAZARET_PORT}"
PART = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"
"""Of a path below the service's own directory."""
IMAGE = r"[a-z0-9][A-Za-z0-9._:/@-]{0,299}"
PAGE = document("docs/decisions/0047-compose-by-allow-list.md")

Rule = Callable[[Any], str]
"""What to write instead; empty: it is admitted."""


def check_compose(text: str) -> dict[str, Any]:
    """The Compose file as plain data, or `ValueError` with what to write instead; it shows no value."""
    content = read_yaml(text)
    if not isinstance(content, dict) or not isinstance(content.get("services"), dict) or not content["services"]:
        raise ValueError("has no services: write `services:` and below it a name with an image")
    if refused := _keys(content, TOP, INSTEAD_AT_TOP):
        raise ValueError(refused)
    for name, service in content["services"].items():
        if refused := _service(name, service):
            raise ValueError(f"service {_shown(name)}: {refused}")
    publishing = [name for name, service in content["services"].items() if service.get("ports")]
    if len(publishing) > 1:
        raise ValueError(
            f"service {_shown(publishing[1])}: ports: {_shown(publishing[0])} publishes {PORT} already, "
            "and there is one: leave the ports of the others out"
        )
    return content


def canonical(text: str) -> str:
    """The checked file written anew, so that the host reads exactly what was checked."""
    return write_yaml(check_compose(text))


def mounted_files(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Service and relative path of everything that is mounted out of the service's own directory."""
    for name, service in content["services"].items():
        for volume in service.get("volumes") or ():
            source = volume.get("source", "") if isinstance(volume, dict) else volume.partition(":")[0]
            if source.startswith("./"):
                yield name, source[2:]


def _service(name: str, service: Any) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
        return "its name is letters, digits, hyphens"
    if not isinstance(service, dict):
        return "is no mapping: write its image and its settings below its name"
    if refused := _keys(service, SERVICE, INSTEAD):
        return refused
    return "" if "image" in service else "image: is missing; only images are deployed"


def _keys(content: Mapping[str, Any], rules: Mapping[str, Rule], instead: Mapping[str, str]) -> str:
    for key, value in content.items():
        if key not in rules:
            return f"{_shown(key)}: is not admitted; {instead.get(key, f'leave it out, or see {PAGE}')}"
        if refused := rules[key](value):
            return f"{key}: {refused}"
    return ""


def _shown(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "?", name)[:40]


# --- shapes


def _is(kind: type, instead: str) -> Rule:
    assert instead, "without a word it would be admitted"
    return lambda value: "" if type(value) is kind else instead


def _like(pattern: str, instead: str, *kinds: type) -> Rule:
    """A text of this form; of the kinds given what is written like it as well."""
    assert instead, "without a word it would be admitted"
    form = re.compile(pattern, re.DOTALL)
    return lambda value: "" if type(value) in {str, *kinds} and form.fullmatch(str(value)) else instead


def _one_of(*words: str) -> Rule:
    return lambda value: "" if isinstance(value, str) and value in words else f"write one of {', '.join(words)}"


def _list_of(rule: Rule) -> Rule:
    def check(value: Any) -> str:
        if not isinstance(value, list):
            return "write a list"
        return next(filter(None, map(rule, value)), "")

    return check


def _mapping_of(rules: Mapping[str, Rule], *needed: str) -> Rule:
    def check(value: Any) -> str:
        if not isinstance(value, dict):
            return f"write a mapping of {', '.join(rules)}"
        missing = [key for key in needed if key not in value]
        return f"{missing[0]}: is missing" if missing else _keys(value, rules, {})

    return check


def _named(name: str, rule: Rule, instead: str) -> Rule:
    """A mapping whose keys are the user's own names."""

    def check(value: Any) -> str:
        if not isinstance(value, dict) or not all(re.fullmatch(name, key) for key in value):
            return instead
        return next((f"{key}: {refused}" for key, one in value.items() if (refused := rule(one))), "")

    return check


def _either(*rules: Rule) -> Rule:
    """The last rule says what to write instead."""

    def check(value: Any) -> str:
        answers = [rule(value) for rule in rules]
        return "" if "" in answers else answers[-1]

    return check


def _list_or_mapping(rule: Rule, mapping: Rule) -> Rule:
    """Each is told what is wrong in its own form."""
    return lambda value: mapping(value) if isinstance(value, dict) else _list_of(rule)(value)


# --- what is admitted

ANYTHING = _is(str, "write a text, in quotes if it is a number")
FLAG = _is(bool, "write true or false")
COUNT = _like(r"[0-9]{1,9}", "write a whole number", int)
NUMBER = _like(r"[0-9]{1,6}(\.[0-9]{1,6})?", "write a number", int)
SIZE = _like(r"[0-9]{1,12}([bB]|[kKmMgG][bB]?)?", "write a size such as 64m", int)
DURATION = _like(r"([0-9]{1,6}(us|ms|s|m|h)){1,4}", "write a time such as 10s")
HOST_NAME = _like(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", "write a name of letters, digits, hyphens and dots")
INSIDE = r"/[A-Za-z0-9._/-]{1,200}"
"""A path in the container."""
NOTHING = _is(type(None), "leave it empty")
SCALAR = _either(NOTHING, FLAG, _like(r".*", "write one value", int))
COMMAND = _either(ANYTHING, _list_of(ANYTHING))
VOLUME = r"[A-Za-z0-9][A-Za-z0-9_.-]{1,60}"
"""Of two letters at least: Compose takes a single one for a drive of Windows."""
FILE = rf"\./{PART}(/{PART}){{0,9}}"
NAMED_ONLY = (
    "write a named volume (`data:/path`), or of `files` `./name:/path:ro`; nothing else of the host can be mounted"
)
ONE_PORT = (
    f"write '{PORT}:N' with N the port in the container; no other port of the host can be published, and only TCP"
)

_SHORT_MOUNT = _like(rf"({VOLUME}:{INSIDE}(:(ro|rw))?|{FILE}:{INSIDE}:ro)", NAMED_ONLY)
_TARGET = _like(INSIDE, "write an absolute path in the container")
_LONG_MOUNTS: Mapping[str, Rule] = {
    "volume": _mapping_of(
        {"type": ANYTHING, "source": _like(VOLUME, NAMED_ONLY), "target": _TARGET, "read_only": FLAG},
        "source",
        "target",
    ),
    "tmpfs": _mapping_of({"type": ANYTHING, "target": _TARGET, "tmpfs": _mapping_of({"size": SIZE})}, "target"),
    "bind": _mapping_of(
        {
            "type": ANYTHING,
            "source": _like(FILE, NAMED_ONLY),
            "target": _TARGET,
            "read_only": lambda value: "" if value is True else "write true",
        },
        "source",
        "target",
        "read_only",
    ),
}


def _mount(value: Any) -> str:
    if not isinstance(value, dict):
        return _SHORT_MOUNT(value)
    kind = value.get("type")
    rule = _LONG_MOUNTS.get(kind) if isinstance(kind, str) else None
    return rule(value) if rule else NAMED_ONLY


_PORT_INSIDE = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_SHORT_PORT = _like(rf"(127\.0\.0\.1:)?{re.escape(PORT)}:{_PORT_INSIDE}(/tcp)?", ONE_PORT)
_LONG_PORT = _mapping_of(
    {
        "published": _like(re.escape(PORT), ONE_PORT),
        "target": _like(_PORT_INSIDE, ONE_PORT, int),
        "protocol": _one_of("tcp"),
        "host_ip": _one_of("127.0.0.1"),
        "mode": _one_of("host", "ingress"),
    },
    "published",
    "target",
)


def _ports(value: Any) -> str:
    if not isinstance(value, list) or len(value) > 1:
        return f"write a list of one; {ONE_PORT}"
    return "".join(_LONG_PORT(one) if isinstance(one, dict) else _SHORT_PORT(one) for one in value)


_VARIABLE = r"[A-Za-z_][A-Za-z0-9_.-]{0,199}"
_LABEL = r"(?!com\.docker\.)[A-Za-z0-9][A-Za-z0-9._/-]{0,199}"
_NETWORK = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
_OPTION = "(rw|ro|noexec|nosuid|nodev|size=[0-9]{1,12}[kmg]?|mode=[0-7]{3,4}|[ug]id=[0-9]{1,9})"
_TMPFS = _like(rf"{INSIDE}(:{_OPTION}(,{_OPTION}){{0,7}})?", "write an absolute path in the container")
_AMOUNTS = _mapping_of({"cpus": NUMBER, "memory": SIZE, "pids": COUNT})
_VOLUME_LABELS = _list_or_mapping(
    _like(rf"{_LABEL}(=.*)?", "write NAME=value"), _named(_LABEL, SCALAR, "write names and values")
)

SERVICE: Mapping[str, Rule] = {
    "image": _like(IMAGE, "write the name of an image, without variables"),
    "command": COMMAND,
    "entrypoint": COMMAND,
    "environment": _list_or_mapping(
        _like(rf"{_VARIABLE}(=.*)?", "write NAME=value"), _named(_VARIABLE, SCALAR, "write names and values")
    ),
    "labels": _VOLUME_LABELS,
    "container_name": _like(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,99}", "write letters, digits and hyphens"),
    "hostname": HOST_NAME,
    "domainname": HOST_NAME,
    "user": _like(rf"{_USER}(:{_USER})?", "write USER or USER:GROUP, without variables"),
    "working_dir": _like(r"/[A-Za-z0-9._/-]{0,200}", "write an absolute path in the container"),
    "ports": _ports,
    "expose": _list_of(_like(rf"{_PORT_INSIDE}(/(tcp|udp))?", "write ports of the container", int)),
    "volumes": _list_of(_mount),
    "tmpfs": _either(_TMPFS, _list_of(_TMPFS)),
    "networks": _list_or_mapping(
        _like(_NETWORK, "write names of networks"),
        _named(
            _NETWORK,
            _either(NOTHING, _mapping_of({"aliases": _list_of(HOST_NAME)})),
            "write names of networks",
        ),
    ),
    "depends_on": _list_or_mapping(
        ANYTHING,
        _named(
            r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
            _mapping_of(
                {
                    "condition": _one_of("service_started", "service_healthy", "service_completed_successfully"),
                    "restart": FLAG,
                    "required": FLAG,
                }
            ),
            "write names of services",
        ),
    ),
    "healthcheck": _mapping_of(
        {
            "test": COMMAND,
            "interval": DURATION,
            "timeout": DURATION,
            "start_period": DURATION,
            "start_interval": DURATION,
            "retries": COUNT,
            "disable": FLAG,
        }
    ),
    "restart": _like(
        r"no|always|unless-stopped|on-failure(:[0-9]{1,4})?", "write always, unless-stopped, on-failure or 'no'"
    ),
    "pull_policy": _one_of("missing", "if_not_present", "always", "never"),
    "platform": _like(r"[a-z0-9]{1,20}(/[a-z0-9]{1,20}){1,2}", "write for example linux/amd64"),
    "init": FLAG,
    "tty": FLAG,
    "stdin_open": FLAG,
    "read_only": FLAG,
    "stop_signal": _like(r"SIG[A-Z0-9]{1,10}([+-][0-9]{1,2})?", "write for example SIGINT"),
    "stop_grace_period": DURATION,
    "mem_limit": SIZE,
    "mem_reservation": SIZE,
    "shm_size": SIZE,
    "cpus": NUMBER,
    "pids_limit": COUNT,
    "deploy": _mapping_of({"resources": _mapping_of({"limits": _AMOUNTS, "reservations": _AMOUNTS})}),
    "cap_drop": _list_of(_like(r"[A-Z_]{2,30}", "write names of capabilities")),
    "security_opt": _list_of(_one_of("no-new-privileges:true")),
    "logging": _mapping_of(
        {
            "driver": _one_of("json-file", "local"),
            "options": _mapping_of({"max-size": SIZE, "max-file": COUNT, "compress": _one_of("true", "false")}),
        }
    ),
}

TOP: Mapping[str, Rule] = {
    "version": ANYTHING,
    "services": lambda _: "",
    "volumes": _named(
        VOLUME,
        _either(NOTHING, _mapping_of({"labels": _VOLUME_LABELS})),
        "write names of volumes, of two characters at least",
    ),
    "networks": _named(
        _NETWORK,
        _either(
            NOTHING,
            _mapping_of({"driver": _one_of("bridge"), "internal": FLAG, "labels": _VOLUME_LABELS}),
        ),
        "write names of networks",
    ),
}

_HOST = "it reaches for the host itself: leave it out"
_FILES = "give the file in `files` and mount it: './name:/path:ro'"
INSTEAD: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "privileged", "network_mode", "pid", "ipc", "uts", "cgroup", "cgroup_parent", "userns_mode", "cap_add",
            "devices", "device_cgroup_rules", "gpus", "runtime", "sysctls", "group_add", "use_api_socket", "provider",
            "post_start", "pre_stop", "credential_spec", "oom_score_adj", "oom_kill_disable",
        ),
        _HOST,
    ),
    "build": "only images are deployed: build it elsewhere and write `image`",
    "extends": "write out what it takes over",
    "env_file": "write the variables into `environment`",
    "configs": _FILES,
    "secrets": "give them in the `secrets` of the service, and write NAME: ${NAME} into `environment`",
    "volumes_from": "write named volumes into `volumes`",
    "external_links": "services of a file reach each other by their names",
    "links": "services of a file reach each other by their names",
    "profiles": "every service of the file is started",
    "scale": "write the service again under another name",
}  # fmt: skip
INSTEAD_AT_TOP: Mapping[str, str] = {
    "include": "write the services into this file",
    "name": "Lazaret names it after the service: leave it out",
    "configs": _FILES,
    "secrets": INSTEAD["secrets"],
}
