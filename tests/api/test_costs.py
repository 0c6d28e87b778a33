"""The cost of operations: each does its most work, and its exchanges with Redis are compared with the declared cost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from discount.api import costs
from discount.api.contract import Contract, Operation
from discount.api.inputs import SMALL_BODY
from discount.app import create_app
from discount.config import Settings
from discount.services import discount_lists, next_waits, slices, waiting_lists
from discount.serving.connections import WHOLE
from discount.store.connection import Store
from doc.generate import limits as limits_page
from tests.api.client import SECRET, Client
from tests.support.fixtures import ONE_REDIS
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.sqlite_ledger import SqliteLedger

PAGE = Path(__file__).parents[2] / "doc" / "limits.md"
MANY = 2_000


class Counted:
    """The service, with its exchanges with Redis and its slices of long calls counted."""

    def __init__(
        self, redis_server: RedisServer, redis: Any, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.trips = self.slices = 0
        settings = Settings(redis_url=redis_server.url, secret=SECRET, ledger_url=ledger.url)
        self.store = Store.at(redis_server.url, PATIENCE, settings.partitions, self._count)
        app = create_app(settings, self.store)
        self.client = Client(app.test_client(), redis)
        self.operations: dict[str, Operation] = {each.name: each for each in _contract(app).operations}
        self.routes: dict[str, str] = {}
        pause = slices.between

        def between() -> None:
            self.slices += 1
            pause()

        monkeypatch.setattr(slices, "between", between)

    def _count(self) -> None:
        self.trips += 1

    def cost(self, method: str, path: str, statuses: tuple[int, ...] = (200, 201), **call: Any) -> tuple[int, int]:
        """Return the exchanges and slices of a call."""
        self.trips = self.slices = 0
        answer = self.client.http.open(path, method=method, **call)
        pieces = sum(1 for _ in answer.iter_encoded()) if answer.is_streamed else 0
        assert answer.status_code in statuses, answer.text
        return self.trips, max(1, self.slices, pieces)


def _contract(app: Flask) -> Contract:
    found: Contract = app.extensions["contract"]
    return found


@pytest.fixture
def counted(redis_server: RedisServer, redis: Any, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(redis_server, redis, ledger, monkeypatch)


def _order(number: int = 1) -> dict[str, Any]:
    return {"id": f"order {number}", "amount": 1000, "currency": "EUR"}


def stage(client: Client) -> dict[str, Any]:
    """Create things of each kind, and many grants of one discount."""
    redeemed = {"limits": {"per_user": None}}
    big = client.create(total_count=10 * MANY, **redeemed)["id"]
    users = [f"User {number}" for number in range(MANY)]
    client.http.post(f"/discount/{big}/grants", json={"user_ids": users})
    code = client.grant(big).get_json()["code"]
    use = {"discount_id": big, "user_id": "User 1", "code": code}
    for number in range(120):
        last = client.http.post("/redemption", json={**use, "order": _order(number)}).get_json()["id"]
    held = client.http.post("/redemption", json={**use, "order": _order(999), "hold_seconds": 600}).get_json()["id"]
    for number in range(150):
        closed = client.create(brand_id="Many", discount_code=str(number), total_count=5)["id"]
        client.http.delete(f"/discount/{closed}")
        client.grant(client.create(brand_id="Few", discount_code=str(number))["id"], "Collector")
    client.create(brand_id="Many")
    # An answer that finds the pool empty has it filled, which costs more.
    client.grant(big, "Warm")
    imported = client.create(codes={"kind": "imported"})["id"]
    personal = client.create(total_count=MANY, codes={"kind": "personal", "template": "{user}-{id}"})["id"]
    return {"big": big, "use": use, "redemption": last, "held": held, "imported": imported, "personal": personal}


CALLS: dict[str, Callable[[dict[str, Any]], tuple[str, str, dict[str, Any]]]] = {
    "show_health": lambda _: ("GET", "/healthy", {}),
    "show_readiness": lambda _: ("GET", "/ready", {}),
    "show_metrics": lambda _: ("GET", "/metrics", {}),
    "grant_code": lambda at: ("POST", f"/discount/{at['big']}/grant", {"json": {"user_id": "One"}}),
    "validate_code": lambda at: ("POST", "/validation", {"json": at["use"] | {"order": _order(7777)}}),
    "redeem_code": lambda at: ("POST", "/redemption", {"json": at["use"] | {"order": _order(7777)}}),
    "revoke_code": lambda at: (
        "POST",
        f"/discount/{at['big']}/grant/revoke",
        {"json": {"user_id": "User 7", "back": "next", "next_user_id": "Next"}},
    ),
    "create_discount": lambda _: (
        "POST",
        "/discount",
        {
            "json": {"brand_id": "IKEA", "discount_code": "More", "total_count": 10**7},
            "headers": {"Idempotency-Key": "k"},
        },
    ),
    "list_discounts": lambda _: ("GET", "/discount?limit=1000&status=active", {}),
    "show_discount": lambda at: ("GET", f"/discount/{at['big']}", {}),
    "change_discount": lambda at: (
        "PATCH",
        f"/discount/{at['big']}",
        {"json": {"total_count": 30 * MANY, "paused": False}},
    ),
    "close_discount": lambda at: ("DELETE", f"/discount/{at['big']}", {}),
    "show_grant": lambda at: ("GET", f"/discount/{at['big']}/grant?user_id=User 1", {}),
    "grant_codes": lambda at: (
        "POST",
        f"/discount/{at['personal']}/grants",
        {"json": {"user_ids": [f"New {number}" for number in range(MANY)]}},
    ),
    "list_grants": lambda at: ("GET", f"/discount/{at['big']}/grants?limit=1000", {}),
    "grant_code_of_brand": lambda _: ("POST", "/brand/Many/grant", {"json": {"user_id": "One"}}),
    "list_grants_of_user": lambda _: ("GET", "/user/Collector/grants?limit=1000", {}),
    "import_codes": lambda at: (
        "POST",
        f"/discount/{at['imported']}/codes",
        {"data": "\n".join(f"A{number}" for number in range(10_000)), "content_type": "text/plain"},
    ),
    "move_in": lambda at: (
        "POST",
        f"/discount/{at['imported']}/codes/move-in",
        {
            "data": "code,user_id,uses\n" + "".join(f"M{n},{'' if n % 5 == 0 else n},\n" for n in range(1_000)),
            "content_type": "text/csv",
        },
    ),
    "export_codes": lambda at: ("GET", f"/discount/{at['big']}/codes", {}),
    "show_picture": lambda at: ("GET", f"/discount/{at['big']}/grant/picture?user_id=User 1", {}),
    "show_page": lambda at: ("GET", f"/discount/{at['big']}/grant/page?user_id=User 1", {}),
    "show_redemption": lambda at: ("GET", f"/redemption/{at['redemption']}", {}),
    "confirm_redemption": lambda at: ("POST", f"/redemption/{at['held']}/confirm", {}),
    "roll_back_redemption": lambda at: ("POST", f"/redemption/{at['redemption']}/rollback", {"json": {}}),
    "list_redemptions": lambda at: ("GET", f"/discount/{at['big']}/redemptions?limit=1000", {}),
    "list_redemptions_of_user": lambda _: ("GET", "/user/User 1/redemptions?limit=1000", {}),
    "find_code": lambda at: ("POST", "/code", {"json": {"brand_id": "IKEA", "code": at["use"]["code"]}}),
    "show_figures_of_discount": lambda at: ("GET", f"/discount/{at['big']}/figures", {}),
    "show_figures_of_brand": lambda _: ("GET", "/brand/IKEA/figures", {}),
    "export_table": lambda _: ("GET", "/brand/IKEA/export/grants", {}),
    "list_changes": lambda _: ("GET", "/change?brand_id=IKEA", {}),
    "list_events": lambda _: ("GET", "/event?brand_id=IKEA&types=webhook.disabled&limit=1000", {}),
    "create_readable_code": lambda _: (
        "POST",
        "/api/v1/discountcode/",
        {"json": {"id": "SALE", "discount": 10, "validity": "2099-01-01T00:00:00Z", "brand": "IKEA"}},
    ),
    "list_readable_codes": lambda _: ("GET", "/api/v1/discountcode/", {}),
    "list_coupons": lambda _: ("GET", "/coupon", {}),
    "list_users": lambda _: ("GET", "/user", {}),
    "create_codes_of_brand": lambda _: (
        "POST",
        "/v1/discount/create",
        {"json": {"brand": "IKEA", "number_to_create": 1000}},
    ),
}


@ONE_REDIS
def test_no_operation_takes_more_exchanges_than_it_declares(counted: Counted, ledger: SqliteLedger) -> None:
    at = stage(counted.client)
    ledger.read(counted.store)
    over = {}
    for name, call in CALLS.items():
        method, path, more = call(at)
        trips, several = counted.cost(method, path, **more)
        if trips > counted.operations[name].cost.exchanges * several:
            over[name] = (trips, several, counted.operations[name].cost.exchanges)
    assert over == {}


def test_every_declared_cost_is_that_of_an_operation(counted: Counted) -> None:
    assert set(costs.COSTS) <= set(counted.operations)


def test_a_brand_with_many_closed_discounts_costs_no_more_than_a_bound(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discount_lists, "LOOKED_AT", 200)
    for number in range(300):
        made = counted.client.create(discount_code=str(number), total_count=1)["id"]
        counted.client.http.delete(f"/discount/{made}")
    trips, _ = counted.cost("POST", "/brand/IKEA/grant", (409,), json={"user_id": "One"})
    assert trips < 12


def test_a_list_far_too_long_is_refused_before_its_items_are_checked(counted: Counted) -> None:
    discount_id = counted.client.create()["id"]
    for last in ("7", '"x"'):
        body = '{"user_ids": [' + '"User",' * 20_000 + last + "]}"
        answer = counted.client.http.post(f"/discount/{discount_id}/grants", data=body, content_type="application/json")
        assert answer.status_code == 422
        (error,) = answer.get_json()["errors"]
        assert error == {"pointer": "/user_ids", "detail": "has more than 10,000 entries; at most 10,000 are allowed"}


def test_the_limits_page_matches_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert limits_page.renew(page) == page


def test_an_ordinary_body_is_read_whole_before_a_thread_gets_it() -> None:
    assert WHOLE >= SMALL_BODY


# Calls on discounts with options, each at its most


def _family(counted: Counted) -> None:
    """Make lists and groups of users, whom discounts are for."""
    counted.client.http.post("/brand/IKEA/list/family", data="Ann\nBo\nCid\nDan", content_type="text/plain")


def _for_family(counted: Counted, name: str, **more: Any) -> str:
    """Create a discount for users on a list or in a group, which asks who they are."""
    audience = {"groups": ["friends"], "lists": ["family", "others"]}
    asked = {"discount_code": name, "audience": audience, "limits": {"per_user": 1, "per_identity": 1}}
    return str(counted.client.create(**(asked | more))["id"])


def _identity(user: str) -> dict[str, str]:
    return {"card": user, "email": f"{user}@x.example", "device": user, "address": user}


def _as_new(counted: Counted, path: str, body: dict[str, Any], statuses: tuple[int, ...] = (200, 201)) -> int:
    """Return the exchanges of a call of a process that knows no discount."""
    counted.store.definitions.clear()
    counted.store.sold_out.clear()
    return counted.cost("POST", path, statuses, json=body)[0]


@ONE_REDIS
def test_grants_and_waits_of_judged_users_cost_what_is_declared(counted: Counted) -> None:
    _family(counted)
    made, known = _for_family(counted, "Judged", total_count=2), counted.client.create(limits={"per_identity": 1})["id"]
    body = {"user_id": "Ann", "identity": _identity("Ann")}
    # The first run of a script loads it.
    counted.client.grant(known, "Other")
    assert _as_new(counted, f"/discount/{made}/grant", body) == 1 + costs.JUDGED
    # Without an audience, a process that knows the discount needs no more than without an identity.
    counted.client.grant(known, "Other")
    assert counted.cost("POST", f"/discount/{known}/grant", json=body)[0] == 1
    _as_new(counted, f"/discount/{made}/grant", {"user_id": "Bo", "identity": _identity("Bo")})
    counted.client.http.post(f"/discount/{made}/wait", json={"user_id": "Nobody"})
    wait = {"user_id": "Cid", "identity": _identity("Cid")}
    assert _as_new(counted, f"/discount/{made}/wait", wait) <= costs.of("begin_wait").exchanges
    counted.store.definitions.clear()
    counted.client.http.delete(f"/discount/{made}/wait?user_id=Nobody")
    trips, _ = counted.cost("DELETE", f"/discount/{made}/wait?user_id=Cid", (204,))
    assert trips <= costs.of("end_wait").exchanges


@ONE_REDIS
@pytest.mark.parametrize("call", ["grant", "grants", "brand"])
def test_a_grant_that_serves_a_list_first_costs_what_is_declared(
    counted: Counted, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    # As many scripts as at most, for fewer users each.
    monkeypatch.setattr(next_waits, "AT_ONCE", 1)
    monkeypatch.setattr(waiting_lists, "ROUNDS", 4)
    codes = {"kind": "personal", "template": "{name}-x{seq}"}
    made = counted.client.create(codes=codes, total_count=1)["id"]
    for user in ("Ann", *(f"User {number}" for number in range(6))):
        counted.client.http.put(f"/user/{user}?brand_id=IKEA", json={"email": f"{user[-1]}@x.example", "name": user})
    counted.client.grant(made, "Ann")
    for number in range(6):
        counted.client.http.post(f"/discount/{made}/wait", json={"user_id": f"User {number}"})
    counted.client.http.patch(f"/discount/{made}", json={"total_count": 20})
    calls: dict[str, tuple[str, dict[str, Any], str]] = {
        "grant": (f"/discount/{made}/grant", {"user_id": "User 5"}, "grant_code"),
        "grants": (f"/discount/{made}/grants", {"user_ids": ["User 5"]}, "grant_codes"),
        "brand": ("/brand/IKEA/grant", {"user_id": "User 5"}, "grant_code_of_brand"),
    }
    path, body, name = calls[call]
    # The script runs once more, and the names are read again.
    trips = _as_new(counted, path, body, (200, 201, 409))
    assert trips <= costs.of(name).exchanges + costs.JUDGED + 2 + costs.SERVED * 4 // 20


@ONE_REDIS
def test_several_codes_of_judged_users_cost_what_is_declared(counted: Counted) -> None:
    _family(counted)
    codes = []
    for number in range(5):
        given = {"codes": {"kind": "imported"}, "valid_for": "P1M", "combines": "all", "percent_off": 10}
        made = _for_family(counted, f"No. {number}", **given)
        counted.client.http.post(f"/discount/{made}/codes", data=f"ÉTÉ-{number}", content_type="text/plain")
        body = {"user_id": "Ann", "identity": _identity("Ann")}
        codes.append(counted.client.http.post(f"/discount/{made}/grant", json=body).get_json()["code"])
        hold = {"discount_id": made, "user_id": "Ann", "code": codes[-1], "order": _order(number), "hold_seconds": 900}
        assert counted.client.http.post("/redemption", json=hold | {"identity": _identity("Ann")}).status_code == 201
    use = {"brand_id": "IKEA", "user_id": "Ann", "order": _order(100), "identity": _identity("Ann")}
    # The first run of a script loads it.
    counted.client.http.post("/validation", json=use | {"codes": codes})
    for path, name in (("/validation", "validate_code"), ("/redemption", "redeem_code")):
        for several in (codes[:1], codes[1:]):
            order = {"order": _order(100 + len(several))}
            found = _as_new(counted, path, use | order | {"codes": several})
            assert found <= costs.CHECKOUT * len(several), (path, len(several))
            assert found <= costs.of(name).exchanges


@ONE_REDIS
def test_the_codes_that_fit_an_order_cost_what_is_declared_however_many_are_judged(counted: Counted) -> None:
    _family(counted)
    for number in range(12):
        shared = {"codes": {"kind": "shared", "code": f"ÉTÉ-{number}"}}
        made = _for_family(counted, f"No. {number}", percent_off=10, **shared)
        unique = _for_family(counted, f"Own {number}", percent_off=10, valid_for="P1M")
        for each in (made, unique):
            body = {"user_id": "Ann", "identity": _identity("Ann")}
            assert counted.client.http.post(f"/discount/{each}/grant", json=body).status_code == 201
    use = {"brand_id": "IKEA", "user_id": "Ann", "order": _order(), "identity": _identity("Ann")}
    found = _as_new(counted, "/validation", use)
    assert found <= costs.FITTING
