"""What every page has: who looks, in which language, the templates, the forms' protection and the headers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from gettext import NullTranslations
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlsplit

from fastapi import Depends, Request
from jinja2 import Environment, FileSystemLoader, select_autoescape
from pydantic import SecretStr, ValidationError
from starlette.datastructures import FormData
from starlette.responses import HTMLResponse, RedirectResponse, Response

from lazaret import __version__
from lazaret.alerting.words import duration, fill, name_of, outcome_of, sentence_in, step_of
from lazaret.entrypoints.api.security import office_of
from lazaret.entrypoints.office import Office
from lazaret.healing.store import list_approvals
from lazaret.kernel.audit import Actor, Channel
from lazaret.kernel.errors import Forbidden, InvalidInput, LazaretError
from lazaret.kernel.i18n import LANGUAGES, language_for, translator
from lazaret.users.model import Role
from lazaret.users.sessions import SignedIn, is_same, signed_in

HERE = Path(__file__).parent
COOKIE, FLASH, LANGUAGE = "lazaret", "flash", "language"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LONGEST_FIELD = 100_000


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page, by somebody who is signed in."""

    request: Request
    office: Office
    who: SignedIn
    at: datetime
    unanswered: int = 0
    """So many approvals wait for an answer."""

    @property
    def actor(self) -> Actor:
        """For the audit log."""
        return Actor(self.who.name, Channel.DASHBOARD)

    @property
    def language(self) -> str:
        """In which language this person reads."""
        return language_of(self.request, self.who)

    def say(self, message: str, **values: object) -> str:
        """A text in the person's language."""
        said = translator(self.language).gettext(message)
        return said.format(**values) if values else said

    def translated(self, error: LazaretError) -> str:
        """What is wrong and what to do, in the person's language."""
        words = translator(self.language)
        return f"{sentence_in(error.message, words)} {sentence_in(error.hint, words)}".strip()

    def page(self, template: str, *, http_status: int = 200, **values: Any) -> HTMLResponse:
        """A page; a message left by the request before is shown once."""
        flash = unquote(self.request.cookies.get(FLASH, ""))
        kind, _, text = flash.partition("|")
        values |= {"who": self.who, "flash": text, "flash_kind": kind, "path": self.request.url.path}
        values["unanswered"] = self.unanswered
        response = render(template, self.language, self.at, http_status=http_status, **values)
        if flash:
            response.delete_cookie(FLASH)
        return response

    def back(self, to: str, text: str = "", *, kind: str = "done") -> Response:
        """To another page of ours, with a message."""
        response = RedirectResponse(to, status_code=303)
        if text:
            response.set_cookie(FLASH, quote(f"{kind}|{text[:500]}"), max_age=30, httponly=True, samesite="lax")
        return response

    async def act(self, to: str, do: Callable[[], Awaitable[str]]) -> Response:
        """Do something that a form asked for; what is refused is told on the page from which it was asked."""
        try:
            return self.back(to, await do())
        except ValidationError as error:
            first = error.errors()[0]
            text = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            return self.back(to, text, kind="refused")
        except LazaretError as error:
            return self.back(to, self.translated(error), kind="refused")


async def _visit(request: Request) -> Visit:
    office, secret = office_of(request), request.cookies.get(cookie_name(request), "")
    now = office.clock.now()
    async with office.db.transaction() as session:
        who = await signed_in(session, SecretStr(secret), at=now)
        _, unanswered = await list_approvals(session, is_open=True, limit=1)
    return Visit(request, office, who, now, unanswered)


def _needs(role: Role) -> Callable[..., Awaitable[Visit]]:
    async def check(visit: Annotated[Visit, Depends(_visit)]) -> Visit:
        if not visit.who.role.includes(role):
            raise Forbidden(
                visit.say("You may not do this: it needs the role {role}.", role=role.value),
                hint=visit.say("Ask an administrator."),
            )
        if visit.request.method == "POST":
            check_origin(visit.request)
            form = await visit.request.form()
            if not is_same(str(form.get("csrf", "")), visit.who.csrf):
                raise Forbidden(
                    visit.say("This form is not from your session."), hint=visit.say("Load the page again and repeat.")
                )
        return visit

    return check


Seeing = Annotated[Visit, Depends(_needs(Role.VIEWER))]
Acting = Annotated[Visit, Depends(_needs(Role.OPERATOR))]
Ruling = Annotated[Visit, Depends(_needs(Role.ADMIN))]


def check_origin(request: Request) -> None:
    """A form must come from a page of ours. Raises `Forbidden`."""
    origin = request.headers.get("origin")
    ours = {request.headers.get("host", ""), urlsplit(office_of(request).settings.lazaret_public_url).netloc}
    if origin is not None and urlsplit(origin).netloc not in ours - {""}:
        raise Forbidden("This form was sent from another site.", hint="Open the dashboard and repeat it there.")


def is_https(request: Request) -> bool:
    """Whether people come over https, be it through a proxy at the public address."""
    office = office_of(request)
    return request.url.scheme == "https" or office.settings.lazaret_public_url.startswith("https://")


def cookie_name(request: Request) -> str:
    """Over https the browser itself ties the cookie to this host."""
    return f"__Host-{COOKIE}" if is_https(request) else COOKIE


def text_of(form: FormData, name: str) -> str:
    """A field of a form. Raises `InvalidInput` for what no field of ours can hold."""
    value = form.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST_FIELD or "\x00" in value:
        raise InvalidInput(f"The field {name} cannot be read.", hint="Write plain text.")
    return value.strip()


def language_of(request: Request, who: SignedIn | None) -> str:
    """What the session says, else the cookie, else the browser."""
    accepted = request.headers.get("accept-language", "").split(",")[0]
    return language_for(who.language if who else None, request.cookies.get(LANGUAGE), accepted)


def render(template: str, language: str, at: datetime, *, http_status: int = 200, **values: Any) -> HTMLResponse:
    """A page with its headers."""
    body = _templates(language).get_template(template).render(now=at, language=language, **values)
    return HTMLResponse(body, status_code=http_status, headers=HEADERS)


@cache
def _templates(language: str) -> Environment:
    words = translator(language)
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(),
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]
    environment.filters |= {
        "outcome": lambda value: outcome_of(value, words),
        "name": lambda value: name_of(value, words),
        "ago": lambda moment, now: duration((now - moment).total_seconds(), words),
        "span": lambda seconds: duration(seconds, words),
        "step": lambda value: step_of(value, words),
        "sentence": lambda value: sentence_in(value, words),
        "said": lambda entry: _said(entry.message, entry.data, words),
    }
    environment.globals |= {"languages": LANGUAGES, "version": __version__}
    return environment


def _said(message: str, data: Mapping[str, Any], words: NullTranslations) -> str:
    """A line of a timeline in a language; an old one, or one without a template, as it stands."""
    return (
        fill(data["template"], data.get("values", {}), words) if data.get("template") else sentence_in(message, words)
    )


def error_page(request: Request, error: LazaretError, status: int) -> Response:
    """An error as a page: what is wrong, what to do, and a way on."""
    office = office_of(request)
    if status == 401:
        to = quote(request.url.path if request.method == "GET" else "/")
        return RedirectResponse(f"/sign-in?to={to}", status_code=303)
    clean, words = office.redactor.clean, translator(language_of(request, None))
    return render(
        "error.html",
        language_of(request, None),
        office.clock.now(),
        http_status=status,
        message=sentence_in(clean(error.message), words),
        hint=sentence_in(clean(error.hint), words),
        who=None,
        path=request.url.path,
    )
