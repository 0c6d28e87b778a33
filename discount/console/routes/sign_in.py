"""Pages to sign in and out, to choose a language, and the static files."""

from importlib import resources

from flask import Flask, Response, send_from_directory

from discount.api.exchange import Request
from discount.console.frame import Frame, Problem
from discount.console.languages import LANGUAGES
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Invalid, Unauthenticated
from discount.security.openid import OpenId

_YEAR = 365 * 86400
#: Where the provider sends people back.
_BACK = "/console/openid/back"
#: The cookie that keeps what a sign-in began with, and for how long.
_COOKIE, _MINUTES = "openid", 10


def add_routes(frame: Frame, app: Flask, openid: OpenId | None) -> None:
    """Serve the pages.

    Args:
        openid: where people may sign in besides with keys.
    """
    static = str(resources.files("discount.console") / "static")

    @app.get("/console/static/<path:name>", provide_automatic_options=False)
    def console_file(name: str) -> Response:
        return send_from_directory(static, name, max_age=_YEAR)

    @frame.page("/sign-in", public=True)
    def sign_in(visit: Visit) -> Result:
        if visit.is_known:
            return Redirect(visit.to("/"))
        wanted = _local(visit.query.get("next", ""))
        return Page("sign-in.html", {"next": wanted, "ended": "ended" in visit.query, "openid": openid is not None})

    @frame.page("/session", "POST", public=True)
    def begin_session(visit: Visit) -> Result:
        wanted = _local(visit.form.get("next", ""))
        try:
            session = frame.sessions.sign_in(visit.form.get("key", ""))
        except Unauthenticated:
            frame.gate.count_stranger(Request(visit.request.environ, {}))
            problem = Problem.of(Invalid("key", visit.language.gettext("is not a valid key")))
            values = {"next": wanted, "ended": False, "openid": openid is not None, "problem": problem}
            return Page("sign-in.html", values, status=401)
        return Redirect(wanted or "/console/", session=session)

    if openid is not None:
        _add_openid(frame, openid)

    @frame.page("/sign-out", "POST", public=True)
    def end_session(visit: Visit) -> Result:
        return Redirect(visit.to("/sign-in"), session=frame.sessions.new())

    @frame.page("/language", "POST", public=True)
    def choose_language(visit: Visit) -> Result:
        chosen = visit.form.get("language", "")
        cookies = (("language", chosen, _YEAR),) if chosen in LANGUAGES else ()
        return Redirect(_local(visit.form.get("next", "")) or "/console/", cookies=cookies)


def _add_openid(frame: Frame, openid: OpenId) -> None:
    @frame.page("/openid", public=True)
    def begin_openid(visit: Visit) -> Result:
        url, facts = openid.begin(frame.address(_BACK))
        facts["next"] = _local(visit.query.get("next", ""))
        return Redirect(url, cookies=((_COOKIE, frame.sessions.seal(_COOKIE, facts), _MINUTES * 60),))

    @frame.page(_BACK.removeprefix("/console"), public=True)
    def finish_openid(visit: Visit) -> Result:
        facts = frame.sessions.unseal(_COOKIE, frame.cookie(_COOKIE)) or {}
        person = openid.finish(frame.address(_BACK), facts, visit.query)
        session = frame.sessions.of_person(person.name, person.scopes, person.brand_id)
        return Redirect(_local(facts.get("next", "")) or "/console/", session=session, cookies=((_COOKIE, "", 0),))


def _local(path: str) -> str:
    """Return an address if it is one of the console, otherwise an empty text."""
    return path if path.startswith("/console/") and "\\" not in path and path.isprintable() else ""
