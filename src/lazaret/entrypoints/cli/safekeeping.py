"""Commands that keep Lazaret itself: backup and restore."""

import getpass
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import SecretStr

from lazaret.entrypoints.cli.render import print_line
from lazaret.entrypoints.cli.session import actor, command, office, prepare
from lazaret.kernel.errors import Forbidden, InvalidInput, Misconfigured
from lazaret.kernel.settings import Settings, load_settings

if TYPE_CHECKING:
    from lazaret.entrypoints.safekeeping.parking import Parked
    from lazaret.entrypoints.safekeeping.restore import Backup

SHORTEST = 12
"""Characters of a passphrase. Who has the file may try as many as they like."""

PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File whose first line is the passphrase.")
]
PassphraseStdin = Annotated[
    bool, typer.Option("--passphrase-stdin", help="Read the passphrase from standard input, up to its first newline.")
]


@command
async def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    passphrase_file: PassphraseFile = None,
    passphrase_stdin: PassphraseStdin = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite the file when it exists.")] = False,
) -> None:
    """Write state and keys into one file, encrypted with a passphrase. Lazaret may go on running."""
    from lazaret.entrypoints.safekeeping.backup import check_name, write_backup  # noqa: PLC0415

    check_name(file, replace=replace)
    passphrase = _passphrase(passphrase_file, from_stdin=passphrase_stdin, is_new=True)
    async with office() as here:
        written = await write_backup(here, file, passphrase, actor(), replace=replace)
    print_line(f"Wrote {file}: {_in_words(written.counts)}; {written.size / 1024:,.0f} KB.")
    print_line("Keep it, and the passphrase, on another machine than this: without the passphrase nobody can read it.")


@command
async def restore(
    file: Annotated[Path, typer.Argument(help="What `lazaret backup` has written.")],
    passphrase_file: PassphraseFile = None,
    passphrase_stdin: PassphraseStdin = False,
    check: Annotated[bool, typer.Option("--check", help="Only read all of it and say what is in it.")] = False,
    revoke_tokens: Annotated[
        bool, typer.Option("--revoke-tokens", help="Let no token of the backup in: one may have been revoked since.")
    ] = False,
) -> None:
    """Bring a backup back into a new, empty installation. It watches; it touches nothing until `lazaret unfreeze`."""
    settings = load_settings()
    if settings.lazaret_token is not None:
        raise Forbidden(
            "A restore is for the owner of this machine, not for a token: there is nothing yet that knows it.",
            hint="Unset LAZARET_TOKEN.",
        )
    from lazaret.entrypoints.safekeeping.restore import check_readable, look_into, missing_keys  # noqa: PLC0415
    from lazaret.entrypoints.safekeeping.restore import restore as bring_back  # noqa: PLC0415
    from lazaret.kernel.clock import SystemClock  # noqa: PLC0415

    check_readable(file)
    passphrase = _passphrase(passphrase_file, from_stdin=passphrase_stdin, is_new=False)
    found = look_into(file, passphrase)
    if check:
        print_line(f"{file} is whole: {found.origin}, {_in_words(found.counts)}.")
        return
    missing_keys(settings, found)
    prepare("warning")
    parked = await bring_back(settings, found, actor(), SystemClock(), revoke_tokens=revoke_tokens)
    _tell(settings, found, parked)


def _tell(settings: Settings, found: "Backup", parked: "Parked") -> None:
    """What is so now, and what the operator does next."""
    from lazaret.entrypoints.safekeeping.contents import settings_told  # noqa: PLC0415

    print_line(f"Restored the backup {found.origin}: {_in_words(found.counts)}.")
    print_line(f"The whole fleet is frozen (hold {parked.hold_id}): Lazaret watches, and touches nothing.")
    if parked.ended:
        print_line("Under way when the backup was made, and ended here, for nobody knows what became of it since:")
        for line in parked.ended:
            print_line(f"  {line}")
    if parked.tokens:
        print_line("Valid again, also those that were revoked after the backup, are the tokens:")
        for line in parked.tokens:
            print_line(f"  {line}")
    typer.secho("\nNow:", bold=True)
    steps = ["Make sure that the old machine is off and stays off. Two of them would work against each other."]
    here = settings_told(settings)
    strange = {name: value for name, value in found.settings.items() if here.get(name, "") != value}
    if strange:
        steps.append("Settings are yours to make again; these were not as they are here:")
        steps[-1] += "".join(
            f"\n     {name}{f'={value}' if value is not None else '  (a secret)'}" for name, value in strange.items()
        )
    if parked.tokens:
        steps.append(
            "Refuse those that you do not know to be good, before anybody can use them: lazaret token revoke ID"
        )
    steps += [
        "Roles are those of the backup too: lazaret users",
        "Start Lazaret: lazaret up",
        "Is what it sees true? lazaret servers; lazaret incidents --active; lazaret why HANDLE",
        "Give it back its hands: lazaret unfreeze",
    ]
    for number, step in enumerate(steps, 1):
        print_line(f"  {number}. {step}")


def _in_words(counts: Mapping[str, int]) -> str:
    told = ("servers", "incidents", "operations", "service_deployments", "users")
    return ", ".join(f"{counts.get(name, 0)} {name.replace('service_', '')}" for name in told)


def _passphrase(path: Path | None, *, from_stdin: bool, is_new: bool) -> SecretStr:
    """From a file, standard input or the keyboard, never from an argument. Raises `InvalidInput`."""
    if path is not None and from_stdin:
        raise InvalidInput("Give the passphrase once.", hint="Either --passphrase-file or --passphrase-stdin.")
    if path is not None:
        text = _first_line_of(path)
    elif from_stdin:
        text = _decoded(sys.stdin.buffer.readline())
    elif sys.stdin.isatty():
        text = _typed(is_new=is_new)
    else:
        raise InvalidInput("There is no passphrase.", hint="Give --passphrase-file FILE or --passphrase-stdin.")
    text = text.rstrip("\r\n")
    if not text:
        raise InvalidInput("The passphrase is empty.", hint="Its first line is the passphrase.")
    if is_new and len(text) < SHORTEST:
        raise InvalidInput(
            f"The passphrase has fewer than {SHORTEST} characters.", hint="Make one: openssl rand -base64 24"
        )
    return SecretStr(text)


def _first_line_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _decoded(file.readline())
    except OSError as error:
        raise Misconfigured(
            f"The passphrase file {path} cannot be read: {error.strerror or error}.", hint="Make it readable for you."
        ) from None


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise InvalidInput("The passphrase is no text.", hint="Write it as UTF-8, in one line.") from None


def _typed(*, is_new: bool) -> str:
    text = getpass.getpass("Passphrase: ")
    if is_new and getpass.getpass("Again: ") != text:
        raise InvalidInput("The two are not the same.", hint="Type it again.")
    return text
