import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.storage.client import Storage, open_storage
from infra.storage.faults import Missing
from infra.storage.stored_file import StoredFile
from schemas.faults import StorageUnavailable


@pytest.fixture(params=["file", "memory"])
async def storage(request, tmp_path):
    url = f"file://{tmp_path}/storage" if request.param == "file" else f"memory://{tmp_path.name}"
    opened = open_storage(Settings(storage_url=url))
    await opened.check()
    yield opened
    await opened.close()


async def test_what_is_written_is_read_again_whole_and_in_pieces(storage: Storage):
    content = bytes(range(256)) * 3000
    await storage.write("a/b/c.bin", content)
    assert await storage.read("a/b/c.bin") == content
    assert b"".join([chunk async for chunk in storage.chunks("a/b/c.bin")]) == content
    assert (await storage.info("a/b/c.bin")).size == len(content)
    async with storage.local_copy(await storage.info("a/b/c.bin")) as path:
        assert path.read_bytes() == content


async def test_a_second_write_replaces_the_first(storage: Storage):
    await storage.write("a", b"one")
    await storage.write("a", b"two")
    assert await storage.read("a") == b"two"


async def test_a_file_is_moved_into_storage(storage: Storage, tmp_path: Path):
    source = tmp_path / "upload"
    source.write_bytes(b"pixels")
    await storage.put_file(source, "originals/acme/1")
    assert await storage.read("originals/acme/1") == b"pixels"
    assert not source.exists()


@pytest.mark.parametrize("key", ["nothing", "a/nothing", "a"])
async def test_where_no_file_lies_it_is_missing_also_where_a_folder_does(storage: Storage, key: str):
    await storage.write("a/b", b"x")
    assert not await storage.exists(key)
    with pytest.raises(Missing):
        await storage.read(key)
    with pytest.raises(Missing):
        await storage.info(key)


async def test_erasing_tells_how_many_there_were_and_leaves_the_neighbours(storage: Storage):
    for key in ("t/1/a", "t/1/x/b", "t/10/c"):
        await storage.write(key, b"x")
    assert await storage.erase_under("t/1") == 2
    assert await storage.erase_under("t/1") == 0
    assert [file.key for file in await storage.list_under("t")] == ["t/10/c"]
    assert await storage.erase(["t/10/c", "t/10/c"]) == 1


async def test_a_key_that_is_no_key_is_refused_before_anything_is_touched(storage: Storage):
    with pytest.raises(ValueError, match="storage key"):
        await storage.read("../secrets")


async def test_writers_and_an_eraser_of_one_folder_do_not_fail_each_other(tmp_path):
    storage = open_storage(Settings(storage_url=f"file://{tmp_path}"))
    for _ in range(30):
        writes = [storage.write(f"p/q/{number}", b"x") for number in range(4)]
        await asyncio.gather(*writes, storage.erase_under("p"))
    await storage.erase_under("p")
    assert await storage.list_under("p") == []
    await storage.close()


async def test_a_root_that_cannot_be_written_is_unavailable(tmp_path):
    (tmp_path / "file").write_bytes(b"no folder")
    storage = open_storage(Settings(storage_url=f"file://{tmp_path}/file/root"))
    with pytest.raises(StorageUnavailable):
        await storage.check()
    await storage.close()


async def test_a_root_that_is_not_there_says_nothing_about_one_file(tmp_path):
    storage = open_storage(Settings(storage_url=f"file://{tmp_path}/not-mounted"))
    with pytest.raises(StorageUnavailable):
        await storage.info("originals/acme/1")
    await storage.close()


@pytest.fixture(params=["file", "memory", "s3"])
async def any_storage(request, tmp_path):
    url = {"file": f"file://{tmp_path}/storage", "memory": f"memory://{tmp_path.name}"}.get(request.param)
    settings = Settings(storage_url=url) if url else Settings(**request.getfixturevalue("s3_storage").settings)
    opened = open_storage(settings)
    yield opened
    await opened.close()


