"""Storage: files by their key under one root, on anything that fsspec reaches. A file appears whole or not at all.

What a call has written to a local disk is still there after the machine loses its power.

Every call has an upper limit. Those of S3's client (5 s to connect, 30 s of silence, each tried again) are shorter;
ours are for what hangs without any: a disk of another machine, a fault inside a client.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import fsspec
import structlog
from fsspec.implementations.local import LocalFileSystem

from groundwork import local_files
from groundwork.call_threads import CallThreads, CallTooLong
from groundwork.file_entries import Entry, file_entries
from groundwork.local_files import TEMPORARY_PREFIX as TEMPORARY_PREFIX
from groundwork.settings import Settings
from groundwork.watchdog import end_now
from schemas.faults import OriginalMissing, StorageUnavailable
from schemas.storage_keys import check_storage_key

log = structlog.get_logger(__name__)

_CHUNK_BYTES: Final = 256 * 1024

_NOT_THERE: Final = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

#: Calls in flight at once; each holds a thread that mostly waits.
_THREADS: Final = 32

#: Seconds for a call that moves few bytes; S3's client has tried three times by then.
_ANSWER_SECONDS: Final = 120.0
#: For one that looks at, or erases, however many files.
_LISTING_SECONDS: Final = 600.0
#: What moves bytes gets as much time more as the slowest line takes for them.
_SLOWEST_BYTES_PER_SECOND: Final = 128 * 1024

#: So many calls may hang before the process is given up: each keeps a thread. S3's client comes back by itself after
#: nine minutes at most, and in that time even an api that is asked all the time has not so many.
_HANGING_AT_MOST: Final = 256

#: A check that hangs is waited for together for so long, then another is begun.
_CHECK_AGAIN_SECONDS: Final = 10.0


class Missing(OriginalMissing):
    """Nothing lies at the key."""


@dataclass(frozen=True)
class StoredFile:
    """What storage says about one file."""

    key: str
    #: Bytes.
    size: int
    #: Where storage says it.
    modified_at: datetime | None = None

    @property
    def is_temporary(self) -> bool:
        """Whether it is a write or an upload on its way, or what is left of one."""
        return any(part.startswith(TEMPORARY_PREFIX) for part in self.key.split("/"))


class Storage:
    """Files under one root. Every call takes a storage key and may raise ``StorageUnavailable``."""

    def __init__(self, filesystem: Any, root: str) -> None:
        """``root`` is a path as ``filesystem`` (an fsspec file system) understands it."""
        self._fs = filesystem
        self._root = root.rstrip("/")
        self._is_local = isinstance(filesystem, LocalFileSystem)
        self._threads = CallThreads(_THREADS, given_up_at_most=_HANGING_AT_MOST, on_exhausted=_end)
        self._checks: dict[asyncio.Task[None], float] = {}

    async def check(self) -> None:
        """Raise ``StorageUnavailable`` unless a file can be written and erased.

        Who gives up waiting leaves the check to go on: were each asked to begin another, all threads would soon hang.
        """
        now = asyncio.get_running_loop().time()
        for checking, began_at in self._checks.items():
            if not checking.done() and now - began_at < _CHECK_AGAIN_SECONDS:
                break
        else:
            checking = asyncio.ensure_future(self._check())
            self._checks[checking] = now
            checking.add_done_callback(self._checked)
        await asyncio.shield(checking)

    async def _check(self) -> None:
        key = f"{TEMPORARY_PREFIX}check-{uuid4().hex}"
        await self.write(key, b"ok")
        await self.erase([key])

    def _checked(self, checking: asyncio.Task[None]) -> None:
        self._checks.pop(checking, None)
        if not checking.cancelled():
            checking.exception()  # heard, though nobody may wait for it any more

    async def put_file(self, source: Path, key: str) -> None:
        """Move the local file ``source`` to ``key``."""
        found = await self._call(source.stat, what=f"looking at {source.name}", seconds=_ANSWER_SECONDS)
        await self._call(self._put_file, source, key, what=f"writing {key}", seconds=_seconds_for(found.st_size))

    async def write(self, key: str, content: bytes) -> None:
        """Write a small file."""
        await self._call(self._write, key, content, what=f"writing {key}", seconds=_seconds_for(len(content)))

    async def read(self, key: str) -> bytes:
        """The whole of a small file. Raises ``Missing``."""
        path = self._path(key)
        content: bytes = await self._read_by(self._fs.cat_file, path, what=f"reading {key}", seconds=_ANSWER_SECONDS)
        return content

    async def info(self, key: str) -> StoredFile:
        """Size of a file. Raises ``Missing``."""
        found = await self._read_by(self._info, key, what=f"looking for {key}", seconds=_ANSWER_SECONDS)
        return StoredFile(key, int(found["size"]))

    async def exists(self, key: str) -> bool:
        """Whether a file lies at ``key``."""
        try:
            await self.info(key)
        except Missing:
            return False
        return True

    async def chunks(self, key: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file, piece by piece. Raises ``Missing``."""
        file = await self._read_by(self._fs.open, self._path(key), "rb", what=f"opening {key}", seconds=_ANSWER_SECONDS)
        seconds = _seconds_for(getattr(file, "blocksize", None) or _CHUNK_BYTES)  # so much S3's client reads at once
        try:
            while chunk := await self._call(file.read, _CHUNK_BYTES, what=f"reading {key}", seconds=seconds):
                yield chunk
        finally:
            await self._call(file.close, what=f"closing {key}", seconds=_ANSWER_SECONDS)

    @asynccontextmanager
    async def local_copy(self, stored: StoredFile) -> AsyncIterator[Path]:
        """A local path with a file's bytes: the file itself where storage is local, else a copy for as long as asked.

        Raises ``Missing``, but not for a local file that went since ``stored`` was asked for.
        """
        if self._is_local:
            yield Path(self._path(stored.key))
            return
        with tempfile.TemporaryDirectory(prefix="thumbstream-") as folder:
            copy = Path(folder, "original")
            seconds = _seconds_for(stored.size)
            await self._read_by(self._download, stored.key, copy, what=f"reading {stored.key}", seconds=seconds)
            yield copy

    async def erase(self, keys: Iterable[str]) -> int:
        """Erase files; those that are not there are no error. Returns how many there were."""
        return sum([await self._call(self._erase, key, what=f"erasing {key}", seconds=_ANSWER_SECONDS) for key in keys])

    async def erase_under(self, prefix: str) -> int:
        """Erase every file below the folder ``prefix`` and, where there are folders, the folder. Returns how many."""
        erased = await self.erase([file.key for file in await self.list_under(prefix)])
        if self._is_local:
            await self._call(
                shutil.rmtree, self._path(prefix), True, what=f"erasing {prefix}", seconds=_LISTING_SECONDS
            )
        return erased

    async def list_under(self, prefix: str) -> list[StoredFile]:
        """Every whole file below the folder ``prefix``; none where there is no such folder."""
        found = await self._call(self._find, prefix, what=f"listing {prefix}", seconds=_LISTING_SECONDS)
        files = [StoredFile(path.removeprefix(self._root + "/"), int(entry["size"])) for path, entry in found.items()]
        return [file for file in files if not file.key.rpartition("/")[2].startswith(TEMPORARY_PREFIX)]

    async def pages_under(self, folder: str, page_files: int = 500) -> AsyncGenerator[list[StoredFile], None]:
        """Every file below ``folder``, temporary ones too, a page at a time: for more files than fit into memory."""
        async for page in self._pages(self._path(folder) + "/", page_files):
            yield page

    async def temporary_pages(self, page_files: int = 500) -> AsyncGenerator[list[StoredFile], None]:
        """The temporary files right below the root, or in a temporary folder there."""
        async for page in self._pages(f"{self._root}/{TEMPORARY_PREFIX}", page_files):
            yield page

    async def prune_folders(self, keys: Iterable[str]) -> None:
        """Where there are folders: remove those of ``keys`` that are empty now, but never a top one."""
        if self._is_local:
            await self._call(self._prune_folders, list(keys), what="pruning folders", seconds=_LISTING_SECONDS)

    def incoming_folder(self) -> Path:
        """A local folder for uploads on their way: on the same disk as local storage, so that a move is a rename."""
        folder = Path(self._root, TEMPORARY_PREFIX + "uploads") if self._is_local else Path(tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def close(self) -> None:
        """Let the threads go; those that hang are left behind."""
        for checking in tuple(self._checks):
            checking.cancel()
        await asyncio.gather(*self._checks, return_exceptions=True)
        await self._threads.close()

    async def _pages(self, start: str, page_files: int) -> AsyncGenerator[list[StoredFile], None]:
        files = file_entries(self._fs, start, page_files)

        def next_page() -> list[Entry]:
            return list(islice(files, page_files))

        what = f"listing {start.removeprefix(self._root + '/')}"
        while page := await self._call(next_page, what=what, seconds=_LISTING_SECONDS):
            yield [
                StoredFile(path.removeprefix(self._root + "/"), size, modified_at) for path, size, modified_at in page
            ]

    def _prune_folders(self, keys: list[str]) -> None:
        root = Path(self._root)
        for folder in {Path(self._path(key)).parent for key in keys}:
            while len(folder.relative_to(root).parts) > 1:
                try:
                    folder.rmdir()
                except OSError:
                    break
                folder = folder.parent

    def _path(self, key: str) -> str:
        return f"{self._root}/{check_storage_key(key)}"

    async def _read_by(self, function: Callable[..., Any], *arguments: Any, what: str, seconds: float) -> Any:
        try:
            return await self._call(self._read_there, function, *arguments, what=what, seconds=seconds)
        except StorageUnavailable as error:
            if isinstance(error.__cause__, _NOT_THERE):
                raise Missing("nothing lies at the storage key") from error
            raise

    def _read_there(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except _NOT_THERE as error:
            if self._is_local and not Path(self._root).is_dir():
                # All files are gone at once: a disk that is not mounted, which says nothing about one photo.
                raise OSError("the storage root is not there") from error
            raise

    async def _call(self, function: Callable[..., Any], *arguments: Any, what: str, seconds: float) -> Any:
        """Call ``function``, which blocks, for ``seconds`` at most; ``what`` it does names it where it hangs."""
        try:
            return await self._threads.call(function, *arguments, seconds=seconds)
        except CallTooLong as error:
            log.error("a storage call hangs", call=what, reason=str(error), hanging=self._threads.given_up)
            raise StorageUnavailable(f"storage does not answer: {what} {error}") from error
        except Exception as error:  # each fsspec backend has errors of its own
            raise StorageUnavailable(f"storage answered with {type(error).__name__}: {error}") from error

    def _info(self, key: str) -> Any:
        found = self._fs.info(self._path(key))
        if found["type"] != "file":
            raise FileNotFoundError(key)
        return found

    def _put_file(self, source: Path, key: str) -> None:
        if self._is_local:
            local_files.move(source, Path(self._path(key)))
        else:
            self._fs.put_file(str(source), self._path(key))
            source.unlink()

    def _write(self, key: str, content: bytes) -> None:
        if self._is_local:
            local_files.write(content, Path(self._path(key)))
        else:
            self._fs.pipe_file(self._path(key), content)

    def _download(self, key: str, copy: Path) -> None:
        self._fs.get_file(self._path(key), str(copy))
        if not copy.is_file():
            raise FileNotFoundError(key)

    def _erase(self, key: str) -> bool:
        try:
            self._fs.rm_file(self._path(key))
        except FileNotFoundError:
            return False
        return True

    def _find(self, prefix: str) -> Any:
        self._fs.invalidate_cache()
        return self._fs.find(self._path(prefix), detail=True)


def _seconds_for(byte_count: int) -> float:
    return _ANSWER_SECONDS + byte_count / _SLOWEST_BYTES_PER_SECOND


def _end(hanging: int) -> None:
    end_now(f"{hanging} storage calls hang")


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name. Opens no connection yet."""
    url = settings.resolved_storage_url
    options: dict[str, Any] = {}
    if url.startswith("s3://"):
        options = _s3_options(settings)
    filesystem, root = fsspec.core.url_to_fs(url, **options)
    return Storage(filesystem, root)


def _s3_options(settings: Settings) -> dict[str, Any]:
    secret = settings.s3_secret_access_key
    options: dict[str, Any] = {
        "session": _session_without_expect(),
        "use_listings_cache": False,
        "config_kwargs": {"retries": {"max_attempts": 2}, "connect_timeout": 5, "read_timeout": 30},
    }
    if settings.s3_endpoint_url:
        options["endpoint_url"] = settings.s3_endpoint_url
    if settings.s3_access_key_id and secret:
        options |= {"key": settings.s3_access_key_id, "secret": secret.get_secret_value()}
    return options


def _session_without_expect() -> Any:
    """A session that sends bodies at once, without asking by ``Expect: 100-continue`` whether they are welcome.

    aiohttp waits for that answer without limit, so a server that refuses at once (503 SlowDown) or loses the question
    would hold the write for ever.
    """
    from aiobotocore.session import AioSession  # these two are slow to import, and only S3 needs them
    from botocore.handlers import add_expect_header

    session = AioSession()
    session.unregister("before-call.s3", add_expect_header)
    return session
