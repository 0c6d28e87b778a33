"""Pages for people: the API page, and the meaning of each problem."""

import html
import re

import pytest
from flask.testing import FlaskClient

from discount.api.problem_pages import ADVICE
from discount.api.problems import STATUS, TITLES
from tests.api.client import Client, check_problem

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PROGRAMS = [{}, {"Accept": "*/*"}, {"Accept": "application/json"}, {"Accept": "application/json, text/html;q=0.5"}]


def test_the_address_of_the_service_leads_a_browser_to_the_console(raw: FlaskClient) -> None:
    answer = raw.get("/", headers=BROWSER)
    assert (answer.status_code, answer.headers["Location"], answer.headers["Vary"]) == (302, "/console/", "Accept")
    assert "Discount console" in raw.get("/", headers=BROWSER, follow_redirects=True).text


@pytest.mark.parametrize("headers", PROGRAMS)
def test_the_root_address_links_programs_to_the_openapi_document(raw: FlaskClient, headers: dict[str, str]) -> None:
    answer = raw.get("/", headers=headers)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    found = answer.get_json()
    assert raw.get(found["openapi"]).get_json()["openapi"].startswith("3.1.")
    assert raw.get(found["apidocs"]).status_code == 200


@pytest.mark.parametrize("path", ["/apidocs", "/apidocs/"])
def test_the_page_is_there_with_a_slash_and_without_and_in_no_frame(raw: FlaskClient, path: str) -> None:
    answer = raw.get(path)
    assert answer.status_code == 200
    assert answer.text == raw.get("/apidocs").text
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    for script in re.findall(r'(?:src|href)="(/[^"]+)"', answer.text):
        assert raw.get(script).status_code == 200


@pytest.mark.parametrize("word", list(STATUS))
def test_the_type_of_every_problem_links_to_its_explanation(raw: FlaskClient, word: str) -> None:
    when, what = ADVICE[word]
    program = raw.get(f"/problems/{word}")
    assert program.get_json() == {
        "type": f"/problems/{word}",
        "title": TITLES[word],
        "status": STATUS[word],
        "when": when,
        "what_to_do": what,
    }
    page = raw.get(f"/problems/{word}", headers=BROWSER)
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    assert page.headers["Vary"] == "Accept"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    text = html.unescape(re.sub(r"</?code>", "`", page.text))
    for expected in (TITLES[word], str(STATUS[word]), f"`{word}`", when, what):
        assert expected in text


def test_a_problem_that_does_not_exist_has_no_page(client: Client) -> None:
    for word in ("nothing", "Sold-out", "<b>"):
        client.refused("GET", f"/problems/{word}", 404, "not-found", headers=BROWSER)


def test_the_type_of_a_refusal_can_be_followed(client: Client) -> None:
    refused = check_problem(client.http.post("/discount", json={}), 422, "invalid", "/discount_code")
    assert client.http.get(refused["type"]).get_json()["title"] == refused["title"]
