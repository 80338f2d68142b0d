"""Follows the feed for the results of one ``upload``."""

import asyncio
from contextlib import aclosing

from thumbstream.client.client import Client
from thumbstream.client.models import Hello, NotReachable, PhotoChanged, Unavailable
from thumbstream.commands.upload.upload_progress import UploadProgress


class Follower:
    """Counts results as the feed reports them."""

    def __init__(self, client: Client, counts: UploadProgress) -> None:
        self._client = client
        self._counts = counts
        self.opened = asyncio.Event()

    async def follow(self) -> None:
        """Follow until cancelled; the first connection must succeed."""
        async with aclosing(self._client.feed(on_interruption=self._interrupted)) as feed:
            async for message in feed:
                if isinstance(message, Hello):
                    if self.opened.is_set() and not message.resumed:
                        await self.look_up()
                    self.opened.set()
                elif isinstance(message, PhotoChanged):
                    if message.event == "photos.deleted":
                        self._counts.vanished(message.photo.id)
                    else:
                        self._counts.seen(message.photo)

    async def look_up(self, most: int | None = None) -> None:
        """Ask the api for the photos that have no result yet; what cannot be asked now is left to the next time."""
        for photo_id in self._counts.waiting_ids(most):
            try:
                photo = await self._client.get_photo(photo_id)
            except (NotReachable, Unavailable):
                return
            if photo is None:
                self._counts.vanished(photo_id)
            else:
                self._counts.seen(photo)

    def _interrupted(self, reason: str) -> None:
        self._counts.held_up = reason
