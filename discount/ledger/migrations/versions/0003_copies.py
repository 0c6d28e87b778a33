"""Sealed copies of what no event tells of."""

import sqlalchemy as sa
from alembic import op

revision = "0003_copies"
down_revision = "0002_sealed_keys"


def upgrade() -> None:
    op.create_table(
        "copies",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("copies_of_partition", "copies", ["partition", "version"], unique=False)
    op.create_table(
        "copy_positions",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition"),
    )
