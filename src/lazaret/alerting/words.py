"""How things are called when people are told of them; what is marked here stands in the catalogues."""

import re
from collections.abc import Mapping
from functools import lru_cache
from gettext import NullTranslations

from lazaret.alerting.model import Level
from lazaret.incidents.model import IncidentStatus, IncidentType
from lazaret.kernel.i18n import mark
from lazaret.kernel.sentences import translated

EMOJI = {Level.INFO: "ℹ️", Level.WARNING: "⚠️", Level.ERROR: "❌", Level.CRITICAL: "🚨"}  # noqa: RUF001
OVER = "✅"

NAMES: Mapping[str, str] = {
    # conditions
    "silent": mark("does not answer at all"),
    "refused": mark("SSH server does not run"),
    "no_banner": mark("accepts connections and says nothing"),
    "login_refused": mark("does not take our key any more"),
    "host_key_changed": mark("another machine answers, or a fresh system"),
    "filtered": mark("a firewall shuts us out"),
    "unreachable_mixed": mark("nobody can log in"),
    "docker_down": mark("Docker does not answer"),
    "disk_full": mark("the disk is full"),
    "inodes_full": mark("the file system takes no more files"),
    "memory_exhausted": mark("no memory is left"),
    "firewall_off": mark("the firewall is off"),
    "service_down": mark("a service does not run"),
    "storm": mark("many servers are lost at once"),
    "blind": mark("the monitor cannot see"),
    # remedies
    "restart_service": mark("restart the services"),
    "restart_docker": mark("restart Docker"),
    "free_disk": mark("clean the disk"),
    "flush_firewall": mark("flush the firewall"),
    "reboot": mark("reboot"),
    "provision_again": mark("set up again"),
    "reinstall": mark("reinstall the system"),
    "reset_password": mark("reset the root password"),
    "human": mark("hand over to a person"),
    "itself": mark("nothing but time"),
    # states of incidents
    IncidentStatus.DETECTED.value: mark("confirmed"),
    IncidentStatus.RECOVERING.value: mark("being recovered"),
    IncidentStatus.RESOLVED.value: mark("over"),
    IncidentStatus.FAILED.value: mark("needs a person"),
    # kinds of incidents, where no cause is known
    IncidentType.SERVER_UNREACHABLE.value: mark("unreachable"),
    IncidentType.PROVISIONING_FAILED.value: mark("could not be set up"),
    IncidentType.RESOURCE_EXHAUSTED.value: mark("out of room"),
    IncidentType.SECURITY_DRIFT.value: mark("a protection is not in force"),
    IncidentType.PROVIDER_UNAVAILABLE.value: mark("the provider does not answer"),
    IncidentType.MANY_SERVERS_LOST.value: mark("many servers are lost at once"),
    IncidentType.OBSERVER_BLIND.value: mark("the monitor cannot see"),
    # states of servers
    "ready": mark("ready"),
    "in_use": mark("in use"),
    "discovered": mark("discovered"),
    "pending_setup": mark("about to be set up"),
    "provisioning": mark("being set up"),
    "force_rebuild": mark("about to be rebuilt"),
    "error": mark("in trouble"),
    "maintenance": mark("in maintenance"),
    "reserved": mark("reserved"),
    "decommissioned": mark("decommissioned"),
    # kinds of operations
    "provision": mark("setting up"),
    "rebuild": mark("rebuilding"),
    "recover": mark("recovery"),
    "deploy": mark("deployment"),
    "none": mark("none"),
    # what an operation waits for
    "approval": mark("a person's answer"),
    "root_password": mark("the root password"),
    # what is done to a service
    "start": mark("start"),
    "stop": mark("stop"),
    "redeploy": mark("deploy again"),
    "remove": mark("remove"),
    "logs": mark("logs"),
    # roles
    "viewer": mark("viewer"),
    "operator": mark("operator"),
    "admin": mark("administrator"),
    # whether a recovery may reinstall
    "never": mark("never"),
    "ask": mark("after a yes"),
    "auto": mark("by itself, when two senses agree"),
    # what a monitor thinks of a server
    "well": mark("well"),
    "suspect": mark("suspect"),
    "lost": mark("lost"),
    "returning": mark("coming back"),
    "unknown": mark("not known"),
    "unjudged": mark("not judged yet"),
    # means of looking
    "stream": mark("the stream"),
    "tcp": mark("a knock at the port"),
    "login": mark("a login"),
}

STEPS: Mapping[str, str] = {
    "load_details": mark("read what the provider says"),
    "try_access_key": mark("try our key"),
    "reinstall": mark("ask for a fresh system"),
    "wait_for_reinstall": mark("wait for the fresh system"),
    "reset_password": mark("ask for a new root password"),
    "wait_for_password": mark("wait for the password"),
    "wait_for_ssh": mark("wait for SSH"),
    "pin_host_key": mark("pin the host key"),
    "install_access_key": mark("install our key"),
    "converge": mark("run the playbook"),
    "verify": mark("prove it from outside"),
    "redeploy_services": mark("bring the services back"),
    "mark_ready": mark("say that it is ready"),
    "diagnose": mark("diagnose"),
    "choose": mark("choose what to do"),
    "ask_approval": mark("ask a person"),
    "act": mark("act"),
    "prove": mark("look whether it helped"),
    "restore": mark("bring the services back"),
    "close": mark("close the incident"),
    "hand_over": mark("hand over to a person"),
    "deploy_service": mark("deploy"),
    "go_back": mark("go back to the good version"),
    "stopped_service": mark("stop it"),
    "removed_service": mark("remove it"),
    "read_logs": mark("read the logs"),
}


