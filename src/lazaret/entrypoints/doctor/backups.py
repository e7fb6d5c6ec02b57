"""Whether there is a backup: what nobody backed up is lost with the machine."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.exc import ProgrammingError

from lazaret.entrypoints.doctor.finding import Finding, NotLookedAt, Patient, State
from lazaret.kernel.audit import AuditEntry
from lazaret.kernel.documents import document

OLD = timedelta(days=7)
CURE = f"lazaret backup FILE, every night: {document('docs/howto/back_up.md')}"


async def check_backup(name: str, patient: Patient) -> Finding:
    """By the audit log: when the last one was written. Whether it can be read, `lazaret restore FILE --check` says."""
    try:
        async with patient.db.transaction() as session:
            made_at = await session.scalar(select(func.max(AuditEntry.at)).where(AuditEntry.action == "backup.write"))
    except ProgrammingError:
        raise NotLookedAt("the audit log is not there yet", "Mend the schema first.") from None
    if made_at is None:
        return Finding(name, State.MISSING, "none was ever made", CURE)
    age = patient.clock.now() - made_at
    if age > OLD:
        return Finding(name, State.MISSING, f"the last one was made {age.days} days ago", CURE)
    return Finding(name, State.OK, f"the last one was made {made_at:%Y-%m-%d %H:%M} UTC")
