"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=80), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("brand_id", sa.Text(), nullable=False),
        sa.Column("discount_id", sa.String(length=64), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "entry_id"),
    )
    op.create_index("changes_of_brand", "changes", ["brand_id", "at"], unique=False)
    op.create_index("changes_of_discount", "changes", ["discount_id", "at"], unique=False)
    op.create_table(
        "discounts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("brand_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("partition", "number"),
    )
    op.create_index("discounts_of_brand", "discounts", ["brand_id", "created_at"], unique=False)
    op.create_table(
        "events",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=80), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("brand_id", sa.Text(), nullable=False),
        sa.Column("discount_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("next_user_id", sa.Text(), nullable=True),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "entry_id"),
    )
    op.create_index("events_of_brand", "events", ["brand_id", "at"], unique=False)
    op.create_index(
        "events_of_next",
        "events",
        ["next_user_id"],
        unique=False,
        sqlite_where=sa.text("next_user_id IS NOT NULL"),
        postgresql_where=sa.text("next_user_id IS NOT NULL"),
    )
    op.create_index("events_of_time", "events", ["at"], unique=False)
    op.create_index("events_of_user", "events", ["user_id", "discount_id", "at"], unique=False)
    op.create_table(
        "figures",
        sa.Column("discount_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=6), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("brand_id", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("discount_amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("discount_id", "step", "at", "type", "currency"),
    )
    op.create_index("figures_of_brand", "figures", ["brand_id", "step", "at"], unique=False)
    op.create_index(
        "figures_of_time",
        "figures",
        ["step", "at"],
        unique=False,
        sqlite_where=sa.text("step != 'day'"),
        postgresql_where=sa.text("step != 'day'"),
    )
    op.create_table(
        "grants",
        sa.Column("discount_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.String(length=40), nullable=False),
        sa.Column("brand_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("canonical", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("next_user_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("discount_id", "user_id", "entry_id"),
    )
    op.create_index("grants_of_brand", "grants", ["brand_id", "at"], unique=False)
    op.create_index("grants_of_code", "grants", ["brand_id", "canonical"], unique=False)
    op.create_index(
        "grants_of_next",
        "grants",
        ["next_user_id"],
        unique=False,
        sqlite_where=sa.text("next_user_id IS NOT NULL"),
        postgresql_where=sa.text("next_user_id IS NOT NULL"),
    )
    op.create_index("grants_of_user", "grants", ["user_id", "brand_id"], unique=False)
    op.create_table(
        "imports",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.String(length=40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("brand_id", sa.Text(), nullable=False),
        sa.Column("discount_id", sa.String(length=64), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("codes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "entry_id"),
    )
    op.create_index("imports_of_brand", "imports", ["brand_id", "at"], unique=False)
    op.create_index("imports_of_discount", "imports", ["discount_id", "first"], unique=False)
    op.create_table(
        "positions",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=80), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition"),
    )
    op.create_table(
        "redemptions",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("discount_id", sa.String(length=64), nullable=False),
        sa.Column("brand_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("canonical", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("discount_amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("redeemed_at", sa.BigInteger(), nullable=False),
        sa.Column("hold_until", sa.BigInteger(), nullable=True),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("rolled_back_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("more", sa.Text(), nullable=False),
        sa.Column("left_after", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", "redeemed_at"),
    )
    op.create_index("redemptions_of_brand", "redemptions", ["brand_id", "redeemed_at"], unique=False)
    op.create_index("redemptions_of_code", "redemptions", ["brand_id", "canonical"], unique=False)
    op.create_index("redemptions_of_discount", "redemptions", ["discount_id", "redeemed_at"], unique=False)
    op.create_index("redemptions_of_time", "redemptions", ["redeemed_at"], unique=False)
    op.create_index("redemptions_of_user", "redemptions", ["user_id", "brand_id", "redeemed_at"], unique=False)
