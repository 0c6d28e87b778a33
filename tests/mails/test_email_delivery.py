"""From an event to its e-mail: who gets one, who does not, its content, and how to unsubscribe."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from discount.domain.model import Delivery, Grant, from_time
from discount.services import grant_lists, outbox, quotas
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


def recipients(harness: MailHarness) -> list[str]:
    """Return the recipients of the e-mails that the server took, in order."""
    found = [each for _, several in harness.box.envelopes for each in several]
    assert [headers_of(mail)["to"].rpartition("<")[2].rstrip(">") for mail in harness.box.mails] == found
    return found


def subjects(harness: MailHarness) -> list[str]:
    return sorted(headers_of(mail)["subject"] for mail in harness.box.mails)


def test_a_grant_with_an_address_sends_the_code(harness: MailHarness) -> None:
    discount_id = harness.create(expires_at=30 * DAY, percent_off=12.5, timezone="Asia/Tokyo")
    code = harness.grant(discount_id, email=ANN)
    (made,) = harness.send()
    assert (made.kind, made.target, made.state, made.status, made.attempts) == (
        "email",
        "user:ann",
        "delivered",
        "250",
        1,
    )
    assert recipients(harness) == [ANN]
    headers, text = headers_of(harness.box.mails[0]), text_of(read(harness.box.mails[0]))
    assert headers["from"] == "Discounts <mail@shop.example>"
    assert headers["subject"] == "Your code from IKEA: Christmas"
    assert headers["message-id"] == f"<{made.id}@shop.example>"
    assert f"    {code}\n" in text
    assert "Your discount: 12.5%\n" in text
    until = datetime.fromisoformat(harness.done("GET", f"/discount/{discount_id}")["expires_at"])
    shown_until = until.astimezone(ZoneInfo("Asia/Tokyo"))
    assert f"Valid until: {shown_until.day}\xa0{shown_until:%B %Y, %H:%M}\xa0JST\n" in text
    assert shown(html_of(read(harness.box.mails[0]))).text.count(code) == 1


@pytest.mark.parametrize(
    ("codes", "for_all"),
    [
        ({"kind": "shared", "code": "AHMED2022"}, True),
        ({"kind": "personal", "template": "for-{user}"}, False),
        ({"kind": "unique"}, False),
    ],
)
def test_the_text_about_a_code_fits_its_kind(harness: MailHarness, codes: dict[str, str], for_all: bool) -> None:
    harness.grant(harness.create(codes=codes), email=ANN)
    harness.send()
    text = " ".join(text_of(read(harness.box.mails[0])).split())
    assert ("only for you" in text, "feel free to share it" in text) == (not for_all, for_all)


def test_a_waiting_user_gets_an_e_mail_with_a_returned_code(harness: MailHarness) -> None:
    discount_id = harness.create(total_count=1, claim_within="PT1H")
    harness.grant(discount_id, "Bob")
    harness.done("POST", f"/discount/{discount_id}/wait", {"user_id": "User 1", "email": ANN})
    harness.send()
    assert recipients(harness) == []
    harness.done("POST", f"/discount/{discount_id}/grant/revoke", {"user_id": "Bob", "back": "pool"})
    harness.send()
    assert recipients(harness) == [ANN]
    text = text_of(read(harness.box.mails[0]))
    assert "You waited for a code of IKEA" in " ".join(text.split())
    assert "Use it before: " in text
    # The planner noted when each of the two codes has to be used; the first is not held any more.
    assert harness.store.command("ZCARD", keys.claims(keys.partition_of("IKEA", harness.store.partitions))) == 1


def test_the_same_grant_again_sends_nothing_more(harness: MailHarness) -> None:
    discount_id = harness.create()
    codes = {harness.grant(discount_id, email=ANN) for _ in range(3)}
    harness.send()
    harness.send()
    assert len(codes) == 1
    assert recipients(harness) == [ANN]


def test_an_event_planned_twice_is_one_delivery_with_one_id(harness: MailHarness) -> None:
    harness.grant(harness.create(), email=ANN)
    harness.plan()
    (first,) = harness.emails()
    for partition in range(harness.store.partitions):
        harness.store.command("XGROUP", "SETID", keys.events(partition), outbox.GROUP, "0")
    harness.plan()
    assert [each.id for each in harness.emails()] == [first.id]
    harness.deliver()
    assert recipients(harness) == [ANN]


def test_the_brands_contact_data_overrides_the_users(harness: MailHarness) -> None:
    discount_id = harness.create()
    harness.done("PUT", "/user/ann", {"email": "own@mail.example", "name": "Ann", "locale": "de"})
    harness.done(
        "PUT", "/user/ann?brand_id=IKEA", {"email": "brands@mail.example", "name": "Frau Müller", "locale": "en"}
    )
    harness.grant(discount_id)
    harness.send()
    assert recipients(harness) == ["brands@mail.example"]
    assert text_of(read(harness.box.mails[0])).startswith("Hello Frau Müller,")


def test_the_users_contact_data_is_used_where_the_brand_has_none(harness: MailHarness) -> None:
    discount_id = harness.create()
    harness.done("PUT", "/user/ann", {"email": "own@mail.example", "name": "Ann", "locale": "de-AT"})
    harness.done("PUT", "/user/ann?brand_id=Other", {"email": "others@mail.example"})
    harness.grant(discount_id)
    harness.send()
    assert recipients(harness) == ["own@mail.example"]
    assert headers_of(harness.box.mails[0])["subject"] == "Ihr Code von IKEA: Christmas"
    assert text_of(read(harness.box.mails[0])).startswith("Guten Tag Ann,")


def test_the_address_is_the_one_known_when_it_is_sent(harness: MailHarness) -> None:
    harness.grant(harness.create(), email=ANN)
    harness.plan()
    harness.done("PUT", "/user/ann?brand_id=IKEA", {"email": "new@mail.example"})
    harness.deliver()
    assert recipients(harness) == ["new@mail.example"]


def test_no_e_mail_is_sent_without_an_address(harness: MailHarness) -> None:
    harness.grant(harness.create())
    assert harness.send() == []
    assert harness.emails() == []


@pytest.mark.parametrize(
    "contact", [{"email": None}, {"email": ANN, "unsubscribed": True}], ids=["taken away", "unsubscribed"]
)
def test_no_e_mail_is_sent_to_an_address_removed_meanwhile(harness: MailHarness, contact: dict[str, object]) -> None:
    harness.grant(harness.create(), email=ANN)
    harness.plan()
    harness.done("PUT", "/user/ann?brand_id=IKEA", contact)
    assert outcomes(harness.deliver()) == [("code.granted", "failed", "no-address")]
    assert harness.box.mails == []
    assert harness.emails()[0].attempts == 0


def test_a_user_who_unsubscribed_has_nothing_planned(harness: MailHarness) -> None:
    harness.done("PUT", "/user/ann?brand_id=IKEA", {"email": ANN, "unsubscribed": True})
    harness.grant(harness.create(), email=ANN)
    harness.plan()
    assert harness.emails() == []


def test_a_brand_switches_kinds_of_e_mails_off(harness: MailHarness) -> None:
    harness.done("POST", "/brand", {"id": "IKEA", "email": SHOP})
    harness.done("PATCH", "/brand/IKEA", {"mails_off": ["code-granted"]})
    harness.grant(harness.create(total_count=1), email=ANN)
    harness.send()
    assert recipients(harness) == [SHOP]
    assert subjects(harness) == ["Sold out: Christmas"]


def test_an_e_mail_switched_off_after_planning_is_not_sent(harness: MailHarness) -> None:
    harness.done("POST", "/brand", {"id": "IKEA"})
    harness.grant(harness.create(), email=ANN)
    harness.plan()
    harness.done("PATCH", "/brand/IKEA", {"mails_off": ["code-granted"]})
    assert outcomes(harness.deliver()) == [("code.granted", "failed", "unwanted")]
    assert harness.box.mails == []


def test_no_e_mail_is_sent_to_a_user_forgotten_meanwhile(harness: MailHarness) -> None:
    harness.grant(harness.create(), email=ANN)
    harness.plan()
    harness.done("DELETE", "/user/ann")
    assert harness.deliver() == []
    assert harness.box.mails == []


def test_the_daily_limit_of_an_address_applies_to_any_spelling(
    harness: MailHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert email_delivery.MOST_PER_MAILBOX == 50
    monkeypatch.setattr(email_delivery, "MOST_PER_MAILBOX", 3)
    for number, address in enumerate([ANN, ANN.upper(), "Ann@Mail.example", ANN]):
        harness.done("PUT", f"/user/{number}?brand_id=Brand{number}", {"email": address})
        harness.grant(harness.create(brand_id=f"Brand{number}"), str(number))
    harness.grant(harness.create(), "bob", email="bob@mail.example")
    made = outcomes(harness.send())
    assert made == [("code.granted", "delivered", "250")] * 4 + [("code.granted", "failed", "too-many")]
    assert sorted(recipients(harness)).count("bob@mail.example") == 1
    assert len(harness.box.mails) == 4


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


def test_tags_do_not_get_one_mailbox_more_a_day(harness: MailHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email_delivery, "MOST_PER_MAILBOX", 3)
    discount_id = harness.create()
    for number in range(5):
        harness.grant(discount_id, f"user {number}", email=f"two+{number}@mail.example")
    assert sorted(status for _, _, status in outcomes(harness.send())) == ["250"] * 3 + ["too-many"] * 2


def test_failed_attempts_do_not_count_as_e_mails_of_the_day(
    harness: MailHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email_delivery, "MOST_PER_MAILBOX", 3)
    harness.grant(harness.create(), email=ANN)
    harness.plan()
    (email,) = harness.emails()
    entry = outbox.read_entry(harness.store, int(email.id[4:6], 16), email.entry_id)
    harness.box.answers["mail"] = "451 later"
    assert [harness.mailer.send(email, entry).receipt.status for _ in range(4)] == ["451"] * 4
    harness.box.answers.clear()
    assert [harness.mailer.send(email, entry).receipt.status for _ in range(4)] == ["250", "250", "250", "too-many"]


def test_a_brand_sends_a_limited_number_of_e_mails_a_day(harness: MailHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.store, "quotas", Quotas({"emails_a_day": "2"}))
    discount_id = harness.create()
    for number in range(4):
        harness.grant(discount_id, f"user {number}", email=f"user{number}@mail.example")
    harness.grant(harness.create(brand_id="Billo"), email=ANN)
    made = harness.send()
    assert sorted((each.brand_id, each.status) for each in made) == [
        ("Billo", "250"),
        *[("IKEA", "250")] * 2,
        *[("IKEA", "quota-reached")] * 2,
    ]
    quota = quotas.show(harness.store, "IKEA")["emails_a_day"]
    assert (quota.limit, quota.used) == (2, 2)
    assert quota.opens_at is not None
    # A day later they can be sent again.
    harness.store.command("DEL", keys.brand_mailed(keys.partition_of("IKEA", harness.store.partitions), "IKEA"))
    assert harness.ask("POST", "/delivery/resend", {"brand_id": "IKEA", "state": "failed"}).status_code == 202
    assert sorted(each.status for each in harness.deliver()) == ["250", "250"]


def test_an_unsent_e_mail_does_not_count_for_the_brand(harness: MailHarness) -> None:
    harness.grant(harness.create(), email=ANN)
    harness.box.answers["mail"] = "451 later"
    harness.send()
    assert quotas.show(harness.store, "IKEA")["emails_a_day"].used == 0


def test_a_brand_gets_an_e_mail_when_a_discount_is_sold_out(harness: MailHarness) -> None:
    harness.done("POST", "/brand", {"id": "IKEA", "name": "Möbelhaus", "email": SHOP})
    discount_id = harness.create(total_count=1)
    harness.grant(discount_id)
    assert harness.ask("POST", f"/discount/{discount_id}/grant", {"user_id": "bob"}).status_code == 409
    assert outcomes(harness.send()) == [("discount.sold-out", "delivered", "250")]
    assert recipients(harness) == [SHOP]
    assert subjects(harness) == ["Sold out: Christmas"]
    message = read(harness.box.mails[0])
    assert "Total codes: 1\n" in text_of(message)
    assert "the contact address of the brand Möbelhaus" in text_of(message)
    # A brand is not unsubscribed by a link: it has a setting.
    assert message["List-Unsubscribe"] is None


def test_a_brand_gets_an_e_mail_when_a_limit_is_reached(harness: MailHarness) -> None:
    harness.done("POST", "/brand", {"id": "IKEA", "email": SHOP})
    discount_id = harness.create(limits={"total": 2, "per_user": None})
    code = harness.grant(discount_id)
    for order in ("1", "2"):
        harness.redeem(discount_id, code, order)
    assert outcomes(harness.send()) == [("discount.limit-reached", "delivered", "250")]
    assert subjects(harness) == ["Limit reached: Christmas"]
    assert "Limit: 2 uses in total\n" in text_of(read(harness.box.mails[0]))


def test_a_limit_lifted_in_the_meantime_sends_no_e_mail(harness: MailHarness) -> None:
    harness.done("POST", "/brand", {"id": "IKEA", "email": SHOP})
    discount_id = harness.create(limits={"total": 1})
    harness.redeem(discount_id, harness.grant(discount_id), "1")
    harness.plan()
    harness.done("PATCH", f"/discount/{discount_id}", {"limits": {"total": None}})
    assert outcomes(harness.deliver()) == [("discount.limit-reached", "failed", "no-longer-so")]
    assert harness.box.mails == []


def test_a_brand_gets_an_e_mail_when_its_webhook_is_switched_off(harness: MailHarness) -> None:
    harness.done("POST", "/brand", {"id": "IKEA", "email": SHOP})
    harness.done(
        "POST", "/webhook", {"brand_id": "IKEA", "url": "https://ikea.example/hook", "types": ["code.granted"]}
    )
    harness.grant(harness.create())
    assert outcomes(harness.send()) == [("code.granted", "failed", "410")]
    assert outcomes(harness.send()) == [("webhook.disabled", "delivered", "250")]
    assert subjects(harness) == ["A webhook of IKEA has been switched off"]
    text = text_of(read(harness.box.mails[0]))
    assert "it replied that it no longer exists (410 Gone)." in text
    assert "Webhook: https://ikea.example/hook\n" in text
    assert "Last response: 410 We moved\n" in text


def test_a_brand_without_an_address_gets_no_e_mail(harness: MailHarness) -> None:
    harness.done("POST", "/brand", {"id": "IKEA"})
    harness.grant(harness.create(total_count=1))
    harness.plan()
    assert harness.emails() == []


def test_a_permanent_mail_refusal_fails_and_any_other_is_due_again(harness: MailHarness) -> None:
    discount_id = harness.create()
    harness.grant(discount_id, email=ANN)
    harness.box.answers["rcpt"] = f"450 {ANN} later"
    assert outcomes(harness.send()) == [("code.granted", "waiting", "450")]
    (email,) = harness.emails()
    assert (email.attempts, email.answer) == (1, "a…@mail.example later")
    assert email.due_at is not None
    assert email.due_at > harness.now
    assert harness.deliver() == []
    harness.box.answers["rcpt"] = "550 no such user"
    harness.grant(discount_id, "bob", email="bob@mail.example")
    assert outcomes(harness.send()) == [("code.granted", "failed", "550")]
    harness.box.answers.clear()
    assert harness.ask("POST", f"/delivery/{email.id}/resend").status_code == 202
    assert [each.id for each in harness.deliver()] == [email.id]
    assert recipients(harness) == [ANN]


def test_no_name_in_an_e_mail_that_arrives_is_more_than_a_name(harness: MailHarness) -> None:
    evil = "<script>x</script>{{7*7}}=?utf-8?q?x?="
    harness.done("POST", "/brand", {"id": "IKEA", "name": evil})
    harness.done("PUT", "/user/ann?brand_id=IKEA", {"email": ANN, "name": evil})
    harness.grant(harness.create(discount_code=evil))
    harness.send()
    (mail,) = harness.box.mails
    assert shown(html_of(read(mail))).text.count(evil) == 5
    assert "script" not in shown(html_of(read(mail))).tags
    assert recipients(harness) == [ANN]


def test_the_link_of_an_e_mail_that_arrived_ends_the_e_mails_of_that_brand(harness: MailHarness) -> None:
    harness.done("PUT", "/user/ann", {"email": ANN})
    harness.grant(harness.create())
    harness.send()
    message = read(harness.box.mails.pop())
    link = str(message["List-Unsubscribe"])
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link.startswith(f"<{PUBLIC}/unsubscribe/")
    assert shown(html_of(message)).links == [link.strip("<>")]
    assert link.strip("<>") in text_of(message)
    path = link.strip("<>").removeprefix(PUBLIC)
    # Mail scanners follow links: that alone changes nothing.
    assert harness.ask("GET", path).status_code == 200
    harness.grant(harness.create())
    assert outcomes(harness.send()) == [("code.granted", "delivered", "250")]
    one_click = harness.http.post(path, data={"List-Unsubscribe": "One-Click"})
    assert one_click.status_code == 200
    harness.grant(harness.create())
    harness.grant(harness.create(brand_id="Other"))
    assert outcomes(harness.send()) == [("code.granted", "delivered", "250")]
    assert subjects(harness)[-1] == "Your code from Other: Christmas"
    assert harness.http.post(path[:-1] + ("A" if path[-1] != "A" else "B")).status_code == 404


def test_the_link_works_for_any_user_and_any_brand(harness: MailHarness) -> None:
    brand_id, user_id = "ä" * 50, "ü🎄 /?" * 20
    harness.done("PUT", "/user/ann", {"email": ANN})
    way = harness.mailer._unsubscribe_url(brand_id, user_id)
    assert way is not None
    assert len(way) < 900
    assert harness.ask("POST", way.removeprefix(PUBLIC)).status_code == 200


# The end that is to come


@pytest.mark.parametrize("ahead", [HOUR, DAY, 3 * DAY - HOUR])
def test_a_user_is_reminded_before_a_code_ends(harness: MailHarness, ahead: int) -> None:
    discount_id = harness.create(expires_at=ahead)
    code = harness.grant(discount_id, email=ANN)
    harness.send()
    harness.box.mails.clear()
    assert harness.remind() == 1
    assert ends_to_come(harness) == 0
    (made,) = harness.deliver()
    assert (made.type, made.kind, made.state, made.event_id) == ("code.expiring", "email", "delivered", "")
    (mail,) = harness.box.mails
    assert headers_of(mail)["subject"] == "Your code from IKEA expires soon: Christmas"
    assert headers_of(mail)["message-id"] == f"<{made.id}@shop.example>"
    assert f"    {code}\n" in text_of(read(mail))
    assert "Valid until: " in text_of(read(mail))
    assert str(read(mail)["List-Unsubscribe"]).startswith(f"<{PUBLIC}/unsubscribe/")


def reminded(harness: MailHarness) -> list[str]:
    """Return the users of the planned reminders."""
    return sorted(each.target.removeprefix("user:") for each in harness.emails() if each.type == "code.expiring")


def ends_to_come(harness: MailHarness) -> int:
    """Return how many ends of codes are stored."""
    return sum(harness.store.command("ZCARD", keys.expiring(each)) for each in range(harness.store.partitions))


def test_an_end_that_is_far_off_leads_to_no_reminder(harness: MailHarness) -> None:
    harness.grant(harness.create(expires_at=3 * DAY + HOUR), email=ANN)
    assert harness.remind() == 0
    assert reminded(harness) == []
    # In time somebody is.
    assert ends_to_come(harness) == 1


def test_the_same_end_leads_to_one_reminder(harness: MailHarness) -> None:
    discount_id = harness.create(expires_at=DAY)
    harness.grant(discount_id, email=ANN)
    harness.remind()
    harness.deliver()
    before = [each.id for each in harness.emails()]
    # Any change notes the end anew.
    harness.done("PATCH", f"/discount/{discount_id}", {"discount_code": "Other name"})
    assert harness.remind() == 1
    assert harness.deliver() == []
    assert [each.id for each in harness.emails()] == before
    assert reminded(harness) == ["ann"]


def test_a_user_who_used_the_code_is_not_reminded(harness: MailHarness) -> None:
    discount_id = harness.create(expires_at=DAY)
    codes = {user: harness.grant(discount_id, user, email=f"{user}@mail.example") for user in ("ann", "bob")}
    harness.redeem(discount_id, codes["ann"], "1")
    assert harness.remind() == 1
    assert reminded(harness) == ["bob"]


def test_a_rolled_back_use_is_not_counted(harness: MailHarness) -> None:
    discount_id = harness.create(expires_at=DAY)
    code = harness.grant(discount_id, email=ANN)
    paid = {"id": "1", "amount": 1000, "currency": "EUR"}
    body = {"discount_id": discount_id, "user_id": "ann", "code": code, "order": paid}
    redemption = harness.done("POST", "/redemption", body)["id"]
    harness.done("POST", f"/redemption/{redemption}/rollback", {})
    harness.remind()
    assert reminded(harness) == ["ann"]


@pytest.mark.parametrize("how", ["used", "closed", "taken away"])
def test_a_reminder_that_is_no_longer_true_is_not_sent(harness: MailHarness, how: str) -> None:
    discount_id = harness.create(expires_at=DAY)
    code = harness.grant(discount_id, email=ANN)
    harness.send()
    harness.remind()
    if how == "used":
        harness.redeem(discount_id, code, "1")
    elif how == "closed":
        harness.done("DELETE", f"/discount/{discount_id}")
    else:
        harness.done("PATCH", f"/discount/{discount_id}", {"expires_at": None})
    assert outcomes(harness.deliver()) == [("code.expiring", "failed", "no-longer-so")]
    assert subjects(harness) == ["Your code from IKEA: Christmas"]


def test_an_e_mail_on_an_end_that_has_passed_is_not_sent(harness: MailHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.grant(harness.create(expires_at=DAY), email=ANN)
    harness.send()
    harness.remind()
    (email,) = [each for each in harness.emails() if each.type == "code.expiring"]
    later = harness.now + DAY
    monkeypatch.setattr(harness.store, "now", lambda: later)
    assert harness.mailer.send(email, None).receipt.status == "no-longer-so"


@pytest.mark.parametrize("how", ["closed", "over"])
def test_a_discount_that_is_over_or_closed_leads_to_no_reminder(harness: MailHarness, how: str) -> None:
    discount_id = harness.create(expires_at=DAY)
    harness.grant(discount_id, email=ANN)
    if how == "closed":
        harness.done("DELETE", f"/discount/{discount_id}")
        assert harness.remind() == 1
    else:
        harness.plan()
        assert harness.reminders.turn(harness.now + DAY) == 1
    assert reminded(harness) == []


def test_a_user_who_unsubscribed_or_has_no_address_is_not_reminded(harness: MailHarness) -> None:
    discount_id = harness.create(expires_at=DAY)
    for user in ("ann", "bob"):
        harness.grant(discount_id, user, email=f"{user}@mail.example")
    harness.grant(discount_id, "eve")
    harness.plan()
    harness.done("PUT", "/user/bob?brand_id=IKEA", {"email": "bob@mail.example", "unsubscribed": True})
    harness.remind()
    assert reminded(harness) == ["ann"]


def test_a_brand_that_switched_reminders_off_sends_none(harness: MailHarness) -> None:
    harness.done("POST", "/brand", {"id": "IKEA"})
    harness.done("PATCH", "/brand/IKEA", {"mails_off": ["code-expiring"]})
    harness.grant(harness.create(expires_at=DAY), email=ANN)
    assert harness.remind() == 1
    assert reminded(harness) == []


def test_a_moved_end_leads_to_a_new_reminder(harness: MailHarness) -> None:
    discount_id = harness.create(expires_at=DAY)
    harness.grant(discount_id, email=ANN)
    harness.remind()
    harness.done("PATCH", f"/discount/{discount_id}", {"expires_at": harness.at(2 * DAY)})
    assert harness.remind() == 1
    assert reminded(harness) == ["ann", "ann"]
    assert len({each.id for each in harness.emails()}) == 3


@pytest.mark.parametrize("to", [2 * DAY, 30 * DAY])
def test_an_end_that_is_moved_while_its_users_are_looked_up_is_kept(
    harness: MailHarness, monkeypatch: pytest.MonkeyPatch, to: int
) -> None:
    discount_id = harness.create(expires_at=DAY)
    harness.grant(discount_id, email=ANN)
    list_all = grant_lists.list_all

    def moved(store: Store, of: str) -> Iterator[Grant]:
        harness.done("PATCH", f"/discount/{discount_id}", {"expires_at": harness.at(to)})
        harness.plan()
        return list_all(store, of)

    with monkeypatch.context() as patch:
        patch.setattr(grant_lists, "list_all", moved)
        assert harness.remind() == 1
    assert ends_to_come(harness) == 1
    assert harness.remind() == (1 if to < REMIND_DAYS * DAY else 0)
    assert reminded(harness) == (["ann", "ann"] if to < REMIND_DAYS * DAY else ["ann"])


def test_an_end_that_was_moved_far_off_leads_to_no_reminder_yet(harness: MailHarness) -> None:
    discount_id = harness.create(expires_at=DAY)
    harness.grant(discount_id, email=ANN)
    harness.done("PATCH", f"/discount/{discount_id}", {"expires_at": harness.at(30 * DAY)})
    assert harness.remind() == 0
    assert reminded(harness) == []


def test_a_removed_end_leads_to_no_reminder(harness: MailHarness) -> None:
    discount_id = harness.create(expires_at=DAY)
    harness.grant(discount_id, email=ANN)
    harness.plan()
    harness.done("PATCH", f"/discount/{discount_id}", {"expires_at": None})
    assert harness.remind() == 1
    assert reminded(harness) == []


def test_a_time_limited_code_expires_relative_to_its_grant(harness: MailHarness) -> None:
    near, far = harness.create(valid_for="P1D"), harness.create(valid_for="P10D")
    code = harness.grant(near, email=ANN)
    harness.grant(far, email=ANN)
    harness.grant(near, "eve")
    harness.send()
    harness.box.mails.clear()
    assert harness.remind() == 1
    assert [each.discount_id for each in harness.deliver()] == [near]
    assert f"    {code}\n" in text_of(read(harness.box.mails[0]))
    assert reminded(harness) == ["ann"]


def test_a_code_that_is_good_for_a_month_ends_by_the_calendar_of_its_zone(harness: MailHarness) -> None:
    discount_id = harness.create(valid_for="P1M", timezone="Asia/Tokyo")
    harness.grant(discount_id, email=ANN)
    harness.plan()
    member, due_at = harness.store.command("ZRANGE", keys.expiring(int(discount_id[4:6], 16)), 0, -1, "WITHSCORES")
    [held] = harness.done("GET", "/user/ann/grants")["grants"]
    assert member == f"{discount_id} ann"
    assert int(due_at) + REMIND_DAYS * DAY == from_time(datetime.fromisoformat(held["good_until"]))


def test_a_discount_that_ends_before_its_grant_causes_one_reminder(harness: MailHarness) -> None:
    harness.grant(harness.create(valid_for="P2D", expires_at=DAY), email=ANN)
    assert harness.remind() == 2
    assert reminded(harness) == ["ann"]


def test_any_worker_gives_a_reminder_the_same_id(harness: MailHarness) -> None:
    discount_id = harness.create(expires_at=DAY, total_count=20)
    for number in range(20):
        harness.grant(discount_id, str(number), email=f"user{number}@mail.example")
    harness.remind()
    first = {each.id for each in harness.emails()}
    harness.reminders.note(int(discount_id[4:6], 16), discount_id, harness.now)
    harness.remind()
    assert {each.id for each in harness.emails()} == first
    assert reminded(harness) == sorted(str(number) for number in range(20))


def test_a_user_who_was_forgotten_is_not_reminded(harness: MailHarness) -> None:
    discount_id = harness.create(valid_for="P1D")
    harness.grant(discount_id, email=ANN)
    harness.plan()
    harness.done("DELETE", "/user/ann")
    harness.remind()
    assert reminded(harness) == []
