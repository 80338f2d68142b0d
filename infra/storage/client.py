"""Storage: files by their key under one root, on anything that fsspec reaches. A file appears whole or not at all.

What a call has written to a local disk is still there after the machine loses its power.

Every call has an upper limit. Those of S3's client (5 s to connect, 30 s of silence, each tried again) are shorter;
ours are for what hangs without any: a disk of another machine, a fault inside a client.
"""

import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from datetime import datetime
from functools import partial
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from infra.blocking_calls import BlockingCalls, CallTimedOut, all_of
from infra.settings import Settings
from infra.storage.blocking_files import BlockingFiles
from infra.storage.check import StorageCheck, why_not
from infra.storage.faults import Missing, Right, RightMissing, Scope, is_refusal, reason_of, scope_of
from infra.storage.file_systems import open_filesystem
from infra.storage.listing import Entry, list_files
from infra.storage.s3_uploads import UploadSlots, abort, begun_before
from infra.storage.stored_file import StoredFile
from infra.watchdog import end_now
from schemas.faults import Fault, StorageUnavailable
from schemas.storage_keys import TEMPORARY_PREFIX

log = structlog.get_logger(__name__)

T = TypeVar("T")

_CHUNK_BYTES: Final = 256 * 1024

#: Calls in flight at once; each holds a thread that mostly waits.
_THREADS: Final = 32

#: Seconds for a call that moves few bytes; S3's client has tried three times by then.
_ANSWER_SECONDS: Final = 120.0
#: For one that looks at, or erases, however many files.
_LISTING_SECONDS: Final = 600.0
#: What moves bytes gets as much time more as the slowest line takes for them.
_SLOWEST_BYTES_PER_SECOND: Final = 128 * 1024

#: So many calls may hang before the process is ended: each keeps a thread. S3's client comes back by itself after
#: nine minutes at most, and in that time even an api that is asked all the time has not so many.
_HANGING_AT_MOST: Final = 256