OUTCOMES: Mapping[str, str] = {
    # operations, steps, remedies, versions, answers
    "queued": mark("queued"),
    "running": mark("running"),
    "waiting": mark("waiting"),
    "succeeded": mark("succeeded"),
    "failed": mark("failed"),
    "cancelled": mark("cancelled"),
    "superseded": mark("superseded"),
    "advanced": mark("done"),
    "retry": mark("to be tried again"),
    "interrupted": mark("interrupted"),
    "begun": mark("at work"),
    "helped": mark("helped"),
    "no_effect": mark("did not help"),
    "not_needed": mark("not needed"),
    "deploying": mark("being deployed"),
    "stopped": mark("stopped"),
    "removed": mark("removed"),
    "new": mark("new"),
    "good": mark("good"),
    "bad": mark("bad"),
    "approved": mark("approved"),
    "denied": mark("denied"),
    "expired": mark("expired"),
    "revoked": mark("revoked"),
    # Lazaret's own processes
    "alive": mark("alive"),
    "ailing": mark("a loop of it is dead"),
    "silent": mark("silent"),
}


def outcome_of(value: object, language: NullTranslations) -> str:
    """How far a piece of work has come, as people call it."""
    known = OUTCOMES.get(str(value))
    return language.gettext(known) if known is not None else str(value)


def name_of(value: object, language: NullTranslations) -> str:
    """A value as people call it; what has no name stays as it is."""
    known = NAMES.get(str(value))
    return language.gettext(known if known is not None else str(value)) if str(value) else ""


AGE = re.compile(r"(\d+) (s|min|h|d)( ago)?")
"""As `healing/why.py` writes spans of time."""


WORDS = re.compile(r"(\d+ x )?[a-z_]+( [a-z_]+| \([a-z_]+\))")
"""A name with another, as a verdict counts them: `3 x login silent`, `lost (silent)`."""


def step_of(value: object, language: NullTranslations) -> str:
    """A step of an operation, as people call it."""
    known = STEPS.get(str(value))
    return language.gettext(known) if known is not None else str(value)


def sentence_in(english: str, language: NullTranslations) -> str:
    """A sentence that was raised or stored in English, in a language; what nobody translated stays as it is."""
    return _sentence(str(english), language)


@lru_cache(maxsize=4096)
def _sentence(english: str, language: NullTranslations) -> str:
    return translated(english, language, lambda value: _said(value, language))


def _said(value: str, language: NullTranslations) -> str:
    """A value inside a sentence: a name, a list of names, or a sentence of its own."""
    for table in (NAMES, OUTCOMES, STEPS):
        if value in table:
            return language.gettext(table[value])
    if (age := AGE.fullmatch(value)) is not None:
        span = language.gettext(f"{{{age[2]}}} {age[2]}").format(**{age[2]: age[1]})
        return language.gettext("%(age)s ago") % {"age": span} if age[3] else span
    if " " not in value:
        return value
    said = _sentence(value, language)
    if said == value and ", " in value and len(value) < 300:
        return ", ".join(_said(one, language) for one in value.split(", "))
    if said == value and WORDS.fullmatch(value):
        return re.sub(r"[a-z_]{2,}", lambda word: name_of(word[0], language), value)
    return said


def fill(template: str, values: Mapping[str, object], language: NullTranslations) -> str:
    """A template in a language, with its values."""
    return language.gettext(template).format(
        **{name: _said(value, language) if isinstance(value, str) else value for name, value in values.items()}
    )


_SPANS = (
    ("d", 86400, "h", 3600, 7 * 86400, mark("{d} d"), mark("{d} d {h} h")),
    ("h", 3600, "min", 60, 86400, mark("{h} h"), mark("{h} h {min} min")),
    ("min", 60, "s", 1, 600, mark("{min} min"), mark("{min} min {s} s")),
)
"""A unit and the one below it, and from how many seconds on nobody asks for that one."""


def duration(seconds: float, language: NullTranslations) -> str:
    """Seconds as two units at most: `13 s`, `1 min 40 s`, `2 h 5 min`, `9 d`."""
    whole = max(0, round(seconds))
    for unit, length, part, part_length, alone_from, alone, both in _SPANS:
        if whole >= length:
            count, rest = divmod(whole, length)
            if whole >= alone_from or rest < part_length:
                return language.gettext(alone).format(**{unit: count})
            return language.gettext(both).format(**{unit: count, part: rest // part_length})
    return language.gettext("{s} s").format(s=whole)
