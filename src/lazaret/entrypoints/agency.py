"""What tools for agents need, wired in a process that has an office; and the tools for a program of its own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from langchain_core.tools import BaseTool

from lazaret.agents.call import Agency
from lazaret.agents.caller import AgentCaller
from lazaret.agents.errand import Parts
from lazaret.agents.graph import Orchestrator
from lazaret.agents.langchain import langchain_tools
from lazaret.entrypoints.checkpoints import open_checkpoints
from lazaret.entrypoints.cli.session import actor
from lazaret.entrypoints.harbour import harbour_of
from lazaret.entrypoints.office import Office, open_office
from lazaret.healing.wishes import Wishes
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import Settings, load_settings
from lazaret.users.model import Role
from lazaret.users.store import caller_of

ERRANDS_AT_ONCE = 4
"""Each keeps a connection while it waits."""


@asynccontextmanager
async def open_agency(office: Office) -> AsyncIterator[Agency]:
    """The parts of tools and orchestrator. They touch no machine."""
    async with AsyncExitStack() as stack:
        checkpoints = await open_checkpoints(office.conninfo, stack, most=ERRANDS_AT_ONCE)
        wishes = Wishes(office.intents, timedelta(hours=office.settings.lazaret_approval_hours))
        parts = Parts(office.db, office.clock, office.redactor, harbour_of(office), wishes)
        yield Agency(parts, Orchestrator(parts, checkpoints))


async def caller_here(office: Office, *, may_act: bool) -> AgentCaller:
    """Who acts in this process: who has LAZARET_TOKEN, else the user of this machine. Raises `Unauthenticated`."""
    token = office.settings.lazaret_token
    if token is None:
        return AgentCaller(actor().name, Role.OPERATOR if may_act else Role.VIEWER, may_act=may_act)
    async with office.db.transaction() as session:
        found = await caller_of(session, token, at=office.clock.now())
    return AgentCaller(found.name, found.role, may_act=may_act)


@asynccontextmanager
async def open_tools(*, write: bool = False, settings: Settings | None = None) -> AsyncIterator[list[BaseTool]]:
    """LangChain tools over the installation that the settings name, as the command line would find it.

    They only look, unless `write`; then those that act are among them as well.
    """
    settings = settings or load_settings()
    async with open_office(settings, redactor=Redactor()) as office, open_agency(office) as agency:
        yield langchain_tools(agency, await caller_here(office, may_act=write))
