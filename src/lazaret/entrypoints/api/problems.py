"""Errors as RFC 9457 problem details: every answer that is not a success says what is wrong and what to do."""

from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, DBAPIError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from lazaret.entrypoints.dashboard.app import is_page
from lazaret.entrypoints.dashboard.web import error_page
from lazaret.kernel.correlation import carried, new_request_id, request_id
from lazaret.kernel.database import away, is_away, without_statement
from lazaret.kernel.errors import Category, InvalidInput, LazaretError, NotFound
from lazaret.kernel.logging import get_logger
from lazaret.kernel.secrets import Redactor

logger = get_logger(__name__)

STATUS = {
    Category.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Category.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Category.CONFLICT: HTTPStatus.CONFLICT,
    Category.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Category.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Category.LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Category.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Category.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def problem(status: int, code: str, detail: str, *, hint: str = "", **more: Any) -> JSONResponse:
    """One problem; `code` is stable, `detail` and `hint` are for people."""
    body = {
        "type": f"urn:lazaret:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
        "hint": hint,
        **carried(),
        **more,
    }
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return JSONResponse(body, status_code=status, headers=headers, media_type="application/problem+json")


_LISTED = "/openapi.json and docs/api.md list the routes."
_ACCEPTED = "See /openapi.json for what is accepted."


def _invalid(error: RequestValidationError, redactor: Redactor) -> JSONResponse:
    """What is wrong with each field; of a body that is no JSON, what and where."""
    status, code = HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input"
    for one in error.errors():
        if one["type"] == "json_invalid":
            detail = f"The body is no JSON: {one['ctx']['error']} at character {one['loc'][-1]}."
            return problem(status, code, detail, hint="Send one JSON value, with Content-Type: application/json.")
    errors = [
        {
            "where": [redactor.clean(str(part)) for part in one["loc"]],
            "message": redactor.clean(one["msg"].removeprefix("Value error, ")),
        }
        for one in error.errors()
    ]
    detail = "; ".join(f"{'.'.join(one['where'])}: {one['message']}" for one in errors[:5])
    return problem(status, code, redactor.clean(detail), hint=_ACCEPTED, errors=errors)


def _is_not_json(request: Request, error: RequestValidationError) -> bool:
    """Whether a body was refused as a whole, and did not say that it is JSON: curl calls what it sends a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    return not is_json and any(one["loc"] == ("body",) and one["type"] != "missing" for one in error.errors())


def _not_json(request: Request) -> InvalidInput:
    kind = request.headers.get("content-type", "")
    return InvalidInput(
        f"The body was sent as {kind}, not as JSON." if kind else "The body was sent without saying that it is JSON.",
        hint="Send the header with it: Content-Type: application/json",
    )


def _http_problem(request: Request, error: HTTPException) -> JSONResponse:
    """There is no such route, or it does not take the method."""
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    detail, hint = str(error.detail), _ACCEPTED
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail, hint = "There is no such route.", _LISTED
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods_at(request))
        detail, hint = f"This route does not take {request.method}.", f"It takes {headers['Allow']}. {_LISTED}"
    answer = problem(error.status_code, code, detail, hint=hint)
    answer.headers.update(headers)
    return answer


def _methods_at(request: Request) -> list[str]:
    """What the routes of this path take, all together."""
    routes = [one for one in request.app.routes if isinstance(one, Route) and one.path_regex.match(request.url.path)]
    return sorted({method for route in routes for method in route.methods or ()})


def _known(request: Request, error: LazaretError, redactor: Redactor) -> Response:
    if is_page(request.url.path):
        return error_page(request, error, STATUS[error.category])
    details = {"details": error.details} if error.details else {}
    message, hint = redactor.clean(error.message), redactor.clean(error.hint)
    return problem(STATUS[error.category], error.code, message, hint=hint, **details)


def _away(request: Request, error: Exception, redactor: Redactor) -> Response:
    logger.warning("api.database_away", error=type(error).__name__, cause=str(without_statement(error))[:200])
    return _known(request, away(), redactor)


def add_problem_handlers(app: FastAPI, redactor: Redactor) -> None:
    """Turn every exception of `app` into a problem; the unforeseen are logged under an id that the answer names."""

    @app.exception_handler(LazaretError)
    async def known(request: Request, error: LazaretError) -> Response:
        return _known(request, error, redactor)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if is_page(request.url.path):
            return error_page(request, NotFound("There is no such page."), HTTPStatus.NOT_FOUND)
        return await known(request, _not_json(request)) if _is_not_json(request, error) else _invalid(error, redactor)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if is_page(request.url.path):
            return error_page(request, NotFound(str(error.detail)), error.status_code)
        return _http_problem(request, error)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        if is_away(error):  # wrapped by a library in an error of its own
            return _away(request, error, redactor)
        reference = request_id() or new_request_id()
        logger.error("api.failed", reference=reference, path=request.url.path, exc_info=error)
        if is_page(request.url.path):
            text = LazaretError("Something went wrong on our side.", hint=f"The log has the details under {reference}.")
            return error_page(request, text, HTTPStatus.INTERNAL_SERVER_ERROR)
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something went wrong on our side.",
            hint=f"The log has the details under {reference}.",
            reference=reference,
        )

    _add_database_handlers(app, redactor)


def _add_database_handlers(app: FastAPI, redactor: Redactor) -> None:
    @app.exception_handler(DataError)
    @app.exception_handler(UnicodeEncodeError)
    async def unstorable(request: Request, _: Exception) -> Response:
        error = InvalidInput(
            "The request holds a value that cannot be stored.",
            hint="Leave out NUL characters, halves of characters and numbers beyond 64 bits.",
        )
        return _known(request, error, redactor)

    @app.exception_handler(DBAPIError)
    @app.exception_handler(psycopg.Error)
    async def failed(request: Request, error: Exception) -> Response:
        if not is_away(error):
            raise error
        return _away(request, error, redactor)
