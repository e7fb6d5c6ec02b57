"""The clock of this machine against the database's and the provider's: leases and tasks are told apart by time."""

from datetime import datetime

from sqlalchemy import text

from lazaret.entrypoints.doctor.finding import Finding, Patient, State

FROM_DATABASE_S = 3.0
"""Processes on several machines compare times of a lease of twelve seconds."""
FROM_PROVIDER_S = 60.0
"""A task of the provider's is recognised by its time, within two minutes."""
SET_IT = "Set the clock and keep it right: timedatectl set-ntp true"


async def check_clocks(name: str, patient: Patient) -> Finding:
    """Ours between two looks at the database's, so that a slow answer is no difference."""
    async with patient.db.transaction() as session:
        before = patient.clock.now()
        theirs = await session.scalar(text("select clock_timestamp()"))
        after = patient.clock.now()
    assert isinstance(theirs, datetime)
    return judge(name, before, theirs, after, patient.providers_date)


def judge(name: str, before: datetime, database: datetime, after: datetime, provider: datetime | None) -> Finding:
    """How far apart the clocks are; `provider` says whole seconds, and was heard a moment earlier. Pure."""
    off_s = max(0.0, (before - database).total_seconds(), (database - after).total_seconds())
    said = [f"{off_s:.1f} s from the database's"]
    far_from_provider = False
    if provider is not None:
        provider_s = abs((before - provider).total_seconds())
        far_from_provider = provider_s > FROM_PROVIDER_S
        said.append(f"{provider_s:.0f} s from the provider's")
    what = " and ".join(said)
    if off_s > FROM_DATABASE_S:
        if provider is None or far_from_provider:
            return Finding(name, State.BROKEN, f"the clock of this machine is {what}", f"{SET_IT}, on both machines.")
        return Finding(name, State.BROKEN, f"the clock of this machine is {what}", f"{SET_IT}, on the database's.")
    if far_from_provider:
        return Finding(name, State.BROKEN, f"the clock of this machine is {what}", f"{SET_IT}.")
    return Finding(name, State.OK, what)
