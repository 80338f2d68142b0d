"""The tables of what is derived from photos, and of what was seen of the pipeline over time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, Integer, Text, text
from sqlmodel import Field

from api.store.tables import Row, UtcDateTime

#: SQLite counts by itself only in a column that is an INTEGER.
_Counter = BigInteger().with_variant(Integer, "sqlite")
#: Ordered by code points, whatever the database's locale says: words are looked up by their beginnings.
_Word = Text().with_variant(Text(collation="C"), "postgresql")

#: As the partial index has it, word for word.
HAS_CHECKSUM = text("checksum IS NOT NULL")


class WorkspaceFiguresRow(Row, table=True):
    """How many photos of one status a workspace has, without the changes that are not folded in yet."""

    __tablename__ = "workspace_figures"

    workspace_id: str = Field(primary_key=True)
    thumbnail_status: str = Field(primary_key=True)
    photo_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    #: Of the originals.
    byte_count: int = Field(sa_column=Column(BigInteger, nullable=False))


class FigureChangeRow(Row, table=True):
    """What one transaction has added to the figures, or taken from them. Only inserted: no two transactions meet."""

    __tablename__ = "figure_changes"
    __table_args__ = (Index("figure_changes_by_workspace", "workspace_id"),)

    id: int | None = Field(default=None, sa_column=Column(_Counter, primary_key=True, autoincrement=True))
    workspace_id: str
    thumbnail_status: str
    photo_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    byte_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    #: Of results: when they came, and how long they took (:mod:`api.store.derived.results`).
    done_at: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    bucket: int | None = None


class ResultFiguresRow(Row, table=True):
    """How many results of one kind came in one time slot: :mod:`api.store.derived.results`."""

    __tablename__ = "result_figures"
    __table_args__ = (
        Index("result_figures_by_age", "step_seconds", "starts_at"),
        {"sqlite_with_rowid": False},
    )

    workspace_id: str = Field(primary_key=True)
    #: How long the slot is, and when it began, in seconds since 1970.
    step_seconds: int = Field(primary_key=True)
    starts_at: int = Field(sa_column=Column(BigInteger, primary_key=True))
    thumbnail_status: str = Field(primary_key=True)
    bucket: int = Field(primary_key=True)
    photo_count: int = Field(sa_column=Column(BigInteger, nullable=False))


class LagFiguresRow(Row, table=True):
    """The most uploads that waited in one time slot, of all workspaces. A slot without a row was not looked at."""

    __tablename__ = "lag_figures"

    step_seconds: int = Field(primary_key=True)
    starts_at: int = Field(sa_column=Column(BigInteger, primary_key=True))
    #: Null: Kafka did not say.
    record_count: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


class MarkRow(Row, table=True):
    """Something that the charts show beside the figures: :mod:`api.figures.marks`."""

    __tablename__ = "marks"
    __table_args__ = (Index("marks_by_time", "started_at"),)

    id: int | None = Field(default=None, sa_column=Column(_Counter, primary_key=True, autoincrement=True))
    kind: str
    #: Which part of the pipeline, api or worker.
    subject: str
    started_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    #: Of an outage; null while it lasts.
    ended_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    #: The version of an api; why a part does not work.
    detail: str | None = Field(default=None, sa_column=Column(Text, nullable=True))


class PhotoWordRow(Row, table=True):
    """A word of a photo's file name, caption or item id: :mod:`api.store.derived.search_words`."""

    __tablename__ = "photo_words"
    __table_args__ = (
        Index("photo_words_by_word", "workspace_id", "word", "photo_id"),
        {"sqlite_with_rowid": False},
    )

    photo_id: UUID = Field(primary_key=True)
    word: str = Field(sa_column=Column(_Word, primary_key=True))
    workspace_id: str


class FingerprintRow(Row, table=True):
    """The perceptual hash of a ready photo, in bands: :mod:`api.store.derived.fingerprints`."""

    __tablename__ = "photo_fingerprints"
    __table_args__ = (
        *(
            Index(f"photo_fingerprints_{band}", "workspace_id", band)
            for band in ("band_0", "band_1", "band_2", "band_3")
        ),
        Index(
            "photo_fingerprints_by_checksum",
            "workspace_id",
            "checksum",
            postgresql_where=HAS_CHECKSUM,
            sqlite_where=HAS_CHECKSUM,
        ),
    )

    photo_id: UUID = Field(primary_key=True)
    workspace_id: str
    #: 64 bits, as a signed number.
    perceptual_hash: int = Field(sa_column=Column(BigInteger, nullable=False))
    band_0: int
    band_1: int
    band_2: int
    band_3: int
    #: As the worker has measured it, of photos whose upload named none.
    checksum: str | None = None
