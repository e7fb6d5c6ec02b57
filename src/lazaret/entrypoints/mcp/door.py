"""`/mcp` of the API: who calls is proved by a bearer token, then the request is the MCP server's.

The server's library is large and most installations never need it, so it is imported at the first call.
"""

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from lazaret.agents.caller import AgentCaller
from lazaret.entrypoints.api.problems import STATUS, problem
from lazaret.entrypoints.office import Office
from lazaret.kernel.errors import LazaretError, Unauthenticated, Unavailable
from lazaret.kernel.logging import get_logger
from lazaret.kernel.loops import end_tasks
from lazaret.users.store import caller_of

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

logger = get_logger(__name__)

PATH = "/mcp"


class McpDoor:
    """An ASGI application. Stateless: any process may take any request, and a restart loses nothing."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._opening = asyncio.Lock()
        self._serving: asyncio.Task[None] | None = None
        self._manager: StreamableHTTPSessionManager | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            scope.setdefault("state", {})["agent"] = await self._caller(request)
            manager = await self._opened()
        except LazaretError as error:
            refusal = problem(STATUS[error.category], error.code, error.message, hint=error.hint)
            await refusal(scope, receive, send)
            return
        await manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """End what serves, if anything ever asked."""
        if self._serving is not None:
            await end_tasks(self._serving)

    async def _caller(self, request: Request) -> AgentCaller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("This call needs a token.", hint="Send the header: Authorization: Bearer TOKEN")
        async with self._office.db.transaction() as session:
            found = await caller_of(session, SecretStr(token.strip()), at=self._office.clock.now())
        return AgentCaller(found.name, found.role, may_act=self._office.settings.lazaret_mcp_write)

    async def _opened(self) -> "StreamableHTTPSessionManager":
        async with self._opening:
            if self._manager is None or self._serving is None or self._serving.done():
                opened: asyncio.Future[StreamableHTTPSessionManager] = asyncio.get_running_loop().create_future()
                self._serving = asyncio.create_task(self._serve(opened))
                waiting: set[asyncio.Future[Any]] = {self._serving, opened}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if not opened.done():
                    logger.error("mcp.not_opened", exc_info=self._serving.exception())
                    raise Unavailable("The tools could not be opened.", hint="The log says why; try again in a moment.")
                self._manager = opened.result()
            return self._manager

    async def _serve(self, opened: "asyncio.Future[StreamableHTTPSessionManager]") -> None:
        """Keeps the agency and the session manager open; both must be closed by the task that opened them."""
        agency_module: Any = await asyncio.to_thread(importlib.import_module, "lazaret.entrypoints.agency")
        server_module: Any = await asyncio.to_thread(importlib.import_module, "lazaret.entrypoints.mcp.server")
        managers: Any = importlib.import_module("mcp.server.streamable_http_manager")
        async with agency_module.open_agency(self._office) as agency:
            server = server_module.mcp_server(agency, lambda ctx: ctx.request.state.agent)
            manager = managers.StreamableHTTPSessionManager(server, json_response=True, stateless=True)
            async with manager.run():
                opened.set_result(manager)
                await asyncio.Event().wait()
