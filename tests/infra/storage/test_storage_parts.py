"""Large files go to S3 in parts, and what is broken off is erased."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.storage.client import open_storage
from infra.storage.parts import PART_BYTES
from s3_server import S3Location


@pytest.mark.parametrize("byte_count", [0, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 7])
async def test_a_file_of_any_number_of_parts_arrives_whole(
    s3_storage: S3Location, tmp_path: Path, byte_count: int
) -> None:
    content = bytes(range(251)) * (byte_count // 251 + 1)
    source = tmp_path / "upload"
    source.write_bytes(content[:byte_count])
    storage = open_storage(Settings(**s3_storage.settings))
    try:
        await storage.put_file(source, "originals/acme/1")
        assert await storage.read("originals/acme/1") == content[:byte_count]
        assert not source.exists()
        assert await storage.abort_uploads("originals", datetime.now(UTC) + timedelta(hours=1)) == 0
    finally:
        await storage.close()


async def test_only_what_was_begun_long_ago_and_not_ended_is_aborted(s3_storage: S3Location) -> None:
    storage = open_storage(Settings(**s3_storage.settings))
    try:
        await storage._call(storage._files.begin_parts, "originals/acme/1", what="beginning", seconds=20)
        assert await storage.abort_uploads("originals", datetime.now(UTC) - timedelta(hours=1)) == 0
        assert await storage.abort_uploads("originals", datetime.now(UTC) + timedelta(hours=1)) == 1
        assert await storage.abort_uploads("originals", datetime.now(UTC) + timedelta(hours=1)) == 0
    finally:
        await storage.close()
