"""What a worker has besides its office: provider, SSH, Ansible, the graphs. The one place that knows all rooms."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.adapters.ansible import baseline_version, load_variables
from lazaret.adapters.doors import Doors
from lazaret.adapters.ssh import AsyncSshAccess, SshReadingStreams
from lazaret.adapters.ssh.access_key import access_key_of
from lazaret.alerting.failure import tell_failure
from lazaret.deployments.playing import DeployParts
from lazaret.deployments.redeploy import Redeployer
from lazaret.deployments.store import has_running
from lazaret.deployments.workflow import DeployWorkflow
from lazaret.entrypoints.checkpoints import open_checkpoints
from lazaret.entrypoints.configuration import configuration_of
from lazaret.entrypoints.harbour import expectations_on
from lazaret.entrypoints.monitor import rules_of
from lazaret.entrypoints.office import Office
from lazaret.entrypoints.providers import open_providers
from lazaret.healing.budget import Limits as HealingLimits
from lazaret.healing.context import HealingParts
from lazaret.healing.failed_recovery import follow_failed_recovery
from lazaret.healing.graph import RecoveryWorkflow
from lazaret.healing.remedy import Remedy
from lazaret.incidents.recorder import record_failure
from lazaret.kernel import audit
from lazaret.operations.intents import PRIORITY_ROUTINE, Intent
from lazaret.operations.model import OperationKind
from lazaret.operations.queue import Queue
from lazaret.operations.run import Workflow
from lazaret.operations.runner import Runner
from lazaret.operations.store import live_operation
from lazaret.provisioning.context import ROOT_PASSWORD, Limits, Parts, secret_owner
from lazaret.provisioning.graph import ProvisioningWorkflow
from lazaret.servers.access import KeyLogin
from lazaret.servers.inventory import Inventory
from lazaret.servers.model import Server
from lazaret.servers.provider import Provider


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a worker has besides: hands. There is an inventory for each provider."""

    office: Office
    queue: Queue
    inventories: tuple[Inventory, ...]


@asynccontextmanager
async def open_workshop(office: Office) -> AsyncIterator[Workshop]:
    """Everything that a worker needs: providers, SSH, Ansible, the graph and its checkpoints."""
    settings = office.settings
    async with AsyncExitStack() as stack:
        workflows: dict[OperationKind, Workflow] = {}
        providers = await open_providers(settings, office.db, office.clock, stack)
        checkpointer = await open_checkpoints(office.conninfo, stack, most=settings.lazaret_worker_concurrency + 1)
        if providers:
            parts = _parts(office, providers)
            deploying = DeployWorkflow(
                DeployParts(
                    parts.configuration,
                    parts.access,
                    office.secrets,
                    parts.key.private_key,
                    office.redactor,
                    parts.permissions,
                )
            )
            parts = replace(parts, redeployer=Redeployer(deploying))
            workflow = ProvisioningWorkflow(parts, checkpointer)
            workflows = {
                OperationKind.PROVISION: workflow,
                OperationKind.REBUILD: workflow,
                OperationKind.DEPLOY: deploying,
                OperationKind.RECOVER: RecoveryWorkflow(_healing_parts(office, parts), workflow, checkpointer),
            }
        dead_after_s = settings.lazaret_worker_dead_after
        runner = Runner(
            office.db,
            office.clock,
            office.redactor,
            workflows,
            on_failed=(record_failure, follow_failed_recovery, tell_failure),
            lease_s=0.8 * dead_after_s,
        )
        queue = Queue(office.conninfo, runner.run, dead_after_s=dead_after_s)
        await stack.enter_async_context(queue.open())
        yield Workshop(office, queue, tuple(_inventory(office, provider) for provider in providers.values()))


def _healing_parts(office: Office, parts: Parts) -> HealingParts:
    settings = office.settings
    lowered = {
        Remedy.REBOOT: settings.lazaret_reboots_per_day,
        Remedy.REINSTALL: settings.lazaret_reinstalls_per_day,
    }
    return HealingParts(
        provisioning=parts,
        streams=SshReadingStreams(KeyLogin(parts.key.private_key), office.clock),
        rules=rules_of(settings),
        expecting=expectations_on,
        doors=Doors(office.db, parts.access),
        limits=HealingLimits(in_flight=settings.lazaret_recoveries_in_flight, per_day=lowered),
        approval_ttl=timedelta(hours=settings.lazaret_approval_hours),
        look_again_s=min(15.0, max(1.0, settings.lazaret_storm_quiet / 4)),
        patience=settings.lazaret_remedy_patience,
    )


def _parts(office: Office, providers: Mapping[str, Provider]) -> Parts:
    settings = office.settings
    variables = load_variables(settings.provisioning_vars_file)
    version = baseline_version(variables)
    return Parts(
        providers=providers,
        access=AsyncSshAccess(),
        configuration=configuration_of(settings),
        secrets=office.secrets,
        key=access_key_of(settings),
        permissions=office.intents.permissions,
        limits=Limits(
            converge_s=settings.provisioning_timeout,
            password_reset_s=settings.password_reset_timeout,
            reinstall_s=settings.reinstall_timeout,
            poll_s=settings.password_reset_poll_interval,
        ),
        default_os=settings.default_os_template,
        variables=variables,
        baseline_version=version,
    )


def _inventory(office: Office, provider: Provider) -> Inventory:
    async def provision(session: AsyncSession, server: Server, at: datetime) -> None:
        intent = Intent(OperationKind.PROVISION, audit.INVENTORY, "a new managed server", PRIORITY_ROUTINE)
        await office.intents.enqueue_new(session, server, intent, at=at)

    async def rebuild(session: AsyncSession, server: Server, at: datetime) -> None:
        if await live_operation(session, server.handle) is None:
            intent = Intent(
                OperationKind.REBUILD, audit.INVENTORY, "its status asks for it", params={"reinstall": False}
            )
            await office.intents.enqueue_new(session, server, intent, at=at)

    async def forget_what_the_old_one_was_told(session: AsyncSession, server: Server, at: datetime) -> None:
        if await office.secrets.forget(session, secret_owner(server.handle), ROOT_PASSWORD):
            why = "the operator's list names another machine"
            subject = f"server:{server.handle}"
            audit.record(session, audit.INVENTORY, "secret.forget", subject, at=at, kind=ROOT_PASSWORD, why=why)

    return Inventory(
        office.db,
        provider,
        office.clock,
        permissions=office.intents.permissions,
        ssh_port=office.settings.lazaret_ssh_port,
        has_services=has_running,
        on_admitted=provision,
        on_rebuild_due=rebuild,
        on_replaced=forget_what_the_old_one_was_told,
    )
