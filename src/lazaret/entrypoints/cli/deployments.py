"""Commands of deployments: list, show, deploy, start, stop, redeploy, remove, logs."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from lazaret.deployments import store
from lazaret.deployments.model import ServiceDeployment
from lazaret.deployments.plain_yaml import NotPlain, read_yaml
from lazaret.deployments.requests import NotMeasuredYet, Order
from lazaret.deployments.spec import LARGEST_FILE, MOST_FILES, ServiceSpec, problem_in
from lazaret.entrypoints.cli.operating import Follow, follow_to_end, told
from lazaret.entrypoints.cli.reading import EVERYTHING, AsJson
from lazaret.entrypoints.cli.render import age, print_fields, print_json, print_line, print_table
from lazaret.entrypoints.cli.session import actor, command, office, rows_of
from lazaret.entrypoints.harbour import harbour_of
from lazaret.entrypoints.office import Office
from lazaret.kernel.documents import document
from lazaret.kernel.errors import InvalidInput
from lazaret.operations.model import Operation
from lazaret.operations.store import get_operation
from lazaret.servers.store import get_server

app = typer.Typer(help="Services on the servers.", add_completion=False, pretty_exceptions_enable=False)

MEASURED_WITHIN_S = 60.0
"""A server that is set up has been measured after this, if a monitor runs."""
LOOK_S = 0.5
AN_EXAMPLE = f"See {document('README.md')}, Services, for an example."
LONGEST_SPEC = (MOST_FILES + 2) * LARGEST_FILE
"""Characters: the most that a spec may hold, and some more."""

Number = Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="As `lazaret deployments` shows it.")]


@app.callback(invoke_without_command=True)
@command
async def deployments(
    context: typer.Context,
    server: Annotated[str, typer.Option(help="Only on this server.")] = "",
    project: Annotated[str, typer.Option(help="Only of this project.")] = "",
    as_json: AsJson = False,
) -> None:
    """Services, newest first."""
    if context.invoked_subcommand is not None:
        return
    async with office() as here, here.db.transaction() as session:
        if server:
            await get_server(session, server)
        rows, _ = await store.list_deployments(session, handle=server, project=project, limit=EVERYTHING)
    if as_json:
        print_json(rows_of(row) for row in rows)
        return
    print_table(
        ["ID", "PROJECT", "SERVICE", "SERVER", "PORT", "STATUS", "VERSION", "DEPLOYED", "WHAT TO KNOW"],
        [
            (
                row.id,
                row.project_id,
                row.service_name,
                row.server_handle,
                row.port,
                row.status,
                row.version,
                age(row.deployed_at),
                row.error,
            )
            for row in rows
        ],
        empty="No services yet. Deploy one: lazaret deployments deploy PROJECT SERVICE SPEC.yaml",
    )


@app.command()
@command
async def show(deployment_id: Number, as_json: AsJson = False) -> None:
    """One service with its versions."""
    async with office() as here, here.db.transaction() as session:
        row = await store.get_deployment(session, deployment_id)
        releases = await store.releases_of(session, deployment_id)
    if as_json:
        print_json([rows_of(row) | {"releases": [rows_of(release) for release in releases]}])
        return
    print_fields(rows_of(row))
    typer.echo()
    print_table(
        ["VERSION", "OUTCOME", "MADE", "BY", "WHAT TO KNOW"],
        [(r.version, r.outcome, age(r.created_at), r.created_by, r.detail) for r in releases],
        empty="No version.",
    )


@app.command()
@command
async def deploy(  # noqa: PLR0917 - typer's options
    project: Annotated[str, typer.Argument(help="Of which project.")],
    service: Annotated[str, typer.Argument(help="Its name.")],
    spec: Annotated[Path, typer.Argument(help="YAML: image or compose, container_port, environment, secrets, ...")],
    server: Annotated[str, typer.Option(help="On this server; left out: on the best one.")] = "",
    port: Annotated[int | None, typer.Option(min=1024, max=65535, help="Left out: the lowest free one.")] = None,
    follow: Follow = False,
) -> None:
    """Deploy a service, or a new version of it. One that is not healthy is put back by itself."""
    wanted = read_spec(spec)
    async with office() as here:
        deployment, operation = await _admitted(here, Order(project, service, wanted, server or None, port))
        typer.echo(f"Deployment {deployment.id}: {service} on {deployment.server_handle}, port {deployment.port}.")
        await told(here, operation, follow=follow)


async def _admitted(here: Office, order: Order) -> tuple[ServiceDeployment, Operation]:
    """Ask for it; who set the server up in the line before need not know that it is to be measured first."""
    deadline_s = here.clock.monotonic() + MEASURED_WITHIN_S
    told = False
    while True:
        try:
            async with here.db.transaction() as session:
                return await harbour_of(here).deploy(session, order, actor(), at=here.clock.now())
        except NotMeasuredYet as error:
            if here.clock.monotonic() > deadline_s:
                raise
            if not told:
                typer.echo(f"{error.message} Waiting for that.", err=True)
            told = True
        await here.clock.sleep(LOOK_S)


def read_spec(path: Path) -> ServiceSpec:
    """The spec in a YAML file. Raises `InvalidInput` that names what is wrong, never a value."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST_SPEC + 1)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {type(error).__name__}.", hint="Name a YAML file.") from None
    if len(text) > LONGEST_SPEC:
        raise InvalidInput(f"{path} is too long.", hint="Large files belong into the image.")
    try:
        content = read_yaml(text)
    except NotPlain as error:
        raise InvalidInput(f"{path}: {error}.", hint=AN_EXAMPLE) from None
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} holds no mapping.", hint=AN_EXAMPLE)
    try:
        return ServiceSpec.model_validate(content)
    except ValidationError as error:
        raise InvalidInput(f"{path}: {problem_in(error)}.", hint=AN_EXAMPLE) from None


