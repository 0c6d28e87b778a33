"""Pages to sign in and out, to choose a language, and the static files."""

from importlib import resources

from flask import Flask, Response, send_from_directory

from discount.api.exchange import Request
from discount.console.frame import Frame, Problem
from discount.console.languages import LANGUAGES
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Invalid, Unauthenticated

_YEAR = 365 * 86400


def add_routes(frame: Frame, app: Flask) -> None:
    """Serve the pages."""
    static = str(resources.files("discount.console") / "static")

    @app.get("/console/static/<path:name>", provide_automatic_options=False)
    def console_file(name: str) -> Response:
        return send_from_directory(static, name, max_age=_YEAR)

    @frame.page("/sign-in", public=True)
    def sign_in(visit: Visit) -> Result:
        if visit.is_known:
            return Redirect(visit.to("/"))
        return Page("sign-in.html", {"next": visit.query.get("next", ""), "ended": "ended" in visit.query})

    @frame.page("/session", "POST", public=True)
    def begin_session(visit: Visit) -> Result:
        wanted = _local(visit.form.get("next", ""))
        try:
            session = frame.sessions.sign_in(visit.form.get("key", ""))
        except Unauthenticated:
            frame.gate.count_stranger(Request(visit.request.environ, {}))
            problem = Problem.of(Invalid("key", visit.language.gettext("is not a valid key")))
            return Page("sign-in.html", {"next": wanted, "ended": False, "problem": problem}, status=401)
        return Redirect(wanted or "/console/", session=session)

    @frame.page("/sign-out", "POST", public=True)
    def end_session(visit: Visit) -> Result:
        return Redirect(visit.to("/sign-in"), session=frame.sessions.new())

    @frame.page("/language", "POST", public=True)
    def choose_language(visit: Visit) -> Result:
        chosen = visit.form.get("language", "")
        cookies = (("language", chosen, _YEAR),) if chosen in LANGUAGES else ()
        return Redirect(_local(visit.form.get("next", "")) or "/console/", cookies=cookies)


def _local(path: str) -> str:
    """Return an address if it is one of the console, otherwise an empty text."""
    return path if path.startswith("/console/") and "\\" not in path and path.isprintable() else ""
