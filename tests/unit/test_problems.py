"""Problems: one body for every refusal, with the slug at the end of its type."""

import unittest
from pathlib import Path
from typing import Any, NoReturn

from flask import Flask

from discount import metrics
from discount.api import problem_pages, problems
from discount.api.flask_app import answer_errors
from discount.domain import errors
from doc.generate import problems as problem_table

DOCS = Path(__file__).parents[2] / "doc" / "problems.md"


def app_that_raises(error: Exception) -> Flask:
    app = Flask(__name__)
    answer_errors(app)

    @app.get("/")
    def fail() -> NoReturn:
        raise error

    return app


def answer_to(error: Exception) -> Any:
    return app_that_raises(error).test_client().get("/")


class Problems(unittest.TestCase):
    def test_every_refusal_answers_with_its_slug_and_status(self) -> None:
        for word, kind in errors.BY_SLUG.items():
            error = kind("/a", "is bad") if kind is errors.Invalid else kind()
            answer = answer_to(error)
            with self.subTest(word):
                self.assertEqual(answer.status_code, problems.STATUS[word])
                self.assertEqual(answer.content_type, "application/problem+json")
                self.assertEqual(answer.json["type"], f"/problems/{word}")
                self.assertEqual(answer.json["title"], kind.title)
                self.assertEqual(answer.json["status"], problems.STATUS[word])

    def test_a_detail_that_only_repeats_the_title_is_left_out(self) -> None:
        self.assertNotIn("detail", answer_to(errors.SoldOut()).json)
        self.assertEqual(answer_to(errors.SoldOut("None left.")).json["detail"], "None left.")

    def test_a_bad_field_is_named(self) -> None:
        self.assertEqual(
            answer_to(errors.Invalid("/user_id", "is missing")).json["errors"],
            [{"pointer": "/user_id", "detail": "is missing"}],
        )
        self.assertEqual(
            answer_to(errors.Invalid("limit", "is missing")).json["errors"],
            [{"parameter": "limit", "detail": "is missing"}],
        )

    def test_facts_from_scripts_are_shown_in_the_problem(self) -> None:
        self.assertEqual(
            answer_to(errors.Expired(expires_at="1700000000000001")).json["expires_at"], "2023-11-14T22:13:20.000001Z"
        )
        self.assertEqual(
            answer_to(errors.NotStarted(starts_at="1700000000000001")).json["starts_at"], "2023-11-14T22:13:20.000001Z"
        )
        self.assertEqual(answer_to(errors.BelowGranted(granted_count="7")).json["granted_count"], 7)

    def test_only_a_temporary_problem_says_when_to_retry(self) -> None:
        for word, kind in errors.BY_SLUG.items():
            if kind is not errors.Invalid:
                with self.subTest(word):
                    self.assertEqual(
                        answer_to(kind()).headers.get("Retry-After"),
                        "1" if issubclass(kind, errors.Unavailable) else None,
                    )

    def test_an_internal_error_reveals_no_details(self) -> None:
        answer = answer_to(RuntimeError("secret"))
        self.assertEqual((answer.status_code, answer.json["type"]), (500, "/problems/internal"))
        self.assertNotIn("secret", answer.text)

    def test_a_body_that_was_not_read_closes_its_connection(self) -> None:
        answer = answer_to(problems.TooLarge("It is."))
        self.assertEqual((answer.status_code, answer.headers["Connection"]), (413, "close"))

    def test_refusals_are_counted_by_slug(self) -> None:
        def count() -> float:
            metrics.flush()
            return metrics.OF_APP.get_sample_value("discount_refusals_total", {"slug": "sold-out"}) or 0

        before = count()
        answer_to(errors.SoldOut())
        self.assertEqual(count(), before + 1)


class Pages(unittest.TestCase):
    def test_the_table_of_the_docs_is_the_one_of_the_pages(self) -> None:
        page = DOCS.read_text(encoding="utf-8")
        self.assertIn(problem_table.describe(), page)
        self.assertEqual(problem_table.renew(page), page, "make docs")

    def test_every_slug_has_advice_in_complete_sentences(self) -> None:
        self.assertEqual(set(problem_pages.ADVICE), set(problems.STATUS))
        for word, sentences in problem_pages.ADVICE.items():
            for sentence in sentences:
                with self.subTest(word):
                    self.assertRegex(sentence, r"(?s)^[A-Z`].*\.$")
                    self.assertNotRegex(sentence, r"[|\n]|\]\(")