class Storage:
    """Files under one root. Every call takes a storage key and may raise ``StorageUnavailable``."""

    def __init__(self, filesystem: Any, root: str) -> None:
        """``root`` is a path as ``filesystem`` (an fsspec file system) understands it."""
        self._files = BlockingFiles(filesystem, root)
        self._fs, self._root, self._is_local = filesystem, self._files.root, self._files.is_local
        self._threads = BlockingCalls(
            _THREADS, given_up_at_most=_HANGING_AT_MOST, on_exhausted=lambda hung: end_now(f"{hung} storage calls hang")
        )
        self._upload_slots = UploadSlots()
        self._check = StorageCheck(self._files, self._call_check)

    async def check(self) -> None:
        """Raise ``StorageUnavailable`` unless a file can be written and read: what every photo needs."""
        await self._check.require_for("reading")

    async def check_rights(self) -> None:
        """Raise ``StorageUnavailable`` unless files can be written, read, listed and erased; name what cannot."""
        await self._check.require_all()

    async def put_file(self, source: Path, key: str) -> None:
        """Move the local file ``source`` to ``key``."""
        size = (await self.in_thread(source.stat, what=f"looking at {source.name}")).st_size
        async with self._upload_slots.held(size) if self._files.is_s3 else nullcontext():
            await self._on_key("writing", key, self._files.put_file, source, key, seconds=_seconds_for(size))

    async def write(self, key: str, content: bytes) -> None:
        """Write a small file."""
        await self._on_key("writing", key, self._files.write, {key: content}, seconds=_seconds_for(len(content)))

    async def write_and_recheck(self, contents: Mapping[str, bytes], key: str) -> bool:
        """Write small files of one folder, together, then say whether a file still lies at ``key``."""
        if self._is_local:
            seconds, write = _seconds_for(sum(map(len, contents.values()))), self._files.write_and_recheck
            return bool(await self._on_key("writing", next(iter(contents), key), write, contents, key, seconds=seconds))
        await all_of(self.write(key, content) for key, content in contents.items())
        return await self.exists(key)

    async def read(self, key: str, byte_count: int | None = None) -> bytes:
        """The whole of a small file, or its first bytes. Raises ``Missing``."""
        return bytes(await self._on_key("reading", key, self._files.read, key, byte_count, seconds=_ANSWER_SECONDS))

    async def info(self, key: str) -> StoredFile:
        """Size of a file. Raises ``Missing``."""
        return StoredFile(key, await self._on_key("reading", key, self._files.size, key, seconds=_ANSWER_SECONDS))

    async def look(self, key: str, folder: str) -> tuple[StoredFile, list[StoredFile] | None]:
        """``info`` of ``key`` with ``list_under`` of ``folder``; None where we may not list. Raises ``Missing``."""
        if not self._is_local:
            stored, listed = await all_of([self.info(key), self._listed_if_permitted(folder)])
            return stored, listed
        size, entries = await self._on_key("reading", key, self._files.look, key, folder, seconds=_ANSWER_SECONDS)
        return StoredFile(key, size), entries and self._whole_files(entries)

    async def exists(self, key: str) -> bool:
        """Whether a file lies at ``key``."""
        try:
            await self.info(key)
        except Missing:
            return False
        return True

    async def chunks(self, key: str, start: int = 0, byte_count: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes of a file, piece by piece: from ``start``, ``byte_count`` of them or all. Raises ``Missing``."""
        file = await self._on_key("reading", key, self._files.open, key, seconds=_ANSWER_SECONDS)
        seconds = _seconds_for(getattr(file, "blocksize", None) or _CHUNK_BYTES)  # so much S3's client reads at once
        try:
            if start:
                file.seek(start)  # reads nothing
            left = inf if byte_count is None else byte_count
            while wanted := int(min(left, _CHUNK_BYTES)):
                if not (chunk := await self._on_key("reading", key, file.read, wanted, seconds=seconds)):
                    break
                left -= len(chunk)
                yield chunk
        finally:
            await self._on_key("reading", key, file.close, seconds=_ANSWER_SECONDS)

    async def presigned_url(self, key: str, seconds: int, *, content_type: str, disposition: str | None) -> str:
        """A URL of S3 that gives the file, for ``seconds``, without a key of ours; of S3 storage only."""
        sign = partial(self._files.presigned_url, key, seconds, content_type, disposition)
        url: str = await self._on_key("reading", key, sign, seconds=_ANSWER_SECONDS)
        return url

    @asynccontextmanager
    async def local_copy(self, stored: StoredFile) -> AsyncIterator[Path]:
        """A local path with a file's bytes: the file itself where storage is local, else a copy for as long as asked.

        Raises ``Missing``, but not for a local file that went since ``stored`` was asked for.
        """
        if self._is_local:
            yield Path(self._files.path_of(stored.key))
            return
        folder = await self.in_thread(tempfile.mkdtemp, None, "thumbstream-", what="making a temporary folder")
        try:
            copy = Path(folder, "original")
            seconds = _seconds_for(stored.size)
            await self._on_key("reading", stored.key, self._files.download, stored.key, copy, seconds=seconds)
            yield copy
        finally:
            await self.in_thread(shutil.rmtree, folder, True, what="erasing a temporary folder")

    async def erase(self, keys: Iterable[str]) -> int:
        """Erase files; those that are not there, or cannot be, are no error. Returns how many there were.

        Raises ``KeyRefused`` where a file is there and storage lets us erase others but not this one.
        """
        count = 0
        for key in keys:
            count += await self._on_key("erasing", key, self._files.erase, key, seconds=_ANSWER_SECONDS)
        return count

    async def erase_under(self, prefix: str) -> int:
        """Erase every file below the folder ``prefix`` and, where there are folders, the folder. Returns how many."""
        erased = await self.erase([file.key for file in await self.list_under(prefix)])
        if self._is_local:
            await self._on_key("erasing", prefix, self._files.remove_folder, prefix, seconds=_LISTING_SECONDS)
        return erased

    async def abort_uploads(self, prefix: str, before: datetime) -> int:
        """Abort uploads in parts below ``prefix`` that were begun ``before`` and not ended. Returns how many."""
        found = await self._listing(prefix, begun_before, self._files, prefix, before)
        for key, upload_id in found:
            await self._on_key(
                "aborting an upload of", key, abort, self._files, key, upload_id, seconds=_ANSWER_SECONDS
            )
        return len(found)

    async def list_under(self, prefix: str) -> list[StoredFile]:
        """Every whole file below the folder ``prefix``; none where there is no such folder. Follows no link."""
        return self._whole_files(await self._listing(prefix, self._files.find, prefix))

    async def pages_under(self, folder: str, page_files: int = 500) -> AsyncGenerator[list[StoredFile], None]:
        """Every file below ``folder``, temporary ones too, a page at a time: for more files than fit into memory."""
        async for page in self._pages(self._files.path_of(folder) + "/", page_files):
            yield page

    async def temporary_pages(self, page_files: int = 500) -> AsyncGenerator[list[StoredFile], None]:
        """The temporary files right below the root, or in a temporary folder there."""
        async for page in self._pages(f"{self._root}/{TEMPORARY_PREFIX}", page_files):
            yield page

    async def prune_folders(self, keys: Iterable[str]) -> None:
        """Where there are folders: remove those of ``keys`` that are empty now, but never a top one."""
        if self._is_local:
            await self._call(self._files.prune_folders, list(keys), what="pruning folders", seconds=_LISTING_SECONDS)

    async def incoming_folder(self) -> Path:
        """A local folder for uploads on their way: on the same disk as local storage, so that a move is a rename."""
        folder = Path(self._root, TEMPORARY_PREFIX + "uploads") if self._is_local else Path(tempfile.gettempdir())
        await self.in_thread(folder.mkdir, 0o777, True, True, what="making the folder of uploads")
        return folder

    async def in_thread(self, function: Callable[..., T], *arguments: Any, what: str, byte_count: int = 0) -> T:
        """Call ``function``, which does something with local files, with a limit that fits ``byte_count``.

        Its own faults and ``FileNotFoundError`` come out; what else the disk answers, or a call that does not come
        back, is ``StorageUnavailable``.
        """
        try:
            result: T = await self._call(function, *arguments, what=what, seconds=_seconds_for(byte_count))
            return result
        except (Fault, FileNotFoundError):
            raise
        except OSError as error:
            raise StorageUnavailable(f"{what} failed: {reason_of(error, self._root)}") from error

    async def close(self) -> None:
        """Let the threads go; those that hang are left behind."""
        await self._check.close()
        await self._threads.close()

    async def _pages(self, start: str, page_files: int) -> AsyncGenerator[list[StoredFile], None]:
        files = list_files(self._fs, start, page_files)
        folder = start.removeprefix(self._root + "/").rpartition("/")[0]

        def next_page() -> list[Entry]:
            if folder:
                self._files.reach(folder)
            return list(islice(files, page_files))

        while page := await self._listing(folder, next_page):
            yield [self._stored(entry) for entry in page]

    async def _listing(self, folder: str, function: Callable[..., Any], *arguments: Any) -> Any:
        what = f"listing {folder}"
        try:
            return await self._call(function, *arguments, what=what, seconds=_LISTING_SECONDS)
        except StorageUnavailable:
            raise
        except Exception as error:  # each fsspec backend has errors of its own
            if scope_of(error) is Scope.ABSENT:
                return []
            if is_refusal(error):
                raise why_not(Right.LIST, error, self._files) from error
            raise StorageUnavailable(f"{what} failed: {reason_of(error, self._root)}") from error

    async def _listed_if_permitted(self, prefix: str) -> list[StoredFile] | None:
        try:
            return await self.list_under(prefix)
        except RightMissing:
            return None

    def _whole_files(self, entries: Iterable[Entry]) -> list[StoredFile]:
        files = [self._stored(entry) for entry in entries]
        return [file for file in files if not file.key.rpartition("/")[2].startswith(TEMPORARY_PREFIX)]

    def _stored(self, entry: Entry) -> StoredFile:
        path, size, modified_at = entry
        return StoredFile(path.removeprefix(self._root + "/"), size, modified_at)

    async def _on_key(self, act: str, key: str, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        """Call ``function``, which does something with the file at ``key``; what goes wrong comes out as a fault."""
        self._files.path_of(key)  # what is no storage key is the caller's fault
        try:
            return await self._call(function, *arguments, what=f"{act} {key}", seconds=seconds)
        except StorageUnavailable:
            raise
        except Exception as error:  # each fsspec backend has errors of its own
            raise await self._check.fault_of(error, act, key) from error

    async def _call_check(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await self._call(function, *arguments, what="checking", seconds=_ANSWER_SECONDS)

    async def _call(self, function: Callable[..., Any], *arguments: Any, what: str, seconds: float) -> Any:
        """Call ``function``, which blocks, for ``seconds`` at most; ``what`` it does names it where it hangs.

        Raises what ``function`` raises, or ``StorageUnavailable`` where it does not come back.
        """
        try:
            return await self._threads.call(function, *arguments, seconds=seconds)
        except CallTimedOut as error:
            log.error("a storage call hangs", call=what, reason=str(error), hanging=self._threads.given_up)
            raise StorageUnavailable(f"storage does not answer: {what} {error}") from error


def _seconds_for(byte_count: int) -> float:
    return _ANSWER_SECONDS + byte_count / _SLOWEST_BYTES_PER_SECOND


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name. Opens no connection yet."""
    return Storage(*open_filesystem(settings))
