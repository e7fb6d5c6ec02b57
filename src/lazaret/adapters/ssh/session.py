"""Commands on an open SSH connection. Fulfils `servers.access.RemoteSession`."""

import asyncio
import contextlib

import asyncssh

from lazaret.servers.access import CommandResult, CommandTimeout, ConnectionLost, SshEndpoint

OUTPUT_LIMIT = 1024 * 1024
"""Bytes kept of each stream of a command; what comes after is read and dropped."""
_CHUNK = 65_536


class AsyncSshSession:
    """One open, authenticated connection; whoever made it closes it."""

    def __init__(self, connection: asyncssh.SSHClientConnection, endpoint: SshEndpoint) -> None:
        self._connection = connection
        self._endpoint = endpoint

    async def run(self, command: str, *, stdin: str = "", timeout_s: float = 30) -> CommandResult:
        try:
            async with asyncio.timeout(timeout_s) as limit:
                return await self._run(command, stdin.encode())
        except (asyncssh.Error, OSError) as error:  # a TimeoutError is an OSError
            if limit.expired():
                self._connection.abort()
                raise CommandTimeout(
                    f"A command on {self._endpoint.address} took longer than {timeout_s:.0f} s."
                ) from None
            raise self._lost(type(error).__name__) from None

    async def _run(self, command: str, stdin: bytes) -> CommandResult:
        process = await self._connection.create_process(command, encoding=None)
        try:
            with contextlib.suppress(BrokenPipeError):  # it may be over already, or not care for its input
                process.stdin.write(stdin)
                process.stdin.write_eof()
            stdout, stderr = await asyncio.gather(_kept(process.stdout), _kept(process.stderr))
            await process.wait_closed()
        finally:
            process.close()
        if process.exit_status is None:
            raise self._lost("no exit status")
        return CommandResult(process.exit_status, _text(stdout), _text(stderr))

    def _lost(self, why: str) -> ConnectionLost:
        return ConnectionLost(f"The connection to {self._endpoint.address} ended in the middle of a command: {why}.")


async def _kept(stream: asyncssh.SSHReader[bytes]) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(_CHUNK):
        kept += chunk[: OUTPUT_LIMIT - len(kept)]
    return bytes(kept)


def _text(output: bytes) -> str:
    return output.decode("utf-8", errors="replace")
