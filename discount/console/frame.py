"""The frame around every page: who asks, from where, in which language; and how results and refusals are shown."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest
from threading import BoundedSemaphore
from typing import Any, TypeVar

import msgspec
from flask import Flask, Response, request
from flask import redirect as to_address
from werkzeug.wrappers import Response as AnyResponse

from discount.api import exchange, problems
from discount.api.contract import Endpoint
from discount.api.exchange import ANYBODY
from discount.api.gate import Gate
from discount.api.long_calls import RETRY_AFTER
from discount.api.streaming import Stream
from discount.console import languages, reasons, rendering
from discount.console.languages import Language
from discount.console.sessions import Session, Sessions
from discount.console.visits import Redirect, Result, View, Visit
from discount.domain.errors import CrossSite, Invalid, Refusal, TooManyAtOnce, Unauthenticated
from discount.domain.model import Author

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: The most bytes of a form, except where a page says otherwise.
SMALL_FORM = 64 * 1024
#: Large forms that a process receives at a time.
UPLOADS = 2
_LANGUAGE = "language"
_YEAR = 365 * 86400
AnyView = TypeVar("AnyView", bound=View)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something was refused: in a sentence, and by the names of fields."""

    slug: str
    title: str
    detail: str
    fields: dict[str, str]

    @classmethod
    def of(cls, refusal: Refusal) -> "Problem":
        fields = {}
        if isinstance(refusal, Invalid):
            for each in refusal.facts["errors"]:
                name = str(each.get("pointer", each.get("parameter", ""))).strip("/").replace("/", ".")
                fields[name] = str(each["detail"])
        detail = refusal.detail if refusal.detail != refusal.title and not fields else ""
        return cls(refusal.slug, refusal.title, detail, fields)

    @property
    def status(self) -> int:
        return problems.STATUS[self.slug]


