"""Figures of workspaces, words to search by, fingerprints in bands; photos by their checksum. Filled from the photos.

A million photos take some minutes. A later migration that changes these tables fills them itself and removes ``_fill``.
"""

import sqlalchemy as sa
from alembic import op

from api.store.derived.rows import facts_of, write_on
from api.store.tables import PhotoRow, PlainRow

revision = "0710"
down_revision = "0700"
branch_labels = None
depends_on = None

_PAGE_ROWS = 5_000
_BANDS = ("band_0", "band_1", "band_2", "band_3")


def upgrade() -> None:
    counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "workspace_figures",
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("thumbnail_status", sa.String(), nullable=False),
        sa.Column("photo_count", sa.BigInteger(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "thumbnail_status"),
    )
    op.create_table(
        "figure_changes",
        sa.Column("id", counter, autoincrement=True, nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("thumbnail_status", sa.String(), nullable=False),
        sa.Column("photo_count", sa.BigInteger(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "photo_words",
        sa.Column("photo_id", sa.Uuid(), nullable=False),
        sa.Column("word", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("photo_id", "word"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "photo_fingerprints",
        sa.Column("photo_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("perceptual_hash", sa.BigInteger(), nullable=False),
        *(sa.Column(band, sa.Integer(), nullable=False) for band in _BANDS),
        sa.Column("checksum", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("photo_id"),
    )
    _fill()
    op.create_index("figure_changes_by_workspace", "figure_changes", ["workspace_id"])
    op.create_index("photo_words_by_word", "photo_words", ["workspace_id", "word", "photo_id"])
    for band in _BANDS:
        op.create_index(f"photo_fingerprints_{band}", "photo_fingerprints", ["workspace_id", band])
    where = sa.text("checksum IS NOT NULL")
    op.create_index(
        "photo_fingerprints_by_checksum", "photo_fingerprints", ["workspace_id", "checksum"],
        postgresql_where=where, sqlite_where=where,
    )  # fmt: skip
    op.create_index("photos_by_checksum", "photos", ["workspace_id", "checksum", "created_at", "id"])


def _fill() -> None:
    """As the projector would have done, a page after the other."""
    connection = op.get_bind()
    photos = PhotoRow.__table__
    names = (
        "id", "workspace_id", "thumbnail_status", "status_event_id", "upload_event_id", "thumbnails_event_id",
        "file_size", "filename", "caption", "item_id", "perceptual_hash", "checksum", "measured",
    )  # fmt: skip
    page = sa.select(*(photos.c[name] for name in names)).order_by(photos.c.id).limit(_PAGE_ROWS)
    rows = connection.execute(page).mappings().all()
    while rows:
        write_on(connection, [(row["id"], None, facts_of(PlainRow(**row))) for row in rows])
        rows = connection.execute(page.where(photos.c.id > rows[-1]["id"])).mappings().all()


def downgrade() -> None:
    op.drop_index("photos_by_checksum", table_name="photos")
    for table in ("photo_fingerprints", "photo_words", "figure_changes", "workspace_figures"):
        op.drop_table(table)
