"""What a workspace may have: photos, and bytes of originals. Uploads over it are refused; what Kafka brings is not."""

from api.photos.errors import OverQuota
from api.store.database import Database
from api.store.derived.figures import figures_of
from infra.settings import Settings


class Quotas:
    """Knows what each workspace has. Uploads that are on their way at the same time may pass a quota together."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._photos = settings.workspace_max_photos
        self._bytes = settings.workspace_max_bytes

    async def check(self, workspace_id: str, byte_count: int) -> None:
        """Refuse a photo of so many bytes where it would be too much.

        Raises:
            OverQuota: with the figure.
            SQLAlchemyError: the database is away.
        """
        if self._photos is None and self._bytes is None:
            return
        figures = await self._database.run_read(lambda connection: figures_of(connection, workspace_id))
        photos = sum(figures.counts.values())
        if self._photos is not None and photos >= self._photos:
            raise OverQuota(f"the workspace has {photos} photos and may have {self._photos}")
        if self._bytes is not None and figures.byte_count + byte_count > self._bytes:
            has = f"the workspace has {figures.byte_count} bytes and may have {self._bytes}"
            raise OverQuota(f"{has}: {byte_count} more are too many")