@app.command()
@command
async def start(deployment_id: Number, follow: Follow = False) -> None:
    """Start a service that was stopped."""
    await _act(deployment_id, "start", follow=follow)


@app.command()
@command
async def stop(deployment_id: Number, follow: Follow = False) -> None:
    """Stop a service; its data stay, its port is closed."""
    await _act(deployment_id, "stop", follow=follow)


@app.command()
@command
async def redeploy(deployment_id: Number, follow: Follow = False) -> None:
    """Deploy the good version again."""
    await _act(deployment_id, "redeploy", follow=follow)


@app.command()
@command
async def remove(
    deployment_id: Number,
    confirm: Annotated[str, typer.Option(help="The service's name, where nobody can be asked.")] = "",
    follow: Follow = False,
) -> None:
    """Take a service off its server. ITS VOLUMES GO."""
    async with office() as here, here.db.transaction() as session:
        name = (await store.get_deployment(session, deployment_id)).service_name
    if confirm != name:
        raise InvalidInput(
            "Nothing was done: removing a service erases its volumes and needs its name.",
            hint=f"lazaret deployments remove {deployment_id} --confirm {name}",
        )
    await _act(deployment_id, "remove", follow=follow)


@app.command()
@command
async def logs(
    deployment_id: Number, lines: Annotated[int, typer.Option(min=1, max=2000, help="From the end.")] = 200
) -> None:
    """The newest lines of a service, read by a worker."""
    async with office() as here:
        async with here.db.transaction() as session:
            operation = await harbour_of(here).act(
                session, deployment_id, "logs", actor(), at=here.clock.now(), lines=lines
            )
        await follow_to_end(here, operation.id, quiet=True)
        async with here.db.transaction() as session:
            print_line((await get_operation(session, operation.id)).result.get("logs", ""))


async def _act(deployment_id: int, action: str, *, follow: bool) -> None:
    async with office() as here:
        async with here.db.transaction() as session:
            operation = await harbour_of(here).act(session, deployment_id, action, actor(), at=here.clock.now())
        await told(here, operation, follow=follow)
