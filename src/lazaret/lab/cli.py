"""`lazaret lab ...`: start, end and operate a lab from the command line.

Exit codes: 0 done, 1 failed, 2 wrong use. What a program wants goes to standard output, progress to standard error.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lazaret.kernel.errors import InvalidInput, Unavailable
from lazaret.lab.account import new_account
from lazaret.lab.cli_faults import faults_app
from lazaret.lab.cli_options import AsJson, Handle, Name, Root, clear_errors, client_of, print_servers, progress
from lazaret.lab.cli_telegram import telegram_app
from lazaret.lab.client import LabClient
from lazaret.lab.daemon import LabDirectory, LabFile, run_daemon, serve, start, stop
from lazaret.lab.environment import as_shell, lab_environment
from lazaret.lab.instance import DEFAULT_TIME_SCALE, Lab
from lazaret.lab.real_hosts import missing_for_real_hosts
from lazaret.lab.servers import server_id_of
from lazaret.lab.simulated_rack import DEFAULT_SSH_PORT

lab_app = typer.Typer(
    help="A local cloud to try Lazaret on.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
lab_app.add_typer(faults_app)
lab_app.add_typer(telegram_app)


@lab_app.command()
@clear_errors
def up(  # noqa: PLR0917 - typer's options
    root: Root,
    hosts: Annotated[int, typer.Option(min=0, max=20_000, help="Number of servers to begin with.")] = 2,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Simulated hosts, even where real ones can be.")
    ] = False,
    env: Annotated[bool, typer.Option("--env", help="Print the environment for `lazaret up`, for eval.")] = False,
    name: Name = "lab",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the provider's API; 0 takes a free one.")] = 0,
    ssh_port: Annotated[int, typer.Option(min=1, max=65535, help="SSH port of simulated hosts.")] = DEFAULT_SSH_PORT,
    time_scale: Annotated[
        float, typer.Option(help="Length of provider tasks; 1.0 is realistic: a reinstall takes 340 s.")
    ] = DEFAULT_TIME_SCALE,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay here and end the lab on Ctrl-C.")] = False,
) -> None:
    """Start a lab, or find the one that runs, and tell how to reach it."""
    if not 0 < time_scale <= 10:
        raise InvalidInput(
            "--time-scale must be more than 0 and at most 10.", hint="Real time is 1; a tenth of it is 0.1."
        )
    directory = LabDirectory(root, name)
    with directory.locked():
        lab = directory.running()
        if lab is not None:
            progress(f"Lab {name!r} runs already.")
        else:
            lab = directory.read()
            if lab is not None:
                progress(f"Taking up lab {name!r} again: its process died.")
            else:
                account = new_account()
                lab = LabFile(
                    name=name,
                    hosts=hosts,
                    simulated=simulated or _must_simulate(),
                    time_scale=time_scale,
                    port=port,
                    ssh_port=ssh_port,
                    login=account.login,
                    password=account.password,
                )
            if not foreground:
                lab = start(directory, lab, on_step=lambda step: progress(f"  {step}"))
    if foreground and directory.running() is None:
        _serve_here(directory, lab)
    else:
        _tell(lab, env=env)


@lab_app.command()
@clear_errors
def down(root: Root, name: Name = "lab") -> None:
    """End a lab: every process, host and file of it. What the next one can use stays in ~/.cache/lazaret-lab."""
    directory = LabDirectory(root, name)
    with directory.locked():
        existed = stop(directory)
    progress(f"Lab {name!r} is gone." if existed else f"There is no lab {name!r}.")


@lab_app.command("list")
@clear_errors
def list_servers(root: Root, name: Name = "lab", as_json: AsJson = False) -> None:
    """The lab's servers."""
    print_servers(client_of(root, name).servers(), as_json=as_json)


@lab_app.command()
@clear_errors
def add(
    root: Root,
    name: Name = "lab",
    operating_system: Annotated[str | None, typer.Option("--os", help="Template id.")] = None,
    label: Annotated[str, typer.Option(help="Free text.")] = "",
    as_json: AsJson = False,
) -> None:
    """Rent one more server."""
    print_servers([client_of(root, name).add(os=operating_system, label=label)], as_json=as_json)


@lab_app.command()
@clear_errors
def remove(root: Root, handle: Handle, name: Name = "lab") -> None:
    """End the contract of a server; its disk is gone."""
    client_of(root, name).remove(server_id_of(handle))


