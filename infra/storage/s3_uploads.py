"""Uploads to S3: in parts and few at once, since its client holds what it sends in memory; and unfinished ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from infra.storage.blocking_files import PART_BYTES, BlockingFiles

#: Parts that are in memory at once, over all uploads: 20 MiB, and as much again in the buffers of connections.
_PARTS_AT_ONCE: Final = 4
#: A file below two parts is sent whole, a larger one a part after the other.
_MOST_OF_ONE: Final = 2


class UploadSlots:
    """Lets in as many uploads as may be in memory at once, in the order in which they come."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_PARTS_AT_ONCE)
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def held(self, byte_count: int) -> AsyncIterator[None]:
        """Wait for the room that a file of ``byte_count`` bytes takes, and keep it."""
        wanted, taken = min(_MOST_OF_ONE, byte_count // PART_BYTES + 1), 0
        try:
            async with self._turn:  # of two that wait for more than one, neither keeps half of what there is
                while taken < wanted:
                    await self._free.acquire()
                    taken += 1
            yield
        finally:
            for _ in range(taken):
                self._free.release()


def begun_before(files: BlockingFiles, prefix: str, before: datetime) -> list[tuple[str, str]]:
    """Key and id of uploads in parts below ``prefix`` that were begun ``before`` and not ended: up to a page of them.

    No storage but S3 has any.
    """
    if not files.is_s3:
        return []
    bucket, start, _ = files.filesystem.split_path(f"{files.root}/{prefix}/")
    try:
        answer = files.filesystem.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=start)
    except OSError as error:
        if "NoSuchUpload" not in str(error):  # so some servers say that there are none
            raise
        return []
    folder = files.root.partition("/")[2]
    return [
        (each["Key"].removeprefix(f"{folder}/"), each["UploadId"])
        for each in answer.get("Uploads", [])
        if each["Initiated"] < before
    ]


def abort(files: BlockingFiles, key: str, upload_id: str) -> Any:
    """Erase the parts of an upload that is not ended."""
    bucket, name, _ = files.filesystem.split_path(files.path_of(key))
    return files.filesystem.call_s3("abort_multipart_upload", Bucket=bucket, Key=name, UploadId=upload_id)
