"""The provider's answers turned into our values: lenient about shape, because its shapes vary.

Ids as number or text, null, empty or missing for the same thing, one object in place of a list, two forms of date.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from lazaret.servers.provider import ListedServer, OsTemplate, ProviderError, ProviderTask, ServerDetails


class UnreadableAnswer(ProviderError):
    """The provider answered with something of another shape than any that is known."""

    code = "provider_answer_unreadable"
    retryable = True


def listed_servers(body: object) -> list[ListedServer]:
    """`GET /server`. A row without an id makes the whole list unreadable: a part of it must not pass for all."""
    return [_listed(row) for row in _rows(body)]


def server_details(server_id: int, body: object) -> ServerDetails:
    """`GET /server/{id}`, which does not say whose details they are."""
    row = _object(body)
    active = row.get("active_task")
    tasks = row.get("last_tasks")
    return ServerDetails(
        server_id=server_id,
        public_ip=_text(row.get("ip")) or None,
        hostname=_text(row.get("domain")),
        label=_text(row.get("label")),
        status=_text(row.get("status")),
        os_template=_text(row.get("os")) or None,
        cpu_cores=_number(row.get("cpu_cores")),
        ram_mb=_number(row.get("ram_limit")),
        disk_mb=_number(row.get("disk_limit")),
        active_task=task(active) if isinstance(active, Mapping) and active else None,
        last_tasks=tuple(task(entry) for entry in _rows(tasks) if isinstance(entry, Mapping)) if tasks else (),
    )


def os_templates(body: object) -> list[OsTemplate]:
    """`GET /server/{id}/oses`."""
    rows = [_object(row) for row in _rows(body)]
    return [OsTemplate(_text(row.get("os")), _text(row.get("title"))) for row in rows if row.get("os")]


def task(body: object, task_id: int | None = None) -> ProviderTask:
    """`GET /server/{id}/task/{task}`, which does not repeat the id."""
    row = _object(body)
    return ProviderTask(
        name=_text(row.get("name")),
        task_id=task_id,
        activated_at=_date(row.get("activated")),
        assigned_at=_date(row.get("assigned")),
        completed_at=_date(row.get("completed")),
        result=SecretStr(_text(row.get("results"))),
    )


def task_id(body: object) -> int | None:
    """The id in the answer to an action, or None: the action was refused without saying so."""
    return _number(body.get("task_id")) if isinstance(body, Mapping) else None


def _listed(row: object) -> ListedServer:
    fields = _object(row)
    server_id = _number(fields.get("server_id"))
    if server_id is None or server_id <= 0:
        raise UnreadableAnswer("The provider's list has a server without an id.")
    return ListedServer(
        server_id=server_id,
        public_ip=_text(fields.get("ip")) or None,
        hostname=_text(fields.get("domain")),
        label=_text(fields.get("label")),
    )


def _rows(body: object) -> list[object]:
    if isinstance(body, list):
        return body
    if isinstance(body, Mapping):
        return [body]
    raise UnreadableAnswer(f"The provider answered with {type(body).__name__} where a list was expected.")


def _object(body: object) -> Mapping[str, Any]:
    if isinstance(body, Mapping):
        return body
    if isinstance(body, list) and len(body) == 1 and isinstance(body[0], Mapping):
        return body[0]
    raise UnreadableAnswer(f"The provider answered with {type(body).__name__} where an object was expected.")


def _text(value: object) -> str:
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _number(value: object) -> int | None:
    try:
        return int(float(_text(value)))
    except (ValueError, OverflowError):
        return None


def _date(value: object) -> datetime | None:
    """ISO 8601, or `YYYY-MM-DD HH:MM:SS` in UTC. What is set but unreadable still means "it happened"."""
    text = _text(value)
    if not text or text.startswith("0000-00-00"):
        return None
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return date if date.tzinfo else date.replace(tzinfo=UTC)
