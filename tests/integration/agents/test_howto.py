"""What docs/howto/agents.md shows does what it says, with a model whose words are written down before."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from lazaret.entrypoints.office import Office

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "agents.md"
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


async def test_the_langchain_example(fleet: Office, monkeypatch: Any) -> None:
    monkeypatch.setenv("DATABASE_URL", fleet.conninfo)
    monkeypatch.setenv("LAZARET_DATA_DIR", str(fleet.settings.lazaret_data_dir))
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    example: dict[str, Any] = {}
    exec(compile(source, "agents.md", "exec"), example)
    model = scripted(
        lambda _: asks("why", server_handle="vps-2005"),
        lambda said: AIMessage("It is in trouble." if '"status": "error"' in str(said[-1].content) else "It is well."),
    )
    assert await example["ask"](model, "How is vps-2005?") == "It is in trouble."
