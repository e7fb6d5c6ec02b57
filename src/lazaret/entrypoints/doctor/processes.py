"""The processes of Lazaret: whether each lives and does its work, and whether every part has one."""

from sqlalchemy.exc import ProgrammingError

from lazaret.alerting.self_watch import ProcessState, ProcessView, view_of
from lazaret.entrypoints.doctor.finding import Finding, NotLookedAt, Patient, State
from lazaret.kernel.processes import list_processes

NEEDED = ("api", "worker", "monitor")
START = "`lazaret up`, systemctl start lazaret, or docker compose up -d"


async def check_processes(name: str, patient: Patient) -> Finding:
    """As the self-watch sees them."""
    settings = patient.settings
    needed = (*NEEDED, *(["bot"] if settings.telegram_bot_token is not None else []))
    if patient.is_new:
        return judge(name, [], needed)
    try:
        async with patient.db.transaction() as session:
            rows = await list_processes(session)
    except ProgrammingError:
        raise NotLookedAt("their table is not there yet", "Mend the schema first.") from None
    views = [view_of(row, settings.lazaret_silent_after, patient.clock.now()) for row in rows]
    return judge(name, views, needed)


def judge(name: str, views: list[ProcessView], needed: tuple[str, ...]) -> Finding:
    """The worst that is to be said. Pure."""
    heard = [view for view in views if view.state is not ProcessState.SILENT]
    absent = [part for part in needed if not any(part in view.parts for view in heard)]
    silent = ", ".join(f"{view.kind} ({view.host}, pid {view.pid})" for view in views if view not in heard)
    if not heard and not silent:
        return Finding(name, State.MISSING, "none runs: nothing is watched or done", f"Start Lazaret: {START}")
    if silent:
        cure = f"Look at its log, and start it again: {START}. What it held is taken over; nothing is done twice."
        return Finding(name, State.BROKEN, f"not heard of any more: {silent}", cure)
    if absent:
        what = f"there is no {' and no '.join(absent)}"
        return Finding(
            name, State.BROKEN, what, f"Start what is missing: {' and '.join(f'lazaret {p}' for p in absent)}"
        )
    dead = [
        f"{loop.name} of {view.kind} ({loop.error or 'it hangs'})"
        for view in heard
        for loop in view.loops
        if loop.is_dead
    ]
    if dead:
        cure = "Look at the log of that process: it names the error; start it again if it hangs."
        return Finding(name, State.BROKEN, f"without success for too long: {', '.join(dead)}", cure)
    return Finding(name, State.OK, ", ".join(view.kind for view in heard))
