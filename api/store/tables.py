"""The tables. All can be rebuilt from Kafka, except captions and orders that people have changed here."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    TypeDecorator,
    false,
    func,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import JSON
from sqlmodel import Field, SQLModel

from schemas.times import in_range

#: SQLite counts by itself only in a column that is an INTEGER.
_Counter = BigInteger().with_variant(Integer, "sqlite")


class _IsoDateTime(sqlite.DATETIME):
    """SQLite's times, the same text as SQLAlchemy writes in a third of the time."""

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], str | None]:
        """What turns a time without a zone into text."""
        return lambda value: None if value is None else value.isoformat(" ", "microseconds")


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: timezone-aware UTC in Python, whatever the database keeps, and one that an event may have."""

    impl = DateTime(timezone=True).with_variant(_IsoDateTime(), "sqlite")  # type: ignore[no-untyped-call]  # it has none
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone, which would mean another time on another machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone")
        in_utc = in_range(value)
        return in_utc if dialect.name == "postgresql" else in_utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite gives back a time without a zone; it was UTC."""
        if value is None:
            return None
        return in_range(value.replace(tzinfo=UTC) if value.tzinfo is None else value)


class Row(SQLModel):
    """What every table's class is made of."""

    #: As SQLAlchemy's declarative mapping makes it.
    __table__: ClassVar[Table]


class PlainRow(SimpleNamespace):
    """The columns of one row, by name, free of the ORM: reading and writing many rows costs a tenth so."""


#: As the partial indexes have it, word for word: only so does a query find them.
UNFINISHED = text("thumbnail_status IN ('pending', 'processing')")
LOST = text("is_lost")
FAILED = text("thumbnail_status = 'failed'")
READY = text("thumbnail_status = 'ready'")


def _partial_index(name: str, *columns: str, where: Any) -> Index:
    return Index(name, *columns, postgresql_where=where, sqlite_where=where)


def _time(*, nullable: bool = False) -> Any:
    return Field(default=None, sa_column=Column(UtcDateTime, nullable=nullable))


def _time_of_insert() -> Any:
    """By the database's clock, since those of the apis may differ."""
    return Field(default=None, sa_column=Column(UtcDateTime, nullable=False, default=func.current_timestamp()))


def _json(*, nullable: bool = True) -> Any:
    return Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=nullable))


def _no() -> Any:
    return Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))


def _none() -> Any:
    return Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))


def _text() -> Any:
    return Field(default=None, sa_column=Column(Text, nullable=True))


class PhotoRow(Row, table=True):
    """A photo that is there. The parts and their generations are those of :mod:`api.projection.photo_state`."""

    __tablename__ = "photos"
    __table_args__ = (
        Index("photos_newest_first", "workspace_id", "created_at", "id"),
        Index("photos_by_status", "workspace_id", "thumbnail_status", "created_at", "id"),
        Index("photos_by_age_of_status", "workspace_id", "thumbnail_status", "status_at"),
        Index("photos_by_item", "workspace_id", "item_id", "display_order", "id"),
        Index("photos_by_storage_key", "storage_key"),
        Index("photos_by_checksum", "workspace_id", "checksum", "created_at", "id"),
        _partial_index("photos_unfinished", "updated_at", where=UNFINISHED),
        _partial_index("photos_lost", "id", where=LOST),
        # Both with the status, which SQLite would else look up in each row though all have it.
        _partial_index("photos_ready_by_recipe", "recipe", "thumbnail_status", where=READY),
        _partial_index(
            "photos_failed",
            *("workspace_id", "error_code", "content_type", "status_changed_at", "id", "thumbnail_status", "producer"),
            where=FAILED,
        ),
    )

    id: UUID = Field(primary_key=True)
    workspace_id: str

    #: The generation of the upload facts below; unset while only results have been seen.
    upload_event_id: str | None = None
    uploaded_at: datetime | None = _time(nullable=True)
    storage_key: str | None = _text()
    item_id: str | None = None
    filename: str | None = _text()
    caption: str | None = _text()
    uploaded_by: str | None = None
    content_type: str | None = None
    #: Bytes, as the upload says.
    file_size: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    checksum: str | None = None
    #: Who produced its first upload event; null where that is not known.
    producer: str | None = None

    #: From 0 within the item; 0 without one.
    display_order: int = 0
    is_primary: bool = False

    #: The generation of the status.
    status_event_id: str | None = None
    status_at: datetime | None = _time(nullable=True)
    #: When it entered its status; null of photos that have not changed since this is kept.
    status_changed_at: datetime | None = _time(nullable=True)
    thumbnail_status: str = "pending"
    attempts: int = 0
    error_code: str | None = None
    error_message: str | None = _text()

    #: The generation of the thumbnails, and when they were made.
    thumbnails_event_id: str | None = None
    thumbnails_at: datetime | None = _time(nullable=True)
    thumbnails_made_at: datetime | None = _time(nullable=True)
    #: px, upright.
    width: int | None = None
    height: int | None = None
    #: What the worker has measured of the original: content_type, file_size, checksum.
    measured: dict[str, Any] | None = _json()
    recipe: str | None = None
    thumbhash: str | None = _text()
    perceptual_hash: str | None = None
    #: By rendition: storage_key, width, height, content_type, file_size.
    thumbnails: dict[str, Any] | None = _json()
    #: What was read of it: :mod:`api.projection.timeline`.
    timeline: dict[str, Any] | None = _json()

    #: Its event is known to be in no topic: to be published again at once.
    is_lost: bool = _no()
    #: How often the reconciler has published it again, and when last.
    republications: int = _none()
    republished_at: datetime | None = _time(nullable=True)

    created_at: datetime = _time()
    updated_at: datetime = _time()


