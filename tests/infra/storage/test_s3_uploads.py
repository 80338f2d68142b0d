"""Uploads to S3 arrive whole, take a bounded amount of memory, and leave nothing where they were broken off."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.settings import Settings
from infra.storage.blocking_files import PART_BYTES
from infra.storage.client import open_storage
from infra.storage.s3_uploads import UploadSlots
from s3_server import S3Location

_HOUR = timedelta(hours=1)


@pytest.mark.parametrize("byte_count", [0, 1, PART_BYTES, 2 * PART_BYTES - 1, 2 * PART_BYTES, 3 * PART_BYTES + 7])
async def test_a_file_of_any_size_arrives_whole(s3_storage: S3Location, tmp_path: Path, byte_count: int) -> None:
    content = (bytes(range(251)) * (byte_count // 251 + 1))[:byte_count]
    source = tmp_path / "upload"
    source.write_bytes(content)
    storage = open_storage(Settings(**s3_storage.settings))
    try:
        await storage.put_file(source, "originals/acme/1")
        assert await storage.read("originals/acme/1") == content
        assert not source.exists()
        assert await storage.abort_uploads("originals", datetime.now(UTC) + _HOUR) == 0
    finally:
        await storage.close()


async def test_only_what_was_begun_long_ago_and_not_ended_is_aborted(s3_storage: S3Location) -> None:
    storage = open_storage(Settings(**s3_storage.settings))
    bucket, key, _ = storage._fs.split_path(f"{storage._root}/originals/acme/1")
    try:
        await asyncio.to_thread(storage._fs.call_s3, "create_multipart_upload", Bucket=bucket, Key=key)
        assert await storage.abort_uploads("originals", datetime.now(UTC) - _HOUR) == 0
        assert await storage.abort_uploads("originals", datetime.now(UTC) + _HOUR) == 1
        assert await storage.abort_uploads("originals", datetime.now(UTC) + _HOUR) == 0
    finally:
        await storage.close()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10 * PART_BYTES), st.booleans()), max_size=30))
def test_what_is_in_memory_is_bounded_and_each_gets_its_turn(files: list[tuple[int, bool]]) -> None:
    slots, held, done = UploadSlots(), 0, list[int]()

    async def send(number: int, byte_count: int, fails: bool) -> None:
        nonlocal held
        async with slots.held(byte_count):
            taken = min(byte_count, 2 * PART_BYTES)
            held += taken
            assert held <= 4 * PART_BYTES
            await asyncio.sleep(0)
            held -= taken
            done.append(number)
            if fails:
                raise OSError("broken off")

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(send(number, *file)) for number, file in enumerate(files)]
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(all_of_them())
    assert sorted(done) == list(range(len(files)))
    assert held == 0


async def test_one_that_gives_up_waiting_leaves_the_room_to_others() -> None:
    slots = UploadSlots()
    async with slots.held(2 * PART_BYTES), slots.held(1):
        waiting = asyncio.create_task(slots.held(2 * PART_BYTES).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(10), slots.held(1):
            pass
