"""Writes docs/api.md from the routes themselves: `python -m lazaret.entrypoints.api.doc`. Pure."""

import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from lazaret.entrypoints.api.app import ROUTERS
from lazaret.entrypoints.api.problems import STATUS
from lazaret.users.model import Role

Json = Mapping[str, Any]
_NOTHING: Json = {}

_HEAD = """# API

Generated from the routes by `make docs`; the same for programs is at `/openapi.json`.

- **Who may call:** send `Authorization: Bearer TOKEN`. `lazaret token create NAME --role viewer|operator|admin` makes
  one; each role may do what the one before it may. A route says which it needs; those that need none say so.
- **Bodies** are JSON. A field that is not known is an error, because a misspelt one must not silently do nothing.
  So is a parameter of a query that is not known, and a filter that is empty.
- **Lists** are pages, `{"items": [...], "total": 7, "limit": 100, "offset": 0}`, where the answer is called a page.
- **Errors** are problem details (RFC 9457), `application/problem+json`, with `code` for programs, `detail` and
  `hint` for people:

| Status | `code`, among others | Means |
|---|---|---|
"""

_ERRORS = {
    HTTPStatus.UNAUTHORIZED: ("unauthenticated", "no token, or one that is not valid"),
    HTTPStatus.FORBIDDEN: (
        "forbidden, touch_refused, on_hold",
        "the role does not allow it, or the server may not be touched",
    ),
    HTTPStatus.NOT_FOUND: ("not_found", "what the address names does not exist"),
    HTTPStatus.CONFLICT: ("conflict, operation_in_progress", "the state forbids it now; the hint says what would help"),
    HTTPStatus.UNPROCESSABLE_ENTITY: ("invalid_input", "the request is wrong; `errors` names each field"),
    HTTPStatus.TOO_MANY_REQUESTS: ("limited", "too many calls"),
    HTTPStatus.SERVICE_UNAVAILABLE: ("unavailable", "a part that is needed does not answer; try again"),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("internal_error", "our fault; `reference` is in the log"),
}


def api_page() -> str:
    """The whole page."""
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    described = app.openapi()
    roles = {
        (method, route.path): _role_of(route.dependant)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    shapes = described.get("components", {}).get("schemas", {})
    errors = [f"| {int(status)} | {code} | {meaning} |" for status, (code, meaning) in _ERRORS.items()]
    lines = [*(_HEAD + "\n".join(errors)).splitlines()]
    lines += ["| 411, 413 | length_required, body_too_large | the body has no length, or is larger than 1 MiB |"]
    section = ""
    for path, method, route in _routes(described):
        tag = (route.get("tags") or ["process"])[0]
        if tag != section:
            section = tag
            lines += ["", f"## {tag.capitalize()}"]
        lines += _route(path, method, route, roles.get((method.upper(), path), ""))
    lines += ["", "## Shapes", "", "What bodies and answers are made of. `?` behind a type: it may be null."]
    for name, shape in shapes.items():
        if name not in {"HTTPValidationError", "ValidationError"} and not name.startswith("Page_"):
            lines += _shape(name, shape)
    return "\n".join(lines) + "\n"


def _role_of(dependant: Dependant) -> str:
    """The role that the route's dependencies ask for; empty for none."""
    for inner in dependant.dependencies:
        for cell in getattr(inner.call, "__closure__", None) or ():
            if isinstance(cell.cell_contents, Role):
                return cell.cell_contents.value
        if role := _role_of(inner):
            return role
    return ""


def _routes(described: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            yield path, method, route


def _route(path: str, method: str, route: Json, role: str) -> list[str]:
    lines = ["", f"### {method.upper()} {path}", "", " ".join(str(route.get("description", "")).split()), ""]
    lines.append(f"- Role: {f'`{role}`' if role else 'none'}")
    body = route.get("requestBody")
    if body is not None:
        schema = next(iter(body["content"].values()))["schema"]
        lines.append(f"- Body: {_type(schema)}{'' if body.get('required') else ', may be left out'}")
    for status, answer in route["responses"].items():
        if status == "422":
            continue
        content: Json = next(iter(answer.get("content", {}).values()), _NOTHING)
        schema = content.get("schema", {})
        lines.append(f"- Answer {status}: {_type(schema) if schema else 'no JSON'}")
    if parameters := route.get("parameters"):
        lines += ["", "| Parameter | In | Type | |", "|---|---|---|---|"]
        for one in parameters:
            schema = one["schema"]
            text = " ".join(str(one.get("description") or schema.get("description") or "").split())
            default = f" Default: `{schema['default']}`." if schema.get("default") not in {None, ""} else ""
            lines.append(
                f"| `{one['name']}` | {one['in']} | {_type(schema)}{_bounds(schema)} | {(text + default).strip()} |"
            )
    return lines


def _shape(name: str, shape: Json) -> list[str]:
    lines = ["", f"### {name}", "", " ".join(str(shape.get("description", "")).split()), ""]
    if "enum" in shape:
        return [*lines, f"One of {', '.join(f'`{value}`' for value in shape['enum'])}."]
    lines += ["| Field | Type | |", "|---|---|---|"]
    required = set(shape.get("required", ()))
    for field, schema in shape.get("properties", {}).items():
        text = " ".join(str(schema.get("description", "")).split())
        needed = "needed. " if field in required and name.endswith("Request") else ""
        lines.append(f"| `{field}` | {_type(schema)}{_bounds(schema)} | {(needed + text).strip()} |")
    return lines


def _type(schema: Json) -> str:
    """A schema as one word or two; names of shapes are links."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        if name.startswith("Page_"):
            inner = name.removeprefix("Page_").rstrip("_")
            return f"page of {_link(inner)}"
        return _link(name)
    if "anyOf" in schema:
        kinds = [_type(one) for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(kinds) + ("?" if len(kinds) < len(schema["anyOf"]) else "")
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = str(schema.get("type", "any"))
    return {"date-time": "time", "password": "secret"}.get(str(schema.get("format")), kind)


def _bounds(schema: Json) -> str:
    for one in (schema, *schema.get("anyOf", ())):
        low, high = one.get("minimum"), one.get("maximum")
        if low is not None and high is not None and high < 2**53:
            return f", {low} to {high}"
        if one.get("maxLength"):
            return f", at most {one['maxLength']} characters"
    return ""


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


assert set(_ERRORS) == set(STATUS.values()), "a status of an error is not explained"

if __name__ == "__main__":
    sys.stdout.write(api_page())
