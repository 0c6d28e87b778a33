"""What Redis lets go: the ledger answers on, the same to the byte, and all counts stay."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from discount.app import create_app
from discount.config import Settings
from discount.domain.code_kinds import CodeKind
from discount.domain.errors import HoldEnded, LimitReached, TooLate
from discount.domain.model import Discount
from discount.domain.rules import Order
from discount.ledger.database import Database
from discount.ledger.past_redemptions import PastRedemptions, kept
from discount.ledger.reconcile import Reconciler
from discount.ledger.row_retention import RowRetention
from discount.services import moved_codes, redemption_lists, redemptions, users
from discount.services.checkouts import Checkout
from discount.services.moved_codes import MovedCode
from discount.worker.retention import Retention
from tests.ledger.test_consumer import read_all
from tests.ledger.test_rows import everything
from tests.services.harness import SECOND, ServiceHarness
from tests.services.test_redeem import let_end

DAY = 86_400 * SECOND


@pytest.fixture
def service(harness: ServiceHarness, database: Database) -> Callable[..., Any]:
    """Ask the service for a page; the answer is its status and its bytes."""
    url = database.url.render_as_string(hide_password=False).replace("+psycopg", "")
    app = create_app(Settings(ledger_url=url, dialects="off"), harness.store)

    def ask(method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        answer = app.test_client().open(path, method=method, json=body, base_url="http://localhost")
        return answer.status_code, answer.data

    return ask


def shared(harness: ServiceHarness, code: str = "SALE", **limits: int) -> Discount:
    return harness.create(total=None, kind=CodeKind("shared", code=code), limits=limits or {"per_user": 50})


def use(harness: ServiceHarness, order: str, user: str = "Ann", code: str = "SALE", **more: Any) -> str:
    attempt = Checkout(user, code, Order(order, 500, "EUR"), brand_id="IKEA")
    return redemptions.redeem(harness.store, attempt, **more).id


def let_go(
    harness: ServiceHarness, database: Database, monkeypatch: pytest.MonkeyPatch, days: int = 400, after: int = 401
) -> int:
    """Let go what is old as the worker would some days later; return how many redemptions went."""
    with monkeypatch.context() as patched:
        now = harness.store.now() + after * DAY
        patched.setattr(type(harness.store), "now", lambda _: now)
        past = PastRedemptions(database)
        return Retention(harness.store, days, lambda old: kept(harness.store, past, old)).turn()


def many(harness: ServiceHarness) -> tuple[Discount, list[str]]:
    """Make redemptions in every state, of two users and with metadata."""
    found = shared(harness, total=40, per_user=30, per_user_per_day=20, per_user_per_week=25)
    other = shared(harness, "OTHER")
    made = [use(harness, f"A-{n}", "Ann", metadata={"till": str(n)} if n % 2 else {}) for n in range(7)]
    made += [use(harness, f"B-{n}", "Bo") for n in range(3)]
    made += [use(harness, f"C-{n}", "Ann", "OTHER") for n in range(2)]
    made += [use(harness, f"D-{n}", "Ann", hold_seconds=600) for n in range(4)]
    redemptions.roll_back(harness.store, made[1], "sent back, \u2702")
    redemptions.roll_back(harness.store, made[12], "left the shop")
    redemptions.confirm(harness.store, made[13])
    # Its hold ends, and the order is redeemed again.
    let_end(harness, redemptions.show(harness.store, made[14]))
    again = use(harness, "D-2", "Ann")
    assert again == made[14]
    assert found.id != other.id
    return found, made


def pages(discount: Discount, made: list[str]) -> list[tuple[str, str, Any]]:
    """Return every call that shows redemptions."""
    lists = [f"/discount/{discount.id}/redemptions", "/user/Ann/redemptions", "/user/Bo/redemptions?brand_id=IKEA"]
    filters = ("", "limit=1", "limit=3", "state=redeemed", "state=rolled-back&limit=2", "metadata.till=3")
    calls: list[tuple[str, str, Any]] = [("GET", f"/redemption/{each}", None) for each in made]
    calls += [("GET", f"{path}{'&' if '?' in path else '?'}{each}", None) for path in lists for each in filters]
    calls += [("GET", f"/discount/{discount.id}/redemptions?format=csv", None)]
    calls += [("POST", "/code", {"brand_id": "IKEA", "code": "SALE"}), ("GET", f"/discount/{discount.id}", None)]
    return calls


def answers(service: Callable[..., Any], calls: list[tuple[str, str, Any]]) -> dict[str, Any]:
    """Return the answer to each call, and to each next page that it leads to."""
    found = {}
    for method, path, body in calls:
        following: str | None = path
        while following is not None:
            found[following] = status, data = service(method, following, body)
            assert status in (200, 404), data
            following = None
            if b'"next"' in data and (cursor := json.loads(data)["next"]):
                base = path.partition("&cursor")[0]
                following = f"{base}{'&' if '?' in base else '?'}cursor={cursor}"
    return found


def test_every_answer_stays_the_same_to_the_byte(
    harness: ServiceHarness, database: Database, service: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    discount, made = many(harness)
    held = [each for each in made if redemptions.show(harness.store, each).state == "held"]
    for each in held:
        redemptions.roll_back(harness.store, each)
    read_all(harness, database)
    calls = pages(discount, made)
    before = answers(service, calls)
    assert let_go(harness, database, monkeypatch) == len(set(made))
    assert [key for key in harness.redis.keys("*") if ":redemptions" in key] == []
    fields = [field for key in harness.redis.keys("*:users:*") for field in harness.redis.hkeys(key)]
    assert not any("$" in each for each in fields)
    assert answers(service, calls) == before
    # What was made since stands before what left.
    new = use(harness, "E-1", "Ann")
    first = json.loads(service("GET", "/user/Ann/redemptions?limit=2")[1])["redemptions"]
    assert [each["id"] for each in first] == [new, made[14]]


def test_a_file_of_moved_in_codes_that_is_sent_again_finds_the_uses_that_have_left(
    harness: ServiceHarness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    discount = shared(harness)

    def move(uses: int) -> int:
        lines = [(2, MovedCode("", "Ann", 1_700_000_000 * SECOND, uses))]
        return moved_codes.move_in(harness.store, discount.id, lines).used_count

    assert move(3) == 3
    read_all(harness, database)
    assert let_go(harness, database, monkeypatch) == 3
    harness.store.past = PastRedemptions(database)
    assert (move(3), move(5)) == (0, 2)
    assert harness.show(discount.id).redeemed_count == 5
    read_all(harness, database)
    reconciled = Reconciler(harness.store, database, lambda _: None).discount(discount.id)
    assert reconciled.differences == []


def test_some_of_a_page_may_have_left(
    harness: ServiceHarness, database: Database, service: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    discount, made = many(harness)
    read_all(harness, database)
    calls = pages(discount, made)
    before = answers(service, calls)
    old = redemption_lists.list_old(harness.store, discount.id, 0, harness.now(), 5)
    past = PastRedemptions(database)
    assert redemption_lists.drop(harness.store, discount.id, kept(harness.store, past, old), let_go=True) == 5
    assert answers(service, calls) == before


def test_limits_and_counts_stay_exact(
    harness: ServiceHarness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    discount = shared(harness, total=3, per_user=2)
    for order in ("A-1", "A-2"):
        use(harness, order)
    read_all(harness, database)
    before = harness.show(discount.id)
    assert let_go(harness, database, monkeypatch) == 2
    assert harness.show(discount.id) == before
    with pytest.raises(LimitReached):
        use(harness, "A-3")
    use(harness, "B-1", "Bo")
    with pytest.raises(LimitReached):
        use(harness, "C-1", "Cid")


def test_what_the_ledger_lacks_or_has_otherwise_stays(
    harness: ServiceHarness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared(harness)
    first = use(harness, "A-1")
    assert let_go(harness, database, monkeypatch) == 0
    read_all(harness, database)
    # Its rollback has not reached the ledger.
    redemptions.roll_back(harness.store, first)
    assert let_go(harness, database, monkeypatch) == 0
    read_all(harness, database)
    assert let_go(harness, database, monkeypatch, after=399) == 0
    assert let_go(harness, database, monkeypatch) == 1


def test_a_use_that_left_is_not_rolled_back(
    harness: ServiceHarness, database: Database, service: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    discount = shared(harness)
    used, undone, held = use(harness, "A-1"), use(harness, "A-2"), use(harness, "A-3", hold_seconds=1)
    kept_reason = redemptions.roll_back(harness.store, undone, "why")
    redemptions.roll_back(harness.store, held)
    read_all(harness, database)
    assert let_go(harness, database, monkeypatch) == 3
    before = harness.state()
    with pytest.raises(TooLate):
        redemptions.roll_back(harness.store, used)
    assert redemptions.roll_back(harness.store, undone, "again").reason == kept_reason.reason == "why"
    assert redemptions.confirm(harness.store, used).state == "redeemed"
    with pytest.raises(HoldEnded):
        redemptions.confirm(harness.store, held)
    status, body = service("POST", f"/redemption/{used}/rollback")
    assert (status, json.loads(body)["type"]) == (409, "/problems/too-late")
    assert harness.state() == before
    assert harness.show(discount.id).redeemed_count == 1


def test_an_order_that_left_may_be_redeemed_again_and_both_uses_are_listed(
    harness: ServiceHarness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    discount = shared(harness)
    first = redemptions.show(harness.store, use(harness, "A-1"))
    read_all(harness, database)
    let_go(harness, database, monkeypatch)
    harness.store.past = PastRedemptions(database)
    second = redemptions.show(harness.store, use(harness, "A-1"))
    assert second.id == first.id
    read_all(harness, database)
    for _ in range(2):
        listed = list(redemption_lists.list_all(harness.store, discount.id))
        assert [each.redeemed_at for each in listed] == [second.redeemed_at, first.redeemed_at]
        assert redemptions.show(harness.store, first.id).redeemed_at == second.redeemed_at
        let_go(harness, database, monkeypatch)
    assert harness.show(discount.id).redeemed_count == 2


def test_a_forgotten_user_is_forgotten_where_the_redemptions_are(
    harness: ServiceHarness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    discount, made = many(harness)
    for each in made:
        redemptions.roll_back(harness.store, each, "for Ann" if each not in made[7:10] else "")
    read_all(harness, database)
    assert let_go(harness, database, monkeypatch) == len(set(made))
    # As after thirteen months: the rows of events are gone, and Redis has let the others go.
    RowRetention(database, {"events": 1}).turn(harness.now() + 2 * DAY)
    users.forget(harness.store, "Ann")
    read_all(harness, database)
    found = everything(database)
    assert "Ann" not in found, found[found.index("Ann") - 300 :][:400]
    harness.store.past = PastRedemptions(database)
    assert not redemption_lists.list_of_user(harness.store, "Ann").items
    assert len(list(redemption_lists.list_all(harness.store, discount.id))) == len(made) - 2


def test_old_rows_are_deleted_by_kind(
    harness: ServiceHarness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared(harness)
    use(harness, "A-1")
    read_all(harness, database)
    now = harness.now()
    kinds = {"events": 30, "changes": None, "uses": 50}
    assert RowRetention(database, kinds).turn(now + 29 * DAY) == 0
    assert RowRetention(database, kinds).turn(now + 31 * DAY) == 2
    assert RowRetention(database, kinds).turn(now + 51 * DAY) == 1
    assert RowRetention(database, kinds | {"changes": 60}).turn(now + 61 * DAY) == 1
