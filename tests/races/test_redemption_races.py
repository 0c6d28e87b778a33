"""Many redemptions of one code at once: no limit is exceeded, no use is lost, and none counts twice."""

from datetime import UTC, datetime

import pytest

from discount.domain.ids import make_redemption_id
from tests.support import history, ledger
from tests.support.ledger import HOLD, confirm_call, open_discount, redeem_call, rollback_call
from tests.support.load import drive, shuffled
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask

CREATED, REPEATED, FULL = (201, ""), (200, ""), (409, "limit-reached")


def where_it_is_noon() -> str:
    """Return a time zone in which no day and no week ends during the test."""
    hours = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-hours:+d}" if hours else "UTC"


def test_1000_users_redeem_a_shared_code_100_times(service: Service, redis_server: RedisServer) -> None:
    discount_id = open_discount(service.urls[0], limits={"total": 100})
    calls = [redeem_call(discount_id, f"user {n}", f"order {n}", amount=1000 + n) for n in range(1000)]

    answers = drive(service.urls, calls)

    assert history.statuses(answers) == {CREATED: 100, FULL: 900}
    assert {answer.body["limit"] for answer in answers if answer.status == 409} == {"total"}
    # Each of the hundred answers has a different number left.
    assert sorted(each["left"]["total"] for each in ledger.shown_redemptions(answers)) == list(range(100))
    found = ledger.check(redis_server.client(), service.urls[1], discount_id, answers)
    assert found.counts == {"redeemed": 100}
    assert history.event_counts(redis_server.client(), discount_id) == {
        "discount.created": 1,
        "code.redeemed": 100,
        "discount.limit-reached": 1,
    }
    history.check_order(answers)


@pytest.mark.parametrize("hold", [None, HOLD], ids=["redeemed", "held"])
def test_one_order_sent_50_times_at_once_is_one_use(
    service: Service, redis_server: RedisServer, hold: int | None
) -> None:
    discount_id = open_discount(service.urls[0], limits={"total": 10, "per_user": 10})

    answers = drive(service.urls, [redeem_call(discount_id, "User 1", "order", hold=hold)] * 50)

    assert history.statuses(answers) == {CREATED: 1, REPEATED: 49}
    assert len({str(answer.body) for answer in answers}) == 1
    found = ledger.check(redis_server.client(), service.urls[1], discount_id, answers)
    assert len(found.records) == 1


def test_an_order_of_two_concurrent_users_belongs_to_the_first(service: Service, redis_server: RedisServer) -> None:
    discount_id = open_discount(service.urls[0])
    calls = [redeem_call(discount_id, f"user {n % 2}", f"order {n // 8}") for n in range(320)]

    answers = drive(service.urls, calls)

    # A user who has redeemed one order already is refused for that, or for the order of the other.
    counts = history.statuses(answers)
    assert set(counts) <= {CREATED, REPEATED, (422, "idempotency-mismatch"), (409, "already-redeemed")}
    assert counts[CREATED] == 2
    found = ledger.check(redis_server.client(), service.urls[1], discount_id, answers)
    assert found.users("redeemed") == {"user 0": 1, "user 1": 1}


def test_one_idempotency_key_with_40_orders_is_one_use(service: Service, redis_server: RedisServer) -> None:
    discount_id = open_discount(service.urls[0], limits={"per_user": 100})
    plain = [redeem_call(discount_id, "User 1", f"order {n}") for n in range(40)]
    calls = [type(each)(each.user, each.method, each.path, each.body, {"Idempotency-Key": "key"}) for each in plain]

    answers = drive(service.urls, calls)

    assert history.statuses(answers) == {CREATED: 1, (422, "idempotency-mismatch"): 39}
    found = ledger.check(redis_server.client(), service.urls[1], discount_id, answers)
    assert found.counts == {"redeemed": 1}


@pytest.mark.parametrize(
    ("limit", "number"), [("per_user", 3), ("per_user_per_day", 2), ("per_user_per_week", 2), ("per_user", 1)]
)
def test_a_limit_per_user_allows_exactly_its_number(
    service: Service, redis_server: RedisServer, limit: str, number: int
) -> None:
    limits = {"per_user": None} | {limit: number}
    discount_id = open_discount(service.urls[0], limits=limits, timezone=where_it_is_noon())
    # Ten users, so that a use of one that counted for another would show.
    users = [f"user {n}" for n in range(10)]
    calls = shuffled([redeem_call(discount_id, user, f"{user}, order {n}") for user in users for n in range(40)])

    answers = drive(service.urls, calls)

    refused = (409, "already-redeemed") if limits["per_user"] == 1 else FULL
    assert history.statuses(answers) == {CREATED: 10 * number, refused: 10 * (40 - number)}
    assert {answer.body["limit"] for answer in answers if answer.status == 409} == {limit}
    found = ledger.check(redis_server.client(), service.urls[1], discount_id, answers)
    assert found.users("redeemed") == dict.fromkeys(users, number)


def test_one_user_with_40_orders_at_once_is_given_three(service: Service, redis_server: RedisServer) -> None:
    discount_id = open_discount(service.urls[0], limits={"per_user": 3})

    answers = drive(service.urls, [redeem_call(discount_id, "User 1", f"order {n}") for n in range(40)])

    assert history.statuses(answers) == {CREATED: 3, FULL: 37}
    ledger.check(redis_server.client(), service.urls[1], discount_id, answers)


