"""What each event becomes in the ledger, and what is left of a user who was forgotten."""

from typing import Any

from sqlalchemy import Table, select

from discount.domain.model import Author
from discount.ledger.database import Database
from discount.ledger.tables import CHANGES, DISCOUNTS, EVENTS, GRANTS, IMPORTS, METADATA, REDEMPTIONS
from discount.services import discount_changes, discounts, outbox, redemptions, revocations, users
from discount.store import keys
from tests.ledger.test_consumer import read_all, redeem
from tests.services.harness import ServiceHarness

ADMIN = Author("admin", "request-1")


def rows(database: Database, table: Table) -> list[dict[str, Any]]:
    with database.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]


def everything(database: Database) -> str:
    return "\n".join(str(rows(database, table)) for table in METADATA.sorted_tables)


def test_a_discount_is_a_row_with_its_definition_and_its_changes(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=10, metadata={"channel": "mail"})
    discount_changes.change(harness.store, discount.id, {"total_count": 20}, author=ADMIN)
    discount_changes.close(harness.store, discount.id, author=ADMIN)
    read_all(harness, database)
    (row,) = rows(database, DISCOUNTS)
    assert (row["id"], row["brand_id"], row["created_at"]) == (discount.id, "IKEA", discount.created_at)
    assert (row["definition"]["total_count"], row["definition"]["metadata"]) == (10, {"channel": "mail"})
    made, changed, closed = rows(database, CHANGES)
    assert (made["type"], made["before"], made["after"]) == ("discount.created", {}, row["definition"])
    assert (changed["before"], changed["after"]) == ({"total_count": 10}, {"total_count": 20})
    assert (changed["author"], changed["request_id"]) == ("admin", "request-1")
    assert (closed["type"], closed["after"]["closed"]) == ("discount.closed", "keep")
    assert "key" not in rows(database, EVENTS)[0]["fields"]


def test_imported_codes_are_a_range(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create_kind("imported", total=0)
    harness.import_lines(discount.id, ["Own 1", "Own 2"])
    harness.import_lines(discount.id, ["Own 3"])
    read_all(harness, database)
    found = [(row["first"], row["count"], row["codes"]) for row in rows(database, IMPORTS)]
    assert found == [(1, 2, "Own 1\nOwn 2"), (3, 1, "Own 3")]


def test_a_code_that_went_to_the_next_user_has_two_rows(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=3).id
    code = harness.grant(discount, "ann").code
    revocations.revoke(harness.store, discount, "ann", reason="stolen", back="next", next_user_id="bob")
    read_all(harness, database)
    ann, bob = rows(database, GRANTS)
    assert (ann["user_id"], ann["code"], ann["state"], ann["reason"]) == ("ann", code, "next", "stolen")
    assert ann["next_user_id"] == "bob"
    assert ann["revoked_at"] > ann["at"]
    assert (bob["user_id"], bob["code"], bob["state"], bob["revoked_at"]) == ("bob", code, "granted", None)


def test_a_user_who_was_granted_another_code_has_a_row_for_each(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=3).id
    for back in ("void", "pool"):
        harness.grant(discount, "ann")
        # Whether the grant is in the ledger before or comes with what ended it.
        if back == "void":
            read_all(harness, database)
        revocations.revoke(harness.store, discount, "ann", back=back, reissue=True)
    last = harness.grant(discount, "ann").code
    read_all(harness, database)
    assert [row["state"] for row in rows(database, GRANTS)] == ["void", "pool", "granted"]
    assert rows(database, GRANTS)[-1]["code"] == last


def test_users_of_a_shared_code_have_a_row_each(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create_kind("shared", total=3).id
    for user in ("ann", "bob"):
        harness.grant(discount, user)
    read_all(harness, database)
    assert [row["user_id"] for row in rows(database, GRANTS)] == ["ann", "bob"]


def test_a_redemption_has_its_order_and_metadata(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=3).id
    redeem(harness, discount, "ann", harness.grant(discount, "ann").code, "order-7", metadata={"till": "4"})
    read_all(harness, database)
    (row,) = rows(database, REDEMPTIONS)
    assert (row["order_id"], row["metadata"]) == ("order-7", {"till": "4"})


def test_no_table_names_a_forgotten_user(harness: ServiceHarness, database: Database) -> None:
    personal, unique = harness.create_kind("personal").id, harness.create().id
    for discount in (personal, unique):
        code = harness.grant(discount, "Zoltan").code
        used = redeem(harness, discount, "Zoltan", code, f"order-{discount}", metadata={"to": "Zoltan"})
        redemptions.roll_back(harness.store, used, reason="Zoltan asked")
    harness.grant(unique, "bob")
    third = harness.create().id
    harness.grant(third, "bob")
    revocations.revoke(harness.store, third, "bob", reason="for Zoltan", back="next", next_user_id="Zoltan")
    read_all(harness, database)
    assert "Zoltan" in everything(database)
    users.forget(harness.store, "Zoltan")
    grants, uses, events = (len(rows(database, each)) for each in (GRANTS, REDEMPTIONS, EVENTS))
    read_all(harness, database)
    assert "Zoltan" not in everything(database)
    assert (len(rows(database, GRANTS)), len(rows(database, REDEMPTIONS))) == (grants, uses)
    assert len(rows(database, EVENTS)) > events
    assert [row["user_id"] for row in rows(database, GRANTS) if row["discount_id"] == unique].count("bob") == 1


def test_a_user_who_comes_back_after_being_forgotten_is_another_one(
    harness: ServiceHarness, database: Database
) -> None:
    discount = harness.create(total=5).id
    # The ledger has not opened its group yet: another reader keeps what names the user.
    harness.store.run("open_group", [keys.events(discounts.parse_id(harness.store, discount).partition)], ["other"])
    before = harness.grant(discount, "ann").code
    users.forget(harness.store, "ann")
    after = harness.grant(discount, "ann").code
    read_all(harness, database)
    found = {row["code"]: row["user_id"] for row in rows(database, GRANTS)}
    assert found[after] == "ann"
    assert found[before].startswith("forgotten-")


def test_what_names_a_forgotten_user_is_cut_only_when_the_ledger_has_forgotten(
    harness: ServiceHarness, database: Database
) -> None:
    discount = harness.create(total=5).id
    partition = discounts.parse_id(harness.store, discount).partition
    read_all(harness, database)
    harness.grant(discount, "ann")
    users.forget(harness.store, "ann")
    assert outbox.cut_read(harness.store, partition) == 0
    read_all(harness, database)
    assert outbox.cut_read(harness.store, partition) == 1
    assert outbox.trim(harness.store, partition, -10) > 0
