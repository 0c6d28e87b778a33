"""Contacts of users: a brand's entry, the user's own, and unsubscribing."""

from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from discount.domain.errors import AddressTaken, Invalid
from discount.security.signing import Signer
from discount.services import contacts
from discount.services.contacts import Contact
from discount.store import keys
from discount.store.connection import Store
from tests.api.client import Client, check_problem
from tests.security.issuer import signed
from tests.security.two_brands import ADMIN, TwoBrands
from tests.support.redis_server import RedisServer


def put(client: Client, user: str = "Ann", brand: str | None = None, **body: Any) -> Any:
    answer = client.http.put(_path(user, brand), json={"email": "ann@x.example"} | body)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def get(client: Client, user: str = "Ann", brand: str | None = None) -> Any:
    answer = client.http.get(_path(user, brand))
    return answer.get_json() if answer.status_code == 200 else answer.status_code


def _path(user: str, brand: str | None) -> str:
    return f"/user/{quote(user, safe='')}" + ("" if brand is None else f"?brand_id={quote(brand)}")


def contact(email: str | None, **more: Any) -> dict[str, Any]:
    nothing = {"user_id": "Ann", "brand_id": None, "name": None, "locale": None, "unsubscribed": False}
    return nothing | {"email": email} | more


def reached(store: Store, user: str = "Ann", brand: str = "IKEA") -> Contact | None:
    return contacts.find(store, [(brand, user)])[brand, user]


# Entries of brands and users.


def test_the_contact_data_of_a_user_is_shown(client: Client) -> None:
    said = put(client, name="Ann Lee", locale="de-AT")
    assert said == contact("ann@x.example", name="Ann Lee", locale="de-AT")
    assert get(client) == said


def test_each_brand_and_the_user_keep_separate_contact_data(client: Client) -> None:
    put(client, brand="IKEA", email="ann@ikea.example", name="Frau Lee")
    put(client, email="ann@x.example", name="Ann")
    assert get(client, brand="IKEA") == contact("ann@ikea.example", brand_id="IKEA", name="Frau Lee")
    assert get(client) == contact("ann@x.example", name="Ann")
    assert get(client, brand="Billy") == 404
    assert get(client, user="Bob") == 404


def test_new_contact_data_replaces_all_of_the_old(client: Client) -> None:
    put(client, brand="IKEA", name="Ann", locale="de")
    assert put(client, brand="IKEA", email="new@x.example") == contact("new@x.example", brand_id="IKEA")


@pytest.mark.parametrize("brand", [None, "IKEA"])
def test_a_user_without_an_address_gets_no_e_mail(client: Client, store: Store, brand: str | None) -> None:
    put(client, brand=brand, name="Ann")
    assert put(client, brand=brand, email=None) == contact(None, brand_id=brand)
    assert get(client, brand=brand) == 404
    assert reached(store) is None


def test_contact_data_of_the_brand_precedes_that_of_the_user(client: Client, store: Store) -> None:
    assert reached(store) is None
    put(client, email="own@x.example", name="Own", locale="en")
    assert reached(store) == Contact("Ann", "own@x.example", "Own", "en")
    put(client, brand="IKEA", email="ikea@x.example")
    assert reached(store) == Contact("Ann", "ikea@x.example", "", "")
    assert reached(store, brand="Billy") == Contact("Ann", "own@x.example", "Own", "en")
    put(client, brand="IKEA", email=None)
    assert reached(store) == Contact("Ann", "own@x.example", "Own", "en")


def test_an_unsubscribed_user_gets_no_brand_e_mail_at_any_address(client: Client, store: Store) -> None:
    put(client, email="own@x.example")
    assert put(client, brand="IKEA", unsubscribed=True)["unsubscribed"]
    assert reached(store) is None
    assert reached(store, brand="Billy") is not None
    # A new address is no new wish.
    assert put(client, brand="IKEA", email="new@x.example")["unsubscribed"]
    assert reached(store) is None
    assert not put(client, brand="IKEA", email="new@x.example", unsubscribed=False)["unsubscribed"]
    assert reached(store) == Contact("Ann", "new@x.example", "", "")


def test_ids_with_any_characters_are_distinct(client: Client) -> None:
    users = ["Ann", "ann", "A:nn", "A%3Ann", "Ann:contact", "Ä nn", "user:Ann"]
    for number, user in enumerate(users):
        put(client, user, brand="IKEA", email=f"{number}@x.example")
    assert [get(client, user, "IKEA")["email"] for user in users] == [f"{n}@x.example" for n in range(len(users))]
    put(client, "b", brand="a:contact", email="one@x.example")
    assert get(client, "contact:b", "a") == 404


