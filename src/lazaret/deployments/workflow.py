"""The workflow of operations of the kind `deploy`: deploy, start, stop, remove, logs.

A version that does not pass its health check is put back to the last good one, by itself.
"""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.deployments import store
from lazaret.deployments.model import DeploymentStatus, ReleaseOutcome, ServiceDeployment
from lazaret.deployments.playing import DeployFailed, DeployParts, answers_from_outside, play
from lazaret.deployments.spec import NoLongerAdmitted, ServiceSpec, check_still_admitted
from lazaret.kernel import audit
from lazaret.kernel.errors import LazaretError
from lazaret.operations.intents import require_in_order
from lazaret.operations.outcome import Advance, Done, GiveUp, Outcome, Retry, Wait
from lazaret.operations.run import OperationRun, run_step, until_released
from lazaret.operations.store import get_operation
from lazaret.servers.guard import OnHold, TouchRefused
from lazaret.servers.model import Server
from lazaret.servers.status import Party, ServerStatus, StatusEvent
from lazaret.servers.store import change_status, get_server, holds_on, target_of

DEADLINE_S = 1200.0


class NotReachableFromOutside(LazaretError):
    """The service runs, and its public port does not answer from outside."""

    code = "not_reachable_from_outside"


class DeployWorkflow:
    """Fulfils `operations.run.Workflow`. `params`: `action`, `deployment_id`, and for a deployment `version`."""

    def __init__(self, parts: DeployParts) -> None:
        self._parts = parts

    async def advance(self, run: OperationRun) -> Outcome:
        """Do what the operation asks for; running it again goes on or changes nothing."""
        if (instead := await self._not_now(run)) is not None:
            return instead
        async with run.db.transaction() as session:
            params = (await get_operation(session, run.operation_id)).params
            deployment = await store.get_deployment(session, int(params["deployment_id"]))
        match params["action"]:
            case "deploy":
                return await self._deploy(run, deployment, int(params["version"]))
            case "start":
                return await self._start(run, deployment)
            case "stop":
                return await self._end(run, deployment, DeploymentStatus.STOPPED)
            case "remove":
                return await self._end(run, deployment, DeploymentStatus.REMOVED)
            case "logs":
                return await self._logs(run, deployment, int(params.get("lines", 200)))
        raise AssertionError(f"no such action: {params['action']!r}")

    async def _not_now(self, run: OperationRun) -> Wait | GiveUp | None:
        """What allowed it when it was asked for is proved again: a hold may have put it off for days."""
        now = run.clock.now()
        async with run.db.transaction() as session:
            server = await get_server(session, run.handle)
            holds = await holds_on(session, run.handle, at=now)
        try:
            self._parts.permissions.require_touchable(target_of(server), holds=[hold.reason for hold in holds])
            require_in_order(server)
        except OnHold as held:
            return until_released(run, held)
        except LazaretError as refused:
            return GiveUp(refused)
        return None

    async def _deploy(self, run: OperationRun, deployment: ServiceDeployment, version: int) -> Outcome:
        async def bring_about() -> Outcome:
            detail = await self.bring_about(run, deployment, version)
            return Advance(detail)

        outcome = await run_step(run, "deploy_service", bring_about, deadline_s=DEADLINE_S)
        match outcome:
            case Advance():
                return await self._remember_good(run, deployment, version)
            case GiveUp(error=TouchRefused()):
                return outcome  # nothing was done, and nothing may be
            case GiveUp(error=error):
                return await self._go_back(run, deployment, version, error)
        return outcome

    async def _start(self, run: OperationRun, deployment: ServiceDeployment) -> Outcome:
        if deployment.version is None:
            return GiveUp(DeployFailed("No version of it ever ran.", hint="Deploy a new one."))
        return await self._deploy(run, deployment, deployment.version)

    async def bring_about(self, run: OperationRun, deployment: ServiceDeployment, version: int) -> str:
        """Deploy a version and prove it from outside. Raises what `play` raises, `NotReachableFromOutside`
        and `NoLongerAdmitted`."""
        async with run.db.transaction() as session:
            spec = await store.spec_of(session, self._parts.secrets, deployment.id, version)
        check_still_admitted(deployment.service_name, version, spec)
        for secret in spec.secrets.values():
            self._parts.redactor.hide(secret)
        await play(self._parts, run, deployment, "deployed", spec=spec)
        if spec.is_public and spec.health.kind != "docker" and not await self._answers(run, deployment):
            raise NotReachableFromOutside(
                f"{deployment.service_name} runs, and its port {deployment.port} does not answer from outside.",
                hint="Is the port published in the Compose file as ${LAZARET_PORT}?",
            )
        return f"{deployment.service_name} runs in version {version} on port {deployment.port}"

    async def _answers(self, run: OperationRun, deployment: ServiceDeployment) -> bool:
        return await answers_from_outside(self._parts, run, deployment)

    async def _remember_good(self, run: OperationRun, deployment: ServiceDeployment, version: int) -> Outcome:
        now = run.clock.now()
        async with run.apply() as (session, operation):
            row = await store.get_deployment(session, deployment.id, for_update=True)
            release = await store.get_release(session, row.id, version)
            release.outcome = ReleaseOutcome.GOOD.value
            row.status, row.version, row.deployed_at, row.error = DeploymentStatus.RUNNING.value, version, now, ""
            row.updated_at = now
            await session.flush()
            await follow_services(session, row.server_handle, at=now, operation_id=operation.id)
            result = {"deployment_id": row.id, "version": version, "port": row.port, "server_handle": row.server_handle}
        return Done(f"{row.service_name} runs", result=result)

    async def _go_back(
        self, run: OperationRun, deployment: ServiceDeployment, version: int, error: LazaretError
    ) -> Outcome:
        """The last good version again; without one, what was half made is taken away."""
        good = await self._version_to_return_to(run, deployment, version)
        text = run.redactor.clean(f"{error.message} {error.hint}".strip())

        async def bring_back() -> Outcome:
            if good is None:
                await play(self._parts, run, deployment, "stopped")
                return Advance("there is no version to go back to: it is stopped")
            return Advance(await self.bring_about(run, deployment, good))

        back = await run_step(run, "go_back", bring_back, deadline_s=DEADLINE_S)
        if isinstance(back, Retry):
            return back
        is_back = isinstance(back, Advance) and good is not None
        now = run.clock.now()
        async with run.apply() as (session, operation):
            row = await store.get_deployment(session, deployment.id, for_update=True)
            release = await store.get_release(session, row.id, version)
            release.outcome, release.detail = ReleaseOutcome.BAD.value, text[:1000]
            row.status = (DeploymentStatus.RUNNING if is_back else DeploymentStatus.FAILED).value
            row.error, row.updated_at = text[:1000], now
            await session.flush()
            await follow_services(session, row.server_handle, at=now, operation_id=operation.id)
        hint = f"Version {good} runs again." if is_back else "Nothing of it runs."
        if isinstance(back, GiveUp) and isinstance(back.error, TouchRefused):
            hint = back.error.message
        return GiveUp(DeployFailed(f"Version {version} of {deployment.service_name} is not good: {text}", hint=hint))

    async def _version_to_return_to(self, run: OperationRun, deployment: ServiceDeployment, bad: int) -> int | None:
        good = deployment.version
        if good is None or good == bad:
            return None
        async with run.db.transaction() as session:
            spec = await store.spec_of(session, self._parts.secrets, deployment.id, good)
        try:
            check_still_admitted(deployment.service_name, good, spec)
        except NoLongerAdmitted:
            return None
        return good

    async def _end(self, run: OperationRun, deployment: ServiceDeployment, status: DeploymentStatus) -> Outcome:
        async def end() -> Outcome:
            await play(self._parts, run, deployment, "stopped" if status is DeploymentStatus.STOPPED else "removed")
            return Advance(f"{deployment.service_name} is {status}")

        outcome = await run_step(run, f"{status}_service", end, deadline_s=DEADLINE_S)
        if not isinstance(outcome, Advance):
            return outcome
        now = run.clock.now()
        async with run.apply() as (session, operation):
            row = await store.get_deployment(session, deployment.id, for_update=True)
            row.status, row.updated_at, row.error = status.value, now, ""
            await session.flush()
            await follow_services(session, row.server_handle, at=now, operation_id=operation.id)
        return Done(f"{deployment.service_name} is {status}", result={"deployment_id": deployment.id})

    async def _logs(self, run: OperationRun, deployment: ServiceDeployment, lines: int) -> Outcome:
        text = ""

        async def read() -> Outcome:
            nonlocal text
            spec = await self._spec_if_any(run, deployment)
            for secret in spec.secrets.values() if spec else ():
                self._parts.redactor.hide(secret)
            result = await play(self._parts, run, deployment, "logs", lines=lines)
            text = self._parts.redactor.clean(str(result.report.get("logs", "")))
            return Advance(f"{len(text)} characters")

        outcome = await run_step(run, "read_logs", read, deadline_s=120)
        if not isinstance(outcome, Advance):
            return outcome
        return Done("read", result={"deployment_id": deployment.id, "logs": text})

    async def _spec_if_any(self, run: OperationRun, deployment: ServiceDeployment) -> ServiceSpec | None:
        if deployment.version is None:
            return None
        async with run.db.transaction() as session:
            return await store.spec_of(session, self._parts.secrets, deployment.id, deployment.version)


async def follow_services(session: AsyncSession, handle: str, *, at: datetime, operation_id: int) -> None:
    """`in_use` follows from what runs: the one place that derives it."""
    server = await get_server(session, handle, for_update=True)
    event = _event_of(server, has_services=await store.has_running(session, handle))
    if event is not None:
        change_status(
            session,
            server,
            event,
            Party.WORKER,
            actor=audit.WORKER,
            at=at,
            reason="services run on it" if event is StatusEvent.SERVICE_STARTED else "no service runs on it",
            operation_id=operation_id,
        )


def _event_of(server: Server, *, has_services: bool) -> StatusEvent | None:
    if has_services and server.status == ServerStatus.READY:
        return StatusEvent.SERVICE_STARTED
    if not has_services and server.status == ServerStatus.IN_USE:
        return StatusEvent.SERVICES_STOPPED
    return None
