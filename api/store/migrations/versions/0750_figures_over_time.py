"""Figures over time: results and lag by time slot, and what happened beside them."""

import sqlalchemy as sa
from alembic import op

revision = "0750"
down_revision = "0740"
branch_labels = None
depends_on = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("figure_changes", sa.Column("done_at", sa.BigInteger(), nullable=True))
    op.add_column("figure_changes", sa.Column("bucket", sa.Integer(), nullable=True))
    op.create_table(
        "result_figures",
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("step_seconds", sa.Integer(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("thumbnail_status", sa.String(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("photo_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "step_seconds", "starts_at", "thumbnail_status", "bucket"),
        sqlite_with_rowid=False,
    )
    op.create_index("result_figures_by_age", "result_figures", ["step_seconds", "starts_at"])
    op.create_table(
        "lag_figures",
        sa.Column("step_seconds", sa.Integer(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("record_count", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("step_seconds", "starts_at"),
    )
    op.create_table(
        "marks",
        sa.Column("id", _COUNTER, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("marks_by_time", "marks", ["started_at"])


def downgrade() -> None:
    op.drop_table("marks")
    op.drop_table("lag_figures")
    op.drop_table("result_figures")
    op.drop_column("figure_changes", "bucket")
    op.drop_column("figure_changes", "done_at")
