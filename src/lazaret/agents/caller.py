"""Who calls tools, and what they may do. Proved elsewhere, by a token or by the machine."""

from dataclasses import dataclass

from lazaret.kernel.audit import Actor, Channel
from lazaret.users.model import Role


@dataclass(frozen=True, slots=True)
class AgentCaller:
    """Who calls, and what they may do. Tools that act are off unless they were switched on."""

    name: str
    role: Role = Role.VIEWER
    may_act: bool = False

    @property
    def actor(self) -> Actor:
        return Actor(self.name, Channel.AGENT)