def test_200_holds_of_20_and_their_confirms_twice_give_20_uses(service: Service, redis_server: RedisServer) -> None:
    discount_id = open_discount(service.urls[0], limits={"total": 20})
    client = redis_server.client()
    calls = [redeem_call(discount_id, f"user {n}", f"order {n}", hold=HOLD) for n in range(200)]

    answers = drive(service.urls, calls)

    assert history.statuses(answers) == {CREATED: 20, FULL: 180}
    found = ledger.check(client, service.urls[1], discount_id, answers)
    assert found.counts == {"held": 20}

    confirmed = drive(service.urls, [confirm_call(each) for each in found.records for _ in range(2)])

    assert history.statuses(confirmed) == {REPEATED: 40}
    assert {each["state"] for each in ledger.shown_redemptions(confirmed)} == {"redeemed"}
    assert len({(each["id"], each["confirmed_at"]) for each in ledger.shown_redemptions(confirmed)}) == 20
    assert ledger.check(client, service.urls[1], discount_id, confirmed).counts == {"redeemed": 20}
    last = ask(service.urls[0], "POST", "/redemption", redeem_call(discount_id, "late", "late").body)
    assert (last.status, last.slug) == FULL


@pytest.mark.parametrize("returns_use", [True, False])
def test_rollbacks_sent_5_times_at_once_give_back_once(
    service: Service, redis_server: RedisServer, returns_use: bool
) -> None:
    discount_id = open_discount(service.urls[0], limits={"total": 30}, returns_use=returns_use)
    client = redis_server.client()
    # Of thirty uses ten are held, and thirty ask in vain.
    made = drive(
        service.urls,
        [redeem_call(discount_id, f"user {n}", f"order {n}", hold=HOLD if n < 10 else None) for n in range(30)],
    )
    assert history.statuses(made) == {CREATED: 30}
    calls = [rollback_call(each["id"], f"try {n}") for each in ledger.shown_redemptions(made) for n in range(5)]

    answers = drive(service.urls, calls)

    assert history.statuses(answers) == {REPEATED: 150}
    shown = list(ledger.shown_redemptions(answers))
    assert {each["state"] for each in shown} == {"rolled-back"}
    assert len({(each["id"], each["rolled_back_at"], each["reason"]) for each in shown}) == 30
    assert ledger.check(client, service.urls[1], discount_id, answers).counts == {"rolled-back": 30}

    again = drive(service.urls, [redeem_call(discount_id, f"late {n}", f"late {n}") for n in range(60)])

    # A hold never counted as a use, so a rollback always frees it.
    back = 30 if returns_use else 10
    assert history.statuses(again) == {CREATED: back, FULL: 60 - back}
    assert ledger.check(client, service.urls[1], discount_id, again).counts == {"rolled-back": 30, "redeemed": back}


def test_a_confirm_and_a_rollback_of_one_hold_at_once_end_in_one_state(
    service: Service, redis_server: RedisServer
) -> None:
    discount_id = open_discount(service.urls[0], limits={"total": 100})
    made = drive(service.urls, [redeem_call(discount_id, f"user {n}", f"order {n}", hold=HOLD) for n in range(100)])
    ids = [each["id"] for each in ledger.shown_redemptions(made)]
    assert len(ids) == 100

    answers = drive(
        service.urls, [call for each in ids for call in (confirm_call(each), rollback_call(each), confirm_call(each))]
    )

    # After the rollback there is nothing to confirm; before it, the confirm counts and is undone.
    counts = history.statuses(answers)
    assert set(counts) <= {REPEATED, (409, "hold-ended")}
    assert counts[REPEATED] >= 100
    found = ledger.check(redis_server.client(), service.urls[1], discount_id, answers)
    assert set(found.counts) <= {"rolled-back", "redeemed"}
    assert found.counts["rolled-back"] == 100


def test_all_calls_at_once_on_the_same_orders_leave_matching_sums(service: Service, redis_server: RedisServer) -> None:
    discount_id = open_discount(
        service.urls[0], limits={"total": 25, "per_user": 2, "per_user_per_day": 2}, timezone=where_it_is_noon()
    )
    orders = [(f"user {n % 20}", f"order {n}", 999 + 7 * n, HOLD if n % 3 == 0 else None) for n in range(60)]
    redeem = [redeem_call(discount_id, user, order, amount=amount, hold=hold) for user, order, amount, hold in orders]
    seed = ask(service.urls[0], "POST", "/redemption", redeem[0].body)
    assert seed.status == 201
    # Ids are the brand's and the order's: the same that this discount would give them.
    ids = _ids_of(service, discount_id, [each[1] for each in orders])
    calls = [
        *(call for call in redeem for _ in range(6)),
        *(confirm_call(each) for each in ids for _ in range(3)),
        *(rollback_call(each, "storm") for each in ids for _ in range(3)),
    ]

    answers = drive(service.urls, shuffled(calls))

    assert set(history.statuses(answers)) <= {
        CREATED,
        REPEATED,
        FULL,
        (404, "not-found"),
        (409, "hold-ended"),
    }
    found = ledger.check(redis_server.client(), service.urls[1], discount_id, answers)
    assert found.counts["rolled-back"] > 0

    # And what is left of it can be undone to nothing.
    drive(service.urls, [rollback_call(each) for each in found.records])
    left = ledger.check(redis_server.client(), service.urls[1], discount_id).counts
    assert set(left) <= {"rolled-back", "released"}


def _ids_of(service: Service, discount_id: str, orders: list[str]) -> list[str]:
    brand = ask(service.urls[0], "GET", f"/discount/{discount_id}").json["brand_id"]
    return [make_redemption_id(int(discount_id[4:6], 16), brand, order) for order in orders]
