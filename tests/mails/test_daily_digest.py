"""The daily digest: one e-mail a day with the figures of the day before, whatever dies when."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from discount.domain.ids import partition_of
from discount.domain.model import to_time
from discount.ledger.database import Database
from discount.ledger.figures import Figures
from discount.ledger.tables import FIGURES
from discount.services import brands
from discount.services.deliveries import list_page
from discount.store import keys
from discount.worker import digests
from discount.worker.digests import Digests
from tests.mails.harness import DAY, HOUR, MailHarness
from tests.mails.mail_parser import headers_of, read, text_of
from tests.support.sqlite_ledger import SqliteLedger

DESK = "desk@ikea.example"


class Noon:
    """A brand in a time zone where it is about noon now, so that no test comes near a midnight there."""

    def __init__(self, harness: MailHarness, ledger: SqliteLedger) -> None:
        self.harness, self.store, self.ledger = harness, harness.store, ledger
        self.zone = f"Etc/GMT{to_time(harness.now).hour - 12:+d}"
        self.database = Database(ledger.url)
        harness.mailer._figures = Figures(harness.store, self.database)
        harness.done("POST", "/brand", {"id": "IKEA", "email": "shop@ikea.example"})
        self.digests = Digests(harness.store)
        self.due = keys.digests(keys.partition_of("IKEA", harness.store.partitions))

    def want(self, **given: Any) -> Any:
        """Let the brand want a digest, and let today's be due."""
        body = {"timezone": self.zone, "digest": {"email": DESK, "hour": 7} | given}
        shown = self.harness.done("PATCH", "/brand/IKEA", body)["digest"]
        self.let_be_due()
        return shown

    def let_be_due(self) -> None:
        self.store.command("ZADD", self.due, "XX", self.harness.now - HOUR, "IKEA")

    def send(self) -> list[tuple[str, str]]:
        """Plan what is due, send it, and return the outcomes."""
        self.digests.turn(self.harness.now)
        return [(each.state, each.status) for each in self.harness.deliver()]

    def texts(self) -> list[str]:
        return [text_of(read(each)) for each in self.harness.box.mails]

    def use(self, currency: str = "EUR") -> str:
        """Grant three codes and redeem one, on the day before, and return the discount."""
        discount_id = self.harness.create(total_count=10, percent_off=10)
        code = self.harness.grant(discount_id)
        for user in ("bob", "cy"):
            self.harness.grant(discount_id, user)
        order = {"id": f"o-{currency}", "amount": 105000, "currency": currency}
        body = {"discount_id": discount_id, "user_id": "ann", "code": code, "order": order}
        self.harness.done("POST", "/redemption", body)
        self.ledger.read(self.store)
        with self.database.writing() as connection:
            connection.execute(update(FIGURES).values(at=FIGURES.c.at - DAY))
        return discount_id


@pytest.fixture
def noon(harness: MailHarness, tmp_path: Path) -> Noon:
    return Noon(harness, SqliteLedger(tmp_path))


def test_a_brand_gets_the_figures_of_the_day_before(noon: Noon) -> None:
    noon.use()
    noon.want()
    assert noon.send() == [("delivered", "250")]
    (mail,) = noon.harness.box.mails
    day = datetime.fromtimestamp(noon.harness.now / 1_000_000, ZoneInfo(noon.zone)) - timedelta(days=1)
    headers = headers_of(mail)
    assert headers["to"] == DESK
    assert headers["subject"] == f"Your codes on {day.day} {day:%B} {day.year}"
    (text,) = noon.texts()
    assert "users were granted 3 codes of IKEA and redeemed 1." in text
    assert "Taken off: 105.00\xa0EUR\n" in text
    assert "Christmas: 3 granted, 1 redeemed, 105.00\xa0EUR off, 7 left now\n" in text


def test_it_is_in_german_and_in_the_decimals_of_each_currency(noon: Noon) -> None:
    noon.use("JPY")
    noon.want(language="de")
    noon.send()
    (text,) = noon.texts()
    assert "Rabatt: 10.500\xa0JPY\n" in text
    assert "Christmas: 3 vergeben, 1 eingelöst, 10.500\xa0JPY Rabatt, noch 7 übrig\n" in text


