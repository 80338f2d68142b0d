"""API keys: created, listed, revoked, looked up. The database keeps a hash; the key itself is shown once."""

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, delete, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.access.caller import Role
from api.store import audit
from api.store.access_tables import ApiKeyRow, SessionRow, TicketRow
from api.store.database import Database
from api.store.tables import PlainRow
from schemas import ids

#: What a key begins with, so that people and scanners see what it is.
KEY_PREFIX: Final = "ts_"
#: Characters of a key that are shown in lists: ``ts_`` and 48 of its 256 random bits.
_PREFIX_LENGTH: Final = 11
_NOTE_USE_EVERY: Final = timedelta(minutes=1)
#: A key is good without its last use; a busy database shall not hold up its request.
_NOTE_USE_SECONDS: Final = 1.0

_KEYS: Final[Table] = ApiKeyRow.__table__


class ApiKeys:
    """The keys in the database. Every call may raise ``SQLAlchemyError``: the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: When this instance last wrote down the use of a key, by the monotonic clock.
        self._noted_at: dict[str, float] = {}

    async def create(
        self, *, name: str, role: Role, workspace_id: str | None, expires_at: datetime | None
    ) -> tuple[ApiKeyRow, str]:
        """Make a key; None: every workspace, no expiry. Returns its row, and the key, which cannot be read again."""
        key = new_key()
        row = ApiKeyRow(
            id=str(ids.new_id()),
            key_hash=hash_of(key),
            prefix=key[:_PREFIX_LENGTH],
            name=name,
            workspace_id=workspace_id,
            role=role,
            expires_at=expires_at,
            created_at=datetime.now(UTC),
        )

        async def work(session: AsyncSession) -> None:
            session.add(ApiKeyRow(**row.model_dump()))
            await audit.record(session, "key.created", [_subject(row)])

        await self._database.write(work)
        return row, key

    async def list(self, workspace_id: str | None) -> Sequence[ApiKeyRow]:
        """The keys of a workspace, or all; the oldest first."""
        wanted = select(ApiKeyRow).where(*_within(workspace_id)).order_by(col(ApiKeyRow.created_at), col(ApiKeyRow.id))
        async with self._database.reading() as session:
            return (await session.scalars(wanted)).all()

    async def revoke(self, key_id: str, workspace_id: str | None) -> bool:
        """End a key, its sessions and its tickets. False: the workspace (None: any) has no such key."""
        wanted = select(ApiKeyRow).where(col(ApiKeyRow.id) == key_id, *_within(workspace_id)).with_for_update()

        async def work(session: AsyncSession) -> bool:
            row = (await session.scalars(wanted)).first()
            if row is None:
                return False
            await session.delete(row)
            await session.execute(delete(SessionRow).where(col(SessionRow.key_id) == key_id))
            await session.execute(delete(TicketRow).where(col(TicketRow.key_id) == key_id))
            await audit.record(session, "key.revoked", [_subject(row)])
            return True

        return await self._database.write(work)

    async def find(self, key: str) -> PlainRow | None:
        """The key's row; None for one that is unknown, revoked or expired. Notes its use, once a minute at most."""
        now = datetime.now(UTC)
        wanted = select(_KEYS).where(_KEYS.c.key_hash == hash_of(key), is_current(now))

        def read(connection: Connection) -> PlainRow | None:
            found = connection.execute(wanted).mappings().first()
            return None if found is None else PlainRow(**found)

        row = await self._database.run_read(read)
        if row is not None:
            await self._note_use(row, now)
        return row

    async def _note_use(self, row: PlainRow, now: datetime) -> None:
        due = now - _NOTE_USE_EVERY
        noted_at = self._noted_at.get(row.id)
        every_seconds = _NOTE_USE_EVERY.total_seconds()
        if (row.last_used_at is not None and row.last_used_at > due) or (
            noted_at is not None and time.monotonic() - noted_at < every_seconds
        ):
            return
        self._noted_at[row.id] = time.monotonic()
        is_due = or_(_KEYS.c.last_used_at.is_(None), _KEYS.c.last_used_at <= due)
        noted = update(_KEYS).where(_KEYS.c.id == row.id, is_due).values(last_used_at=now)
        with suppress(SQLAlchemyError):
            await self._database.run_write(lambda connection: connection.execute(noted), seconds=_NOTE_USE_SECONDS)


def new_key() -> str:
    """A new random key of 256 bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """What the database keeps of a key or token. Its 256 random bits make a slow hash unnecessary."""
    return sha256(secret.encode(errors="replace")).hexdigest()


def is_current(now: datetime) -> ColumnElement[bool]:
    """The condition that a row of ``api_keys`` has not expired."""
    return or_(_KEYS.c.expires_at.is_(None), _KEYS.c.expires_at > now)


def _within(workspace_id: str | None) -> list[ColumnElement[bool]]:
    return [] if workspace_id is None else [col(ApiKeyRow.workspace_id) == workspace_id]


def _subject(row: ApiKeyRow) -> audit.Subject:
    detail = {"name": row.name, "prefix": row.prefix, "role": row.role}
    return audit.Subject("key", row.id, row.workspace_id, detail)
