"""The one place where the lab runs programs of the machine: argument lists in, text out, errors as `CommandFailed`.

Secrets go through standard input, which is never shown.
"""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress

from lazaret.kernel.errors import LazaretError

_SHOWN_CHARACTERS = 400


class CommandFailed(LazaretError):
    """A program that the lab needs ended badly or took too long; its last words are in the message."""

    code = "lab_command_failed"


async def run(
    *command: str, stdin: str = "", environment: Mapping[str, str] | None = None, timeout_s: float = 30
) -> str:
    """Standard output of the program. Raises `CommandFailed`; whatever it started is killed when time is up."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(f"{command[0]} cannot be started: {error.strerror}.") from None
    try:
        async with asyncio.timeout(timeout_s):
            output, complaints = await process.communicate(stdin.encode())
    except TimeoutError:
        raise CommandFailed(f"{_shown(command)} took longer than {timeout_s:.0f} s.") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        said = [text.decode(errors="replace").strip()[-_SHOWN_CHARACTERS:] for text in (complaints, output)]
        raise CommandFailed(f"{_shown(command)} ended with {process.returncode}: {'; '.join(filter(None, said))}")
    return output.decode(errors="replace")


def _shown(command: tuple[str, ...]) -> str:
    return " ".join(command)[:_SHOWN_CHARACTERS].replace("\n", " ")
