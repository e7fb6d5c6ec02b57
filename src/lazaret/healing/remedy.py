"""The remedies: what each costs, risks and needs, how long its effect may take, and what proves it. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from lazaret.kernel.i18n import mark
from lazaret.servers.provider import Capability


class Remedy(StrEnum):
    """One rung of a ladder, from the gentlest to the last."""

    RESTART_SERVICE = "restart_service"
    """Bring the services back as they were deployed."""
    RESTART_DOCKER = "restart_docker"
    """Restart Docker on the server."""
    FREE_DISK = "free_disk"
    """Remove rotated logs, caches and unused images."""
    FLUSH_FIREWALL = "flush_firewall"
    """Have the provider drop the packet filter's rules; they are put back afterwards."""
    REBOOT = "reboot"
    """Have the provider restart the machine."""
    PROVISION_AGAIN = "provision_again"
    """Reset the password where needed and set the server up again; data stays."""
    REINSTALL = "reinstall"
    """Put a fresh system on the disk; data goes."""
    HUMAN = "human"
    """Hand over to a person."""


@dataclass(frozen=True, slots=True)
class RemedyFacts:
    """What is to be known of a remedy."""

    cost: str
    data_risk: str
    deadline_s: float
    """So long its effect may take to show."""
    proof: str
    needs: Capability | None = None
    """What the provider must be able to do."""
    needs_evidence: bool = False
    """Whether it destroys what could be learnt: then the evidence is taken first."""


REMEDIES: dict[Remedy, RemedyFacts] = {
    Remedy.RESTART_SERVICE: RemedyFacts(
        "seconds without the service", mark("None: volumes stay."), 60,
        "The containers run and their health checks pass."
    ),
    Remedy.RESTART_DOCKER: RemedyFacts(
        "seconds without all containers", mark("None: volumes stay."), 60, "Docker answers and its containers run."
    ),
    Remedy.FREE_DISK: RemedyFacts(
        "some seconds of disk work", mark("Rotated logs, caches and unused images go."), 30, "The disk has room again.",
        needs_evidence=True,
    ),
    Remedy.FLUSH_FIREWALL: RemedyFacts(
        "a minute without packet filter", mark("None."), 20, "SSH answers.", needs=Capability.FLUSH_FIREWALL
    ),
    Remedy.REBOOT: RemedyFacts(
        "a minute or two without the server", mark("What was not written to the disk goes."), 180,
        "SSH answers after it.", needs=Capability.REBOOT, needs_evidence=True,
    ),
    Remedy.PROVISION_AGAIN: RemedyFacts(
        "some minutes; running services stay", mark("None: it converges what is there."), 60,
        "Key login, firewall and baseline are proved from outside.", needs=Capability.RESET_PASSWORD,
        needs_evidence=True,
    ),
    Remedy.REINSTALL: RemedyFacts(
        "ten to fifteen minutes", mark("ALL DATA on the server and its backups at the provider go."), 60,
        "A fresh system is set up, proved, and its services are deployed again.", needs=Capability.REINSTALL,
        needs_evidence=True,
    ),
    Remedy.HUMAN: RemedyFacts("a person's time", mark("None."), 0, "A person says so.", needs_evidence=True),
}  # fmt: skip