def test_what_runs_out_soon_is_named(noon: Noon) -> None:
    discount_id = noon.use()
    created_at = f"{noon.harness.now - 2 * DAY:016d}"
    noon.store.command("HSET", keys.discount(partition_of(discount_id), discount_id), "created_at", created_at)
    noon.want()
    noon.send()
    (text,) = noon.texts()
    assert "Runs out at the present pace: Christmas: " in text


def test_a_quiet_day_is_a_short_digest(noon: Noon) -> None:
    noon.want()
    noon.ledger.read(noon.store)
    noon.send()
    (text,) = noon.texts()
    assert "users were granted 0 codes of IKEA and redeemed 0." in text
    assert "Taken off: nothing\n" in text


def test_it_comes_once_a_day(noon: Noon) -> None:
    noon.want()
    for _ in range(3):
        noon.send()
        noon.let_be_due()
    assert len(noon.harness.box.mails) == 1
    noon.digests.turn(noon.harness.now + DAY)
    targets = [each.target for each in list_page(noon.store, "IKEA").items]
    assert len(targets) == len(set(targets)) == 2


def test_after_days_without_a_worker_only_the_latest_is_sent(noon: Noon) -> None:
    noon.want()
    noon.digests.turn(noon.harness.now + 4 * DAY)
    assert len(list_page(noon.store, "IKEA").items) == 1


