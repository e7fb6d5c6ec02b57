"""The tools as LangChain's: for programs in Python that put Lazaret beside other tools of an agent."""

from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.tools import BaseTool, tool

from lazaret.agents.call import Agency
from lazaret.agents.caller import AgentCaller
from lazaret.agents.toolbox import Tool, call_tool, tools_for


def langchain_tools(agency: Agency, caller: AgentCaller) -> list[BaseTool]:
    """The tools that this caller may use. They answer a dictionary; what goes wrong is in it under `error`."""
    return [_presented(agency, caller, one) for one in tools_for(caller)]


def _presented(agency: Agency, caller: AgentCaller, one: Tool) -> BaseTool:
    made: BaseTool = tool(one.name, description=one.description, args_schema=one.schema)(_function(agency, caller, one))
    made.metadata = {"role": one.role.value, "acts": one.acts}
    return made


def _function(agency: Agency, caller: AgentCaller, one: Tool) -> Callable[..., Awaitable[dict[str, Any]]]:
    async def function(**arguments: Any) -> dict[str, Any]:
        return await call_tool(agency, caller, one.name, arguments)

    return function
