"""The provider's API over HTTP, below `/api`: gate, routing, answers in the documented shapes and their variants.

Knows the cloud; does nothing to hosts itself. What happens to the connection is in `gateway`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lazaret.kernel.clock import Clock
from lazaret.lab import shapes
from lazaret.lab.account import Account, Gate
from lazaret.lab.calls import Call, ProviderCall, parse_call
from lazaret.lab.cloud import Cloud
from lazaret.lab.orders import Refusal
from lazaret.lab.servers import CloudServer
from lazaret.lab.shapes import Json
from lazaret.lab.switches import DateForm, ErrorWith200, IdsAsStrings, Nulls, ShortList, SingleObject, Switch

BASE_PATH = "/api"
_SPELLINGS: tuple[tuple[type[Switch], Callable[[Json], Json]], ...] = (
    (SingleObject, shapes.as_single_object),
    (IdsAsStrings, shapes.with_string_ids),
    (DateForm, shapes.with_space_dates),
    (Nulls, shapes.with_nulls),
)


class ProviderApi:
    """Answers one request after the other; the journal gets every action call."""

    def __init__(self, cloud: Cloud, account: Account, clock: Clock) -> None:
        self._cloud = cloud
        self._account = account
        self._clock = clock
        self._gate = Gate(account, cloud.switches, clock)
        self._readers: dict[Call, Callable[[CloudServer, ProviderCall], Json]] = {
            Call.DETAILS: lambda server, _: shapes.details(server, clock.now()),
            Call.TASK: self._task,
            Call.OSES: lambda _server, _: [{"os": os.os, "title": os.title} for os in cloud.rack.templates],
            Call.IPS: lambda server, _: {"ips": list(server.additional_ips)},
            Call.HISTORY: lambda server, _: shapes.history(server, clock.now()),
            Call.GRAPHS: lambda server, call: shapes.graphs(server, _width_px(call.argument)),
            Call.SERVICE: lambda server, _: shapes.service(server, account.login),
        }

    async def answer(self, request: Request) -> Response:
        """Gate first, then routing, as the provider does."""
        call = parse_call(request.method, request.url.path.removeprefix(BASE_PATH))
        refused = self._gate.refusal(request.headers.get("authorization"), call)
        if refused is not None:
            if call is not None and call.is_action:
                self._note_refusal(call, refused)
            return JSONResponse(refused, status_code=401)
        if call is None:
            return JSONResponse(shapes.error("Unknown method"), status_code=404)
        if (switch := self._cloud.switches.take(ErrorWith200, call.kind, call.server_id)) is not None:
            if call.is_action:
                self._note_refusal(call, switch.text)
            return JSONResponse({"error": switch.text} if switch.bare else shapes.error(switch.text))
        try:
            body = self._act(call, await _parameters(request)) if call.is_action else self._read(call)
        except Refusal as refusal:
            if call.is_action:
                self._note_refusal(call, refusal.text)
            return JSONResponse(shapes.error(refusal.text), status_code=refusal.status)
        return JSONResponse(self._spelt(body, call))

    def _act(self, call: ProviderCall, parameters: Mapping[str, str]) -> Json:
        assert call.server_id is not None, "every action names its server"
        task_id = self._cloud.order(call.kind, call.server_id, parameters)
        self._cloud.journal.call(call.kind, call.server_id, "accepted", task_id=task_id)
        return {"task_id": task_id}

    def _read(self, call: ProviderCall) -> Json:
        self._cloud.journal.reads[call.kind.value] += 1
        match call.kind:
            case Call.LIST:
                return self._list()
            case Call.SERVICES:
                return {"services": [shapes.service_row(server) for server in self._cloud.servers()]}
            case Call.SCRIPTS:
                return [{key: value for key, value in one.items() if key != "content"} for one in shapes.SCRIPTS]
            case Call.SCRIPT:
                return _script(call.argument)
        server = self._cloud.find(call.server_id) if call.server_id is not None else None
        if server is None:
            raise Refusal("Server not found", status=404)
        return self._readers[call.kind](server, call)

    def _list(self) -> Json:
        rows = shapes.rows(self._cloud.servers())
        short = self._cloud.switches.take(ShortList, Call.LIST)
        return rows[: short.keep] if short is not None else rows

    def _task(self, server: CloudServer, call: ProviderCall) -> Json:
        task = self._cloud.find_task(server.server_id, call.argument)
        if task is None:
            raise Refusal("Invalid task ID", status=404)
        return shapes.task(task)

    def _spelt(self, body: Json, call: ProviderCall) -> Json:
        for kind, spell in _SPELLINGS:
            if self._cloud.switches.take(kind, call.kind, call.server_id) is not None:
                body = spell(body)
        return body

    def _note_refusal(self, call: ProviderCall, body: Json) -> None:
        reason = body["error"][0] if isinstance(body, dict) else body
        note = reason if isinstance(reason, str) else str(reason[0])
        self._cloud.journal.call(call.kind, call.server_id, "refused", note=note)


async def _parameters(request: Request) -> dict[str, str]:
    """What was sent, from JSON, a form or the query, as strings; null counts as not sent."""
    sent: dict[str, Any] = dict(request.query_params)
    body = await request.body()
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        sent.update(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    elif body:
        try:
            decoded = json.loads(body)
        except ValueError:
            raise Refusal("Invalid JSON") from None
        if not isinstance(decoded, dict):
            raise Refusal("Invalid parameters")
        sent.update(decoded)
    return {key: _as_text(value) for key, value in sent.items() if value is not None}


def _as_text(value: object) -> str:
    # a JSON true is not the documented STRING "true", and stays distinguishable from it
    return value if isinstance(value, str) else repr(value)


def _width_px(argument: str) -> int:
    width_px = int(argument[:6])
    if not 200 <= width_px <= 768:
        raise Refusal("Invalid width")
    return width_px


def _script(argument: str) -> Json:
    found = next((one for one in shapes.SCRIPTS if str(one["id"]) == argument), None)
    if found is None:
        raise Refusal("Script not found", status=404)
    return found