class Frame:
    """Serves the pages.

    Args:
        zone_of: returns the time zone that a brand has set.
        is_open: whether the service asks nobody for a token.
        proxies: how many proxies in front of the service may say that the browser used TLS.
        public_url: where people reach the service.
    """

    def __init__(
        self,
        app: Flask,
        endpoints: Iterable[Endpoint],
        gate: Gate,
        sessions: Sessions,
        *,
        zone_of: Callable[[str], str | None],
        is_open: bool,
        proxies: int,
        public_url: str,
    ) -> None:
        self.sessions = sessions
        self.gate = gate
        self.is_open = is_open
        self._app = app
        self._endpoints = {each.operation.name: each for each in endpoints}
        self._zone_of = zone_of
        self._proxies = proxies
        self._public_url = public_url
        self._uploads = BoundedSemaphore(UPLOADS)
        self._notices: list[Callable[[Visit], str | None]] = []

    def page(
        self, path: str, *methods: str, public: bool = False, largest: int = SMALL_FORM
    ) -> Callable[[AnyView], AnyView]:
        """Return a decorator that serves a view at an address below `/console`.

        Args:
            methods: `GET` if none is given.
            public: nobody has to be signed in.
            largest: the most bytes of its form.
        """

        def decorate(view: AnyView) -> AnyView:
            def answer(**arguments: str) -> AnyResponse:
                request.max_content_length = largest
                request.max_form_memory_size = largest
                if largest == SMALL_FORM:
                    return self._answer(view, "/console" + path, arguments, public=public)
                return self._answer(partial(self._receive, view), "/console" + path, arguments, public=public)

            self._app.add_url_rule(
                "/console" + path,
                f"console {view.__name__}",
                answer,
                methods=methods or ("GET",),
                provide_automatic_options=False,
            )
            return view

        return decorate

    def cookie(self, name: str) -> str:
        """Return a cookie of the request; empty without one."""
        return str(request.cookies.get(self._cookie(name), ""))

    def address(self, path: str) -> str:
        """Return the whole address of a page, as people reach it."""
        if self._public_url:
            return self._public_url.rstrip("/") + path
        return f"{'https' if self._is_secure() else 'http'}://{request.host}{path}"

    def add_notice(self, notice: Callable[[Visit], str | None]) -> None:
        """Show on every page what a function says of a visit; nothing if it returns None."""
        self._notices.append(notice)

    def _answer(self, view: View, route: str, arguments: dict[str, str], *, public: bool) -> AnyResponse:
        request.environ["discount.route"] = route.replace("<path:", "{").replace("<", "{").replace(">", "}")
        session = self.sessions.read(request.cookies.get(self._cookie("console"), ""))
        is_new, session = session is None, session or self.sessions.new()
        visit = self._visit(session)
        try:
            changes = request.method not in ("GET", "HEAD")
            self.gate.refuse_other_sites(request.environ, changes=changes)
            self._identify(visit, public=public)
            if changes and not isinstance(view, partial):
                self._check_token(session)
            result = view(visit, **arguments)
            response = self._respond(visit, result)
        except Unauthenticated as refusal:
            result = None
            response = self._refuse(visit, refusal) if public else _ask_to_sign_in(visit)
        except Exception as error:
            result = None
            response = self._refuse(visit, error)
        kept = result.session if isinstance(result, Redirect) else None
        if kept is None:
            kept = session if is_new else None if _is_live() else self.sessions.renewed(session)
        if kept is not None:
            self._set_cookie(response, "console", self.sessions.write(kept))
        response.headers["Content-Security-Policy"] = POLICY
        # Without a referrer, browsers would call the origin of a form `null`.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Vary"] = "Accept-Language, Cookie"
        return response

    def _receive(self, view: View, visit: Visit, **arguments: str) -> Result:
        """Call a view whose form may be large. Only a few of them are received at a time.

        Raises:
            TooManyAtOnce
        """
        if not self._uploads.acquire(blocking=False):
            raise TooManyAtOnce(retry_after=str(RETRY_AFTER))
        try:
            client = request.environ.get("gunicorn.socket")
            if client is not None:
                # In this thread, the socket may wait for the body, which must not come too slowly (`ClientSocket`).
                client.waits = True
            self._check_token(visit.session)
            return view(visit, **arguments)
        finally:
            self._uploads.release()

    def _visit(self, session: Session) -> Visit:
        chosen = request.cookies.get(self._cookie(_LANGUAGE), "")
        accepted = tuple(request.accept_languages.values())[:8]
        language = languages.choose(chosen[:8], accepted)
        author = Author("open", request.environ.get("discount.request_id", ""))
        return Visit(request, self._endpoints, language=language, session=session, author=author, zone_of=self._zone_of)

    def _identify(self, visit: Visit, *, public: bool) -> None:
        """Say as whom the person acts, and count the request.

        Raises:
            Unauthenticated, TooManyRequests, Unavailable
        """
        if self.is_open:
            visit.caller = ANYBODY
            return
        try:
            visit.caller = self.sessions.caller(visit.session)
        except Unauthenticated:
            if public:
                return
            raise
        visit.author = self.sessions.author(visit.session, visit.author.request_id)
        self.gate.count_person(exchange.Request(request.environ, {}, caller=visit.caller))

    def _check_token(self, session: Session) -> None:
        given = request.form.get("token", "") or request.headers.get("X-Form-Token", "")
        if not compare_digest(given.encode(), self.sessions.form_token(session).encode()):
            raise CrossSite("The form is not from this session. Go back, load the page again, and repeat.")

    def _respond(self, visit: Visit, result: Result) -> AnyResponse:
        if isinstance(result, Redirect):
            response = to_address(result.path, 303)
            for name, value, seconds in result.cookies:
                self._set_cookie(response, name, value, seconds)
            return response
        if isinstance(result, Stream):
            answer = Response(result.pieces, 200, result.headers, content_type=result.media_type)
            if result.end is not None:
                answer.call_on_close(result.end)
            return answer
        if not (result.live and _is_live()):
            return self._render(visit, result.template, result.values, result.status, live=result.live)
        # What the part shows is compared before it is rendered.
        facts = [result.values, self._said(visit), visit.language.tag, visit.session.nonce, rendering.fingerprint()]
        shown = msgspec.json.encode(facts, enc_hook=str)
        mark = f'"{hashlib.sha256(shown).hexdigest()[:32]}"'
        if request.headers.get("If-None-Match") == mark:
            return Response(status=304, headers={"ETag": mark})
        response = self._render(visit, result.live, result.values, result.status)
        response.headers["ETag"] = mark
        return response

    def _render(
        self, visit: Visit, template: str, values: dict[str, Any], status: int = 200, *, live: str = ""
    ) -> Response:
        given: dict[str, Any] = {
            "visit": visit,
            "to": visit.to,
            "token": self.sessions.form_token(visit.session),
            "live": live,
            "languages": languages.LANGUAGES,
            "navigation": _navigation,
            "is_here": _is_here,
            "problem": None,
            "zone": values["zone"] if "zone" in values else visit.zone(),
            "notices": self._said(visit),
        }
        return Response(rendering.render(template, visit.language, given | values), status, mimetype="text/html")

    def _said(self, visit: Visit) -> list[str]:
        """Return what every page says now."""
        return [text for each in self._notices if visit.is_known and (text := each(visit))]

    def _refuse(self, visit: Visit, error: Exception) -> AnyResponse:
        """Show why something was refused, or that it failed."""
        reply = problems.render(error, request.environ)
        found = msgspec.json.decode(reply.body)
        refusal = Problem.of(error) if isinstance(error, Refusal) else None
        title = rendering.title_of(str(found["type"]).rpartition("/")[2], visit.language)
        values = {"status": reply.status, "title": title, "request_id": found["request_id"]}
        values["sentences"] = _sentences(refusal, visit.language) if refusal else []
        response = self._render_refusal(visit, values)
        for name, value in reply.headers:
            if name in ("Retry-After", "Allow", "Connection"):
                response.headers[name] = value
        return response

    def _render_refusal(self, visit: Visit, values: dict[str, Any]) -> Response:
        try:
            return self._render(visit, "refusal.html", values, values["status"])
        except Refusal:
            # Without Redis there is no key for the token of the forms.
            page = rendering.render("bare.html", visit.language, values)
            return Response(page, values["status"], mimetype="text/html")

    def _cookie(self, name: str) -> str:
        """Return the name of a cookie. A browser accepts the prefix only over TLS, and then from this host alone."""
        return f"__Host-{name}" if self._is_secure() else name

    def _is_secure(self) -> bool:
        forwarded = request.headers.get("X-Forwarded-Proto", "") if self._proxies else ""
        return forwarded == "https" or self._public_url.startswith("https://")

    def _set_cookie(self, response: AnyResponse, name: str, value: str, seconds: int | None = None) -> None:
        response.set_cookie(
            self._cookie(name),
            value,
            max_age=seconds,
            secure=self._is_secure(),
            httponly=True,
            samesite="Lax",
        )


