"""Who produced each photo, also at the end of the index of failed photos: they are counted by it without their rows."""

import sqlalchemy as sa
from alembic import op

revision = "0770"
down_revision = "0760"
branch_labels = None
depends_on = None

_COLUMNS = ["workspace_id", "error_code", "content_type", "status_changed_at", "id", "thumbnail_status"]


def upgrade() -> None:
    op.add_column("photos", sa.Column("producer", sa.String(), nullable=True))
    _create_index_anew([*_COLUMNS, "producer"])


def downgrade() -> None:
    _create_index_anew(_COLUMNS)
    op.drop_column("photos", "producer")


def _create_index_anew(columns: list[str]) -> None:
    where = sa.text("thumbnail_status = 'failed'")
    op.drop_index("photos_failed", table_name="photos")
    op.create_index("photos_failed", "photos", columns, postgresql_where=where, sqlite_where=where)
