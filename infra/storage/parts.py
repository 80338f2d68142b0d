"""Sends large files to S3 in parts: its client would hold each whole in memory."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from infra.blocking_calls import BlockingCalls
from infra.storage.blocking_files import BlockingFiles
from schemas.faults import Fault

#: What goes to S3 at once, of all files together; each part is held in memory, and once more by the socket.
PARTS_AT_ONCE: Final = 3
#: The least that S3 takes, and the most parts of a file. Source: Amazon S3, multipart upload limits.
PART_BYTES: Final = 5 * 1024 * 1024
_MAX_PARTS: Final = 10_000


async def put_by_parts(
    files: BlockingFiles,
    call: Callable[..., Awaitable[Any]],
    senders: BlockingCalls,
    source: Path,
    key: str,
    size: int,
) -> None:
    """Send a file in parts, or at once where it is small; ``senders`` are few, so few parts are in memory.

    ``call(act, function, *arguments, byte_count, by)`` calls a blocking function about ``key`` in a thread.
    """
    if size <= PART_BYTES:
        await call("writing", files.put_file, source, key, byte_count=size, by=senders)
        return
    part_bytes = max(PART_BYTES, -(-size // _MAX_PARTS))
    upload_id = await call("writing", files.begin_parts, key)
    try:
        tags = []
        for number in range(1, -(-size // part_bytes) + 1):
            put = partial(files.put_part, source, key, upload_id, number, part_bytes)
            tags.append(await call("writing", put, byte_count=part_bytes, by=senders))
        await call("writing", files.complete_parts, key, upload_id, tags, byte_count=size)
    except BaseException:
        with suppress(Fault):  # housekeeping does it later
            await call("erasing", files.abort_parts, key, upload_id)
        raise
    await call("writing", source.unlink)
