"""One person's phone, for tests: writes, reads, presses."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import httpx

Json = dict[str, Any]


@dataclass
class Phone:
    """The phone of one person; `http` is a client whose base address is the lab's messenger."""

    http: httpx.AsyncClient
    person: int

    @classmethod
    async def of(cls, http: httpx.AsyncClient, person: int, first_name: str, language_code: str = "en") -> Self:
        """The phone of somebody, who is made if need be."""
        facts = {"first_name": first_name, "language_code": language_code, "username": first_name.lower()}
        await http.post(f"/lab/people/{person}", json=facts)
        return cls(http, person)

    async def messages(self) -> list[Json]:
        """Every message in the chat with the bot, oldest first, deleted ones left out."""
        body = (await self.http.get(f"/lab/people/{self.person}")).json()
        return [one for one in body["messages"] if not one["is_deleted"]]

    async def told(self) -> list[Json]:
        """What the bot wrote."""
        return [one for one in await self.messages() if one["from_bot"]]

    async def write(self, text: str) -> int:
        """Write to the bot; returns the message's id."""
        return int((await self.http.post(f"/lab/people/{self.person}/write", json={"text": text})).json()["id"])

    async def ask(self, text: str, *, timeout_s: float = 15) -> Json:
        """Write, and return the bot's next new message."""
        sent = await self.write(text)
        return await self.until(lambda one: one["id"] > sent, timeout_s=timeout_s)

    async def press(self, label: str, *, on: Json | None = None, timeout_s: float = 15) -> str:
        """Press the newest button of that label; returns what the bot answered to the press."""
        message = on or await self.until(lambda one: _button(one, label) is not None, timeout_s=timeout_s)
        button = _button(message, label)
        assert button is not None, f"no button {label!r} under {message['text']!r}"
        return await self.press_data(message["id"], button["callback_data"], timeout_s=timeout_s)

    async def press_data(self, message_id: int, data: str, *, chat_id: int | None = None, timeout_s: float = 15) -> str:
        """Send any data as if a button had been pressed; returns the bot's answer."""
        body = {"message_id": message_id, "data": data, "chat_id": chat_id or self.person}
        query = (await self.http.post(f"/lab/people/{self.person}/press", json=body)).json()["query_id"]
        ends_at = time.monotonic() + timeout_s
        while time.monotonic() < ends_at:
            answer = (await self.http.get(f"/lab/toasts/{query}")).json()
            if answer["is_answered"]:
                return str(answer["text"])
            await asyncio.sleep(0.05)
        raise AssertionError(f"the bot did not answer to the press of {data!r}")

    async def until(self, found: Callable[[Json], bool], *, timeout_s: float = 15) -> Json:
        """The newest message of the bot's that fits, as soon as there is one."""
        ends_at = time.monotonic() + timeout_s
        while time.monotonic() < ends_at:
            fitting = [one for one in await self.told() if found(one)]
            if fitting:
                return fitting[-1]
            await asyncio.sleep(0.05)
        texts = "\n---\n".join(one["text"] for one in await self.told())
        raise AssertionError(f"no such message within {timeout_s} s; the bot wrote:\n{texts}")


def _button(message: Json, label: str) -> Json | None:
    buttons = [button for row in message["keyboard"] for button in row]
    return next((button for button in buttons if label in button["text"]), None)
