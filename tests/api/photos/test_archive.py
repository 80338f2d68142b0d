"""Many originals as one zip."""

from datetime import UTC, datetime
from io import BytesIO
from uuid import UUID, uuid4
from zipfile import ZipFile

import pytest

from api.photos.filenames import entry_names
from api.store.tables import PhotoRow
from photos import photo
from running_api import Running, form


async def post(api: Running, content: bytes, filename: str) -> str:
    async with api.client.post(api.photos, data=form(content, filename)) as response:
        photo_id: str = (await response.json())["id"]
        return photo_id


async def test_a_zip_has_each_original_under_its_own_name_and_only_a_taken_name_gets_a_number(
    lonely_api: Running,
) -> None:
    contents = [photo(seed=number) for number in range(4)]
    names = ["cat.jpg", "dog.jpg", "cat.jpg", "../../etc/Cat.jpg"]
    ids = [await post(lonely_api, content, name) for content, name in zip(contents, names, strict=True)]
    query = {"ids": ",".join([*ids, ids[0]])}
    async with lonely_api.client.get(f"{lonely_api.photos}/download", params=query) as response:
        assert (response.status, response.content_type) == (200, "application/zip")
        archive = ZipFile(BytesIO(await response.read()))
    assert archive.testzip() is None
    assert archive.namelist() == ["cat.jpg", "dog.jpg", "cat (2).jpg", "Cat (3).jpg"]
    assert [archive.read(name) for name in archive.namelist()] == contents
    async with lonely_api.client.post(f"{lonely_api.photos}/download", json={"ids": [*ids, ids[0]]}) as response:
        assert (response.status, response.content_type) == (200, "application/zip")
        assert ZipFile(BytesIO(await response.read())).namelist() == archive.namelist()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"ids": []}, 400), ({"ids": ["x"]}, 400), ({}, 400), ({"ids": [str(UUID(int=n)) for n in range(501)]}, 400),
        ({"ids": [str(UUID(int=7))]}, 404), ({"ids": [str(UUID(int=n)) for n in range(500)]}, 404),
    ],
)  # fmt: skip
async def test_a_zip_by_post_of_what_is_not_there_is_a_problem(
    lonely_api: Running, body: dict[str, list[str]], status: int
) -> None:
    async with lonely_api.client.post(f"{lonely_api.photos}/download", json=body) as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")


@pytest.mark.parametrize(("ids", "status"), [("", 400), ("x", 400), ("0198f0c2-0000-7000-8000-000000000000", 404)])
async def test_a_zip_of_what_is_not_there_is_a_problem(lonely_api: Running, ids: str, status: int) -> None:
    async with lonely_api.client.get(f"{lonely_api.photos}/download", params={"ids": ids}) as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")


@pytest.mark.parametrize(
    "filename",
    [
        "..",
        "...",
        "/",
        "C:\\",
        "\\..\\..\\x",
        None,
        " . ",
        "a\u202egpj.exe",
        "\u2066\x9b\u200f",
        "\x1b[31m.png",
        "a\nb",
    ],
)
def test_no_name_leads_out_of_the_folder_that_a_zip_is_unpacked_into(filename: str | None) -> None:
    row = PhotoRow(id=uuid4(), workspace_id="acme", filename=filename, created_at=datetime.now(UTC))
    row.updated_at = row.created_at
    (name,) = entry_names([row])
    assert name
    assert "/" not in name
    assert "\\" not in name
    assert name.strip(". ")
    assert name.isprintable()
