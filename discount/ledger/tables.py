"""The tables of the ledger. Moments are integers, in microseconds since 1970 UTC, as in Redis."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    column,
    literal_column,
)

METADATA = MetaData()
_HAS_NEXT = column("next_user_id").is_not(None)
_IS_DELETED = column("step") != literal_column("'day'")

#: The last entry of each partition's outbox that is in the tables. It is written with their rows, in one transaction.
POSITIONS = Table(
    "positions",
    METADATA,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("entry_id", String(40), nullable=False),
    Column("event_id", String(80), nullable=False),
    Column("at", BigInteger, nullable=False),
)
#: What each process needs that uses this data, as Redis has it: `secret`.
INSTALLATION = Table(
    "installation",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)
DISCOUNTS = Table(
    "discounts",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("brand_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("definition", JSON, nullable=False),
    #: What unique codes are made with, sealed.
    Column("key", Text),
    UniqueConstraint("partition", "number"),
    Index("discounts_of_brand", "brand_id", "created_at"),
)
#: What was changed about discounts, and by whom.
CHANGES = Table(
    "changes",
    METADATA,
    Column("partition", Integer, nullable=False),
    Column("entry_id", String(40), nullable=False),
    Column("event_id", String(80), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("type", String(40), nullable=False),
    Column("brand_id", Text, nullable=False),
    Column("discount_id", String(64), nullable=False),
    Column("author", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    PrimaryKeyConstraint("partition", "entry_id"),
    Index("changes_of_brand", "brand_id", "at"),
    Index("changes_of_discount", "discount_id", "at"),
)
#: Codes of a brand's own, in the order of their numbers, one on each line.
IMPORTS = Table(
    "imports",
    METADATA,
    Column("partition", Integer, nullable=False),
    Column("entry_id", String(40), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("brand_id", Text, nullable=False),
    Column("discount_id", String(64), nullable=False),
    Column("first", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("codes", Text, nullable=False),
    PrimaryKeyConstraint("partition", "entry_id"),
    Index("imports_of_discount", "discount_id", "first"),
    Index("imports_of_brand", "brand_id", "at"),
)
#: A user who lost a code may be granted another one, so a user can have several rows of a discount.
GRANTS = Table(
    "grants",
    METADATA,
    Column("discount_id", String(64), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("entry_id", String(40), nullable=False),
    Column("brand_id", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("canonical", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("metadata", JSON, nullable=False),
    #: `granted`, or where the code went when it was taken back: `void`, `pool` or `next`.
    Column("state", String(8), nullable=False),
    Column("revoked_at", BigInteger),
    Column("reason", Text, nullable=False),
    Column("next_user_id", Text),
    PrimaryKeyConstraint("discount_id", "user_id", "entry_id"),
    Index("grants_of_code", "brand_id", "canonical"),
    Index("grants_of_user", "user_id", "brand_id"),
    Index("grants_of_next", "next_user_id", sqlite_where=_HAS_NEXT, postgresql_where=_HAS_NEXT),
    Index("grants_of_brand", "brand_id", "at"),
)
#: An order may be redeemed again once Redis has let its redemption go, so an id can have several rows.
REDEMPTIONS = Table(
    "redemptions",
    METADATA,
    Column("id", String(80), nullable=False),
    Column("discount_id", String(64), nullable=False),
    Column("brand_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("canonical", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("discount_amount", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("redeemed_at", BigInteger, nullable=False),
    Column("hold_until", BigInteger),
    Column("confirmed_at", BigInteger),
    Column("rolled_back_at", BigInteger),
    Column("reason", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    # What came off the order's lines, and its redemptions by several codes, as Redis has them.
    Column("more", Text, nullable=False),
    #: What was left of each limit right after the use, as Redis stores it.
    Column("left_after", Text, nullable=False),
    PrimaryKeyConstraint("id", "redeemed_at"),
    Index("redemptions_of_discount", "discount_id", "redeemed_at"),
    Index("redemptions_of_user", "user_id", "brand_id", "redeemed_at"),
    Index("redemptions_of_code", "brand_id", "canonical"),
    Index("redemptions_of_time", "redeemed_at"),
    Index("redemptions_of_brand", "brand_id", "redeemed_at"),
)
#: Every event, with the fields of its entry except e-mail addresses, keys and imported codes.
EVENTS = Table(
    "events",
    METADATA,
    Column("partition", Integer, nullable=False),
    Column("entry_id", String(40), nullable=False),
    Column("event_id", String(80), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("type", String(40), nullable=False),
    Column("brand_id", Text, nullable=False),
    Column("discount_id", String(64), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("next_user_id", Text),
    Column("fields", JSON, nullable=False),
    PrimaryKeyConstraint("partition", "entry_id"),
    Index("events_of_brand", "brand_id", "at"),
    Index("events_of_user", "user_id", "discount_id", "at"),
    Index("events_of_next", "next_user_id", sqlite_where=_HAS_NEXT, postgresql_where=_HAS_NEXT),
    Index("events_of_time", "at"),
)
#: Sealed copies of keys that no event tells of, such as brands, API keys, contacts and webhooks. What is gone has none,
#: but an API key or a webhook keeps an empty row, so that a restore of the last moment removes it.
COPIES = Table(
    "copies",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("sealed", Text, nullable=False),
    Index("copies_of_partition", "partition", "version"),
)
#: The version of the latest change of each partition that is in the copies.
COPY_POSITIONS = Table(
    "copy_positions",
    METADATA,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)
#: Numbers and sums of a discount's events by minute, hour and day.
FIGURES = Table(
    "figures",
    METADATA,
    Column("discount_id", String(64), nullable=False),
    Column("step", String(6), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("type", String(40), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("brand_id", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("discount_amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("discount_id", "step", "at", "type", "currency"),
    Index("figures_of_brand", "brand_id", "step", "at"),
    Index("figures_of_time", "step", "at", sqlite_where=_IS_DELETED, postgresql_where=_IS_DELETED),
)
