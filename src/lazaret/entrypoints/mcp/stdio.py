"""`lazaret mcp`: the tools over standard input and output, for a client that starts this as its subprocess."""

from mcp.server.stdio import stdio_server

from lazaret.entrypoints.agency import caller_here, open_agency
from lazaret.entrypoints.mcp.server import mcp_server
from lazaret.entrypoints.office import Office


async def run_stdio(office: Office, *, may_act: bool) -> None:
    """Serve one client until it closes our input. Standard output is the protocol's; the log goes to standard error."""
    async with open_agency(office) as agency:
        caller = await caller_here(office, may_act=may_act)
        server = mcp_server(agency, lambda _: caller)
        async with stdio_server() as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())
