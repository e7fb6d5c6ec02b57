"""Step: bring the server to the described state with the playbook; each of its tasks shows in the live log."""

from typing import Any

from lazaret.kernel.errors import LazaretError
from lazaret.operations.outcome import Advance, GiveUp, Outcome, Retry
from lazaret.provisioning.context import Snapshot, StepContext
from lazaret.servers.configuration import PlaybookResult, TaskEvent

PLAYBOOK = "provision_server"


class ConvergeFailed(LazaretError):
    """A task of the playbook failed. The server stays reachable; running it again is safe."""

    code = "converge_failed"
    retryable = True


class PreflightFailed(LazaretError):
    """The playbook found something that a person must mend, and changed nothing."""

    code = "preflight_failed"


async def converge(ctx: StepContext) -> Outcome:
    """Run the playbook to its end."""
    await ctx.require_managed()
    snapshot = await ctx.snapshot()

    async def show(event: TaskEvent) -> None:
        await ctx.run.note(
            event.message or event.task,
            kind="task",
            step="converge",
            task=event.task,
            state=event.state.value,
            position=event.position,
            total=event.total,
            duration_s=event.duration_s,
        )

    result = await ctx.parts.configuration.run(
        PLAYBOOK,
        snapshot.endpoint,
        host_keys=snapshot.host_keys,
        private_key=ctx.parts.key.private_key,
        variables=variables_for(ctx, snapshot),
        on_event=show,
        timeout_s=ctx.parts.limits.converge_s,
    )
    if not result.ok:
        return _failure(ctx, result)
    await _remember_report(ctx, result)
    return Advance(f"{result.changed} task(s) changed something, {result.duration_s:.1f} s")


def variables_for(ctx: StepContext, snapshot: Snapshot) -> dict[str, Any]:
    """The playbook's variables: the operator's own, then what only Lazaret knows."""
    return {
        **ctx.parts.variables,
        "server_handle": snapshot.target.handle,
        "server_hostname": snapshot.host,
        "ssh_public_key": ctx.parts.key.public_key.strip(),
        "ssh_port": snapshot.endpoint.port,
        "baseline_version": ctx.parts.baseline_version,
    }


def _failure(ctx: StepContext, result: PlaybookResult) -> Outcome:
    text = ctx.run.redactor.clean(result.error)[:600]
    if result.report.get("preflight_failed"):
        return GiveUp(PreflightFailed(text, hint="Nothing was changed. Mend it and provision again."))
    what = "The server became unreachable" if result.unreachable else f"The task {result.failed_task!r} failed"
    return Retry(ConvergeFailed(f"{what}: {text}", hint="Nothing is lost: the next attempt goes on from here."))


async def _remember_report(ctx: StepContext, result: PlaybookResult) -> None:
    """Keep what the playbook proved, for `verify` and for the operation's result."""
    async with ctx.run.apply() as (_, operation):
        operation.result = {**operation.result, "report": dict(result.report), "changed": result.changed}
