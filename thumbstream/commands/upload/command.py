"""``thumbstream upload``: sends files, follows the feed until each has its result, and reports the results."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from thumbstream.client.access import Access
from thumbstream.client.client import Client, open_client
from thumbstream.client.models import ClientFault, NotAllowed, NotReachable, Unavailable, UnknownPlace
from thumbstream.commands.upload.follower import Follower
from thumbstream.commands.upload.photo_files import NothingThere, check_paths, find_files
from thumbstream.commands.upload.report import print_outcome, show_progress
from thumbstream.commands.upload.upload_progress import UploadProgress
from thumbstream.terminal.messages import say

_FIRST_RETRY_SECONDS: Final = 0.5
_LONGEST_RETRY_SECONDS: Final = 10.0
#: One file is tried for so long, which is longer than an api takes to start again.
_RETRY_FOR_SECONDS: Final = 90.0

#: When the feed has said nothing of our photos for so long, they are looked up.
_LOOK_AFTER_SECONDS: Final = 5.0
_LONGEST_LOOK_SECONDS: Final = 60.0
_LOOK_AT_MOST: Final = 500

SUCCESS, SOME_FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class UploadOptions:
    """How to upload."""

    item: str | None = None
    #: Files on their way at once.
    concurrency: int = 8
    #: Whether to wait for the results.
    wait: bool = True
    #: How long to wait for results while nothing happens.
    patience_seconds: float = 300.0
    #: Whether to list every photo, however many.
    verbose: bool = False


def run_upload(access: Access, paths: Sequence[Path], options: UploadOptions) -> int:
    """Upload, wait, report, and return the exit code: 0 all well, 1 some failed, 2 not as called, 130 interrupted."""
    try:
        check_paths(paths)
    except NothingThere as error:
        for line in str(error).splitlines():
            say(line)
        return MISUSED
    counts = UploadProgress(keep_all=options.verbose)
    try:
        asyncio.run(_upload(access, paths, options, counts))
    except KeyboardInterrupt:
        say("interrupted; the photos that were uploaded are rendered all the same")
        print_outcome(counts, verbose=options.verbose)
        return INTERRUPTED
    except ClientFault as error:
        if counts.uploaded or counts.failed:
            print_outcome(counts, verbose=options.verbose)
        say(str(error))
        if isinstance(error, NotReachable):
            say("is Thumbstream running there? `thumbstream up` starts it; --url or THUMBSTREAM_URL says where it is")
        return MISUSED
    print_outcome(counts, verbose=options.verbose)
    return SOME_FAILED if counts.failed or (options.wait and counts.waiting) else SUCCESS


async def _upload(access: Access, paths: Sequence[Path], options: UploadOptions, counts: UploadProgress) -> None:
    counts.total = await asyncio.to_thread(lambda: sum(1 for _ in find_files(paths)))
    async with open_client(access, connections=options.concurrency + 4) as client:
        follower = Follower(client, counts)
        following = asyncio.create_task(follower.follow())
        sending = asyncio.create_task(_send_all(client, paths, options, counts, follower))
        showing = asyncio.create_task(show_progress(counts, waits=options.wait))
        tasks = (sending, following, showing)
        try:
            await asyncio.wait({sending, following}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
            await sending
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _send_all(
    client: Client, paths: Sequence[Path], options: UploadOptions, counts: UploadProgress, follower: Follower
) -> None:
    await follower.opened.wait()
    files = find_files(paths, on_unreadable=lambda path, error: counts.refused(path, _reason(error)))
    one_at_a_time = asyncio.Lock()
    senders = [
        asyncio.create_task(_send_some(client, files, one_at_a_time, options, counts))
        for _ in range(options.concurrency)
    ]
    try:
        await asyncio.gather(*senders)
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
    counts.total = counts.uploaded + len([failed for failed in counts.failed if not failed.was_photo])
    if options.wait:
        await _settle(follower, options, counts)


async def _send_some(
    client: Client, files: Iterator[Path], one_at_a_time: asyncio.Lock, options: UploadOptions, counts: UploadProgress
) -> None:
    while True:
        async with one_at_a_time:
            file = await asyncio.to_thread(next, files, None)
        if file is None:
            return
        try:
            await _send(client, file, options, counts)
        except (NotAllowed, UnknownPlace):
            raise
        except (ClientFault, OSError) as error:
            counts.refused(file, _reason(error))


async def _send(client: Client, file: Path, options: UploadOptions, counts: UploadProgress) -> None:
    key = str(uuid4())
    delay = _FIRST_RETRY_SECONDS
    give_up_at = time.monotonic() + _RETRY_FOR_SECONDS
    while True:
        began_at = time.monotonic()
        try:
            photo = await client.post_photo(file, idempotency_key=key, item_id=options.item)
        except (NotReachable, Unavailable) as error:
            wait = getattr(error, "retry_after_seconds", None) or delay * random.uniform(0.8, 1.2)
            if time.monotonic() + wait > give_up_at:
                raise
            counts.held_up = str(error)
            await asyncio.sleep(wait)
            delay = min(delay * 2, _LONGEST_RETRY_SECONDS)
        else:
            counts.accepted(file, photo, began_at)
            return


async def _settle(follower: Follower, options: UploadOptions, counts: UploadProgress) -> None:
    """Wait for the last results; look up what the feed is silent about, ever less often."""
    pause = _LOOK_AFTER_SECONDS
    await follower.look_up(_LOOK_AT_MOST)
    while counts.waiting:
        seen_at = counts.changed_at
        try:
            await asyncio.wait_for(counts.all_settled(), min(pause, options.patience_seconds))
        except TimeoutError:
            if counts.changed_at != seen_at:
                pause = _LOOK_AFTER_SECONDS
                continue
            if time.monotonic() - counts.changed_at >= options.patience_seconds:
                say(f"no news for {options.patience_seconds:g} s: no longer waiting")
                return
            await follower.look_up(_LOOK_AT_MOST)
            pause = min(pause * 2, _LONGEST_LOOK_SECONDS)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return str(error)
