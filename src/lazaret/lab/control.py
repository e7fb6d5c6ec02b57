"""The lab's own API below `/lab`: what its operator and the tests do. Not part of the provider; loopback only.

Translates requests to the cloud, the switches and the journal; errors are problem details.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lazaret.kernel.errors import Category, InvalidInput, LazaretError
from lazaret.lab.cloud import Cloud
from lazaret.lab.faults import FAULTS
from lazaret.lab.servers import ActiveFault, CloudServer, handle_of
from lazaret.lab.switches import SWITCH_TYPES, parse_switch

_STATUS = {Category.INVALID: 422, Category.NOT_FOUND: 404, Category.CONFLICT: 409}


@dataclass(slots=True)
class LabStatus:
    """How far the lab's start has come; `problem` is one sentence when it failed."""

    name: str
    wanted_hosts: int = 0
    is_ready: bool = False
    problem: str = ""
    step: str = "starting"


class NewServer(BaseModel):
    """Body of POST /lab/servers."""

    model_config = ConfigDict(extra="forbid")

    os: str | None = None
    label: str = Field(default="", max_length=100)


class ControlApi:
    """The handlers of `/lab`."""

    def __init__(self, cloud: Cloud, status: LabStatus) -> None:
        self._cloud = cloud
        self._status = status
        self._verbs: dict[str, Callable[[int], Awaitable[None]]] = {
            "power-off": cloud.power_off,
            "power-on": cloud.power_on,
            "end-task": self._end_task,
        }

    def routes(self) -> list[Route]:
        """To be mounted below `/lab`."""
        table: tuple[tuple[str, str, Callable[[Request], Awaitable[Response]]], ...] = (
            ("GET", "/health", self._health),
            ("GET", "/servers", self._servers),
            ("POST", "/servers", self._add),
            ("DELETE", "/servers/{server_id:int}", self._remove),
            ("GET", "/servers/{server_id:int}/root-password", self._root_password),
            ("POST", "/servers/{server_id:int}/faults", self._inflict),
            ("DELETE", "/servers/{server_id:int}/faults", self._heal),
            ("DELETE", "/servers/{server_id:int}/faults/{name:path}", self._heal),
            ("GET", "/faults", self._faults),
            ("POST", "/servers/{server_id:int}/{verb}", self._do),
            ("GET", "/switches", self._switches),
            ("POST", "/switches", self._set_switch),
            ("DELETE", "/switches", self._clear_switches),
            ("DELETE", "/switches/{name}", self._clear_switches),
            ("GET", "/journal", self._journal),
        )
        return [Route(path, _guarded(handler), methods=[method]) for method, path, handler in table]

    async def _health(self, _: Request) -> Response:
        status = self._status
        return JSONResponse(
            {
                "name": status.name,
                "simulated": self._cloud.rack.simulated,
                "ssh_port": self._cloud.rack.ssh_port,
                "os_template": self._cloud.rack.templates[0].os,
                "wanted_hosts": status.wanted_hosts,
                "hosts": len(self._cloud.servers()),
                "is_ready": status.is_ready,
                "problem": status.problem,
                "step": status.step,
            }
        )

    async def _servers(self, _: Request) -> Response:
        return JSONResponse([await self._row(server) for server in self._cloud.servers()])

    async def _add(self, request: Request) -> Response:
        try:
            wanted = NewServer.model_validate_json(await request.body() or b"{}")
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "body"
            raise InvalidInput(f"{field}: {first['msg']}.") from None
        server = await self._cloud.add_server(os=wanted.os, label=wanted.label)
        return JSONResponse(await self._row(server), status_code=201)

    async def _remove(self, request: Request) -> Response:
        await self._cloud.remove_server(request.path_params["server_id"])
        return Response(status_code=204)

    async def _root_password(self, request: Request) -> Response:
        """The truth, for tests and for the "phone home" of the demo; the provider has no such call."""
        server = self._cloud.server(request.path_params["server_id"])
        return JSONResponse({"root_password": server.root_password.get_secret_value()})

    async def _do(self, request: Request) -> Response:
        verb = request.path_params["verb"]
        if (act := self._verbs.get(verb)) is None:
            raise InvalidInput(f"{verb!r} is nothing the lab can do.", hint=f"It can do {', '.join(self._verbs)}.")
        server_id = request.path_params["server_id"]
        await act(server_id)
        return JSONResponse(await self._row(self._cloud.server(server_id)))

    async def _end_task(self, server_id: int) -> None:
        self._cloud.end_task(server_id)

    async def _faults(self, _: Request) -> Response:
        on = [
            _fault_row(server.server_id, fault)
            for server in self._cloud.servers()
            for fault in await self._cloud.faults(server.server_id)
        ]
        return JSONResponse({"on": on, "known": [fault.as_json() for fault in FAULTS.values()]})

    async def _inflict(self, request: Request) -> Response:
        """Body: `name`, and the fault's parameters beside it."""
        server_id = request.path_params["server_id"]
        parameters = await _json_object(request)
        name = parameters.pop("name", None)
        fault = await self._cloud.inflict(server_id, str(name or ""), parameters)
        return JSONResponse(_fault_row(server_id, fault), status_code=201)

    async def _heal(self, request: Request) -> Response:
        path = request.path_params
        return JSONResponse({"healed": await self._cloud.heal(path["server_id"], path.get("name"))})

    async def _switches(self, _: Request) -> Response:
        return JSONResponse({"on": self._cloud.switches.current(), "known": sorted(SWITCH_TYPES)})

    async def _set_switch(self, request: Request) -> Response:
        data = await _json_object(request)
        switch = parse_switch(data)
        self._cloud.switches.set(switch)
        self._cloud.journal.control("switch", switch.server_id, note=str(data["name"]))
        return JSONResponse(self._cloud.switches.current(), status_code=201)

    async def _clear_switches(self, request: Request) -> Response:
        name = request.path_params.get("name")
        if name is not None and name not in SWITCH_TYPES:
            raise InvalidInput(f"{name!r} is no switch.", hint=f"Switches are {', '.join(sorted(SWITCH_TYPES))}.")
        self._cloud.switches.clear(name)
        return Response(status_code=204)

    async def _journal(self, request: Request) -> Response:
        query = request.query_params
        found = self._cloud.journal.entries(
            kind=query.get("kind"),
            action=query.get("action"),
            server_id=_number(query.get("server_id"), "server_id"),
            outcome=query.get("outcome"),
            after=_number(query.get("after"), "after") or 0,
        )
        return JSONResponse({"entries": [one.as_json() for one in found], "reads": dict(self._cloud.journal.reads)})

    async def _row(self, server: CloudServer) -> dict[str, Any]:
        faults = await self._cloud.faults(server.server_id)
        active = server.active_task
        return {
            "handle": handle_of(server.server_id),
            "server_id": server.server_id,
            "public_ip": server.address,
            "ssh_port": server.ssh_port,
            "hostname": server.hostname,
            "label": server.label,
            "os": server.os,
            "is_on": self._cloud.host(server.server_id).is_on,
            "active_task": active.name if active else None,
            "faults": [str(fault) for fault in faults],
        }


def _guarded(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Loopback only, and errors as problem details."""

    async def guarded(request: Request) -> Response:
        if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
            return _problem(403, "forbidden", "The lab is operated from its own machine only.", "")
        try:
            return await handler(request)
        except LazaretError as error:
            return _problem(_STATUS.get(error.category, 500), error.code, error.message, error.hint)

    return guarded


def _problem(status: int, code: str, detail: str, hint: str) -> Response:
    body = {"type": "about:blank", "title": code, "status": status, "detail": detail, "hint": hint}
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


def _fault_row(server_id: int, fault: ActiveFault) -> dict[str, Any]:
    return {
        "handle": handle_of(server_id),
        "server_id": server_id,
        "name": fault.name,
        "parameters": fault.parameters,
    }


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        data = await request.json()
    except ValueError:
        raise InvalidInput("The body is not JSON.") from None
    if not isinstance(data, dict):
        raise InvalidInput("The body is no JSON object.")
    return data


def _number(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise InvalidInput(f"{name} must be a whole number, not {text!r}.")
    return int(text)
