"""How things are called when people are told of them; what is marked here stands in the catalogues."""

from collections.abc import Mapping
from gettext import NullTranslations

from lazaret.alerting.model import Level
from lazaret.incidents.model import IncidentStatus, IncidentType
from lazaret.kernel.i18n import mark

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


def fill(template: str, values: Mapping[str, object], language: NullTranslations) -> str:
    """A template in a language, with its values."""
    return language.gettext(template).format(
        **{name: name_of(value, language) if isinstance(value, str) else value for name, value in values.items()}
    )


def duration(seconds: float, language: NullTranslations) -> str:
    """Seconds as two units at most: `13 s`, `1 min 40 s`, `2 h 5 min`, `3 d`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return language.gettext("{s} s").format(s=whole)
    if 600 <= whole < 3600:
        return language.gettext("{min} min").format(min=whole // 60)
    if whole < 3600:
        return language.gettext("{min} min {s} s").format(min=whole // 60, s=whole % 60)
    if whole < 86400:
        return language.gettext("{h} h {min} min").format(h=whole // 3600, min=whole % 3600 // 60)
    return language.gettext("{d} d {h} h").format(d=whole // 86400, h=whole % 86400 // 3600)
