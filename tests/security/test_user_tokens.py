"""Users' tokens that are signed with published keys."""

from typing import Any

import jwt
import pytest

from discount.security import user_tokens
from tests.api.client import check_problem
from tests.security.issuer import (
    SECRET,
    Issuer,
    claims,
    signed,
    unsigned,
)
from tests.security.two_brands import TwoBrands

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that fetches unknown keys again at once."""
    monkeypatch.setattr(user_tokens, "AGAIN_SECONDS", 0)


def status(two_brands: TwoBrands, token: str) -> int:
    return two_brands.ask("GET", "/user/Ann/grants", token).status_code


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_token_with_a_published_key_is_good(published: TwoBrands, issuer: Issuer, algorithm: str) -> None:
    assert status(published, issuer.sign(algorithm)) == 200
    assert status(published, issuer.sign(algorithm, "Bo")) == 403


@pytest.mark.parametrize(
    "changes",
    [{"exp": 1_600_000_000}, {"aud": "another"}, {"iss": "another"}, {"sub": None}, {"exp": None}, {"aud": None}],
)
def test_its_claims_are_checked(published: TwoBrands, issuer: Issuer, changes: dict[str, Any]) -> None:
    assert status(published, issuer.sign("RS256", **changes)) == 401


def test_a_token_signed_with_another_algorithm_is_refused(published: TwoBrands, issuer: Issuer) -> None:
    kids = {"kid": "RS256"}
    assert status(published, issuer.confused()) == 401
    assert status(published, unsigned()) == 401
    assert status(published, jwt.encode(claims(), "", algorithm="none", headers=kids)) == 401
    assert status(published, signed()) == 401
    assert status(published, jwt.encode(claims(), SECRET, algorithm="HS256", headers=kids)) == 401
    # Signed well, with a key that is published under another algorithm.
    assert status(published, issuer.sign("ES256", kid="RS256")) == 401
    key = issuer.keys["RS256"]
    for algorithm in ("RS384", "PS256"):
        assert status(published, jwt.encode(claims(), key, algorithm=algorithm, headers=kids)) == 401


def test_a_shared_secret_among_the_published_keys_is_not_one(published: TwoBrands, issuer: Issuer) -> None:
    issuer.extra = [{"kty": "oct", "k": "a" * 43, "kid": "shared", "alg": "HS256"}]
    token = jwt.encode(claims(), jwt.PyJWK(issuer.extra[0]).key, algorithm="HS256", headers={"kid": "shared"})
    assert status(published, token) == 401
    assert status(published, issuer.sign("RS256")) == 200


def test_a_published_key_is_no_secret(two_brands: TwoBrands, issuer: Issuer) -> None:
    issuer.restart()
    assert status(two_brands, issuer.sign("RS256")) == 401
    assert status(two_brands, issuer.confused()) == 401
    assert status(two_brands, signed()) == 200


def test_a_token_without_a_known_key_is_none(published: TwoBrands, issuer: Issuer) -> None:
    assert status(published, issuer.sign("RS256", kid="unknown")) == 401
    assert status(published, jwt.encode(claims(), issuer.keys["RS256"], algorithm="RS256")) == 401


def test_the_keys_are_fetched_once_and_again_for_an_unknown_one(published: TwoBrands, issuer: Issuer) -> None:
    for user in ("Ann", "Bo", "Cy"):
        assert status(published, issuer.sign("RS256", user)) in (200, 403)
    assert issuer.asked == 1
    old = issuer.sign("ES256", "Di")
    issuer.restart()
    issuer.keys["new"] = issuer.keys.pop("ES256")
    issuer.keys = {"RS256": issuer.keys["RS256"], "ES256": issuer.keys["new"]}
    assert status(published, issuer.sign("ES256", kid="ES256")) == 401  # the kid is known, the key is not
    assert status(published, old) == 403


def test_a_new_key_is_found_without_a_restart(published: TwoBrands, issuer: Issuer) -> None:
    issuer.keys.pop("EdDSA")
    assert status(published, issuer.sign("RS256")) == 200
    known = dict(issuer.keys)
    issuer.restart()
    issuer.keys = known | {"EdDSA": issuer.keys["EdDSA"]}
    assert status(published, issuer.sign("EdDSA")) == 200


def test_unknown_keys_do_not_cause_repeated_fetches(
    published: TwoBrands, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_tokens, "AGAIN_SECONDS", 30)
    patient = TwoBrands(published.settings.redis_url, published.redis, jwt_secret="", jwks_url=issuer.url)
    for number in range(20):
        assert status(patient, issuer.sign("RS256", kid=f"unknown-{number}")) == 401
    assert issuer.asked == 1


def test_while_the_keys_cannot_be_fetched_the_last_ones_are_used(published: TwoBrands, issuer: Issuer) -> None:
    assert status(published, issuer.sign("RS256")) == 200
    issuer.up = False
    assert status(published, issuer.sign("RS256", kid="unknown")) == 401
    assert issuer.asked == 2
    assert status(published, issuer.sign("ES256")) == 200


def test_keys_that_could_not_be_fetched_are_fetched_again_later(published: TwoBrands, issuer: Issuer) -> None:
    issuer.up = False
    answer = published.ask("GET", "/user/Ann/grants", issuer.sign("RS256"))
    check_problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"]
    asked = issuer.asked
    assert status(published, issuer.sign("RS256")) == 503
    # For a moment no call waits for a fetch that would fail again.
    assert issuer.asked == asked


def test_a_good_token_is_verified_once_in_a_while(two_brands: TwoBrands, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    verify = user_tokens.UserTokens.verify

    def watched(self: user_tokens.UserTokens, token: str) -> Any:
        seen.append(token)
        return verify(self, token)

    monkeypatch.setattr(user_tokens.UserTokens, "verify", watched)
    token = signed()
    for _ in range(5):
        assert status(two_brands, token) == 200
    assert seen == [token]
    for _ in range(2):
        assert status(two_brands, "garbage") == 401
    assert seen == [token, "garbage", "garbage"]
