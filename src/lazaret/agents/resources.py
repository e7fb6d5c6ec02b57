"""Pages that a model may read before it judges: made from the code, so that they are true of this version."""

from collections.abc import Callable
from dataclasses import dataclass

from lazaret.agents import graph_doc as orchestrator
from lazaret.healing import graph_doc as recovery
from lazaret.kernel.errors import NotFound
from lazaret.provisioning import graph_doc as provisioning
from lazaret.servers.states_doc import states_page


@dataclass(frozen=True, slots=True)
class Page:
    """One page of Markdown under an address."""

    name: str
    says: str
    make: Callable[[], str]

    @property
    def uri(self) -> str:
        return f"lazaret://{self.name}"


PAGES = (
    Page("states", "What each status of a server means, and what may change it.", states_page),
    Page("recovery", "How a lost server is brought back: conditions, ladders, remedies.", recovery.graph_page),
    Page("provisioning", "How a server is set up, step by step.", provisioning.graph_page),
    Page("orchestrator", "How a service gets a server.", orchestrator.graph_page),
)


def page_at(uri: str) -> Page:
    """The page under this address, or `NotFound`."""
    for page in PAGES:
        if page.uri == uri:
            return page
    raise NotFound(f"There is no resource {uri[:80]!r}.", hint=f"There are: {', '.join(page.uri for page in PAGES)}.")
