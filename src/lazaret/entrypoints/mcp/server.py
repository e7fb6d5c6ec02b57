"""The table of tools as an MCP server. Who calls is asked for each request; nothing of a caller is kept."""

import json
from collections.abc import Callable
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from lazaret import __version__
from lazaret.agents.call import Agency
from lazaret.agents.caller import AgentCaller
from lazaret.agents.resources import PAGES, page_at
from lazaret.agents.toolbox import INSTRUCTIONS, Tool, call_tool, has_failed, tools_for
from lazaret.kernel.errors import NotFound

Context = ServerRequestContext[Any, Any]
WhoCalls = Callable[[Context], AgentCaller]


def mcp_server(agency: Agency, who_calls: WhoCalls) -> Server[Any]:
    """The server, for either transport."""

    async def list_tools(ctx: Context, _: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[_presented(tool) for tool in tools_for(who_calls(ctx))], ttl_ms=0, cache_scope="private"
        )

    async def call(ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        answer = await call_tool(agency, who_calls(ctx), params.name, params.arguments or {})
        text = json.dumps(answer, ensure_ascii=False)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)], structured_content=answer, is_error=has_failed(answer)
        )

    return Server(
        "lazaret",
        version=__version__,
        title="Lazaret",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call,
        on_list_resources=_list_resources,
        on_read_resource=_read_resource,
    )


def _presented(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.schema,
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=not tool.acts,
            destructive_hint=tool.is_destructive,
            idempotent_hint=not tool.is_destructive,
            open_world_hint=False,
        ),
    )


async def _list_resources(_: Context, __: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    return types.ListResourcesResult(
        resources=[
            types.Resource(uri=page.uri, name=page.name, description=page.says, mime_type="text/markdown")
            for page in PAGES
        ],
        ttl_ms=0,
        cache_scope="private",
    )


async def _read_resource(_: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    try:
        page = page_at(str(params.uri))
    except NotFound as error:
        raise MCPError(types.INVALID_PARAMS, str(error)) from None
    text = types.TextResourceContents(uri=page.uri, mime_type="text/markdown", text=page.make())
    return types.ReadResourceResult(contents=[text], ttl_ms=0, cache_scope="private")
