"""The tables of who may do what, and who did what: keys, sessions, feed tickets, limits, the audit log."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, func
from sqlalchemy.types import JSON
from sqlmodel import Field

from api.store.tables import Row, UtcDateTime


def _time() -> Any:
    return Field(default=None, sa_column=Column(UtcDateTime, nullable=False))


def _time_or_none() -> Any:
    return Field(default=None, sa_column=Column(UtcDateTime, nullable=True))


class ApiKeyRow(Row, table=True):
    """A key that opens the api: :mod:`api.access.keys`. Revoking deletes it."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("api_keys_by_hash", "key_hash", unique=True),)

    id: str = Field(primary_key=True)
    #: SHA-256 of the key, in hex.
    key_hash: str
    #: The first characters of the key, by which people tell it.
    prefix: str
    name: str
    #: None: every workspace.
    workspace_id: str | None = None
    role: str
    #: None: never.
    expires_at: datetime | None = _time_or_none()
    #: To the minute.
    last_used_at: datetime | None = _time_or_none()
    created_at: datetime = _time()
    #: What was uploaded with it, also what was deleted since: photos, and bytes of originals.
    photo_count: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    byte_count: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))


class SessionRow(Row, table=True):
    """A browser that is signed in: :mod:`api.access.sessions`."""

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_by_expiry", "expires_at"), Index("sessions_by_key", "key_id"))

    #: SHA-256 of the cookie's token, in hex.
    token_hash: str = Field(primary_key=True)
    #: The key that was traded for it: the session ends when that key does.
    key_id: str
    #: What the key allowed when it was traded.
    role: str
    #: None: every workspace.
    workspace_id: str | None = None
    created_at: datetime = _time()
    expires_at: datetime = _time()


class TicketRow(Row, table=True):
    """A ticket that opens one feed once: :mod:`api.access.tickets`."""

    __tablename__ = "feed_tickets"
    __table_args__ = (Index("feed_tickets_by_expiry", "expires_at"),)

    #: SHA-256 of the ticket, in hex.
    ticket_hash: str = Field(primary_key=True)
    workspace_id: str
    #: The key that asked for it; the feed ends when that key does.
    key_id: str
    key_name: str
    key_prefix: str
    #: The session that asked for it, where one did.
    session_hash: str | None = None
    expires_at: datetime = _time()


class RateBucketRow(Row, table=True):
    """The requests that a key or a workspace has left: :mod:`api.access.rate_limits`."""

    __tablename__ = "rate_buckets"
    __table_args__ = (Index("rate_buckets_by_age", "filled_at"),)

    #: ``key`` and its id, or ``workspace`` and its name.
    subject: str = Field(primary_key=True)
    tokens: float
    filled_at: datetime = _time()


class UploadCountRow(Row, table=True):
    """How many uploads one instance has on their way for a key or a workspace: :mod:`api.access.uploads_at_once`."""

    __tablename__ = "upload_counts"

    instance: str = Field(primary_key=True)
    #: ``key`` and its id, or ``workspace`` and its name.
    subject: str = Field(primary_key=True)
    upload_count: int
    written_at: datetime = _time()


class AuditRow(Row, table=True):
    """One act of a caller: :mod:`api.store.audit`."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("audit_log_by_workspace", "workspace_id", "seq"),
        Index("audit_log_by_subject", "subject_id", "seq"),
        Index("audit_log_by_age", "created_at"),
        {"sqlite_autoincrement": True},
    )

    #: SQLite counts by itself only in a column that is an INTEGER.
    seq: int | None = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    )
    key_id: str
    key_name: str
    #: ``photo.uploaded``, ``photo.changed``, ``key.created`` and so on.
    action: str
    #: None: what was done belongs to no single workspace.
    workspace_id: str | None = None
    #: ``photo``, ``key`` or ``dead_letter``.
    subject_kind: str
    subject_id: str
    detail: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    #: By the database's clock, since those of the apis may differ.
    created_at: datetime = Field(
        default=None, sa_column=Column(UtcDateTime, nullable=False, default=func.current_timestamp())
    )
