"""Failed photos by error code and content type. The index has no other photos, so it costs those nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0730"
down_revision = "0720"
branch_labels = None
depends_on = None


def upgrade() -> None:
    where = sa.text("thumbnail_status = 'failed'")
    op.create_index(
        "photos_failed", "photos",
        ["workspace_id", "error_code", "content_type", "status_changed_at", "id", "thumbnail_status"],
        postgresql_where=where, sqlite_where=where,
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("photos_failed", table_name="photos")
