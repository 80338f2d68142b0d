"""The first tables: photos, tombstones, outbox, feed journal, idempotency keys, leases."""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deleted_photos",
        sa.Column("photo_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=True),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("files_deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("snapshot", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("photo_id"),
    )
    op.create_index("deleted_photos_unfinished", "deleted_photos", ["files_deleted_at"], unique=False)
    op.create_table(
        "feed_journal",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("photo_id", sa.Uuid(), nullable=False),
        sa.Column("photo", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("feed_journal_by_age", "feed_journal", ["created_at"], unique=False)
    op.create_index("feed_journal_by_workspace", "feed_journal", ["workspace_id", "seq"], unique=False)
    op.create_table(
        "feed_journal_identity", sa.Column("identity", sa.String(), nullable=False), sa.PrimaryKeyConstraint("identity")
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("photo_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "key"),
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "photos",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("upload_event_id", sa.String(), nullable=True),
        sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("storage_key", sa.Text(), nullable=True),
        sa.Column("item_id", sa.String(), nullable=True),
        sa.Column("filename", sa.Text(), nullable=True),
        sa.Column("caption", sa.Text(), nullable=True),
        sa.Column("uploaded_by", sa.String(), nullable=True),
        sa.Column("content_type", sa.String(), nullable=True),
        sa.Column("file_size", sa.BigInteger(), nullable=True),
        sa.Column("checksum", sa.String(), nullable=True),
        sa.Column("display_order", sa.Integer(), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("status_event_id", sa.String(), nullable=True),
        sa.Column("status_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("thumbnail_status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("thumbnails_event_id", sa.String(), nullable=True),
        sa.Column("thumbnails_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("thumbnails_made_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("measured", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("recipe", sa.String(), nullable=True),
        sa.Column("thumbhash", sa.Text(), nullable=True),
        sa.Column("perceptual_hash", sa.String(), nullable=True),
        sa.Column("thumbnails", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("photos_by_item", "photos", ["workspace_id", "item_id", "display_order", "id"], unique=False)
    op.create_index(
        "photos_by_age_of_status", "photos", ["workspace_id", "thumbnail_status", "status_at"], unique=False
    )
    op.create_index(
        "photos_by_status", "photos", ["workspace_id", "thumbnail_status", "created_at", "id"], unique=False
    )
    op.create_index("photos_newest_first", "photos", ["workspace_id", "created_at", "id"], unique=False)
    journal = sa.table("feed_journal_identity", sa.column("identity", sa.String()))
    op.bulk_insert(journal, [{"identity": uuid4().hex[:8]}])


def downgrade() -> None:
    op.drop_index("photos_newest_first", table_name="photos")
    op.drop_index("photos_by_age_of_status", table_name="photos")
    op.drop_index("photos_by_status", table_name="photos")
    op.drop_index("photos_by_item", table_name="photos")
    op.drop_table("photos")
    op.drop_table("outbox")
    op.drop_table("leases")
    op.drop_index("idempotency_keys_by_age", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("feed_journal_identity")
    op.drop_index("feed_journal_by_workspace", table_name="feed_journal")
    op.drop_index("feed_journal_by_age", table_name="feed_journal")
    op.drop_table("feed_journal")
    op.drop_index("deleted_photos_unfinished", table_name="deleted_photos")
    op.drop_table("deleted_photos")
