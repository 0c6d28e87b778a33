"""The keys of code sequences, sealed, and the secret of the installation."""

import sqlalchemy as sa
from alembic import op

revision = "0002_sealed_keys"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.add_column("discounts", sa.Column("key", sa.Text(), nullable=True))
