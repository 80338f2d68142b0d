"""Uploads on their way, by key and by workspace, over all instances of the api.

Each instance counts its own in memory, and while it has some it writes the numbers down once a second and reads those
of the others: an upload costs no write, and a limit may be passed by what begins within the same second elsewhere.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import structlog
from sqlalchemy import Connection, Table, delete, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from api.store.access_tables import UploadCountRow
from api.store.database import Database
from infra.trouble import Trouble

log = structlog.get_logger(__name__)

_COUNTS: Final[Table] = UploadCountRow.__table__
_EXCHANGE_SECONDS: Final = 1.0
#: Numbers of an instance that has not written for so long are those of a dead one.
_VALID: Final = timedelta(seconds=5)


@dataclass(frozen=True)
class UploadLimit:
    """So many uploads at once for a key or a workspace."""

    #: ``key`` or ``workspace``.
    name: str
    #: The id of the key, or the workspace.
    subject: str
    at_once: int


class TooManyUploads(Exception):
    """A key or a workspace has as many uploads on their way as it may."""

    def __init__(self, limit: UploadLimit) -> None:
        super().__init__(f"the {limit.name} may have {limit.at_once} uploads on their way at once")


class UploadsAtOnce:
    """Counts uploads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._instance = uuid4().hex
        self._mine: Counter[str] = Counter()
        self._of_others: Mapping[str, int] = {}
        self._has_some = asyncio.Event()
        self._trouble = Trouble(log, "could not tell other instances of uploads")

    @contextmanager
    def counted(self, limits: Sequence[UploadLimit]) -> Iterator[None]:
        """Count an upload for as long as the context lasts.

        Raises:
            TooManyUploads: there are as many as one of ``limits`` allows.
        """
        names = [f"{limit.name} {limit.subject}" for limit in limits]
        for name, limit in zip(names, limits, strict=True):
            if self._mine[name] + self._of_others.get(name, 0) >= limit.at_once:
                raise TooManyUploads(limit)
        self._mine.update(names)
        if names:
            self._has_some.set()
        try:
            yield
        finally:
            self._mine.subtract(names)

    async def run(self) -> None:
        """Exchange the numbers with other instances until cancelled; nothing while this one has no uploads."""
        while True:
            await self._has_some.wait()
            self._mine = +self._mine
            if not self._mine:
                self._has_some.clear()  # what is written below says so to the others
            try:
                await self.exchange()
                self._trouble.is_over()
            except SQLAlchemyError as error:
                self._trouble.is_because(error)
            await asyncio.sleep(_EXCHANGE_SECONDS)

    async def exchange(self) -> None:
        """Write down the numbers of this instance and read those of the others."""
        now, mine = datetime.now(UTC), dict(+self._mine)

        def work(connection: Connection) -> dict[str, int]:
            connection.execute(
                delete(_COUNTS).where((_COUNTS.c.instance == self._instance) | (_COUNTS.c.written_at < now - _VALID))
            )
            if mine:
                rows = [
                    {"instance": self._instance, "subject": name, "upload_count": count, "written_at": now}
                    for name, count in mine.items()
                ]
                connection.execute(insert(_COUNTS), rows)
            sums = select(_COUNTS.c.subject, func.sum(_COUNTS.c.upload_count)).group_by(_COUNTS.c.subject)
            of_others = _COUNTS.c.instance != self._instance
            return {name: int(count) for name, count in connection.execute(sums.where(of_others))}

        self._of_others = await self._database.run_write(work)