async def test_a_look_tells_a_files_size_and_what_lies_in_a_folder_and_needs_only_the_file(any_storage: Storage):
    for key in ("originals/acme/1", "t/1/a", "t/1/b", "t/1/.incoming-c", "t/10/d"):
        await any_storage.write(key, b"four")
    stored, lying = await any_storage.look("originals/acme/1", "t/1")
    assert (stored.key, stored.size) == ("originals/acme/1", 4)
    assert lying is not None
    assert {file.key for file in lying} == {"t/1/a", "t/1/b"}
    assert (await any_storage.look("originals/acme/1", "t/2"))[1] == []
    with pytest.raises(Missing, match="originals/acme/2"):
        await any_storage.look("originals/acme/2", "t/1")


async def test_files_are_written_whether_or_not_the_other_file_still_lies_there_and_it_is_told(any_storage: Storage):
    await any_storage.write("originals/acme/1", b"x")
    assert await any_storage.write_and_recheck({"t/1/a": b"aa", "t/1/b": b"b"}, "originals/acme/1")
    assert await any_storage.write_and_recheck({}, "originals/acme/1")
    assert not await any_storage.write_and_recheck({"t/1/a": b"cc"}, "originals/acme/2")
    assert (await any_storage.read("t/1/a"), await any_storage.read("t/1/b")) == (b"cc", b"b")


async def test_a_root_that_goes_while_files_are_written_is_no_file_that_is_gone(tmp_path):
    storage = open_storage(Settings(storage_url=f"file://{tmp_path}/not-mounted"))
    with pytest.raises(StorageUnavailable):
        await storage.write_and_recheck({}, "originals/acme/1")
    with pytest.raises(StorageUnavailable):
        await storage.look("originals/acme/1", "t/1")
    await storage.close()


async def pages(listing: AsyncIterator[list[StoredFile]]) -> list[list[StoredFile]]:
    return [page async for page in listing]


async def test_a_folder_is_listed_in_pages_with_what_is_temporary_and_when_it_changed(any_storage: Storage, request):
    before = datetime.now(UTC) - timedelta(seconds=2)
    keys = {f"thumbnails/acme/{number}/x/small.webp" for number in range(7)}
    for key in (*keys, "thumbnails/acme/0/.incoming-1", "thumbnails-2/a", "originals/acme/1"):
        await any_storage.write(key, b"four")
    found = await pages(any_storage.pages_under("thumbnails", page_files=3))
    assert [len(page) for page in found] == [3, 3, 2]
    files = [file for page in found for file in page]
    assert {file.key for file in files if not file.is_temporary} == keys
    assert [file.key for file in files if file.is_temporary] == ["thumbnails/acme/0/.incoming-1"]
    assert {file.size for file in files} == {4}
    times = [file.modified_at for file in files if file.modified_at is not None]
    assert all(before < at < datetime.now(UTC) + timedelta(seconds=2) for at in times)
    assert len(times) == (0 if "memory" in request.node.name else len(files))
    assert await pages(any_storage.pages_under("nothing")) == []


async def test_temporary_files_are_found_at_the_root_and_in_their_folder_only(any_storage: Storage):
    for key in (".incoming-uploads/a", ".incoming-check-b", "originals/acme/1", "other"):
        await any_storage.write(key, b"x")
    found = {file.key for page in await pages(any_storage.temporary_pages()) for file in page}
    assert found == {".incoming-uploads/a", ".incoming-check-b"}


async def test_only_empty_folders_are_pruned_and_never_a_top_one(tmp_path: Path):
    storage = open_storage(Settings(storage_url=f"file://{tmp_path}"))
    for key in ("thumbnails/acme/1/x/small.webp", "thumbnails/acme/2/y/small.webp"):
        await storage.write(key, b"x")
    await storage.erase(["thumbnails/acme/1/x/small.webp"])
    await storage.prune_folders(["thumbnails/acme/1/x/small.webp", "thumbnails/acme/2/y/small.webp", "originals/a/b"])
    assert sorted(path.name for path in (tmp_path / "thumbnails/acme").iterdir()) == ["2"]
    await storage.erase(["thumbnails/acme/2/y/small.webp"])
    await storage.prune_folders(["thumbnails/acme/2/y/small.webp"])
    assert [path.name for path in tmp_path.iterdir()] == ["thumbnails"]  # noqa: ASYNC240
    await storage.close()
