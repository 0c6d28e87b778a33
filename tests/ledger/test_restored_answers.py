"""With tokens on, everything is lost, `discount restore` runs, and every answer is as before, to the byte."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from discount.app import create_app
from discount.config import Settings
from discount.domain.errors import NotFound, Restoring, Unavailable
from discount.domain.model import to_time
from discount.ledger import leases, positions
from discount.ledger.consumer import Consumer
from discount.ledger.database import Database
from discount.ledger.leases import Leases
from discount.ledger.reconcile import Reconciler
from discount.ledger.tables import COPIES
from discount.services import contacts, exclusive_codes, grants, users
from discount.store import keys, starts
from discount.store.connection import Store
from discount.store.quotas import Quotas
from tests.ledger.test_restore import USERS, data, differing, fill
from tests.security.issuer import AUDIENCE, ISSUER, SECRET, signed
from tests.services.harness import PARTITIONS, ServiceHarness
from tests.support.commands import Commands
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.service import ROOT, wait_until

ADMIN, PEPPER = "admin-" + "a" * 32, "pepper-" + "p" * 32
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    with Commands() as running:
        yield running


class Service:
    """The service with tokens on, a ledger, and the command line."""

    def __init__(self, redis_server: RedisServer, database: Database) -> None:
        url = database.url.set(drivername="sqlite" if database.is_sqlite else "postgresql")
        self.environment = {
            **{"REDIS_URL": redis_server.url, "LEDGER_URL": url.render_as_string(), "AUTH": "token", "SECRET": PEPPER},
            **{"ADMIN_KEY": ADMIN, "JWT_SECRET": SECRET, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE},
        }
        given = {name.lower(): value for name, value in self.environment.items()}
        self.settings, self._database = Settings(**given), database  # type: ignore[arg-type]
        self.store = Store.at(redis_server.url, PATIENCE, 16, secret=PEPPER)
        self.http = self.replica()
        today = to_time(self.store.now()).replace(hour=0, minute=0, second=0, microsecond=0)
        #: Between these lies all that happens.
        self.days = [f"{today + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (-1, 2)]

    def replica(self) -> FlaskClient:
        """Return a client of an app that knows nothing yet."""
        return create_app(self.settings, Store.at(self.settings.redis_url, PATIENCE, 16)).test_client()

    def ask(self, method: str, path: str, token: str | None = ADMIN, **call: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.http.open(path, method=method, headers=headers, **call)

    def done(self, method: str, path: str, token: str = ADMIN, **call: Any) -> Any:
        answer = self.ask(method, path, token, **call)
        assert answer.status_code in (200, 201), answer.text
        return answer.get_json()

    def read(self, name: str = "one") -> None:
        """Write what happened so far into the ledger, as a worker does."""
        reader = Consumer(self.store, self._database, name, PEPPER)
        reader.open()
        while reader.turn():
            pass
        reader.end()

    def restore(self, commands: Commands, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
        return commands.run("restore", *words, folder=folder, environment=self.environment)


@pytest.fixture
def service(harness: ServiceHarness, redis_server: RedisServer, database: Database) -> Service:
    found = Service(redis_server, database)
    # What a brand uses is counted where there are quotas.
    harness.store.quotas = found.store.quotas = Quotas(found.settings.quotas)
    return found


def furnish(service: Service, brand: str) -> tuple[str, str]:
    """Make a brand with all that no event tells of; return one of its keys, and a discount with an identity."""
    service.done("POST", "/brand", json={"id": brand, "name": f"{brand} & Söhne", "email": "shop@brand.example"})
    key: str = service.done("POST", f"/brand/{brand}/keys", json={"name": "shop"})["key"]
    service.done("POST", f"/brand/{brand}/keys", json={"name": "reader", "scopes": ["read"]})
    revoked = service.done("POST", f"/brand/{brand}/keys", json={"name": "gone"})["id"]
    assert service.ask("DELETE", f"/brand/{brand}/keys/{revoked}").status_code == 204
    digest = {"hour": 7, "language": "de"}
    service.done("PATCH", f"/brand/{brand}", json={"digest": digest, "quotas": {"discounts": 90, "emails_a_day": 7}})
    webhooks = [
        service.done("POST", "/webhook", key, json={"brand_id": brand, "url": f"https://{n}.brand.example/x"})["id"]
        for n in range(3)
    ]
    service.done("PATCH", f"/webhook/{webhooks[0]}", key, json={"on": False})
    service.done("POST", f"/webhook/{webhooks[1]}/secret", key)
    assert service.ask("DELETE", f"/webhook/{webhooks[2]}", key).status_code == 204
    lines = {"data": "\n".join(USERS), "content_type": "text/plain"}
    for name in ("vip", "gone"):
        service.done("POST", f"/brand/{brand}/list/{name}", key, **lines)
    service.done("DELETE", f"/brand/{brand}/list/gone", key)
    contacts.put(service.store, USERS[1], brand_id=brand, email="one@user.example", name="Åsa", groups=["staff"])
    contacts.put(service.store, USERS[2], brand_id=brand, email="two@user.example", unsubscribed=True)
    contacts.put(service.store, USERS[1], brand_id=None, email="own@user.example", locale="de")
    for number in range(2):
        contacts.enrol(service.store, brand, name=f"Number {number}", email=f"N{number}@user.example")
    users.forget(service.store, "2", brand_id=brand)
    assert exclusive_codes.claim(service.store, f"ONLY-{brand}", brand)
    body = {"brand_id": brand, "discount_code": "Once", "total_count": 9, "limits": {"per_identity": 1}}
    of_audience = {"audience": {"lists": ["vip"]}, "webhook_url": "https://one.brand.example/y"}
    discount: str = service.done("POST", "/discount", key, json=body | of_audience)["id"]
    for user in USERS[:3]:
        call = {"user_id": user, "identity": {"email": f"{user.replace(' ', '')}@user.example"}}
        service.done("POST", f"/discount/{discount}/grant", key, json=call)
    return key, discount


def paths_of(service: Service, key: str, brand: str, made: list[str]) -> list[str]:
    """Return the addresses of all that can be read of a brand."""
    found = [f"/brand/{brand}", f"/brand/{brand}/keys", f"/discount?brand_id={brand}", f"/webhook?brand_id={brand}"]
    found += [f"/event?brand_id={brand}&limit=1000", f"/change?brand_id={brand}&limit=1000", f"/brand/{brand}/list"]
    found += [f"/brand/{brand}/list/{name}" for name in ("vip", "gone")]
    tables = ("discounts", "changes", "imports", "grants", "redemptions", "events", "figures")
    found += [f"/brand/{brand}/export/{table}?format=ndjson" for table in tables]
    found += [f"/webhook/{each['id']}" for each in service.done("GET", f"/webhook?brand_id={brand}", key)["webhooks"]]
    for user in USERS[:9]:
        found += [f"/user/{user}?brand_id={brand}"]
        found += [f"/user/{user}/{noun}?brand_id={brand}" for noun in ("grants", "redemptions")]
    for discount in made:
        nouns = ("", "/codes", "/grants", "/grants?limit=3", "/redemptions", "/waits")
        found += [f"/discount/{discount}{noun}" for noun in nouns]
        found += [f"/discount/{discount}/{noun}?user_id={USERS[0]}" for noun in ("grant", "wait")]
        listed = service.ask("GET", f"/discount/{discount}/redemptions", key).get_json()
        found += [f"/redemption/{each['id']}" for each in listed["redemptions"]]
    return found


def answers(service: Service, key: str, brand: str, made: list[str], paths: list[str]) -> dict[str, Any]:
    """Return status and body of every answer, with each sort of token that may read it."""
    found: dict[str, Any] = {}
    for path in ["/brand", "/discount", *paths]:
        # Only the admin reads brands and their keys.
        answer = service.ask("GET", path, ADMIN if path.startswith("/brand") and "list" not in path else key)
        found[path] = answer.status_code, without_request(answer)
    for path in (f"/user/{USERS[1]}{noun}" for noun in ("", "/grants", "/redemptions")):
        answer = service.ask("GET", path, signed(USERS[1]))
        found[f"user {path}"] = answer.status_code, without_request(answer)
    for path in (f"/brand/{brand}/figures", *(f"/discount/{each}/figures" for each in made)):
        # The forecast counts from now on, and without a span so do the figures.
        given = service.ask("GET", f"{path}?step=day&from={service.days[0]}&to={service.days[1]}", key).get_json()
        assert "figures" in given
        found[path] = {name: value for name, value in given.items() if not name.startswith("forecast")}
    for discount in made[:4]:
        held = service.ask("GET", f"/discount/{discount}/grant?user_id={USERS[1]}", key).get_json()
        answer = service.ask("POST", "/code", key, json={"brand_id": brand, "code": held["code"]})
        found[f"find {discount}"] = answer.status_code, without_request(answer)
    found["introspect"] = service.ask("POST", "/token/introspect", data={"token": key}).data
    return found


def without_request(answer: Any) -> bytes:
    """Return a body; a problem without the id of its request."""
    if answer.status_code < 400:
        return bytes(answer.data)
    return json.dumps({name: value for name, value in answer.get_json().items() if name != "request_id"}).encode()


@ON_SQLITE
def test_after_a_restore_every_answer_is_as_before(
    harness: ServiceHarness, service: Service, database: Database, commands: Commands, tmp_path: Path
) -> None:
    (key, once), (other_key, _) = (furnish(service, brand) for brand in ("IKEA", "Billo"))
    filled = fill(harness)
    # One of each sort; data in Redis is compared of all.
    made = [*filled[:7], *filled[-8:], once]
    harness.create_kind("shared", None, brand="Billo")
    service.read()
    paths = paths_of(service, key, "IKEA", made)
    before = answers(service, key, "IKEA", made, paths)
    assert {status for status, *_ in (each for each in before.values() if isinstance(each, tuple))} >= {200, 404}
    others, stored = answers(service, other_key, "Billo", [], paths_of(service, other_key, "Billo", [])), data(harness)
    # Reading has touched the keys: the times at which they were used are copied, too.
    service.read("two")
    harness.redis.flushall()
    done = service.restore(commands, tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert (counts["refused"], counts["copy_count"] > 30, counts["grant_count"] > 200) == ([], True, True)
    assert "Partition 0c: " in done.stderr
    service.http = service.replica()
    assert differing(data(harness), stored) == {}
    assert differing(answers(service, key, "IKEA", made, paths), before) == {}
    assert differing(answers(service, other_key, "Billo", [], paths_of(service, other_key, "Billo", [])), others) == {}
    assert Reconciler(harness.store, database, lambda _: None).partition(12).differences == []
    # What is claimed stays claimed: nobody else gets a code for the same address, or the brand's own code.
    call = {"user_id": USERS[5], "identity": {"email": "user1@user.example"}}
    assert service.ask("POST", f"/discount/{once}/grant", key, json=call).status_code == 409
    assert not exclusive_codes.claim(service.store, "ONLY-IKEA", "Billo")
    assert contacts.enrol(service.store, "IKEA", name="x", email="next@user.example") == "3"
    service.read("three")
    assert Reconciler(harness.store, database, lambda _: None).partition(12).differences == []


@ON_SQLITE
def test_only_sealed_text_is_in_the_copies_and_none_of_a_forgotten_user(
    harness: ServiceHarness, service: Service, database: Database
) -> None:
    furnish(service, "IKEA")
    contacts.put(service.store, "Zoltan", brand_id="IKEA", email="zoltan@user.example")
    contacts.put(service.store, "Zoltan", brand_id=None, email="zoltan@user.example")
    service.read()

    def copied() -> list[Any]:
        with database.reading() as connection:
            return list(connection.execute(select(COPIES.c.name, COPIES.c.sealed)).all())

    assert any("Zoltan" in each.name for each in copied())
    assert not any(
        "@" in "".join(each) or "staff" in each.sealed or "brand.example" in each.sealed for each in copied()
    )
    users.forget(service.store, "Zoltan")
    service.read()
    assert not any("Zoltan" in each.name for each in copied())
    assert harness.redis.zrange(keys.uncopied(12), 0, -1) == [""]


@ON_SQLITE
def test_a_redis_that_is_in_use_is_refused_and_not_touched(
    harness: ServiceHarness, service: Service, commands: Commands, tmp_path: Path
) -> None:
    harness.grant(harness.create().id)
    service.read()
    stored = data(harness)
    refused = service.restore(commands, tmp_path, "--json")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "discount: partition 0c is not empty; only an empty Redis is restored\n"
    assert data(harness) == stored
    assert not harness.redis.keys("*:restoring")


@ON_SQLITE
def test_a_brand_alone_is_not_an_empty_redis(
    harness: ServiceHarness, service: Service, commands: Commands, tmp_path: Path
) -> None:
    service.done("POST", "/brand", json={"id": "IKEA"})
    assert service.restore(commands, tmp_path).returncode == 1


@ON_SQLITE
def test_a_ledger_that_is_sealed_with_another_secret_is_refused(
    harness: ServiceHarness, service: Service, commands: Commands, tmp_path: Path
) -> None:
    service.done("POST", "/brand", json={"id": "IKEA"})
    service.read()
    harness.redis.flushall()
    service.environment["SECRET"] = "t" * 40
    refused = service.restore(commands, tmp_path)
    assert refused.returncode == 1
    assert "sealed with another SECRET" in refused.stderr
    assert "Traceback" not in refused.stderr


@ON_POSTGRESQL
def test_a_restore_that_was_stopped_goes_on(
    harness: ServiceHarness, service: Service, database: Database, commands: Commands, tmp_path: Path
) -> None:
    codes: dict[tuple[str, str], str] = {}
    for brand in ("IKEA", "Billo"):
        service.done("POST", "/brand", json={"id": brand})
        made = harness.create_kind("unique", 9, brand=brand).id
        codes |= {(made, user): harness.grant(made, user).code for user in USERS[:3]}
    service.read()
    stored = data(harness)
    harness.redis.flushall()
    command = [sys.executable, "-m", "discount", "restore"]
    with database.writing() as connection:
        # The command has to wait in the middle of its first partition.
        connection.execute(text("LOCK TABLE events IN ACCESS EXCLUSIVE MODE"))
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | service.environment, stderr=subprocess.PIPE, text=True
        )
        wait_until(lambda: harness.redis.keys("*:restoring"), "the restore has begun")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "Traceback" not in errors
    # A worker leaves it to the command.
    service.read("two")
    again = service.restore(commands, tmp_path)
    assert again.returncode == 0, again.stderr
    assert differing(data(harness), stored) == {}
    assert {key: harness.grant(*key).code for key in codes} == codes
    assert service.restore(commands, tmp_path).returncode == 1


def test_a_worker_leaves_its_partitions_to_a_restore(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW", 0.0)
    worker, other, command = (Leases(harness.store, name) for name in ("worker", "other", "command"))
    waits: list[float] = []
    assert len(worker.renew()) == PARTITIONS
    assert other.renew() == []
    other.take_all(waits.append)
    # The worker may be in the middle of something: it looks again before it goes on.
    assert waits == [1.0]
    with pytest.raises(Unavailable):
        worker.check(12)
    other.check(12)
    other.end()
    command.take_all(waits.append)
    assert waits == [1.0]


@ON_SQLITE
def test_a_call_that_finds_nothing_lets_the_service_look_whether_everything_is_lost(
    harness: ServiceHarness, service: Service, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is looked for without a reason.
    monkeypatch.setattr(starts, "LATER", 10 * PATIENCE)
    store = Store.at(service.settings.redis_url, PATIENCE, PARTITIONS)
    store.watch_starts(partial(positions.find_whole, store, database))
    store.prepare()
    made = harness.create()
    assert grants.grant(store, made.id, "ann").fresh
    assert store.starts is not None
    looks = store.starts
    wait_until(lambda: not looks.restoring, "the start was compared")
    service.read()
    harness.redis.flushall()
    with pytest.raises(NotFound):
        grants.grant(store, made.id, "bob")
    wait_until(lambda: made.partition in looks.restoring, "the loss was noticed")
    with pytest.raises(Restoring):
        grants.grant(store, made.id, "bob")
