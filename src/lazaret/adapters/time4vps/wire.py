"""The provider's answers turned into our values: lenient about shape, because its shapes vary.

Ids as number or text, null, empty or missing for the same thing, one object in place of a list, two forms of date.
What cannot be understood is `ProviderUnavailable`, whose message never shows what was received.
"""

import ipaddress
import re
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, ValidationError

from lazaret.servers.provider import ListedServer, OsTemplate, ProviderTask, ProviderUnavailable, ServerDetails


def listed_servers(body: object) -> list[ListedServer]:
    """`GET /server`. A row without an id makes the whole list unreadable: a part of it must not pass for all."""
    rows = [_parsed(_ListedRow, row, needs=("server_id",)) for row in _rows(body)]
    return [ListedServer(row.server_id, row.ip, row.domain, row.label) for row in rows]


def server_details(server_id: int, body: object) -> ServerDetails:
    """`GET /server/{id}`, which does not say whose details they are."""
    row = _parsed(_Details, body, needs=("domain", "ip", "status"))
    return ServerDetails(
        server_id=server_id,
        public_ip=row.ip,
        hostname=row.domain,
        label=row.label,
        status=row.status,
        os_template=row.os or None,
        cpu_cores=row.cpu_cores,
        ram_mb=row.ram_limit,
        disk_mb=row.disk_limit,
        active_task=_task(row.active_task) if row.active_task else None,
        last_tasks=tuple(_task(entry) for entry in row.last_tasks),
    )


def os_templates(body: object) -> list[OsTemplate]:
    """`GET /server/{id}/oses`."""
    rows = [_parsed(_Os, row, needs=("os",)) for row in _rows(body)]
    return [OsTemplate(row.os, row.title) for row in rows if row.os]


def task(body: object, task_id: int | None = None) -> ProviderTask:
    """`GET /server/{id}/task/{task}`, which does not repeat the id."""
    return _task(_parsed(_Task, body, needs=("name", "completed")), task_id)


def task_id(body: object) -> int | None:
    """The id in the answer to an action, or None: the action was refused without saying so."""
    return (_whole_number(body.get("task_id")) or None) if isinstance(body, dict) else None


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return value.strip() if isinstance(value, str) else str(value) if abs(value) < 1e18 else ""


def _whole_number(value: object) -> int | None:
    digits = re.fullmatch(r"([0-9]{1,18})(?:\.0+)?", _text(value))
    return int(digits[1]) if digits else None


def _address(value: object) -> str | None:
    """An IP address in its usual form. A server that has none yet is shown with an empty or a meaningless text."""
    try:
        return str(ipaddress.ip_address(_text(value)))
    except ValueError:
        return None


def _moment(value: object) -> datetime | None:
    """ISO 8601, or `YYYY-MM-DD HH:MM:SS` in UTC. What is set but unreadable still means "it happened"."""
    text = _text(value)
    if text in ("", "0") or text.startswith("0000-00-00"):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(0, UTC)


def _object_or_none(value: object) -> object:
    return value if isinstance(value, dict) and value else None


def _objects(value: object) -> list[object]:
    rows = value if isinstance(value, list) else [value]
    return [row for row in rows if isinstance(row, dict) and row]


Text = Annotated[str, BeforeValidator(_text)]
Secret = Annotated[SecretStr, BeforeValidator(_text)]
WholeNumber = Annotated[int | None, BeforeValidator(_whole_number)]
Identifier = Annotated[int, BeforeValidator(_whole_number), Field(gt=0)]
Address = Annotated[str | None, BeforeValidator(_address)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]


class _Task(BaseModel):
    name: Text = ""
    activated: Moment = None
    assigned: Moment = None
    completed: Moment = None
    results: Secret = SecretStr("")


class _ListedRow(BaseModel):
    server_id: Identifier
    ip: Address = None
    domain: Text = ""
    label: Text = ""


class _Details(BaseModel):
    ip: Address = None
    domain: Text = ""
    label: Text = ""
    status: Text = ""
    os: Text = ""
    cpu_cores: WholeNumber = None
    ram_limit: WholeNumber = None
    disk_limit: WholeNumber = None
    active_task: Annotated[_Task | None, BeforeValidator(_object_or_none)] = None
    last_tasks: Annotated[list[_Task], BeforeValidator(_objects)] = []


class _Os(BaseModel):
    os: Text = ""
    title: Text = ""


Row = TypeVar("Row", bound=BaseModel)


def _parsed(model: type[Row], body: object, *, needs: tuple[str, ...] = ()) -> Row:
    """The body as `model`. Without any of the fields in `needs` it is something else: an error in disguise."""
    row = body[0] if isinstance(body, list) and len(body) == 1 else body
    if not isinstance(row, dict) or (needs and not any(name in row for name in needs)):
        raise ProviderUnavailable("The provider answered with something else than what was asked for.")
    try:
        return model.model_validate(row)
    except ValidationError as error:
        fields = ", ".join(sorted({str(problem["loc"][0]) for problem in error.errors(include_input=False)}))
        raise ProviderUnavailable(f"The provider's answer cannot be read: {fields}.") from None


def _task(row: _Task, task_id: int | None = None) -> ProviderTask:
    return ProviderTask(row.name, task_id, row.activated, row.assigned, row.completed, row.results)


def _rows(body: object) -> list[object]:
    if isinstance(body, list):
        return body
    if isinstance(body, dict):
        return [body]
    raise ProviderUnavailable("The provider answered with something else than a list.")
