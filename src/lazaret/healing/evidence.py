"""The bundle of evidence: what a server can still show before a remedy destroys it. Only reads; always best effort."""

from lazaret.healing.context import HealingContext
from lazaret.healing.store import add_evidence, evidence_of
from lazaret.servers.access import AccessError

LONGEST_PIECE = 20_000
"""Characters kept of each piece; the end of a log is its best part."""

PIECES: tuple[tuple[str, str], ...] = (
    ("journal", "journalctl --no-pager --lines=200 --priority=warning --output=short-iso"),
    ("dmesg", "dmesg --ctime --nopager 2>&1 | tail -n 100"),
    ("containers", "docker ps --all --no-trunc 2>&1"),
    (
        "container_logs",
        "for name in $(docker ps --all --format '{{.Names}}' | head -n 20); do echo \"== $name\"; "
        'docker logs --tail 40 --timestamps "$name" 2>&1; done',
    ),
    ("disks", "df -h 2>&1; df -i 2>&1; du -xsh /var/log /var/lib/docker /tmp 2>/dev/null"),
    ("memory", "free -m; ps -eo pid,rss,comm --sort=-rss | head -n 15"),
    ("logins", "last -n 15 2>&1; who 2>&1"),
    ("units", "systemctl --failed --no-pager 2>&1"),
)
"""Name and command. Nothing here changes the machine."""


async def gather_evidence(ctx: HealingContext) -> str:
    """Take the bundle, once per incident and operation; returns a sentence for the timeline."""
    async with ctx.run.db.transaction() as session:
        taken = await evidence_of(session, ctx.incident_id)
    if any(piece.details.get("operation_id") == ctx.run.operation_id for piece in taken):
        return "the evidence is already kept"
    snapshot = await ctx.steps.snapshot()
    access = ctx.parts.provisioning.access
    pieces: list[tuple[str, str]] = []
    try:
        connection = access.connect(snapshot.endpoint, host_keys=snapshot.host_keys, login=ctx.steps.login, timeout_s=6)
        async with connection as session_:
            for name, command in PIECES:
                result = await session_.run(f"timeout 10 sh -c {_quoted(command)}", timeout_s=15)
                pieces.append((name, ctx.run.redactor.clean(result.stdout[-LONGEST_PIECE:])))
    except AccessError as error:
        pieces.append(("access", ctx.run.redactor.clean(f"{error.code}: {error.message}")))
    async with ctx.run.apply() as (session, operation):
        await add_evidence(session, ctx.incident_id, pieces, at=ctx.run.clock.now(), operation_id=operation.id)
    return f"kept as evidence: {', '.join(name for name, _ in pieces)}"


def _quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"