def _navigation(visit: Visit) -> list[tuple[str, str]]:
    """Return the pages that the person may see, with their names."""
    text = visit.language.gettext
    pages = [("/", text("Overview")), ("/discounts", text("Discounts"))]
    if visit.may("read"):
        pages += [("/codes", text("Find a code")), ("/users", text("Users")), ("/deliveries", text("Deliveries"))]
    if visit.may("read"):
        pages += [("/changes", text("Changes"))]
    if visit.may("manage") and visit.brand_id:
        pages += [("/settings", text("Settings"))]
    if visit.may("admin"):
        pages += [("/brands", text("Brands")), ("/system", text("System"))]
    return pages


def _is_here(visit: Visit, path: str) -> bool:
    """Return whether the page is that of an entry of the navigation, or below it."""
    here = visit.request.path.removeprefix("/console")
    return here == path if path == "/" else here == path or here.startswith(f"{path}/")


def _ask_to_sign_in(visit: Visit) -> AnyResponse:
    if _is_live():
        # The script goes to the page to sign in.
        return Response(status=401)
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    return to_address(visit.to("/sign-in", next=wanted, ended="1" if visit.session.is_signed_in else None), 303)


def _is_live() -> bool:
    """Return whether a page asks for its live part, which nobody has clicked for."""
    return "live" in request.args


def _sentences(problem: Problem, language: Language) -> list[tuple[str, str]]:
    """Return why something was refused, a sentence for each field, each with its language."""
    if not problem.fields:
        return [(problem.detail, "en")] if problem.detail else []
    found = [(name, reasons.in_language(reason, language)) for name, reason in problem.fields.items()]
    return [(f"{name}: {reason}." if name else f"{reason}.", language.tag) for name, reason in found]
