"""A storage that never answers is unavailable, and holds nothing for ever: neither its callers nor the process."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from infra.storage import client as storage_module
from infra.storage.client import Storage
from infra.storage.stored_file import StoredFile
from polling import poll_async
from schemas.faults import StorageUnavailable

_ROOT = Path(__file__).parents[3]


class HangingFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Calls that concern a key with ``hang`` in it do not come back before ``released`` is set."""

    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012  # as fsspec's own: one for all instances

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.released = threading.Event()
        self.calls = 0

    def _reach(self, path: str) -> None:
        if "hang" in path:
            self.calls += 1
            self.released.wait()

    def info(self, path: str, **options: Any) -> Any:
        self._reach(path)
        return super().info(path, **options)

    def pipe_file(self, path: str, value: bytes, **options: Any) -> Any:
        self._reach(path)
        return super().pipe_file(path, value, **options)

    def cat_file(self, path: str, *arguments: Any, **options: Any) -> Any:
        self._reach(path)
        return super().cat_file(path, *arguments, **options)

    def get_file(self, path: str, *arguments: Any, **options: Any) -> Any:
        self._reach(path)
        return super().get_file(path, *arguments, **options)

    def put_file(self, local: str, path: str, *arguments: Any, **options: Any) -> Any:
        self._reach(path)
        return super().put_file(local, path, *arguments, **options)

    def rm_file(self, path: str) -> Any:
        self._reach(path)
        return super().rm_file(path)

    def find(self, path: str, **options: Any) -> Any:
        self._reach(path)
        return super().find(path, **options)

    def open(self, path: str, *arguments: Any, **options: Any) -> Any:
        self._reach(path)
        return super().open(path, *arguments, **options)


@pytest.fixture
def filesystem() -> Iterator[HangingFileSystem]:
    opened = HangingFileSystem()
    yield opened
    opened.released.set()


@pytest.fixture
async def storage(filesystem: HangingFileSystem) -> AsyncIterator[Storage]:
    opened = Storage(filesystem, f"/{uuid4().hex}")
    yield opened
    await opened.close()


@pytest.fixture
def with_short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "_ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(storage_module, "_LISTING_SECONDS", 0.05)


async def _drained(pieces: AsyncIterator[Any]) -> None:
    async for _ in pieces:
        pass


@pytest.mark.usefixtures("with_short_timeouts")
@pytest.mark.parametrize(
    "call",
    [
        "check",
        "put_file",
        "write",
        "rewrite",
        "read",
        "info",
        "look",
        "exists",
        "chunks",
        "copy",
        "erase",
        "list",
        "pages",
    ],
)
async def test_every_call_that_hangs_is_unavailable_and_says_what_it_was(
    filesystem: HangingFileSystem, tmp_path: Path, call: str
) -> None:
    source = tmp_path / "upload"
    source.write_bytes(b"pixels")
    storage = Storage(filesystem, f"/hang-{uuid4().hex}" if call == "check" else f"/{uuid4().hex}")

    async def copied() -> None:
        async with storage.local_copy(StoredFile("a/hang", 6)):
            raise AssertionError("there is no copy")

    calls = {
        "check": storage.check,
        "put_file": lambda: storage.put_file(source, "a/hang"),
        "write": lambda: storage.write("a/hang", b"x"),
        "rewrite": lambda: storage.write_and_recheck({"a/file": b"x"}, "a/hang"),
        "read": lambda: storage.read("a/hang"),
        "look": lambda: storage.look("a/hang", "t"),
        "info": lambda: storage.info("a/hang"),
        "exists": lambda: storage.exists("a/hang"),
        "chunks": lambda: _drained(storage.chunks("a/hang")),
        "copy": copied,
        "erase": lambda: storage.erase(["a/hang"]),
        "list": lambda: storage.list_under("a/hang"),
        "pages": lambda: _drained(storage.pages_under("a/hang")),
    }
    with pytest.raises(StorageUnavailable, match=r"hang|check") as raised:
        await calls[call]()
    assert "storage does not answer" in str(raised.value)
    await storage.close()


async def test_as_many_hanging_calls_as_there_are_threads_leave_all_of_them_to_the_others(
    filesystem: HangingFileSystem, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(storage_module, "_ANSWER_SECONDS", 0.2)
            hanging = [storage.info("a/hang") for _ in range(40)]
            outcomes = await asyncio.gather(*hanging, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
        await asyncio.gather(*(storage.write(f"a/{number}", b"x") for number in range(100)))
    assert len(await storage.list_under("a")) == 100


async def test_checks_that_nobody_waits_for_any_more_do_not_pile_up(filesystem: HangingFileSystem) -> None:
    storage = Storage(filesystem, f"/hang-{uuid4().hex}")
    for _ in range(50):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await storage.check()
    assert filesystem.calls <= 1 + storage_module._HANGING_AT_MOST // 50
    filesystem.released.set()
    await storage.check()
    await poll_async(lambda: not storage._check._running, what="no check is left")
    await storage.close()


@pytest.fixture
def hung_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A local root on which no call comes back that makes, opens or looks at a file whose path has ``hang`` in it."""
    released = threading.Event()
    for name in ("open", "stat", "mkdir", "unlink", "replace"):
        own = getattr(Path, name)

        def waits(self: Path, *arguments: Any, own: Any = own, **options: Any) -> Any:
            if "hang" in str(self):
                assert threading.current_thread() is not threading.main_thread(), "the event loop would hang"
                released.wait()
            return own(self, *arguments, **options)

        monkeypatch.setattr(Path, name, waits)
    yield tmp_path / "hang"
    released.set()


@pytest.mark.usefixtures("with_short_timeouts")
@pytest.mark.parametrize("call", ["folder of uploads", "write", "info", "put_file", "open", "erase"])
async def test_no_call_on_a_hung_mount_holds_its_caller_or_the_event_loop(hung_mount: Path, call: str) -> None:
    storage = Storage(LocalFileSystem(), str(hung_mount))
    calls = {
        "folder of uploads": storage.incoming_folder,
        "write": lambda: storage.write("a/b", b"x"),
        "info": lambda: storage.info("a/b"),
        "put_file": lambda: storage.put_file(hung_mount / "upload", "a/b"),
        "open": lambda: storage.in_thread((hung_mount / "upload").open, "wb", what="opening a temporary file"),
        "erase": lambda: storage.erase(["a/b"]),
    }
    with pytest.raises(StorageUnavailable, match="storage does not answer"):
        await calls[call]()
    await storage.close()


def test_the_limit_of_a_transfer_grows_with_its_bytes() -> None:
    limits = [storage_module._seconds_for(byte_count) for byte_count in (0, 1_000_000, 50_000_000, 500_000_000)]
    assert limits == sorted(set(limits))
    assert limits[2] >= 50_000_000 / 200_000


_EXHAUSTED = """
import asyncio, threading
from infra.storage import client as module
from infra.storage.client import Storage

class Hanging:
    def info(self, path):
        threading.Event().wait()

async def main():
    module._ANSWER_SECONDS = 0.01
    storage = Storage(Hanging(), "/root")
    while True:
        await asyncio.gather(*(storage.exists("key") for _ in range(64)), return_exceptions=True)

asyncio.run(main())
"""


@pytest.mark.embedded
def test_a_process_whose_storage_hangs_again_and_again_ends_with_an_error() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _EXHAUSTED], env={"PYTHONPATH": str(_ROOT)}, timeout=60, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "storage calls hang" in ended.stdout + ended.stderr