class DeletedPhotoRow(Row, table=True):
    """The tombstone of a photo: no later event brings it back."""

    __tablename__ = "deleted_photos"
    __table_args__ = (
        Index("deleted_photos_unfinished", "files_deleted_at"),
        _partial_index("deleted_photos_lost", "photo_id", where=LOST),
    )

    photo_id: UUID = Field(primary_key=True)
    workspace_id: str
    storage_key: str | None = _text()
    event_id: str
    deleted_at: datetime = _time()
    files_deleted_at: datetime | None = _time(nullable=True)
    #: The photo as it was last shown, where it was.
    snapshot: dict[str, Any] | None = _json()

    #: Its event is known to be in no topic: to be published again at once.
    is_lost: bool = _no()
    #: How often the reconciler has published it again, and when last.
    republications: int = _none()
    republished_at: datetime | None = _time(nullable=True)


class ArrivalRow(Row, table=True):
    """An original that is on its way into storage and no photo's yet: :mod:`api.photos.pending_uploads`."""

    __tablename__ = "arrivals"
    __table_args__ = (Index("arrivals_by_age", "erase_at", "created_at"),)

    photo_id: UUID = Field(primary_key=True)
    storage_key: str = Field(sa_column=Column(Text, nullable=False))
    #: By the database's clock, since those of the apis may differ.
    created_at: datetime = Field(
        default=None, sa_column=Column(UtcDateTime, nullable=False, server_default=func.current_timestamp())
    )
    #: Set when the upload is abandoned: when its file is to be erased next.
    erase_at: datetime | None = _time(nullable=True)


class OutboxRow(Row, table=True):
    """An event that is decided and not yet known to be in Kafka."""

    __tablename__ = "outbox"
    __table_args__ = {"sqlite_autoincrement": True}

    id: int | None = Field(default=None, sa_column=Column(_Counter, primary_key=True, autoincrement=True))
    topic: str
    key: str
    value: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    #: Name and value, in order.
    headers: list[list[str]] = _json(nullable=False)
    created_at: datetime = _time()


class JournalRow(Row, table=True):
    """One change of what is shown, for the feed. Numbers appear in the order of commits and are never used twice."""

    __tablename__ = "feed_journal"
    __table_args__ = (
        Index("feed_journal_by_workspace", "workspace_id", "seq"),
        Index("feed_journal_by_age", "created_at"),
        {"sqlite_autoincrement": True},
    )

    seq: int | None = Field(default=None, sa_column=Column(_Counter, primary_key=True, autoincrement=True))
    workspace_id: str
    event: str
    photo_id: UUID
    photo: dict[str, Any] = _json(nullable=False)
    created_at: datetime = _time_of_insert()


class JournalIdentityRow(Row, table=True):
    """One row: which journal this is, so that a cursor of another database is recognised."""

    __tablename__ = "feed_journal_identity"

    identity: str = Field(primary_key=True)


class IdempotencyKeyRow(Row, table=True):
    """A POST that has been done, by the key that its caller gave."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_by_age", "created_at"),)

    workspace_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    photo_id: UUID
    #: Of the request that made the photo; unset for those of older versions, which any request matches.
    fingerprint: str | None = None
    created_at: datetime = _time_of_insert()


class LeaseRow(Row, table=True):
    """Which api instance does what only one may do at a time."""

    __tablename__ = "leases"

    name: str = Field(primary_key=True)
    holder: str
    #: By the database's clock.
    expires_at: datetime = _time()