@pytest.mark.parametrize("script", ["plan", "move_digest"])
def test_a_worker_that_dies_while_it_plans_leaves_one_digest(
    noon: Noon, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon.want()
    run_many = noon.store.run_many

    def die(name: str, *arguments: Any) -> Any:
        if name == script:
            raise KeyboardInterrupt
        return run_many(name, *arguments)

    with monkeypatch.context() as dying:
        dying.setattr(noon.store, "run_many", die)
        with pytest.raises(KeyboardInterrupt):
            noon.digests.turn(noon.harness.now)
    assert noon.send() == [("delivered", "250")]
    assert noon.send() == []
    assert len(noon.harness.box.mails) == 1


def test_a_worker_that_dies_after_it_sent_sends_the_same_message_again(noon: Noon) -> None:
    noon.want()
    noon.digests.turn(noon.harness.now)
    (delivery,) = list_page(noon.store, "IKEA").items
    assert noon.harness.mailer.send(delivery, None).receipt.outcome == "delivered"
    noon.harness.deliver()
    ids = [headers_of(each)["message-id"] for each in noon.harness.box.mails]
    assert ids == [f"<{delivery.id}@shop.example>"] * 2


def test_two_workers_plan_one_digest(noon: Noon) -> None:
    noon.want()
    other = Digests(noon.store)
    assert (noon.digests.turn(noon.harness.now), other.turn(noon.harness.now)) == (1, 0)
    name = keys.digests(keys.partition_of("IKEA", noon.store.partitions))
    noon.store.command("ZADD", name, noon.harness.now, "IKEA")
    other.turn(noon.harness.now)
    assert len(list_page(noon.store, "IKEA").items) == 1


def test_a_change_while_it_is_planned_decides_when_the_next_one_is_due(
    noon: Noon, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon.want()
    planned = digests._planned

    def change_meanwhile(*arguments: Any) -> Any:
        noon.harness.done("PATCH", "/brand/IKEA", {"digest": {"hour": 15}})
        return planned(*arguments)

    monkeypatch.setattr(digests, "_planned", change_meanwhile)
    noon.digests.turn(noon.harness.now)
    due_at = int(float(noon.store.command("ZSCORE", noon.due, "IKEA")))
    # Today at 15, not tomorrow at 7.
    assert noon.harness.now < due_at < noon.harness.now + 4 * HOUR


@pytest.mark.parametrize("how", ["off", "closed"])
def test_a_brand_that_wants_none_gets_none(noon: Noon, how: str) -> None:
    noon.want()
    if how == "off":
        assert noon.harness.done("PATCH", "/brand/IKEA", {"digest": None})["digest"] is None
    else:
        brands.close(noon.store, "IKEA")
    assert noon.send() == []
    assert noon.store.command("ZCARD", noon.due) == 0


def test_a_digest_that_was_switched_off_after_it_was_planned_is_not_sent(noon: Noon) -> None:
    noon.want()
    noon.digests.turn(noon.harness.now)
    noon.harness.done("PATCH", "/brand/IKEA", {"digest": None})
    assert [(each.state, each.status) for each in noon.harness.deliver()] == [("failed", "unwanted")]


def test_it_waits_for_a_ledger_that_is_behind(noon: Noon, monkeypatch: pytest.MonkeyPatch) -> None:
    noon.ledger.read(noon.store)
    noon.want()
    monkeypatch.setattr(digests, "is_read", lambda *_: False)
    assert noon.send() == [("waiting", "ledger-behind")]


def test_the_ledger_has_a_day_once_it_has_all_events_before_its_end(noon: Noon) -> None:
    store = noon.store
    noon.ledger.read(store)
    noon.harness.create()
    before, after = noon.harness.now - HOUR, noon.harness.now + HOUR
    assert (digests.is_read(store, "IKEA", before), digests.is_read(store, "IKEA", after)) == (True, False)
    noon.ledger.read(store)
    assert digests.is_read(store, "IKEA", after)


def test_it_waits_for_a_database_that_is_away(noon: Noon, tmp_path: Path) -> None:
    noon.want()
    noon.harness.mailer._figures = Figures(noon.store, Database(f"sqlite:///{tmp_path}/none/ledger.db"))
    assert noon.send() == [("waiting", "ledger-away")]


def test_without_an_address_of_its_own_it_goes_to_the_brands(noon: Noon) -> None:
    shown = noon.harness.done("PATCH", "/brand/IKEA", {"digest": {}})["digest"]
    assert shown == {"email": None, "language": "en", "hour": 7}
    noon.let_be_due()
    noon.send()
    assert headers_of(noon.harness.box.mails[0])["to"] == "shop@ikea.example"


@pytest.mark.parametrize(
    ("digest", "pointer"),
    [
        ({"hour": 24}, "/digest/hour"),
        ({"hour": "7"}, "/digest/hour"),
        ({"language": "fr"}, "/digest/language"),
        ({"email": "nobody"}, "/digest/email"),
        ({"email": "a@b\r\nBcc: eve@evil.example"}, "/digest/email"),
        ({"mail": DESK}, "/digest/mail"),
        ([], "/digest"),
    ],
)
def test_a_digest_that_cannot_be_is_refused_and_nothing_changes(noon: Noon, digest: Any, pointer: str) -> None:
    answer = noon.harness.ask("PATCH", "/brand/IKEA", {"digest": digest, "name": "x"})
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["pointer"] == pointer
    assert noon.harness.done("GET", "/brand/IKEA")["name"] == "IKEA"


def test_another_time_zone_of_the_brand_moves_its_digest(noon: Noon) -> None:
    noon.want()
    for zone in ("Asia/Tokyo", None):
        shown = noon.harness.done("PATCH", "/brand/IKEA", {"timezone": zone})
        assert shown["timezone"] == zone
        due_at = to_time(int(float(noon.store.command("ZSCORE", noon.due, "IKEA"))))
        assert due_at.astimezone(ZoneInfo(zone or "UTC")).hour == 7
    answer = noon.harness.ask("PATCH", "/brand/IKEA", {"timezone": "Europe/Atlantis"})
    assert answer.get_json()["errors"][0]["pointer"] == "/timezone"
    noon.harness.done("PATCH", "/brand/IKEA", {"digest": None})
    noon.harness.done("PATCH", "/brand/IKEA", {"timezone": "Asia/Tokyo"})
    assert noon.store.command("ZCARD", noon.due) == 0


def test_a_brand_without_any_address_has_to_name_one(harness: MailHarness) -> None:
    harness.done("POST", "/brand", {"id": "Bare"})
    answer = harness.ask("PATCH", "/brand/Bare", {"digest": {"hour": 8}})
    assert (answer.status_code, answer.get_json()["errors"][0]["pointer"]) == (422, "/digest/email")
    both = harness.done("PATCH", "/brand/Bare", {"email": DESK, "digest": {"hour": 8}})
    assert (both["email"], both["digest"]["hour"]) == (DESK, 8)
    answer = harness.ask("PATCH", "/brand/Bare", {"email": None, "digest": {"hour": 9}})
    assert answer.status_code == 422