def test_canonicalizing_twice_gives_the_same_result(client: Client) -> None:
    put(client, brand="IKEA", name="Ann")
    before = client.state()
    put(client, brand="IKEA", name="Ann")
    assert client.state() == before


def test_a_brand_lists_only_the_users_it_knows(client: Client, store: Store) -> None:
    for number in range(7):
        put(client, f"User {number}", brand="IKEA", email=f"{number}@x.example")
    put(client, "Other", brand="Billy")
    put(client, "Own")
    found, cursor = [], None
    for _ in range(10):
        page = contacts.list_page(store, "IKEA", limit=3, cursor=cursor)
        found += [each.user_id for each in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert found == [f"User {number}" for number in range(7)]
    with pytest.raises(Invalid):
        contacts.list_page(store, "IKEA", cursor="x")


# What is refused.


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ann",
        "@x.example",
        "ann@",
        "ann@@x.example",
        "ann@x..example",
        "ann@.example",
        "ann@x.example.",
        "ann@-x.example",
        ".ann@x.example",
        "an..n@x.example",
        "ann@x.example\n",
        "ann@x.example\r\nBcc: all@x.example",
        "ann@x.example,bob@x.example",
        "ann@x.example bob@x.example",
        "Ann <ann@x.example>",
        "<ann@x.example>",
        '"ann"@x.example',
        "ann@[127.0.0.1]",
        "ann(x)@x.example",
        "änn@x.example",
        "ann@ä.example",
        "ann\x00@x.example",
        "=?utf-8?q?ann?=@x.example",
        "a" * 65 + "@x.example",
        "ann@" + "x" * 250 + ".example",
    ],
)
def test_an_invalid_address_is_refused_everywhere(client: Client, email: str) -> None:
    discount = client.create()["id"]
    for method, path, body in (
        ("PUT", "/user/Ann", {"email": email}),
        ("PUT", "/user/Ann?brand_id=IKEA", {"email": email}),
        ("POST", f"/discount/{discount}/grant", {"user_id": "Ann", "email": email}),
        ("POST", "/brand/IKEA/grant", {"user_id": "Ann", "email": email}),
    ):
        client.refused(method, path, 422, "invalid", "/email", json=body)


@pytest.mark.parametrize("email", ["a@b.example", "first.last+tag@sub.x-y.example", "o'neil@x.example", "A@X.EXAMPLE"])
def test_a_valid_address_is_stored_unchanged(client: Client, email: str) -> None:
    assert put(client, email=email)["email"] == email


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "/email"),
        ({"email": 1}, "/email"),
        ({"email": None, "name": ""}, "/name"),
        ({"email": None, "name": "a\nb"}, "/name"),
        ({"email": None, "name": "a" * 201}, "/name"),
        ({"email": None, "locale": "german"}, "/locale"),
        ({"email": None, "locale": "de_AT\n"}, "/locale"),
        ({"email": None, "locale": "../de"}, "/locale"),
        ({"email": None, "unsubscribed": "yes"}, "/unsubscribed"),
        ({"email": None, "brand_id": "IKEA"}, "/brand_id"),
        # Of which brand's e-mails?
        ({"email": None, "unsubscribed": True}, "/unsubscribed"),
    ],
)
def test_a_bad_contact_is_refused_where_it_is_bad(client: Client, body: Any, place: str) -> None:
    client.refused("PUT", "/user/Ann", 422, "invalid", place, json=body)


def test_a_user_that_cannot_be_is_refused(client: Client) -> None:
    client.refused("PUT", "/user/%20Ann", 422, "invalid", "user_id", json={"email": None})
    client.refused("PUT", "/user/Ann?brand_id=", 422, "invalid", "brand_id", json={"email": None})
    client.refused("GET", "/user/A%00nn", 422, "invalid", "user_id")


# Users who got their id here.


def test_the_address_of_an_enrolled_user_is_exclusive(client: Client, store: Store) -> None:
    first = contacts.enrol(store, "IKEA", name="Ann", email="ann@x.example")
    second = contacts.enrol(store, "IKEA", name="Bob", email="bob@x.example")
    assert (first, second) == ("1", "2")
    assert get(client, first, "IKEA")["email"] == "ann@x.example"
    for email in ("ann@x.example", "ANN@x.example"):
        client.refused("PUT", "/user/2?brand_id=IKEA", 409, "address-taken", json={"email": email})
        with pytest.raises(AddressTaken):
            contacts.enrol(store, "IKEA", name="Cid", email=email)
    # Its own it may write otherwise, and leave to others.
    assert put(client, "1", brand="IKEA", email="Ann@X.example")["email"] == "Ann@X.example"
    put(client, "1", brand="IKEA", email="new@x.example")
    put(client, "2", brand="IKEA", email="ann@x.example")
    client.refused("PUT", "/user/1?brand_id=IKEA", 409, "address-taken", json={"email": "ann@x.example"})


