"""Whether there is a backup: what nobody backed up is lost with the machine."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.exc import ProgrammingError

from lazaret.entrypoints.doctor.finding import Finding, NotLookedAt, Patient, State
from lazaret.kernel.audit import AuditEntry
from lazaret.kernel.documents import document

OLD = timedelta(days=7)
CURE = f"lazaret backup FILE, every night: {document('docs/howto/back_up.md')}"


async def check_backup(name: str, patient: Patient) -> Finding:
    """By the audit log: when the last one was written. Whether it can be read, `lazaret restore FILE --check` says."""
    written, restored = await _last(patient)
    if restored is not None and (written is None or written.at < restored.at):
        what = f"none was made here since {restored.at:%Y-%m-%d %H:%M} UTC, when this was restored from one"
        return Finding(name, State.MISSING, f"{what} {restored.details.get('origin', '')}".rstrip(), CURE)
    if written is None:
        return Finding(name, State.MISSING, "none was ever made", CURE)
    age = patient.clock.now() - written.at
    if age > OLD:
        return Finding(name, State.MISSING, f"the last one was made {age.days} days ago", CURE)
    return Finding(name, State.OK, f"the last one was made {written.at:%Y-%m-%d %H:%M} UTC")


async def _last(patient: Patient) -> tuple[AuditEntry | None, AuditEntry | None]:
    """The last backup and the last restore. What was restored has the old machine's entries, but not of itself."""
    if patient.is_new:
        return None, None
    try:
        async with patient.db.transaction() as session:
            written, restored = [
                await session.scalar(
                    select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.at.desc()).limit(1)
                )
                for action in ("backup.write", "backup.restore")
            ]
    except ProgrammingError:
        raise NotLookedAt("the audit log is not there yet", "Mend the schema first.") from None
    return written, restored
