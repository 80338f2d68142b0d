"""Requests left to keys and workspaces, and uploads on their way."""

import sqlalchemy as sa
from alembic import op

revision = "0720"
down_revision = "0710"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rate_buckets",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column("filled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject"),
    )
    op.create_index("rate_buckets_by_age", "rate_buckets", ["filled_at"])
    op.create_table(
        "upload_counts",
        sa.Column("instance", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("upload_count", sa.Integer(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("instance", "subject"),
    )


def downgrade() -> None:
    op.drop_table("upload_counts")
    op.drop_table("rate_buckets")
