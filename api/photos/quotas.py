"""What may be uploaded: with one key in all, and into one workspace, where what Kafka brings counts too."""

from sqlalchemy import Connection, Table, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.photos.errors import OverQuota
from api.store import audit
from api.store.access_tables import ApiKeyRow
from api.store.database import Database
from api.store.derived.figures import figures_of
from infra.settings import Settings

_KEYS: Table = ApiKeyRow.__table__


class Quotas:
    """Knows what there is. Uploads that are on their way at the same time may pass a quota together."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._of_key = (settings.key_max_photos, settings.key_max_bytes)
        self._of_workspace = (settings.workspace_max_photos, settings.workspace_max_bytes)

    async def check(self, workspace_id: str, byte_count: int) -> None:
        """Refuse a photo of so many bytes where it would be too much for its workspace, or for the key that acts.

        Raises:
            OverQuota: with the figure.
            SQLAlchemyError: the database is away.
        """
        if any(self._of_workspace):
            figures = await self._database.run_read(lambda connection: figures_of(connection, workspace_id))
            _check(
                "the workspace has", sum(figures.counts.values()), figures.byte_count, byte_count, self._of_workspace
            )
        if any(self._of_key) and (actor := audit.ACTOR.get()):
            photos, bytes_ = await self._database.run_read(lambda connection: _uploaded_with(connection, actor.key_id))
            _check("the key has uploaded", photos, bytes_, byte_count, self._of_key)


async def count_upload(session: AsyncSession, byte_count: int) -> None:
    """Count a photo of so many bytes for the key that acts; the admin key has no row, and no quota."""
    if actor := audit.ACTOR.get():
        columns = {"photo_count": _KEYS.c.photo_count + 1, "byte_count": _KEYS.c.byte_count + byte_count}
        await session.execute(update(_KEYS).where(_KEYS.c.id == actor.key_id).values(columns))


def _uploaded_with(connection: Connection, key_id: str) -> tuple[int, int]:
    wanted = select(_KEYS.c.photo_count, _KEYS.c.byte_count).where(_KEYS.c.id == key_id)
    found = connection.execute(wanted).first()
    return (found[0], found[1]) if found else (0, 0)


def _check(who: str, photos: int, bytes_: int, more: int, quota: tuple[int | None, int | None]) -> None:
    max_photos, max_bytes = quota
    if max_photos is not None and photos >= max_photos:
        raise OverQuota(f"{who} {photos} photos, of {max_photos} that it may")
    if max_bytes is not None and bytes_ + more > max_bytes:
        raise OverQuota(f"{who} {bytes_} bytes, of {max_bytes} that it may: {more} more are too many")
