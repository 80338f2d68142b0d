"""What was read of each photo, step by step: kept in its row, which is written then anyway."""

import sqlalchemy as sa
from alembic import op

revision = "0740"
down_revision = "0730"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("photos", sa.Column("timeline", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("photos", "timeline")
