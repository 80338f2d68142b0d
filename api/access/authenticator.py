"""Tells who calls, by a key, a session's token or a ticket; and which of those callers are no longer valid."""

import hmac
from collections.abc import Collection
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, cast

import structlog
from sqlalchemy import Table, select

from api.access.caller import ADMIN_PREFIX, Caller, Role
from api.access.keys import ApiKeys, is_current
from api.access.sessions import Sessions
from api.access.tickets import Tickets
from api.access.wrong_keys import WrongKeys
from api.store.access_tables import ApiKeyRow
from api.store.database import Database

log = structlog.get_logger(__name__)

_KEYS: Final[Table] = ApiKeyRow.__table__


class TooManyWrongKeys(Exception):
    """This client address has sent too many wrong keys lately."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__("too many wrong keys came from this address")
        self.wait_seconds = wait_seconds


class Authenticator:
    """Knows the admin key and those in the database. Calls may raise ``SQLAlchemyError``: the database is away."""

    def __init__(self, admin_key: str, database: Database) -> None:
        self._database = database
        self._admin_key = admin_key.encode()
        #: Names the admin key in what it opened: a new admin key ends all of that.
        self.admin_key_id = f"admin-{hmac.digest(self._admin_key, b'thumbstream session', 'sha256').hex()[:32]}"
        self._wrong_keys = WrongKeys()
        self.keys = ApiKeys(database)
        self.sessions = Sessions(database, self.admin_key_id)
        self.tickets = Tickets(database)

    async def find_by_key(self, key: str, address: str | None) -> Caller | None:
        """Whose key this is; None for a wrong one, which counts against ``address``.

        Raises:
            TooManyWrongKeys: of this address no key is looked at for a while, so that a right one is not told either.
        """
        if wait_seconds := self._wrong_keys.wait_seconds(address):
            raise TooManyWrongKeys(wait_seconds)
        if self._is_admin_key(key):
            return Caller("admin", None, self.admin_key_id, "admin", ADMIN_PREFIX)
        row = await self.keys.find(key)
        if row is None:
            self._wrong_keys.add(address)
            log.warning("a wrong key", address=address)
            return None
        return Caller(cast(Role, row.role), row.workspace_id, row.id, row.name, row.prefix)

    async def find_ended(self, callers: Collection[Caller]) -> set[Caller]:
        """Those of ``callers`` whose session or key has ended since."""
        keys = {caller.key_id for caller in callers} - {self.admin_key_id}
        sessions = {caller.session_hash for caller in callers if caller.session_hash is not None}
        valid_keys = {self.admin_key_id} | (await self._find_valid_keys(keys) if keys else set())
        open_sessions = await self.sessions.find_open(sessions) if sessions else set[str]()
        return {
            caller
            for caller in callers
            if caller.key_id not in valid_keys
            or (caller.session_hash is not None and caller.session_hash not in open_sessions)
        }

    async def _find_valid_keys(self, key_ids: Collection[str]) -> set[str]:
        wanted = select(_KEYS.c.id).where(_KEYS.c.id.in_(key_ids), is_current(datetime.now(UTC)))
        return await self._database.run_read(lambda connection: set(connection.scalars(wanted)))

    def _is_admin_key(self, key: str) -> bool:
        """Whether this is the admin key; takes as long for a near miss as for nonsense."""
        return hmac.compare_digest(sha256(key.encode(errors="replace")).digest(), sha256(self._admin_key).digest())
