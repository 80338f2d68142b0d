"""Browser sessions are rows in the database: signing out holds for every api instance and across restarts."""

import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Select, Table, and_, delete, insert, or_, select
from sqlmodel import col

from api.access.caller import ADMIN_PREFIX, Caller, Role
from api.access.keys import hash_of, is_current
from api.store.access_tables import ApiKeyRow, SessionRow
from api.store.database import Database

LASTS: Final = timedelta(days=30)

_SESSIONS: Final[Table] = SessionRow.__table__
_KEYS: Final[Table] = ApiKeyRow.__table__


class Sessions:
    """Who is signed in. Every call may raise ``SQLAlchemyError``: the database is away, and nothing has changed."""

    def __init__(self, database: Database, admin_key_id: str) -> None:
        """``admin_key_id`` names the admin key, which has no row."""
        self._database = database
        self._admin_key_id = admin_key_id

    async def open(self, caller: Caller) -> str:
        """Open a session of the caller's key and return its token, which only the browser keeps."""
        token, now = secrets.token_urlsafe(32), datetime.now(UTC)
        columns = {
            "token_hash": hash_of(token),
            "key_id": caller.key_id,
            "role": caller.role,
            "workspace_id": caller.workspace_id,
            "created_at": now,
            "expires_at": now + LASTS,
        }
        await self._database.insert(insert(SessionRow), [columns])
        return token

    async def find(self, token: str) -> Caller | None:
        """The caller that is signed in under ``token``; None where session or key have expired or ended."""
        token_hash = hash_of(token)
        columns = (_SESSIONS.c.role, _SESSIONS.c.workspace_id, _SESSIONS.c.key_id, _KEYS.c.name, _KEYS.c.prefix)
        wanted = self._select_open(*columns).where(_SESSIONS.c.token_hash == token_hash)
        row = await self._database.run_read(lambda connection: connection.execute(wanted).first())
        if row is None:
            return None
        name, prefix = row.name or "admin", row.prefix or ADMIN_PREFIX
        return Caller(cast(Role, row.role), row.workspace_id, row.key_id, name, prefix, token_hash)

    async def find_open(self, token_hashes: Collection[str]) -> set[str]:
        """Those of ``token_hashes`` whose session is open."""
        wanted = self._select_open(_SESSIONS.c.token_hash).where(_SESSIONS.c.token_hash.in_(token_hashes))
        return await self._database.run_read(lambda connection: set(connection.scalars(wanted)))

    async def close(self, token: str) -> None:
        """Make ``token`` worthless."""
        closed = delete(SessionRow).where(col(SessionRow.token_hash) == hash_of(token))
        await self._database.write(lambda session: session.execute(closed))

    def _select_open(self, *columns: ColumnElement[Any]) -> Select[Any]:
        """These columns of the sessions that have not expired, and whose key holds."""
        now = datetime.now(UTC)
        has_key = or_(_SESSIONS.c.key_id == self._admin_key_id, and_(_KEYS.c.id.is_not(None), is_current(now)))
        with_keys = select(*columns).join_from(_SESSIONS, _KEYS, _KEYS.c.id == _SESSIONS.c.key_id, isouter=True)
        return with_keys.where(_SESSIONS.c.expires_at > now, has_key)
