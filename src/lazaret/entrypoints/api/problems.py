"""Errors as RFC 9457 problem details: every answer that is not a success says what is wrong and what to do."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from lazaret.entrypoints.dashboard.app import is_page
from lazaret.entrypoints.dashboard.web import error_page
from lazaret.kernel.correlation import carried, new_request_id, request_id
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


def add_problem_handlers(app: FastAPI, redactor: Redactor) -> None:
    """Turn every exception of `app` into a problem; the unforeseen are logged under an id that the answer names."""

    @app.exception_handler(LazaretError)
    async def known(request: Request, error: LazaretError) -> Response:
        if is_page(request.url.path):
            return error_page(request, error, STATUS[error.category])
        details = {"details": error.details} if error.details else {}
        message, hint = redactor.clean(error.message), redactor.clean(error.hint)
        return problem(STATUS[error.category], error.code, message, hint=hint, **details)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if is_page(request.url.path):
            return error_page(request, NotFound("There is no such page."), HTTPStatus.NOT_FOUND)
        return await known(request, _not_json(request)) if _is_not_json(request, error) else _invalid(error, redactor)

    @app.exception_handler(DataError)
    @app.exception_handler(UnicodeEncodeError)
    async def unstorable(request: Request, _: Exception) -> Response:
        error = InvalidInput(
            "The request holds a value that cannot be stored.",
            hint="Leave out NUL characters, halves of characters and numbers beyond 64 bits.",
        )
        return await known(request, error)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if is_page(request.url.path):
            return error_page(request, NotFound(str(error.detail)), error.status_code)
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        return problem(error.status_code, code, str(error.detail))

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
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


def _invalid(error: RequestValidationError, redactor: Redactor) -> JSONResponse:
    """Every place that is wrong, for programs, and the first five in one sentence."""
    errors = [
        {
            "where": [redactor.clean(str(part)) for part in one["loc"]],
            "message": redactor.clean(one["msg"].removeprefix("Value error, ")),
        }
        for one in error.errors()
    ]
    detail = "; ".join(f"{'.'.join(one['where'])}: {one['message']}" for one in errors[:5])
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_input",
        redactor.clean(detail),
        hint="See /openapi.json for what is accepted.",
        errors=errors,
    )


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
