"""Every threshold of watching, with its unit and its reason. Pure."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Rules:
    """The defaults find a dead host within 20 s at a heartbeat of 10 s, and take 1 % of lost packets for nothing."""

    stall_heartbeats: float = 1.1
    """A stream that brings nothing for so many heartbeats is suspect."""
    look_timeout_s: float = 2.0
    """A fresh look that takes longer has failed: one lost SYN is sent again after 1 s and still fits."""
    confirm_gap_s: float = 0.75
    """Between two rounds of fresh looks while there is a suspicion."""
    confirm_rounds: int = 3
    """So many rounds in a row must fail, by two means, before a server is lost."""
    held_off_s: float = 40.0
    """A server that hangs up on every login is lost only when it was not seen well for so long: longer than the first
    penalty that OpenSSH lays on an address, twenty seconds, which may begin a heartbeat after the newest good sign."""
    knock_s: float = 15.0
    """A server that is lost is knocked at so often, so that its come-back is seen at once."""
    grace_after_start_s: float = 30.0
    """So long after the watching began, or after blindness, a server that was not yet seen well is not called lost."""
    return_signs: int = 2
    """So many good signs bring a lost server back."""
    symptom_readings: int = 2
    """So many full readings in a row confirm a symptom, and so many clear it."""
    disk_full_percent: float = 95.0
    """From here on a disk, or its inodes, is full."""
    disk_well_percent: float = 90.0
    """Below it a full disk is well again; between the two nothing changes."""
    memory_low_percent: float = 3.0
    """Below so much available memory a machine is about to kill processes."""
    memory_well_percent: float = 6.0
    """From here on it is well again."""
    flap_changes: int = 6
    """So many changes between lost and well within the window are flapping."""
    flap_window_s: float = 1800.0
    """The window in which changes are counted; quiet for so long, it flaps no more."""
    storm_share: float = 0.2
    """More than this share of a provider's servers unwell at once is a storm..."""
    storm_least: int = 2
    """...and more than so many, or all of at least two."""
    storm_quiet_s: float = 120.0
    """So long the number of the unwell must not grow before a canary may go."""
    blind_share: float = 0.5
    """At least this share of the streams lost, with no anchor in reach, is our own blindness."""

    def stall_s(self, heartbeat_s: float) -> float:
        """Seconds without a reading after which a stream is suspect; half a second is left for the way."""
        return max(self.stall_heartbeats * heartbeat_s, heartbeat_s + 0.5)

    def hurried(self, factor: float) -> "Rules":
        """For rehearsals: waits that are there for people and storms are multiplied by `factor`."""
        return replace(
            self,
            knock_s=self.knock_s * factor,
            grace_after_start_s=self.grace_after_start_s * factor,
            storm_quiet_s=self.storm_quiet_s * factor,
        )
