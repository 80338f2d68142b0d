"""Feed tickets: open one feed within a minute, for pages on another origin, whose WebSocket can send no header."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Table, delete, insert

from api.access.caller import Caller
from api.access.keys import hash_of
from api.store.access_tables import TicketRow
from api.store.database import Database

LASTS: Final = timedelta(seconds=60)

_TICKETS: Final[Table] = TicketRow.__table__


class Tickets:
    """Tickets that were given out. Every call may raise ``SQLAlchemyError``: the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def issue(self, caller: Caller, workspace_id: str) -> tuple[str, datetime]:
        """A new ticket for the feed of this workspace, and when it expires."""
        ticket, expires_at = secrets.token_urlsafe(32), datetime.now(UTC) + LASTS
        columns = {
            "ticket_hash": hash_of(ticket),
            "workspace_id": workspace_id,
            "key_id": caller.key_id,
            "key_name": caller.key_name,
            "key_prefix": caller.key_prefix,
            "session_hash": caller.session_hash,
            "expires_at": expires_at,
        }
        await self._database.insert(insert(TicketRow), [columns])
        return ticket, expires_at

    async def redeem(self, ticket: str) -> Caller | None:
        """Use up a ticket: a viewer of its workspace; None for one that is unknown, used or expired."""
        mine = [_TICKETS.c.ticket_hash == hash_of(ticket), _TICKETS.c.expires_at > datetime.now(UTC)]
        used = delete(_TICKETS).where(*mine).returning(*_TICKETS.c)
        row = await self._database.run_write(lambda connection: connection.execute(used).first())
        if row is None:
            return None
        return Caller("viewer", row.workspace_id, row.key_id, row.key_name, row.key_prefix, row.session_hash)
