"""Texts of refusals follow Accept-Language; slugs and facts stay the same."""

from typing import Any

import pytest

from discount.api import problems, texts
from tests.api.client import Client


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("en", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr-FR,de;q=0.5", "de"),
        ("en-GB,de;q=0.5", "en"),
        ("fr", "en"),
        ("*", "en"),
        ("de;q=0", "en"),
        ("\u00ff;;,=q", "en"),
        ("de," * 100, "en"),
    ],
)
def test_the_best_language_of_the_header_is_chosen(header: str | None, language: str) -> None:
    environ: dict[str, Any] = {} if header is None else {"HTTP_ACCEPT_LANGUAGE": header}
    assert texts.language_of(environ) == language


def test_a_problem_has_its_title_and_its_detail_in_german(client: Client) -> None:
    body = {"user_id": "Ann"}
    german = client.http.post("/discount/dsc-x/grant", json=body, headers={"Accept-Language": "de-DE"})
    english = client.http.post("/discount/dsc-x/grant", json=body)
    assert german.headers["Content-Language"] == "de"
    assert german.headers["Vary"] == "Accept-Language"
    assert "Content-Language" not in english.headers
    assert german.get_json()["title"] == "Das gibt es hier nicht."
    assert german.get_json()["type"] == english.get_json()["type"]


def test_the_reasons_of_a_validation_are_in_german(client: Client) -> None:
    client.create(codes={"kind": "shared", "code": "HALLO"}, total_count=None, limits={"total": 0})
    order = {"id": "1", "amount": 1000, "currency": "EUR"}
    for code, word, title in (
        ("hallo", "limit-reached", "Der Code wurde so oft verwendet, wie seine Grenzen erlauben."),
        ("falsch", "not-granted", "Der Nutzer hat keinen solchen Code."),
    ):
        body = {"brand_id": "IKEA", "user_id": "Ann", "code": code, "order": order}
        answer = client.http.post("/validation", json=body, headers={"Accept-Language": "de"}).get_json()
        assert [(each["word"], each["title"]) for each in answer["reasons"]] == [(word, title)]
    assert answer["reasons"][0]["detail"] == "Der Nutzer hat hier keinen solchen Code; bitte die Schreibweise prüfen."


def test_a_dialect_keeps_its_own_language(client: Client) -> None:
    answer = client.http.get("/coupon/NONE/status", headers={"Accept-Language": "de"})
    assert answer.status_code >= 400
    assert "Content-Language" not in answer.headers


def test_every_refusal_has_a_german_title(client: Client) -> None:
    assert set(problems.TITLES) <= set(texts.TITLES)
    assert all(texts.TITLES[slug] != title for slug, title in problems.TITLES.items())
