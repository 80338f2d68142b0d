"""Browser sessions are rows in the database: signing out holds for every api instance and across restarts."""

import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from aiohttp import web
from sqlalchemy import delete, insert, select
from sqlmodel import col

from api.store.database import Database
from api.store.tables import SessionRow

LASTS: Final = timedelta(days=30)


class Sessions:
    """Who is signed in. Every call may raise ``SQLAlchemyError``: the database is away, and nothing has changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, key_id: str, role: str, workspace_id: str | None) -> str:
        """Write a new session down and return its token, which only the browser keeps."""
        token, now = secrets.token_urlsafe(32), datetime.now(UTC)
        columns = {
            "token_hash": _hash_of(token),
            "key_id": key_id,
            "role": role,
            "workspace_id": workspace_id,
            "created_at": now,
            "expires_at": now + LASTS,
        }
        await self._database.insert(insert(SessionRow), [columns])
        return token

    async def find(self, token: str) -> SessionRow | None:
        """The session that is open under ``token``; None for one that has expired, was closed or never was."""
        wanted = select(SessionRow).where(
            col(SessionRow.token_hash) == _hash_of(token), col(SessionRow.expires_at) > datetime.now(UTC)
        )
        async with self._database.reading() as session:
            return (await session.scalars(wanted)).first()

    async def close(self, token: str) -> None:
        """Make ``token`` worthless."""
        closed = delete(SessionRow).where(col(SessionRow.token_hash) == _hash_of(token))
        await self._database.write(lambda session: session.execute(closed))


SESSIONS: Final = web.AppKey("sessions", Sessions)


def _hash_of(token: str) -> str:
    # A copy of the database shall open no session. The token is random enough for a plain hash.
    return sha256(token.encode(errors="replace")).hexdigest()
