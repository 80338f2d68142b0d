"""Counts of one ``upload``: which files wait, are ready, or failed and why."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from thumbstream.client.models import Photo

#: Results that overtake the answer to their own upload, beside those of other people's photos.
_EARLY_RESULTS: Final = 10_000

#: So many ready photos are remembered one by one; beyond it they are a number, unless all are asked for.
FEW: Final = 25


@dataclass(frozen=True)
class Ready:
    """A photo whose thumbnails are there."""

    path: Path
    photo: Photo
    #: From the start of its upload until its result was seen.
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A file that came to nothing, and why."""

    path: Path
    reason: str
    #: Whether the api had taken it.
    was_photo: bool


@dataclass(frozen=True)
class _Waiting:
    path: Path
    began_at: float


class UploadProgress:
    """Counts, and the little that must be remembered of each file. Clock: ``time.monotonic``."""

    def __init__(self, *, keep_all: bool = False) -> None:
        self.total: int | None = None
        self.uploaded = 0
        self.ready = 0
        self.failed: list[Failed] = []
        self.listed_ready: list[Ready] = []
        #: Why nothing moves just now, if so.
        self.held_up: str | None = None
        self.changed_at = time.monotonic()
        self._keep_all = keep_all
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._early: OrderedDict[str, tuple[Photo, float]] = OrderedDict()
        self._settled = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many are uploaded and have no result yet."""
        return len(self._waiting)

    def waiting_ids(self, most: int | None = None) -> list[str]:
        """The photos without a result, oldest first."""
        ids = list(self._waiting)
        return ids if most is None else ids[:most]

    def waiting_paths(self) -> list[Path]:
        """The files without a result, oldest first."""
        return [waiting.path for waiting in self._waiting.values()]

    def accepted(self, path: Path, photo: Photo, began_at: float) -> None:
        """The api has taken a file."""
        self._touch()
        self.uploaded += 1
        self._waiting[photo.id] = _Waiting(path, began_at)
        early = self._early.pop(photo.id, None)
        if early:
            self._result(*early)
        elif photo.status in ("ready", "failed"):
            self._result(photo, time.monotonic())

    def refused(self, path: Path, reason: str) -> None:
        """A file did not become a photo."""
        self._touch()
        self.failed.append(Failed(path, reason, was_photo=False))

    def seen(self, photo: Photo) -> None:
        """News of a photo, ours or another's."""
        if photo.status not in ("ready", "failed"):
            if photo.id in self._waiting:
                self._touch()
            return
        if photo.id in self._waiting:
            self._result(photo, time.monotonic())
        else:
            self._early[photo.id] = (photo, time.monotonic())
            if len(self._early) > _EARLY_RESULTS:
                self._early.popitem(last=False)

    def vanished(self, photo_id: str) -> None:
        """A photo of ours was deleted before it had a result."""
        waiting = self._waiting.pop(photo_id, None)
        if waiting:
            self._touch()
            self.failed.append(Failed(waiting.path, "deleted before it was ready", was_photo=True))

    async def all_settled(self) -> None:
        """Return once no photo waits. For when every file has been uploaded."""
        while self._waiting:
            self._settled.clear()
            await self._settled.wait()

    def _result(self, photo: Photo, at: float) -> None:
        self._touch()
        waiting = self._waiting.pop(photo.id)
        if photo.status == "failed":
            self.failed.append(Failed(waiting.path, f"{photo.error_code}: {photo.error_message}", was_photo=True))
            return
        self.ready += 1
        if self._keep_all or self.ready <= FEW:
            self.listed_ready.append(Ready(waiting.path, photo, at - waiting.began_at))

    def _touch(self) -> None:
        self.changed_at = time.monotonic()
        self.held_up = None
        self._settled.set()
