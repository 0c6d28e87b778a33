"""A person at a browser, who notes whatever a page does that it must not do."""

from importlib import resources
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect

from tests.console.site import Site
from tests.support.patience import PATIENCE

AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
expect.set_options(timeout=PATIENCE * 1000)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, site: Site, context: BrowserContext) -> None:
        self.site = site
        self.context = context
        context.set_default_timeout(PATIENCE * 1000)
        self.page: Page = context.new_page()
        self.requests: list[Request] = []
        self.wrong: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._note_request)

    def _note(self, message: ConsoleMessage) -> None:
        # A browser writes a line for each answer of 400 and more, too; tests look at those themselves.
        if not message.location["url"].startswith(self.site.url):
            return
        if message.type in ("error", "warning") and "status of 4" not in message.text:
            self.wrong.append(message.text)

    def _note_request(self, asked: Request) -> None:
        self.requests.append(asked)

    def go(self, path: str) -> Page:
        self.page.goto(self.site.url + path)
        return self.page

    def sign_in(self, key: str) -> Page:
        """Sign in as a form does it."""
        self.go("/console/sign-in")
        self.page.get_by_label("Key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/console/**")
        return self.page

    def check(self) -> None:
        """Check that nothing was reported, that all requests went to the service, and the flags of all cookies."""
        assert self.wrong == []
        assert [each.url for each in self.requests if not each.url.startswith(self.site.url)] == []
        for cookie in self.context.cookies():
            assert cookie["httpOnly"], cookie
            assert cookie["sameSite"] == "Lax", cookie

    def violations(self) -> list[Any]:
        """Return what axe finds wrong with the page, each with the rule and the elements."""
        self.page.evaluate(AXE)
        options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
        found = self.page.evaluate("options => axe.run(document, options).then(done => done.violations)", options)
        return [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]
