"""A model whose words are written down before, under the loop that docs/howto/agents.md shows."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "agents.md"
Line = Callable[[Sequence[BaseMessage]], AIMessage]


class ScriptedModel(GenericFakeChatModel):
    """Says one line of its script after the other; each may depend on what was said before."""

    script: list[Line]

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.script.pop(0)(messages))])

    def bind_tools(self, *_: Any, **__: Any) -> "ScriptedModel":  # type: ignore[override]
        return self


def scripted(*lines: Line) -> ScriptedModel:
    return ScriptedModel(messages=iter(()), script=list(lines))


def asks(tool: str, **arguments: Any) -> AIMessage:
    """The model calls a tool."""
    return AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": f"call-{tool}"}])


def example() -> dict[str, Any]:
    """The names that the page's example defines; `ask` is the one to call."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(source, "agents.md", "exec"), names)
    return names
