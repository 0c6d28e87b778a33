"""Brands, keys and forgetting from the command line, checked over HTTP."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.security.two_brands import ADMIN, PEPPER, TwoBrands
from tests.support.commands import Commands
from tests.support.redis_server import RedisServer

Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    with Commands() as running:
        yield running


@pytest.fixture
def call(commands: Commands, redis_server: RedisServer, tmp_path: Path) -> Call:
    def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        settings = {"REDIS_URL": redis_server.url, "SECRET": PEPPER} | environment
        return commands.run(*words, folder=tmp_path, environment=settings)

    return run


def test_a_brand_is_made_with_a_key_that_works(two_brands: TwoBrands, call: Call) -> None:
    done = call("brand", "create", "IKEA", "--email", "shop@ikea.example")
    assert done.returncode == 0, done.stderr
    key = done.stdout.strip()
    assert two_brands.ask("GET", "/discount", key).status_code == 200
    assert two_brands.done("GET", "/brand/IKEA", ADMIN)["email"] == "shop@ikea.example"
    listed = json.loads(call("key", "list", "IKEA", "--json").stdout)["keys"]
    assert [each["id"] for each in listed] == [key.split("_")[1]]
    assert key not in call("key", "list", "IKEA").stdout
    assert json.loads(call("brand", "list", "--json").stdout)["brands"][0]["id"] == "IKEA"


def test_a_key_is_made_for_a_scope_and_revoked(two_brands: TwoBrands, call: Call) -> None:
    call("brand", "create", "IKEA")
    key = json.loads(call("key", "create", "IKEA", "till", "--scope", "redeem", "--json").stdout)
    assert (key["name"], key["scopes"]) == ("till", ["redeem"])
    assert two_brands.ask("GET", "/discount", key["key"]).status_code == 403
    assert call("key", "revoke", "IKEA", key["id"]).returncode == 0
    assert two_brands.ask("GET", "/discount", key["key"]).status_code == 401


def test_a_brand_is_closed_and_a_user_forgotten(two_brands: TwoBrands, call: Call) -> None:
    shop = two_brands.open_shop("IKEA")
    assert json.loads(call("forget", "Ann", "--json").stdout)["grants"] == 1
    assert two_brands.done("GET", "/user/Ann/grants", shop.key)["grants"] == []
    assert call("brand", "close", "IKEA").stdout == "IKEA is closed\n"
    assert two_brands.ask("GET", "/discount", shop.key).status_code == 401


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        (("brand", "create", "a\n"), "invalid"), (("brand", "create", "IKEA", "--email", "a@b\n"), "invalid"),
        (("brand", "close", "None"), "not-found"), (("key", "create", "None", "x"), "not-found"),
        (("key", "list", "None"), "not-found"), (("brand", "change", "IKEA"), "invalid"),
        (("key", "create", "IKEA", "x", "--expires-at", "2020-01-01T00:00:00Z"), "invalid"),
        (("key", "revoke", "IKEA", "x"), "not-found"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_in_one_line_and_creates_nothing(
    two_brands: TwoBrands, call: Call, words: tuple[str, ...], slug: str
) -> None:
    two_brands.open_shop("IKEA")
    before = two_brands.done("GET", "/brand", ADMIN)
    done = call(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"discount: {slug}: ")
    assert done.stderr.count("\n") == 1
    assert two_brands.done("GET", "/brand", ADMIN) == before
    assert len(two_brands.done("GET", "/brand/IKEA/keys", ADMIN)["keys"]) == 1


def test_a_brand_of_an_open_service_needs_no_key(two_brands: TwoBrands, call: Call) -> None:
    done = call("brand", "create", "IKEA", "--json", SECRET="")
    assert (done.returncode, done.stderr) == (0, "")
    shown = two_brands.done("GET", "/brand/IKEA", ADMIN)
    del shown["quotas"]
    assert json.loads(done.stdout) == shown
    assert two_brands.done("GET", "/brand/IKEA/keys", ADMIN)["keys"] == []


def test_no_key_is_made_without_the_secret_that_it_is_hashed_with(two_brands: TwoBrands, call: Call) -> None:
    call("brand", "create", "IKEA", "--no-key")
    done = call("key", "create", "IKEA", "till", SECRET="")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("discount: SECRET: keys are hashed with the SECRET of the service")
    assert two_brands.done("GET", "/brand/IKEA/keys", ADMIN)["keys"] == []
