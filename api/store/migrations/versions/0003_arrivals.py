"""Arrivals: originals on their way into storage, so that none of them is left behind."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "arrivals",
        sa.Column("photo_id", sa.Uuid(), nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.current_timestamp()),
        sa.Column("erase_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("photo_id"),
    )
    op.create_index("arrivals_by_age", "arrivals", ["erase_at", "created_at"])


def downgrade() -> None:
    op.drop_index("arrivals_by_age", table_name="arrivals")
    op.drop_table("arrivals")
