"""Paths and keys are taken as they are, whatever characters they hold; no link leads out of the root."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.store.database import open_database
from infra.settings import Settings
from infra.storage.client import Storage, open_storage
from infra.storage.faults import KeyRefused, Missing
from schemas.faults import StorageUnavailable
from schemas.storage_keys import check_storage_key

ODD_FOLDERS = ["a?b", "a#b", "a%20b", "a%b", "a::b", "a b", "a*[b]", "memory::x", "a&c=d", "\u00e4\u65e5"]
ODD_KEYS = [
    "a/cat.jpg?versionId=abc", "a/cat?x=y", "a/cat#1", "a/100%25.jpg", "a/100%.jpg", "a/*.jpg", "a/[x].jpg",
    "a/{b}.jpg",    "a/~/b", "a/ b ", "a/b:c", "a/+&=;,", "a/\u00e4\u65e5\U0001f600",
]  # fmt: skip


def _names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ODD_FOLDERS)
@pytest.mark.database
async def test_a_data_directory_is_where_it_is_said_to_be(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    chosen = Settings(data_dir=folder, _env_file=None)
    storage, database = open_storage(chosen), open_database(chosen)
    await storage.write("a/b", b"x")
    await database.migrate()
    await database.check()
    await database.close()
    await storage.close()
    assert _names_in(tmp_path) == {name}
    assert (folder / "storage/a/b").read_bytes() == b"x"
    assert (folder / "thumbstream.sqlite").is_file()


@pytest.fixture(params=["file", "memory", "s3"])
async def storage(request, tmp_path):
    url = {"file": f"file://{tmp_path}/root", "memory": f"memory://{tmp_path.name}"}.get(request.param)
    chosen = Settings(storage_url=url) if url else Settings(**request.getfixturevalue("s3_storage").settings)
    opened = open_storage(chosen)
    yield opened
    await opened.close()


async def _names_one_file(storage: Storage, key: str, neighbour: str) -> None:
    await storage.write(neighbour, b"neighbour")
    with pytest.raises(Missing):
        await storage.info(key)
    assert await storage.erase([key]) <= 1  # S3 does not say whether there was one
    assert await storage.read(neighbour) == b"neighbour"
    await storage.write(key, b"own")
    assert await storage.read(key) == b"own"
    assert await storage.read(key, 2) == b"ow"
    assert b"".join([piece async for piece in storage.chunks(key)]) == b"own"
    async with storage.local_copy(await storage.info(key)) as path:
        assert path.read_bytes() == b"own"
    assert {file.key for file in await storage.list_under("a")} == {key, neighbour}
    await storage.erase([key])
    assert not await storage.exists(key)
    assert await storage.read(neighbour) == b"neighbour"
    await storage.erase([neighbour])


async def test_a_storage_that_lets_us_do_everything_lacks_no_right(storage: Storage) -> None:
    await storage.check()
    await storage.check_rights()
    assert [page async for page in storage.temporary_pages()] == []


async def test_a_key_names_exactly_one_file_in_every_call(storage: Storage, request) -> None:
    for key in ODD_KEYS:
        if not ("s3" in request.node.callspec.id and key.endswith(" ")):  # the tests' server keeps no such name
            await _names_one_file(storage, key, "a/cat.jpg")


_CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\")


def _is_key(text: str) -> bool:
    try:
        check_storage_key(f"a/{text}")
    except ValueError:
        return False
    return text != "neighbour" and len(text.encode()) < 200


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1).filter(_is_key)
)
def test_any_key_names_one_file_on_a_disk(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    async def scenario() -> None:
        storage = open_storage(Settings(storage_url=f"file://{tmp_path_factory.mktemp('root')}"))
        await _names_one_file(storage, f"a/{name}", "a/neighbour")
        await storage.close()

    asyncio.run(scenario())


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "below").mkdir(parents=True)
    (folder / "secret").write_bytes(b"secret")
    (folder / "below/secret").write_bytes(b"secret")
    return folder


async def test_no_link_leads_out_of_the_root(tmp_path: Path, outside: Path) -> None:
    root = tmp_path / "root"
    storage = open_storage(Settings(storage_url=f"file://{root}"))
    await storage.write("a/inside", b"inside")
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    (root / "a/up").symlink_to("../../outside/secret")
    (root / "a/within").symlink_to(root / "a/inside")
    upload = tmp_path / "upload"
    for key in ("file", "folder/secret", "a/up", "folder/below/secret"):
        for call in (storage.read(key), storage.info(key), anext(storage.chunks(key))):
            with pytest.raises(Missing):
                await call
        await storage.erase([key])
    upload.write_bytes(b"x")
    for call in (storage.write("folder/new", b"x"), storage.put_file(upload, "folder/new")):
        with pytest.raises(KeyRefused):
            await call
    assert await storage.list_under("folder") == []
    assert [page async for page in storage.pages_under("folder")] == []
    assert await storage.erase_under("folder") == 0
    assert (_names_in(outside), _names_in(outside / "below")) == ({"below", "secret"}, {"secret"})
    assert await storage.read("a/within") == b"inside"
    await storage.close()


async def test_writing_over_a_link_replaces_the_link_and_not_what_it_leads_to(tmp_path: Path, outside: Path) -> None:
    root = tmp_path / "root"
    storage = open_storage(Settings(storage_url=f"file://{root}"))
    await storage.write("a/inside", b"inside")
    (root / "a/link").symlink_to(outside / "secret")
    await storage.write("a/link", b"ours")
    assert (outside / "secret").read_bytes() == b"secret"
    assert await storage.read("a/link") == b"ours"
    await storage.close()


async def test_files_of_an_unmounted_disk_are_not_taken_for_erased(tmp_path: Path) -> None:
    storage = open_storage(Settings(storage_url=f"file://{tmp_path}/not-mounted"))
    for call in (storage.erase(["a/b"]), storage.erase_under("a")):
        with pytest.raises(StorageUnavailable):
            await call
    await storage.close()