def test_a_user_who_came_with_an_id_may_share_an_address(client: Client, store: Store) -> None:
    contacts.enrol(store, "IKEA", name="Ann", email="ann@x.example")
    assert put(client, "Bob", brand="IKEA", email="ann@x.example")["email"] == "ann@x.example"
    assert contacts.enrol(store, "Billy", name="Ann", email="ann@x.example") == "1"


def test_an_id_that_a_brand_gave_itself_is_passed_over(client: Client, store: Store) -> None:
    put(client, "1", brand="IKEA", email="one@x.example")
    put(client, "2", brand="IKEA", email="two@x.example")
    assert contacts.enrol(store, "IKEA", name="Ann", email="ann@x.example") == "3"
    assert get(client, "1", "IKEA")["email"] == "one@x.example"


def test_the_address_of_a_deleted_user_can_be_used_again(client: Client, store: Store) -> None:
    contacts.enrol(store, "IKEA", name="Ann", email="ann@x.example")
    assert client.http.delete("/user/1").status_code == 200
    assert get(client, "1", "IKEA") == 404
    contacts.enrol(store, "IKEA", name="Ann", email="ann@x.example")


# With a grant.


@pytest.mark.parametrize("path", ["/discount/{discount}/grant", "/brand/IKEA/grant"])
def test_an_address_comes_with_a_grant(client: Client, path: str) -> None:
    discount = client.create()["id"]
    body = {"user_id": "Ann", "email": "ann@x.example"}
    assert client.http.post(path.format(discount=discount), json=body).status_code == 201
    stream = client.redis.xrange(keys.events(keys.partition_of("IKEA", 16)))
    assert [entry.get("email") for _, entry in stream] == [None, "ann@x.example"]


def test_an_address_that_came_with_a_grant_leaves_the_rest(client: Client, store: Store) -> None:
    put(client, brand="IKEA", name="Ann Lee", locale="de")
    contacts.note_address(store, "IKEA", "Ann", "new@x.example")
    assert get(client, brand="IKEA") == contact("new@x.example", brand_id="IKEA", name="Ann Lee", locale="de")


def test_an_address_given_with_a_grant_that_belongs_to_another_user_is_ignored(client: Client, store: Store) -> None:
    contacts.enrol(store, "IKEA", name="Ann", email="ann@x.example")
    contacts.enrol(store, "IKEA", name="Bob", email="bob@x.example")
    contacts.note_address(store, "IKEA", "2", "ann@x.example")
    assert get(client, "2", "IKEA")["email"] == "bob@x.example"


def test_an_address_given_with_a_grant_does_not_undo_an_unsubscribe(client: Client, store: Store) -> None:
    put(client, brand="IKEA", unsubscribed=True)
    contacts.note_address(store, "IKEA", "Ann", "new@x.example")
    assert reached(store) is None


# With tokens.


@pytest.fixture
def two_brands(redis_server: RedisServer, redis: Any) -> TwoBrands:
    return TwoBrands(redis_server.url, redis)


def _key(two_brands: TwoBrands, brand: str) -> str:
    two_brands.done("POST", "/brand", ADMIN, json={"id": brand})
    return two_brands.make_key(brand)


def test_a_user_sets_their_contact_data_and_never_sees_the_brands(two_brands: TwoBrands) -> None:
    key, ann = _key(two_brands, "IKEA"), signed("Ann")
    two_brands.done("PUT", "/user/Ann", key, json={"email": "ikea@x.example"})
    check_problem(two_brands.ask("GET", "/user/Ann", ann), 404, "not-found")
    two_brands.done("PUT", "/user/Ann", ann, json={"email": "own@x.example"})
    assert two_brands.done("GET", "/user/Ann", ann)["email"] == "own@x.example"
    assert two_brands.done("GET", "/user/Ann", key) == contact("ikea@x.example", brand_id="IKEA")
    for path in ("/user/Ann?brand_id=IKEA", "/user/Bob"):
        check_problem(two_brands.ask("GET", path, ann), 403, "forbidden")
        check_problem(two_brands.ask("PUT", path, ann, json={"email": None}), 403, "forbidden")


