"""Ready photos by recipe: how many are stale is counted in an index that has no more than that."""

import sqlalchemy as sa
from alembic import op

revision = "0760"
down_revision = "0750"
branch_labels = None
depends_on = None


def upgrade() -> None:
    where = sa.text("thumbnail_status = 'ready'")
    op.create_index(
        "photos_ready_by_recipe", "photos", ["recipe", "thumbnail_status"], postgresql_where=where, sqlite_where=where
    )


def downgrade() -> None:
    op.drop_index("photos_ready_by_recipe", table_name="photos")
