"""What the reconciler remembers of each photo and tombstone; files by their key, for sweep."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UNFINISHED = sa.text("thumbnail_status IN ('pending', 'processing')")
_LOST = sa.text("is_lost")


def upgrade() -> None:
    for table in ("photos", "deleted_photos"):
        op.add_column(table, sa.Column("is_lost", sa.Boolean(), nullable=False, server_default=sa.false()))
        op.add_column(table, sa.Column("republications", sa.Integer(), nullable=False, server_default="0"))
        op.add_column(table, sa.Column("republished_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "photos_unfinished", "photos", ["updated_at"], postgresql_where=_UNFINISHED, sqlite_where=_UNFINISHED
    )
    op.create_index("photos_lost", "photos", ["id"], postgresql_where=_LOST, sqlite_where=_LOST)
    op.create_index("deleted_photos_lost", "deleted_photos", ["photo_id"], postgresql_where=_LOST, sqlite_where=_LOST)
    op.create_index("photos_by_storage_key", "photos", ["storage_key"])


def downgrade() -> None:
    op.drop_index("photos_by_storage_key", table_name="photos")
    op.drop_index("deleted_photos_lost", table_name="deleted_photos")
    op.drop_index("photos_lost", table_name="photos")
    op.drop_index("photos_unfinished", table_name="photos")
    for table in ("deleted_photos", "photos"):
        for column in ("republished_at", "republications", "is_lost"):
            op.drop_column(table, column)