@lab_app.command("power-off")
@clear_errors
def power_off(root: Root, handle: Handle, name: Name = "lab") -> None:
    """Pull the plug of a server. The provider does not notice."""
    print_servers([client_of(root, name).do(server_id_of(handle), "power-off")])


@lab_app.command("power-on")
@clear_errors
def power_on(root: Root, handle: Handle, name: Name = "lab") -> None:
    """Plug a server in again."""
    print_servers([client_of(root, name).do(server_id_of(handle), "power-on")])


@lab_app.command("end-task")
@clear_errors
def end_task(root: Root, handle: Handle, name: Name = "lab") -> None:
    """Let the task that hangs by a switch complete."""
    print_servers([client_of(root, name).do(server_id_of(handle), "end-task")])


@lab_app.command()
@clear_errors
def switch(
    root: Root,
    which: Annotated[str | None, typer.Argument(metavar="[SWITCH]", help="Left out: show what is on.")] = None,
    settings: Annotated[list[str] | None, typer.Argument(help="KEY=VALUE: times=3, call=resetpassword.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Turn it off; without a name, all.")] = False,
    name: Name = "lab",
) -> None:
    """Let the provider misbehave: throttle, cut, slow, gateway_error, task_fails, ..."""
    client = client_of(root, name)
    if clear:
        client.clear_switches(which)
    elif which is not None:
        client.set_switch({"name": which, **_settings(settings or [])})
    typer.echo(json.dumps(client.switches(), indent=2))


@lab_app.command()
@clear_errors
def journal(
    root: Root,
    name: Name = "lab",
    handle: Annotated[str | None, typer.Option(help="Only of this server.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this, such as resetpassword.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every action call that the provider received, and every effect done."""
    query = {"action": action, "server_id": str(server_id_of(handle)) if handle else None}
    found = client_of(root, name).journal({key: value for key, value in query.items() if value})
    if as_json:
        typer.echo(json.dumps(found["entries"], indent=2))
        return
    for entry in found["entries"]:
        where = f"vps-{entry['server_id']}" if entry["server_id"] else "-"
        what = f"{entry['kind']:<8}{entry['action']:<15}{where:<12}{entry['outcome']:<9}{entry['note']}"
        typer.echo(f"{entry['at'][:19]}  {what}")


@lab_app.command("serve", hidden=True)
def serve_daemon(root: Path, name: str) -> None:
    """The background process itself."""
    raise typer.Exit(run_daemon(root, name))


def _must_simulate() -> bool:
    missing = missing_for_real_hosts()
    if missing:
        progress("Simulated hosts, because real ones are not possible here:")
        for reason in missing:
            progress(f"  - {reason}")
    return bool(missing)


def _serve_here(directory: LabDirectory, lab: LabFile) -> None:
    """Be the lab in this very process, and clear everything away at the end."""

    def tell(served: Lab) -> None:
        typer.echo(as_shell(served.environment()), nl=False)
        progress("Ready. Ctrl-C ends the lab.")

    try:
        asyncio.run(serve(directory, lab, on_ready=tell))
    finally:
        stop(directory)


def _tell(lab: LabFile, *, env: bool) -> None:
    client = LabClient(lab.root_url)
    servers = client.servers()
    if not env:
        kind = "simulated" if lab.simulated else "real"
        typer.echo(f"Lab {lab.name!r}: {len(servers)} {kind} hosts, API at {lab.root_url}/api")
        print_servers(servers)
        return
    health = client.health()
    if health is None:
        raise Unavailable(
            f"Lab {lab.name!r} does not answer.", hint=f"Take it up again: lazaret lab up --name {lab.name}"
        )
    variables = lab_environment(
        base_url=f"{lab.root_url}/api",
        account=lab.account,
        server_ids=[server["server_id"] for server in servers],
        ssh_port=int(health["ssh_port"]),
        os_template=str(health["os_template"]),
        time_scale=lab.time_scale,
        simulated=lab.simulated,
    )
    typer.echo(as_shell(variables), nl=False)


def _settings(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE as JSON values; `handle=vps-1` means the server's id."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InvalidInput(f"{pair!r} is not KEY=VALUE.", hint="For example: times=3 call=resetpassword")
        if key == "handle":
            found["server_id"] = server_id_of(value)
            continue
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
