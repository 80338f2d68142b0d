"""No gaps in the order of an item's photos; what a request with an idempotency key asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0400"
down_revision = "0003"
branch_labels = None
depends_on = None

_CLOSE_GAPS = """
    UPDATE photos SET display_order = places.place
    FROM (
        SELECT id, row_number() OVER (PARTITION BY workspace_id, item_id ORDER BY display_order, id) - 1 AS place
        FROM photos WHERE item_id IS NOT NULL
    ) AS places
    WHERE photos.id = places.id AND photos.display_order <> places.place
"""


def upgrade() -> None:
    op.add_column("idempotency_keys", sa.Column("fingerprint", sa.String(), nullable=True))
    op.execute(_CLOSE_GAPS)


def downgrade() -> None:
    op.drop_column("idempotency_keys", "fingerprint")
