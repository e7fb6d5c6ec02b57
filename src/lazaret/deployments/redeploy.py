"""Bringing back what ran on a server, in order, each proved. Fulfils `provisioning.context.ServiceRedeployer`."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.deployments import store
from lazaret.deployments.order import start_order
from lazaret.deployments.workflow import DeployWorkflow
from lazaret.kernel.errors import LazaretError
from lazaret.operations.run import OperationRun
from lazaret.servers.guard import TouchRefused


class ServicesNotBack(LazaretError):
    """Some services could not be brought back: `missing`; the others were: `back`."""

    code = "services_not_back"
    retryable = True

    def __init__(self, message: str, *, back: Sequence[str], missing: Sequence[str]) -> None:
        super().__init__(message, hint=f"Brought back: {', '.join(back) or '-'}")
        self.back, self.missing = tuple(back), tuple(missing)


class Redeployer:
    """Deploys the newest good version of every service that should run."""

    def __init__(self, workflow: DeployWorkflow) -> None:
        self._workflow = workflow

    async def redeploy(self, run: OperationRun, handle: str) -> list[str]:
        """Bring every running service of the server back in order; returns their names. Raises `TouchRefused`, and
        `ServicesNotBack` after all were tried."""
        async with run.db.transaction() as session:
            running = await store.specs_running(session, [handle])
        by_name = {deployment.service_name: deployment for deployment, _ in running}
        order = start_order({d.service_name: spec.get("depends_on", ()) for d, spec in running})
        back: list[str] = []
        failed: dict[str, str] = {}
        for name in order:
            deployment = by_name[name]
            assert deployment.version is not None
            try:
                detail = await self._workflow.bring_about(run, deployment, deployment.version)
            except TouchRefused:
                raise
            except LazaretError as error:
                failed[name] = error.message
                await run.note(f"{name} did not come back: {error.message}")
                continue
            back.append(name)
            await run.note(detail)
        if failed:
            told = [f"{name}: {why}" for name, why in failed.items()]
            raise ServicesNotBack(f"Not brought back: {'; '.join(told)}", back=back, missing=list(failed))
        return back

    async def has_services(self, session: AsyncSession, handle: str) -> bool:
        """Whether services should run on the server."""
        return await store.has_running(session, handle)
