"""Makes the thumbnails of an upload, and erases the files of a deleted photo. Knows no Kafka."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Protocol

from imaging.rendered_photo import CheckedPhoto, RenderedPhoto, checksum_of
from infra.blocking_calls import all_of
from infra.metrics import PHOTOS_RENDERING, RENDER_SECONDS, RENDITION_SECONDS
from infra.storage.client import Storage
from infra.storage.faults import Missing
from infra.storage.stored_file import StoredFile
from pipeline.render_slots import RenderSlots
from schemas import ids, topics
from schemas.events import (
    FailureReason,
    PhotoDeleted,
    PhotoUploaded,
    Thumbnail,
    ThumbnailsDeleted,
    ThumbnailsFailed,
    ThumbnailsReady,
    ThumbnailsStarted,
)
from schemas.faults import Fault, Internal, OriginalMissing, OriginalTooLarge, RenderStalled
from schemas.renditions import Rendition, recipe_of
from schemas.storage_keys import (
    is_foreign_original,
    is_original_of_workspace,
    key_of_original,
    key_of_thumbnail,
    prefix_of_thumbnails,
)


class Renderer(Protocol):
    """What renders: a pool of processes, or a fake in a test."""

    async def render(
        self,
        original: Path,
        renditions: Sequence[Rendition],
        *,
        existing: Mapping[Rendition, bytes],
        checksum: str | None,
        on_limit: Callable[[float], object],
    ) -> CheckedPhoto:
        """As :func:`imaging.render.render_checked`; ``on_limit`` is told how many seconds it may take.

        Raises ``Fault``.
        """


class Thumbnailer:
    """Answers uploads and deletions, with the storage, the renderer and the limits that it is given."""

    def __init__(
        self,
        storage: Storage,
        renderer: Renderer,
        renditions: Sequence[Rendition],
        *,
        max_bytes: int,
        slots: RenderSlots,
        erase_foreign_originals: bool = False,
    ) -> None:
        """``slots`` bound how many photos render at once; one is held while a photo renders and no longer."""
        self._storage = storage
        self._renderer = renderer
        self._renditions: Final = tuple(renditions)
        self._recipe: Final = recipe_of(renditions)
        self._max_bytes = max_bytes
        self._slots = slots
        self._erase_foreign_originals = erase_foreign_originals

    async def process(
        self, upload: PhotoUploaded, attempt: int, on_rendering: Callable[[], object] = lambda: None
    ) -> ThumbnailsReady:
        """Make the thumbnails of ``upload`` and say what they are. ``on_rendering`` is called once it has its slot.

        Doing it twice writes the same files; thumbnails that lie whole in storage already are neither rendered nor
        written again. When it returns, all of them lie there whole, and the original still did after the last was
        written.

        Raises:
            Fault: with the code that ``thumbnails.failed`` is to carry. No thumbnails of a missing original are left.
        """
        folder = prefix_of_thumbnails(upload.workspace_id, upload.photo_id)
        # Where we may not list, all is rendered again: dearer than looking, and it gives the same.
        stored, lying = await self._storage.look(upload.storage_key, folder)
        if stored.size > self._max_bytes:
            raise OriginalTooLarge(f"the original has {stored.size} bytes, over the limit of {self._max_bytes}")
        try:
            async with self._storage.local_copy(stored) as path:
                existing = await self._existing(upload, path, stored, lying) if lying else {}
                try:
                    photo, render_seconds = await self._rendered(upload, attempt, path, existing, on_rendering)
                except (Internal, RenderStalled):
                    # Perhaps the file is gone, or storage fails or hangs: to read it here tells, and raises that.
                    await self._checksum_of(path, stored)
                    raise
        except FileNotFoundError as error:
            raise OriginalMissing(f"the original at {upload.storage_key} vanished while it was read") from error
        keys = self._keys(upload, photo.checksum)
        changed = {
            keys[thumbnail.rendition]: thumbnail.content
            for thumbnail in photo.thumbnails
            if thumbnail.content != existing.get(thumbnail.rendition)
        }
        if not await self._storage.write_and_recheck(changed, upload.storage_key):
            await self._storage.erase_under(folder)
            raise OriginalMissing(f"the original at {upload.storage_key} was deleted while its thumbnails were made")
        return self._ready(upload, attempt, photo, keys, file_size=stored.size, render_seconds=render_seconds)

    async def erase(self, deletion: PhotoDeleted) -> ThumbnailsDeleted:
        """Erase the files of a photo: the original first, which tells a render under way that it is in vain.

        The original only where the event says so: whether other photos use it, the database alone knows.

        Raises:
            StorageUnavailable: some may still be there.
        """
        if deletion.erase_original:
            original = deletion.storage_key or key_of_original(deletion.workspace_id, deletion.photo_id)
            if is_original_of_workspace(original, deletion.workspace_id) or (
                self._erase_foreign_originals and is_foreign_original(original)
            ):
                await self._storage.erase([original])
        await self._storage.erase_under(prefix_of_thumbnails(deletion.workspace_id, deletion.photo_id))
        return ThumbnailsDeleted(
            event_id=ids.id_of_result(deletion.event_id, topics.FILES_DELETED),
            occurred_at=datetime.now(UTC),
            caused_by=deletion.event_id,
            photo_id=deletion.photo_id,
            workspace_id=deletion.workspace_id,
        )

    def _ready(
        self,
        upload: PhotoUploaded,
        attempt: int,
        photo: CheckedPhoto,
        keys: Mapping[Rendition, str],
        *,
        file_size: int,
        render_seconds: float,
    ) -> ThumbnailsReady:
        return ThumbnailsReady(
            event_id=ids.id_of_result(upload.event_id, topics.READY),
            **_envelope(upload, attempt),
            width=photo.header.width,
            height=photo.header.height,
            content_type=photo.header.format.content_type,
            file_size=file_size,
            checksum=photo.checksum,
            recipe=self._recipe,
            thumbhash=photo.thumbhash,
            perceptual_hash=photo.perceptual_hash,
            render_seconds=round(render_seconds, 6),
            thumbnails={
                thumbnail.rendition.name: Thumbnail(
                    storage_key=keys[thumbnail.rendition],
                    width=thumbnail.width,
                    height=thumbnail.height,
                    content_type=thumbnail.rendition.content_type,
                    file_size=len(thumbnail.content),
                )
                for thumbnail in photo.thumbnails
            },
        )

    async def _rendered(
        self,
        upload: PhotoUploaded,
        attempt: int,
        original: Path,
        existing: Mapping[Rendition, bytes],
        on_rendering: Callable[[], object],
    ) -> tuple[CheckedPhoto, float]:
        """What is rendered, and the seconds that it took."""
        async with self._slots.hold(upload, attempt) as slot:
            on_rendering()
            began = perf_counter()
            with PHOTOS_RENDERING.track_inprogress():
                photo = await self._renderer.render(
                    original, self._renditions, existing=existing, checksum=upload.checksum, on_limit=slot.set_limit
                )
            seconds = perf_counter() - began
        _count(photo, seconds)
        return photo, seconds

    async def _existing(
        self, upload: PhotoUploaded, original: Path, stored: StoredFile, lying: Sequence[StoredFile]
    ) -> dict[Rendition, bytes]:
        """What lies at the keys of the thumbnails already, whole or not."""
        checksum = upload.checksum or await self._checksum_of(original, stored)
        found = {file.key for file in lying}
        keys = {rendition: key for rendition, key in self._keys(upload, checksum).items() if key in found}
        contents = await all_of(self._content_of(key) for key in keys.values())
        return {rendition: content for rendition, content in zip(keys, contents, strict=True) if content is not None}

    async def _checksum_of(self, original: Path, stored: StoredFile) -> str:
        what = f"reading {stored.key}"
        return await self._storage.in_thread(checksum_of, original, what=what, byte_count=stored.size)

    async def _content_of(self, key: str) -> bytes | None:
        try:
            return await self._storage.read(key)
        except Missing:
            return None

    def _keys(self, upload: PhotoUploaded, checksum: str) -> dict[Rendition, str]:
        return {
            rendition: key_of_thumbnail(upload.workspace_id, upload.photo_id, checksum, rendition)
            for rendition in self._renditions
        }


def started(
    upload: PhotoUploaded,
    attempt: int,
    at: datetime,
    waiting_since: datetime | None = None,
    retried_after: str | None = None,
) -> ThumbnailsStarted:
    """The event that says when ``attempt`` began, since when it waited, and why the attempt before failed."""
    return ThumbnailsStarted(
        event_id=ids.id_of_result(upload.event_id, f"{topics.STARTED}/{attempt}"),
        waiting_since=waiting_since,
        retried_after=retried_after,
        **_envelope(upload, attempt) | {"occurred_at": at},
    )


def failed(upload: PhotoUploaded, attempt: int, fault: Fault) -> ThumbnailsFailed:
    """The final result of a photo that failed, and why."""
    return ThumbnailsFailed(
        event_id=ids.id_of_result(upload.event_id, topics.FAILED),
        error=FailureReason(code=fault.code, message=" ".join(str(fault).split())[:500]),
        **_envelope(upload, attempt),
    )


def _envelope(upload: PhotoUploaded, attempt: int) -> dict[str, Any]:
    return {
        "occurred_at": datetime.now(UTC),
        "caused_by": upload.event_id,
        "photo_id": upload.photo_id,
        "workspace_id": upload.workspace_id,
        "item_id": upload.item_id,
        "attempt": attempt,
        "uploaded_at": upload.occurred_at,
    }


def _count(photo: RenderedPhoto, seconds: float) -> None:
    """Note how long a photo took, unless nothing was rendered."""
    rendered = [(each.rendition.name, each.seconds) for each in photo.thumbnails if each.seconds is not None]
    if rendered:
        RENDER_SECONDS.labels(photo.header.format.extension).observe(seconds)
    for name, part in rendered:
        RENDITION_SECONDS.labels(photo.header.format.extension, name).observe(part)