def test_a_brand_sees_no_contact_data_of_others(two_brands: TwoBrands) -> None:
    ikea, billy = _key(two_brands, "IKEA"), _key(two_brands, "Billy")
    two_brands.done("PUT", "/user/Ann", ikea, json={"email": "ikea@x.example"})
    two_brands.done("PUT", "/user/Ann", signed("Ann"), json={"email": "own@x.example"})
    check_problem(two_brands.ask("GET", "/user/Ann", billy), 404, "not-found")
    check_problem(two_brands.ask("GET", "/user/Ann?brand_id=IKEA", billy), 404, "not-found")
    check_problem(
        two_brands.ask("PUT", "/user/Ann?brand_id=IKEA", billy, json={"email": "billy@x.example"}), 404, "not-found"
    )
    assert two_brands.done("GET", "/user/Ann", ikea)["email"] == "ikea@x.example"


@pytest.mark.parametrize("path", ["/discount/{discount}/grant", "/brand/IKEA/grant"])
def test_a_user_gives_no_address_with_a_grant(two_brands: TwoBrands, path: str) -> None:
    key = _key(two_brands, "IKEA")
    body = {"brand_id": "IKEA", "discount_code": "Sale", "total_count": 9}
    discount = two_brands.done("POST", "/discount", key, json=body)["id"]
    asked = {"user_id": "Ann", "email": "ann@x.example"}
    answer = two_brands.ask("POST", path.format(discount=discount), signed("Ann"), json=asked)
    check_problem(answer, 403, "forbidden")
    assert two_brands.done("GET", f"/discount/{discount}", key)["granted_count"] == 0
    assert two_brands.ask("POST", path.format(discount=discount), key, json=asked).status_code == 201


def test_a_link_needs_no_token(two_brands: TwoBrands) -> None:
    token = Signer(Store.at(two_brands.settings.redis_url, 30, 16), two_brands.settings.secret).mail_token(
        "IKEA", "Ann"
    )
    assert two_brands.ask("POST", f"/unsubscribe/{token}").status_code == 200
    assert two_brands.done("PUT", "/user/Ann", _key(two_brands, "IKEA"), json={"email": None})["unsubscribed"]


# The way out.


def link(signatures: Signer, brand: str = "IKEA", user: str = "Ann") -> str:
    return f"/unsubscribe/{signatures.mail_token(brand, user)}"


def _is_page(answer: TestResponse) -> None:
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_link_that_is_followed_shows_a_page_and_changes_nothing(
    client: Client, signatures: Signer, method: str
) -> None:
    put(client, brand="IKEA")
    before = client.state()
    answer = client.http.open(link(signatures), method=method)
    _is_page(answer)
    assert client.state() == before
    assert (b'<form method="post">' in answer.data) == (method == "GET")


def test_the_button_of_the_page_unsubscribes_from_this_brand(client: Client, store: Store, signatures: Signer) -> None:
    put(client)
    put(client, brand="IKEA")
    # As a mail client does it by itself (RFC 8058), and once more.
    for _ in range(2):
        answer = client.http.post(link(signatures), data={"List-Unsubscribe": "One-Click"})
        _is_page(answer)
        assert b"<form" not in answer.data
    assert (reached(store), get(client, brand="IKEA")["unsubscribed"]) == (None, True)
    assert reached(store, brand="Billy") is not None


def test_a_user_unknown_to_a_brand_can_unsubscribe_from_it(client: Client, store: Store, signatures: Signer) -> None:
    put(client)
    assert client.http.post(link(signatures)).status_code == 200
    assert reached(store) is None
    assert get(client, brand="IKEA") == contact(None, brand_id="IKEA", unsubscribed=True)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_of_another_service_is_not_found(client: Client, signatures: Signer, method: str) -> None:
    token = signatures.mail_token("IKEA", "Ann")
    for wrong in (token[:-1], token.replace(".", "-"), "x", "a.b", f"{token}%0a"):
        client.refused(method, f"/unsubscribe/{wrong}", 404, "not-found")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "&amp;"]
)
def test_a_page_shows_a_brands_name_as_text(client: Client, signatures: Signer, method: str, name: str) -> None:
    client.http.post("/brand", json={"id": "IKEA", "name": name})
    text = client.http.open(link(signatures), method=method).text
    # Nothing in it is worked out either.
    assert "49" not in text
    for wild in ("<script", "<img", "onerror=alert(1)>"):
        assert wild not in text
    shown = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
    assert text.count(shown) == 2


def test_a_page_shows_the_id_of_a_brand_without_a_name(client: Client, signatures: Signer) -> None:
    assert "<h1>Möbel &amp; Co</h1>" in client.http.get(link(signatures, "Möbel & Co")).text
