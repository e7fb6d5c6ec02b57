"""Signing in and out, and the language. Following a link signs nobody in: previews follow links too."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Request
from pydantic import SecretStr
from starlette.responses import RedirectResponse, Response

from lazaret.entrypoints.api.security import office_of
from lazaret.entrypoints.dashboard.web import (
    LANGUAGE,
    Seeing,
    check_origin,
    cookie_name,
    error_page,
    is_https,
    language_of,
    render,
    text_of,
)
from lazaret.kernel.errors import LazaretError, Limited
from lazaret.kernel.i18n import LANGUAGES
from lazaret.users.sessions import (
    LONGEST,
    count_try,
    end_session,
    forget_try,
    set_language,
    sign_in_by_link,
    sign_in_by_token,
)

router = APIRouter(include_in_schema=False)
Secret = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{20,80}$")]


@router.get("/sign-in")
async def ask(request: Request, to: str = "/") -> Response:
    """The form."""
    return _form(request, to=to)


@router.post("/sign-in")
async def by_token(request: Request) -> Response:
    """Sign in with an API token."""
    check_origin(request)
    form = await request.form()
    to = own_path(text_of(form, "to"))
    return await _try(request, to, token=SecretStr(text_of(form, "token")))


@router.get("/sign-in/{secret}")
async def ask_link(request: Request, secret: Secret) -> Response:
    """Whether to use the link."""
    office = office_of(request)
    return render(
        "sign_in_link.html", language_of(request, None), office.clock.now(), secret=secret, who=None, path="/sign-in"
    )


@router.post("/sign-in/{secret}")
async def by_link(request: Request, secret: Secret) -> Response:
    """Sign in with a one-time link."""
    check_origin(request)
    return await _try(request, "/", link=SecretStr(secret))


@router.post("/sign-out")
async def sign_out(visit: Seeing) -> Response:
    """End the session."""
    async with visit.office.db.transaction() as session:
        await end_session(session, visit.who.session_id, at=visit.at)
    response = RedirectResponse("/sign-in", status_code=303)
    response.delete_cookie(cookie_name(visit.request), secure=is_https(visit.request), httponly=True, samesite="lax")
    return response


@router.post("/language")
async def choose_language(visit: Seeing) -> Response:
    """Read in another language from now on."""
    form = await visit.request.form()
    language = text_of(form, "language")
    response = RedirectResponse(own_path(text_of(form, "to")), status_code=303)
    if language in LANGUAGES:
        async with visit.office.db.transaction() as session:
            await set_language(session, visit.who.session_id, language)
        response.set_cookie(LANGUAGE, language, max_age=365 * 86400, httponly=True, samesite="lax")
    return response


def own_path(to: str) -> str:
    """A path of this site; anything else is the first page."""
    is_own = to.startswith("/") and not to.startswith(("//", "/\\")) and all(char.isprintable() for char in to)
    return quote(to, safe="/?=&%") if is_own else "/"


async def _try(request: Request, to: str, *, token: SecretStr | None = None, link: SecretStr | None = None) -> Response:
    office = office_of(request)
    now = office.clock.now()
    address = request.client.host if request.client else "unknown"
    try:
        async with office.db.transaction() as session:
            try_id = await count_try(session, address, at=now)
        async with office.db.transaction() as session:
            if link is not None:
                secret = await sign_in_by_link(session, link, at=now)
            else:
                assert token is not None
                secret = await sign_in_by_token(session, token, at=now)
            await forget_try(session, try_id)
    except Limited as error:
        return error_page(request, error, 429)
    except LazaretError as error:
        return _form(request, to=to, refused=error)
    response = RedirectResponse(to, status_code=303)
    response.set_cookie(
        cookie_name(request),
        secret.get_secret_value(),
        max_age=int(LONGEST.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=is_https(request),
        path="/",
    )
    return response


def _form(request: Request, *, to: str, refused: LazaretError | None = None) -> Response:
    office = office_of(request)
    return render(
        "sign_in.html",
        language_of(request, None),
        office.clock.now(),
        http_status=401 if refused else 200,
        to=own_path(to),
        refused=refused,
        who=None,
        path="/sign-in",
    )
