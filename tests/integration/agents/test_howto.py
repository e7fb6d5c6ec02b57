"""What docs/howto/agents.md shows does what it says."""

from typing import Any

from langchain_core.messages import AIMessage

from lazaret.entrypoints.office import Office
from tests.scripted_model import asks, example, scripted


async def test_the_langchain_example(fleet: Office, monkeypatch: Any) -> None:
    monkeypatch.setenv("DATABASE_URL", fleet.conninfo)
    monkeypatch.setenv("LAZARET_DATA_DIR", str(fleet.settings.lazaret_data_dir))
    model = scripted(
        lambda _: asks("why", server_handle="vps-2005"),
        lambda said: AIMessage("It is in trouble." if '"status": "error"' in str(said[-1].content) else "It is well."),
    )
    assert await example()["ask"](model, "How is vps-2005?") == "It is in trouble."
