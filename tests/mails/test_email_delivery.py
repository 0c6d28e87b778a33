"""From an event to its e-mail: who gets one, who does not, its content, and how to unsubscribe."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from discount.domain.model import Delivery, Grant, from_time
from discount.services import grants, outbox, quotas
from discount.store import keys
from discount.store.connection import Store
from discount.store.quotas import Quotas
from discount.worker import email_delivery
from tests.mails.harness import (
    DAY,
    HOUR,
    PUBLIC,
    REMIND_DAYS,
    MailHarness,
)
from tests.mails.mail_parser import (
    headers_of,
    html_of,
    read,
    shown,
    text_of,
)

ANN = "ann@mail.example"
SHOP = "shop@ikea.example"


def outcomes(made: list[Delivery]) -> list[tuple[str, str, str]]:
    """Return the kind and outcome of each delivery."""
    return sorted((each.type, each.state, each.status) for each in made)


def recipients(works: MailHarness) -> list[str]:
    """Return the recipients of the e-mails that the server took, in order."""
    found = [each for _, several in works.box.envelopes for each in several]
    assert [headers_of(mail)["to"].rpartition("<")[2].rstrip(">") for mail in works.box.mails] == found
    return found


def subjects(works: MailHarness) -> list[str]:
    return sorted(headers_of(mail)["subject"] for mail in works.box.mails)


def test_a_grant_with_an_address_sends_the_code(works: MailHarness) -> None:
    discount_id = works.create(expires_at=30 * DAY, percent_off=12.5, timezone="Asia/Tokyo")
    code = works.grant(discount_id, email=ANN)
    (made,) = works.send()
    assert (made.kind, made.target, made.state, made.status, made.attempts) == (
        "email",
        "user:ann",
        "delivered",
        "250",
        1,
    )
    assert recipients(works) == [ANN]
    headers, text = headers_of(works.box.mails[0]), text_of(read(works.box.mails[0]))
    assert headers["from"] == "Discounts <mail@shop.example>"
    assert headers["subject"] == "Your code from IKEA: Christmas"
    assert headers["message-id"] == f"<{made.id}@shop.example>"
    assert f"    {code}\n" in text
    assert "Your discount: 12.5%\n" in text
    until = datetime.fromisoformat(works.done("GET", f"/discount/{discount_id}")["expires_at"])
    shown_until = until.astimezone(ZoneInfo("Asia/Tokyo"))
    assert f"Valid until: {shown_until.day}\xa0{shown_until:%B %Y, %H:%M}\xa0JST\n" in text
    assert shown(html_of(read(works.box.mails[0]))).text.count(code) == 1


@pytest.mark.parametrize(
    ("codes", "for_all"),
    [
        ({"kind": "shared", "code": "AHMED2022"}, True),
        ({"kind": "personal", "template": "for-{user}"}, False),
        ({"kind": "unique"}, False),
    ],
)
def test_what_is_said_of_a_code_fits_its_kind(works: MailHarness, codes: dict[str, str], for_all: bool) -> None:
    works.grant(works.create(codes=codes), email=ANN)
    works.send()
    text = " ".join(text_of(read(works.box.mails[0])).split())
    assert ("only for you" in text, "feel free to share it" in text) == (not for_all, for_all)


def test_the_same_grant_again_sends_nothing_more(works: MailHarness) -> None:
    discount_id = works.create()
    codes = {works.grant(discount_id, email=ANN) for _ in range(3)}
    works.send()
    works.send()
    assert len(codes) == 1
    assert recipients(works) == [ANN]


def test_an_event_planned_twice_is_one_delivery_with_one_id(works: MailHarness) -> None:
    works.grant(works.create(), email=ANN)
    works.plan()
    (first,) = works.emails()
    for partition in range(works.store.partitions):
        works.store.command("XGROUP", "SETID", keys.events(partition), outbox.GROUP, "0")
    works.plan()
    assert [each.id for each in works.emails()] == [first.id]
    works.deliver()
    assert recipients(works) == [ANN]


def test_what_the_brand_says_wins_over_what_the_user_says(works: MailHarness) -> None:
    discount_id = works.create()
    works.done("PUT", "/user/ann", {"email": "own@mail.example", "name": "Ann", "locale": "de"})
    works.done(
        "PUT", "/user/ann?brand_id=IKEA", {"email": "brands@mail.example", "name": "Frau Müller", "locale": "en"}
    )
    works.grant(discount_id)
    works.send()
    assert recipients(works) == ["brands@mail.example"]
    assert text_of(read(works.box.mails[0])).startswith("Hello Frau Müller,")


def test_what_the_user_says_is_used_where_the_brand_knows_nothing(works: MailHarness) -> None:
    discount_id = works.create()
    works.done("PUT", "/user/ann", {"email": "own@mail.example", "name": "Ann", "locale": "de-AT"})
    works.done("PUT", "/user/ann?brand_id=Other", {"email": "others@mail.example"})
    works.grant(discount_id)
    works.send()
    assert recipients(works) == ["own@mail.example"]
    assert headers_of(works.box.mails[0])["subject"] == "Ihr Code von IKEA: Christmas"
    assert text_of(read(works.box.mails[0])).startswith("Guten Tag Ann,")


def test_the_address_is_the_one_known_when_it_is_sent(works: MailHarness) -> None:
    works.grant(works.create(), email=ANN)
    works.plan()
    works.done("PUT", "/user/ann?brand_id=IKEA", {"email": "new@mail.example"})
    works.deliver()
    assert recipients(works) == ["new@mail.example"]


def test_nobody_is_written_to_without_an_address(works: MailHarness) -> None:
    works.grant(works.create())
    assert works.send() == []
    assert works.emails() == []


@pytest.mark.parametrize(
    "contact", [{"email": None}, {"email": ANN, "unsubscribed": True}], ids=["taken away", "unsubscribed"]
)
def test_an_address_that_is_gone_by_then_is_not_written_to(works: MailHarness, contact: dict[str, object]) -> None:
    works.grant(works.create(), email=ANN)
    works.plan()
    works.done("PUT", "/user/ann?brand_id=IKEA", contact)
    assert outcomes(works.deliver()) == [("code.granted", "failed", "no-address")]
    assert works.box.mails == []
    assert works.emails()[0].attempts == 0


def test_a_user_who_unsubscribed_has_nothing_planned(works: MailHarness) -> None:
    works.done("PUT", "/user/ann?brand_id=IKEA", {"email": ANN, "unsubscribed": True})
    works.grant(works.create(), email=ANN)
    works.plan()
    assert works.emails() == []


def test_a_brand_switches_kinds_of_e_mails_off(works: MailHarness) -> None:
    works.done("POST", "/brand", {"id": "IKEA", "email": SHOP})
    works.done("PATCH", "/brand/IKEA", {"mails_off": ["code-granted"]})
    works.grant(works.create(total_count=1), email=ANN)
    works.send()
    assert recipients(works) == [SHOP]
    assert subjects(works) == ["Sold out: Christmas"]


def test_one_switched_off_between_plan_and_sending_is_not_sent(works: MailHarness) -> None:
    works.done("POST", "/brand", {"id": "IKEA"})
    works.grant(works.create(), email=ANN)
    works.plan()
    works.done("PATCH", "/brand/IKEA", {"mails_off": ["code-granted"]})
    assert outcomes(works.deliver()) == [("code.granted", "failed", "unwanted")]
    assert works.box.mails == []


def test_a_user_who_was_forgotten_between_is_not_written_to(works: MailHarness) -> None:
    works.grant(works.create(), email=ANN)
    works.plan()
    works.done("DELETE", "/user/ann")
    assert works.deliver() == []
    assert works.box.mails == []


def test_one_address_gets_so_many_a_day_and_no_more_however_it_is_written(
    works: MailHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert email_delivery.MOST_PER_MAILBOX == 50
    monkeypatch.setattr(email_delivery, "MOST_PER_MAILBOX", 3)
    for number, address in enumerate([ANN, ANN.upper(), "Ann@Mail.example", ANN]):
        works.done("PUT", f"/user/{number}?brand_id=Brand{number}", {"email": address})
        works.grant(works.create(brand_id=f"Brand{number}"), str(number))
    works.grant(works.create(), "bob", email="bob@mail.example")
    made = outcomes(works.send())
    assert made == [("code.granted", "delivered", "250")] * 4 + [("code.granted", "failed", "too-many")]
    assert sorted(recipients(works)).count("bob@mail.example") == 1
    assert len(works.box.mails) == 4


@pytest.mark.parametrize(
    ("addresses", "mailbox"),
    [
        (["ann@mail.example", "Ann@Mail.example", "ann+shop@mail.example", "ann+a+b@mail.example"], "ann@mail.example"),
        (["a.nn@gmail.com", "ann+x@googlemail.com", "A.N.N@gmail.com"], "ann@gmail.com"),
        (["a.nn@mail.example"], "a.nn@mail.example"),
        (["+ann@mail.example"], "+ann@mail.example"),
    ],
)
def test_addresses_that_lead_to_one_mailbox_are_counted_as_one(addresses: list[str], mailbox: str) -> None:
    assert {email_delivery.mailbox_of(each) for each in addresses} == {mailbox}


def test_tags_do_not_get_one_mailbox_more_a_day(works: MailHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email_delivery, "MOST_PER_MAILBOX", 3)
    discount_id = works.create()
    for number in range(5):
        works.grant(discount_id, f"user {number}", email=f"two+{number}@mail.example")
    assert sorted(status for _, _, status in outcomes(works.send())) == ["250"] * 3 + ["too-many"] * 2


def test_tries_that_failed_are_not_counted_as_e_mails_of_a_day(
    works: MailHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email_delivery, "MOST_PER_MAILBOX", 3)
    works.grant(works.create(), email=ANN)
    works.plan()
    (email,) = works.emails()
    entry = outbox.read_entry(works.store, int(email.id[4:6], 16), email.place)
    works.box.answers["mail"] = "451 later"
    assert [works.mailer.send(email, entry).receipt.status for _ in range(4)] == ["451"] * 4
    works.box.answers.clear()
    assert [works.mailer.send(email, entry).receipt.status for _ in range(4)] == ["250", "250", "250", "too-many"]


def test_a_brand_sends_so_many_e_mails_a_day(works: MailHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works.store, "quotas", Quotas({"emails_a_day": "2"}))
    discount_id = works.create()
    for number in range(4):
        works.grant(discount_id, f"user {number}", email=f"user{number}@mail.example")
    works.grant(works.create(brand_id="Billo"), email=ANN)
    made = works.send()
    assert sorted((each.brand_id, each.status) for each in made) == [
        ("Billo", "250"),
        *[("IKEA", "250")] * 2,
        *[("IKEA", "quota-reached")] * 2,
    ]
    quota = quotas.show(works.store, "IKEA")["emails_a_day"]
    assert (quota.limit, quota.used) == (2, 2)
    assert quota.opens_at is not None
    # A day later they can be sent again.
    works.store.command("DEL", keys.brand_mailed(keys.partition_of("IKEA", works.store.partitions), "IKEA"))
    assert works.ask("POST", "/delivery/resend", {"brand_id": "IKEA", "state": "failed"}).status_code == 202
    assert sorted(each.status for each in works.deliver()) == ["250", "250"]


def test_an_e_mail_that_was_not_sent_is_none_of_the_brands(works: MailHarness) -> None:
    works.grant(works.create(), email=ANN)
    works.box.answers["mail"] = "451 later"
    works.send()
    assert quotas.show(works.store, "IKEA")["emails_a_day"].used == 0


def test_a_brand_is_told_that_a_discount_is_sold_out(works: MailHarness) -> None:
    works.done("POST", "/brand", {"id": "IKEA", "name": "Möbelhaus", "email": SHOP})
    discount_id = works.create(total_count=1)
    works.grant(discount_id)
    assert works.ask("POST", f"/discount/{discount_id}/grant", {"user_id": "bob"}).status_code == 409
    assert outcomes(works.send()) == [("discount.sold-out", "delivered", "250")]
    assert recipients(works) == [SHOP]
    assert subjects(works) == ["Sold out: Christmas"]
    message = read(works.box.mails[0])
    assert "Total codes: 1\n" in text_of(message)
    assert "the contact address of the brand Möbelhaus" in text_of(message)
    # A brand is not unsubscribed by a link: it has a setting.
    assert message["List-Unsubscribe"] is None


def test_a_brand_is_told_that_a_limit_is_reached(works: MailHarness) -> None:
    works.done("POST", "/brand", {"id": "IKEA", "email": SHOP})
    discount_id = works.create(limits={"total": 2, "per_user": None})
    code = works.grant(discount_id)
    for order in ("1", "2"):
        works.redeem(discount_id, code, order)
    assert outcomes(works.send()) == [("discount.limit-reached", "delivered", "250")]
    assert subjects(works) == ["Limit reached: Christmas"]
    assert "Limit: 2 uses in total\n" in text_of(read(works.box.mails[0]))


def test_a_limit_that_was_lifted_between_is_told_no_longer(works: MailHarness) -> None:
    works.done("POST", "/brand", {"id": "IKEA", "email": SHOP})
    discount_id = works.create(limits={"total": 1})
    works.redeem(discount_id, works.grant(discount_id), "1")
    works.plan()
    works.done("PATCH", f"/discount/{discount_id}", {"limits": {"total": None}})
    assert outcomes(works.deliver()) == [("discount.limit-reached", "failed", "no-longer-so")]
    assert works.box.mails == []


def test_a_brand_is_told_that_its_webhook_is_off(works: MailHarness) -> None:
    works.done("POST", "/brand", {"id": "IKEA", "email": SHOP})
    works.done("POST", "/webhook", {"brand_id": "IKEA", "url": "https://ikea.example/hook", "types": ["code.granted"]})
    works.grant(works.create())
    assert outcomes(works.send()) == [("code.granted", "failed", "410")]
    assert outcomes(works.send()) == [("webhook.disabled", "delivered", "250")]
    assert subjects(works) == ["A webhook of IKEA has been switched off"]
    text = text_of(read(works.box.mails[0]))
    assert "it replied that it no longer exists (410 Gone)." in text
    assert "Webhook: https://ikea.example/hook\n" in text
    assert "Last response: 410 We moved\n" in text


def test_a_brand_without_an_address_is_told_nothing(works: MailHarness) -> None:
    works.done("POST", "/brand", {"id": "IKEA"})
    works.grant(works.create(total_count=1))
    works.plan()
    assert works.emails() == []


def test_what_a_mail_server_refuses_for_good_has_failed_and_all_else_is_due_again(works: MailHarness) -> None:
    discount_id = works.create()
    works.grant(discount_id, email=ANN)
    works.box.answers["rcpt"] = f"450 {ANN} later"
    assert outcomes(works.send()) == [("code.granted", "waiting", "450")]
    (email,) = works.emails()
    assert (email.attempts, email.answer) == (1, "a…@mail.example later")
    assert email.due_at is not None
    assert email.due_at > works.now
    assert works.deliver() == []
    works.box.answers["rcpt"] = "550 no such user"
    works.grant(discount_id, "bob", email="bob@mail.example")
    assert outcomes(works.send()) == [("code.granted", "failed", "550")]
    works.box.answers.clear()
    assert works.ask("POST", f"/delivery/{email.id}/resend").status_code == 202
    assert [each.id for each in works.deliver()] == [email.id]
    assert recipients(works) == [ANN]


def test_no_name_in_an_e_mail_that_arrives_is_more_than_a_name(works: MailHarness) -> None:
    evil = "<script>x</script>{{7*7}}=?utf-8?q?x?="
    works.done("POST", "/brand", {"id": "IKEA", "name": evil})
    works.done("PUT", "/user/ann?brand_id=IKEA", {"email": ANN, "name": evil})
    works.grant(works.create(discount_code=evil))
    works.send()
    (mail,) = works.box.mails
    assert shown(html_of(read(mail))).text.count(evil) == 5
    assert "script" not in shown(html_of(read(mail))).tags
    assert recipients(works) == [ANN]


def test_the_link_of_an_e_mail_that_arrived_ends_the_e_mails_of_that_brand(works: MailHarness) -> None:
    works.done("PUT", "/user/ann", {"email": ANN})
    works.grant(works.create())
    works.send()
    message = read(works.box.mails.pop())
    link = str(message["List-Unsubscribe"])
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link.startswith(f"<{PUBLIC}/unsubscribe/")
    assert shown(html_of(message)).links == [link.strip("<>")]
    assert link.strip("<>") in text_of(message)
    path = link.strip("<>").removeprefix(PUBLIC)
    # Mail scanners follow links: that alone changes nothing.
    assert works.ask("GET", path).status_code == 200
    works.grant(works.create())
    assert outcomes(works.send()) == [("code.granted", "delivered", "250")]
    one_click = works.http.post(path, data={"List-Unsubscribe": "One-Click"})
    assert one_click.status_code == 200
    works.grant(works.create())
    works.grant(works.create(brand_id="Other"))
    assert outcomes(works.send()) == [("code.granted", "delivered", "250")]
    assert subjects(works)[-1] == "Your code from Other: Christmas"
    assert works.http.post(path[:-1] + ("A" if path[-1] != "A" else "B")).status_code == 404


def test_the_link_works_for_any_user_and_any_brand(works: MailHarness) -> None:
    brand_id, user_id = "ä" * 50, "ü🎄 /?" * 20
    works.done("PUT", "/user/ann", {"email": ANN})
    way = works.mailer._unsubscribe_url(brand_id, user_id)
    assert way is not None
    assert len(way) < 900
    assert works.ask("POST", way.removeprefix(PUBLIC)).status_code == 200


# The end that is to come


@pytest.mark.parametrize("ahead", [HOUR, DAY, 3 * DAY - HOUR])
def test_before_a_code_ends_its_user_is_told(works: MailHarness, ahead: int) -> None:
    discount_id = works.create(expires_at=ahead)
    code = works.grant(discount_id, email=ANN)
    works.send()
    works.box.mails.clear()
    assert works.remind() == 1
    assert ends_to_come(works) == 0
    (made,) = works.deliver()
    assert (made.type, made.kind, made.state, made.event_id) == ("code.expiring", "email", "delivered", "")
    (mail,) = works.box.mails
    assert headers_of(mail)["subject"] == "Your code from IKEA expires soon: Christmas"
    assert headers_of(mail)["message-id"] == f"<{made.id}@shop.example>"
    assert f"    {code}\n" in text_of(read(mail))
    assert "Valid until: " in text_of(read(mail))
    assert str(read(mail)["List-Unsubscribe"]).startswith(f"<{PUBLIC}/unsubscribe/")


def reminded(works: MailHarness) -> list[str]:
    """Return the users of the planned reminders."""
    return sorted(each.target.removeprefix("user:") for each in works.emails() if each.type == "code.expiring")


def ends_to_come(works: MailHarness) -> int:
    """Return how many ends of codes are stored."""
    return sum(works.store.command("ZCARD", keys.expiring(each)) for each in range(works.store.partitions))


def test_nobody_is_told_of_an_end_that_is_far_off(works: MailHarness) -> None:
    works.grant(works.create(expires_at=3 * DAY + HOUR), email=ANN)
    assert works.remind() == 0
    assert reminded(works) == []
    # In time somebody is.
    assert ends_to_come(works) == 1


def test_nobody_is_told_twice_of_the_same_end(works: MailHarness) -> None:
    discount_id = works.create(expires_at=DAY)
    works.grant(discount_id, email=ANN)
    works.remind()
    works.deliver()
    before = [each.id for each in works.emails()]
    # Any change notes the end anew.
    works.done("PATCH", f"/discount/{discount_id}", {"discount_code": "Other name"})
    assert works.remind() == 1
    assert works.deliver() == []
    assert [each.id for each in works.emails()] == before
    assert reminded(works) == ["ann"]


def test_whoever_has_used_the_code_is_told_nothing(works: MailHarness) -> None:
    discount_id = works.create(expires_at=DAY)
    codes = {user: works.grant(discount_id, user, email=f"{user}@mail.example") for user in ("ann", "bob")}
    works.redeem(discount_id, codes["ann"], "1")
    assert works.remind() == 1
    assert reminded(works) == ["bob"]


def test_a_use_that_was_rolled_back_counts_as_none(works: MailHarness) -> None:
    discount_id = works.create(expires_at=DAY)
    code = works.grant(discount_id, email=ANN)
    paid = {"id": "1", "amount": 1000, "currency": "EUR"}
    body = {"discount_id": discount_id, "user_id": "ann", "code": code, "order": paid}
    redemption = works.done("POST", "/redemption", body)["id"]
    works.done("POST", f"/redemption/{redemption}/rollback", {})
    works.remind()
    assert reminded(works) == ["ann"]


@pytest.mark.parametrize("how", ["used", "closed", "taken away"])
def test_what_is_not_so_any_more_when_it_is_sent_is_not_told(works: MailHarness, how: str) -> None:
    discount_id = works.create(expires_at=DAY)
    code = works.grant(discount_id, email=ANN)
    works.send()
    works.remind()
    if how == "used":
        works.redeem(discount_id, code, "1")
    elif how == "closed":
        works.done("DELETE", f"/discount/{discount_id}")
    else:
        works.done("PATCH", f"/discount/{discount_id}", {"expires_at": None})
    assert outcomes(works.deliver()) == [("code.expiring", "failed", "no-longer-so")]
    assert subjects(works) == ["Your code from IKEA: Christmas"]


def test_an_e_mail_on_an_end_that_has_passed_is_not_sent(works: MailHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    works.grant(works.create(expires_at=DAY), email=ANN)
    works.send()
    works.remind()
    (email,) = [each for each in works.emails() if each.type == "code.expiring"]
    later = works.now + DAY
    monkeypatch.setattr(works.store, "now", lambda: later)
    assert works.mailer.send(email, None).receipt.status == "no-longer-so"


@pytest.mark.parametrize("how", ["closed", "over"])
def test_nobody_is_told_of_a_discount_that_is_over_or_closed(works: MailHarness, how: str) -> None:
    discount_id = works.create(expires_at=DAY)
    works.grant(discount_id, email=ANN)
    if how == "closed":
        works.done("DELETE", f"/discount/{discount_id}")
        assert works.remind() == 1
    else:
        works.plan()
        assert works.reminders.turn(works.now + DAY) == 1
    assert reminded(works) == []


def test_whoever_unsubscribed_or_has_no_address_is_told_nothing(works: MailHarness) -> None:
    discount_id = works.create(expires_at=DAY)
    for user in ("ann", "bob"):
        works.grant(discount_id, user, email=f"{user}@mail.example")
    works.grant(discount_id, "eve")
    works.plan()
    works.done("PUT", "/user/bob?brand_id=IKEA", {"email": "bob@mail.example", "unsubscribed": True})
    works.remind()
    assert reminded(works) == ["ann"]


def test_a_brand_that_switched_reminders_off_sends_none(works: MailHarness) -> None:
    works.done("POST", "/brand", {"id": "IKEA"})
    works.done("PATCH", "/brand/IKEA", {"mails_off": ["code-expiring"]})
    works.grant(works.create(expires_at=DAY), email=ANN)
    assert works.remind() == 1
    assert reminded(works) == []


def test_an_end_that_was_moved_is_told_anew(works: MailHarness) -> None:
    discount_id = works.create(expires_at=DAY)
    works.grant(discount_id, email=ANN)
    works.remind()
    works.done("PATCH", f"/discount/{discount_id}", {"expires_at": works.at(2 * DAY)})
    assert works.remind() == 1
    assert reminded(works) == ["ann", "ann"]
    assert len({each.id for each in works.emails()}) == 3


@pytest.mark.parametrize("to", [2 * DAY, 30 * DAY])
def test_an_end_that_is_moved_while_its_users_are_looked_up_is_kept(
    works: MailHarness, monkeypatch: pytest.MonkeyPatch, to: int
) -> None:
    discount_id = works.create(expires_at=DAY)
    works.grant(discount_id, email=ANN)
    list_all = grants.list_all

    def moved(store: Store, of: str) -> Iterator[Grant]:
        works.done("PATCH", f"/discount/{discount_id}", {"expires_at": works.at(to)})
        works.plan()
        return list_all(store, of)

    with monkeypatch.context() as patch:
        patch.setattr(grants, "list_all", moved)
        assert works.remind() == 1
    assert ends_to_come(works) == 1
    assert works.remind() == (1 if to < REMIND_DAYS * DAY else 0)
    assert reminded(works) == (["ann", "ann"] if to < REMIND_DAYS * DAY else ["ann"])


def test_an_end_that_was_moved_far_off_is_not_told_yet(works: MailHarness) -> None:
    discount_id = works.create(expires_at=DAY)
    works.grant(discount_id, email=ANN)
    works.done("PATCH", f"/discount/{discount_id}", {"expires_at": works.at(30 * DAY)})
    assert works.remind() == 0
    assert reminded(works) == []


def test_an_end_that_was_taken_away_is_not_told(works: MailHarness) -> None:
    discount_id = works.create(expires_at=DAY)
    works.grant(discount_id, email=ANN)
    works.plan()
    works.done("PATCH", f"/discount/{discount_id}", {"expires_at": None})
    assert works.remind() == 1
    assert reminded(works) == []


def test_a_code_that_is_good_for_a_time_ends_by_its_own_grant(works: MailHarness) -> None:
    near, far = works.create(valid_for="P1D"), works.create(valid_for="P10D")
    code = works.grant(near, email=ANN)
    works.grant(far, email=ANN)
    works.grant(near, "eve")
    works.send()
    works.box.mails.clear()
    assert works.remind() == 1
    assert [each.discount_id for each in works.deliver()] == [near]
    assert f"    {code}\n" in text_of(read(works.box.mails[0]))
    assert reminded(works) == ["ann"]


def test_a_code_that_is_good_for_a_month_ends_by_the_calendar_of_its_zone(works: MailHarness) -> None:
    discount_id = works.create(valid_for="P1M", timezone="Asia/Tokyo")
    works.grant(discount_id, email=ANN)
    works.plan()
    member, due_at = works.store.command("ZRANGE", keys.expiring(int(discount_id[4:6], 16)), 0, -1, "WITHSCORES")
    [held] = works.done("GET", "/user/ann/grants")["grants"]
    assert member == f"{discount_id} ann"
    assert int(due_at) + REMIND_DAYS * DAY == from_time(datetime.fromisoformat(held["good_until"]))


def test_a_discounts_end_before_the_grants_own_is_told_once(works: MailHarness) -> None:
    works.grant(works.create(valid_for="P2D", expires_at=DAY), email=ANN)
    assert works.remind() == 2
    assert reminded(works) == ["ann"]


def test_ids_of_reminders_are_the_same_whoever_plans_them(works: MailHarness) -> None:
    discount_id = works.create(expires_at=DAY, total_count=20)
    for number in range(20):
        works.grant(discount_id, str(number), email=f"user{number}@mail.example")
    works.remind()
    first = {each.id for each in works.emails()}
    works.reminders.note(int(discount_id[4:6], 16), discount_id, works.now)
    works.remind()
    assert {each.id for each in works.emails()} == first
    assert reminded(works) == sorted(str(number) for number in range(20))


def test_a_user_who_was_forgotten_is_not_reminded(works: MailHarness) -> None:
    discount_id = works.create(valid_for="P1D")
    works.grant(discount_id, email=ANN)
    works.plan()
    works.done("DELETE", "/user/ann")
    works.remind()
    assert reminded(works) == []
