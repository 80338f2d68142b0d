"""Which photos a list has, and that none is made by looking at the whole workspace."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import Connection, insert, text

from api.http.app_keys import DATABASE
from api.photos import listing
from api.photos.duplicates import find_duplicates
from api.photos.listing import PhotoFilter, list_photos
from api.store.database import Database, open_database
from api.store.derived.figures import figures_after, figures_of
from api.store.derived.rows import facts_of, write_on
from api.store.derived.search_words import words_of
from api.store.tables import PhotoRow, PlainRow
from infra.settings import Settings
from photos import photo
from query_plans import check_plans, statements_of
from running_api import WORKSPACE, Running, form, running_api

NOON: Final = datetime(2025, 6, 1, 12, tzinfo=UTC)
#: Photos of the workspace whose lists are explained; no statement may look at a quarter of them.
MANY: Final = 6_000
#: The oldest of them are the only ones of their status.
FEW: Final = 40


@pytest.fixture
async def api(no_kafka: Settings, database_url: str) -> AsyncIterator[Running]:
    async with running_api(no_kafka.model_copy(update={"database_url": database_url})) as running:
        yield running


async def post(api: Running, filename: str, **fields: str) -> str:
    async with api.client.post(api.photos, data=form(photo(), filename, **fields)) as response:
        return str((await response.json())["id"])


async def ids_of(api: Running, **query: str) -> list[str]:
    return [each["id"] for each in (await api.get("", **query))["items"]]


async def test_photos_are_found_by_the_beginnings_of_their_words(api: Running) -> None:
    cat = await post(api, "IMG_0042.JPG", caption="A black Cat, asleep", item_id="shed-7")
    dog = await post(api, "dog.jpg", caption="Größe: ÉLÉPHANT")
    assert await ids_of(api, q="CAT") == [cat]
    assert await ids_of(api, q="sle") == []
    assert await ids_of(api, q="asl 0042") == [cat]
    assert await ids_of(api, q="asleep dog") == []
    assert await ids_of(api, q="shed-7") == [cat]
    assert await ids_of(api, q="elephant") == [dog]
    assert await ids_of(api, q="grösse") == [dog]
    assert await ids_of(api, q="jpg") == [dog, cat]
    assert await ids_of(api, q="cat", item_id="shed-7", status="pending") == [cat]
    async with api.client.patch(f"{api.photos}/{cat}", json={"caption": "a tiger"}) as response:
        assert response.status == 200
    assert await ids_of(api, q="cat") == []
    assert await ids_of(api, q="tiger") == [cat]
    async with api.client.get("/v1/workspaces/other/photos", params={"q": "jpg"}) as response:
        assert (await response.json())["items"] == []


async def test_frequent_words_find_every_photo_however_short_the_walk_of_a_page(
    api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_FEW_PHOTOS", 1)
    monkeypatch.setattr(listing, "_MAX_WALK", 2)
    posted = [await post(api, f"{'cat' if number % 4 == 0 else 'dog'}.jpg") for number in range(9)]
    found, query, pages = list[str](), {"q": "cat jpg", "limit": "2"}, 0
    while True:
        page = await api.get("", **query)
        found += [each["id"] for each in page["items"]]
        pages += 1
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found == posted[::-1][::4]
    assert pages > 2


async def test_a_list_can_be_of_some_ids_and_of_a_time(api: Running) -> None:
    posted = [await api.post() for _ in range(4)]
    ids, times = [each["id"] for each in posted], [each["created_at"] for each in posted]
    assert await ids_of(api, ids=f"{ids[2]},{ids[0]},{UUID(int=7)}") == [ids[2], ids[0]]
    assert await ids_of(api, created_after=times[1], created_before=times[3]) == [ids[2], ids[1]]
    assert await ids_of(api, created_after=times[3]) == [ids[3]]


async def test_a_list_of_several_statuses_has_each_of_their_photos_once_newest_first(api: Running) -> None:
    """Page by page, over two statuses that take turns and one that comes last."""
    many = FEW + 20
    await api.app[DATABASE].run_write(lambda connection: fill(connection, many, WORKSPACE), seconds=120)
    some_ids = ",".join(str(photo_id_of(number)) for number in range(30, 50))
    for together, numbers in (
        ({}, range(many)),
        ({"q": "img"}, range(many)),
        ({"ids": some_ids}, range(30, 50)),
        ({"created_before": "2025-06-01T12:00:45Z"}, range(45)),
    ):
        for status in ("ready,processing", "failed", "processing,pending", "failed,failed,processing,ready"):
            found, query = list[str](), {"status": status, "limit": "7", **together}
            while query.get("cursor") != "":
                page = await api.get("", **query)
                found += [each["id"] for each in page["items"]]
                query["cursor"] = page["next_cursor"] or ""
            wanted = [number for number in reversed(numbers) if status_of(number) in status.split(",")]
            assert found == [str(photo_id_of(number)) for number in wanted], (status, together)


async def test_a_wrong_status_among_several_is_named(lonely_api: Running) -> None:
    for status, wrong in (("ready,nope", "'nope'"), ("ready,", "''"), ("Ready", "'Ready'"), ("", "''")):
        async with lonely_api.client.get(lonely_api.photos, params={"status": status}) as response:
            assert response.status == 400
            (fault,) = (await response.json())["errors"]
        assert fault["field"] == "status"
        assert fault["message"].endswith(f"not {wrong}")
        assert "pending, processing, failed, ready" in fault["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ids", "x"), ("ids", ",".join([str(UUID(int=7))] * 201)), ("q", ""),
        ("q", "_ -"), ("q", "a" * 201), ("q", "a\0"),
        ("created_after", "yesterday"), ("created_before", "2025-06-01T12:00:00"),
    ],
)  # fmt: skip
async def test_a_bad_filter_is_told_so_by_field(lonely_api: Running, field: str, value: str) -> None:
    async with lonely_api.client.get(lonely_api.photos, params={field: value}) as response:
        assert (response.status, (await response.json())["errors"][0]["field"]) == (400, field)


def test_words_are_letters_and_digits_of_any_script_without_case_and_accents() -> None:
    assert words_of("IMG_0042.JPG", None, "Ça va, ça?") == ["img", "0042", "jpg", "ca", "va"]
    assert words_of("Straße 東京 ١٢") == ["strasse", "東京", "١٢"]
    assert words_of("x" * 500) == ["x" * 64]
    assert len(words_of(" ".join(map(str, range(1000))))) == 200


@pytest.fixture
async def large(tmp_path: Path, database_url: str) -> AsyncIterator[Database]:
    """A database whose one workspace has many photos."""
    database = open_database(Settings(data_dir=tmp_path, database_url=database_url, _env_file=None))
    await database.run_write(fill, seconds=120)
    yield database
    await database.close()


def status_of(number: int) -> str:
    return "processing" if number < FEW else "failed" if number % 2 else "ready"


def photo_id_of(number: int) -> UUID:
    return UUID(int=number * 0x9E3779B97F4A7C15)


def fill(connection: Connection, many: int = MANY, workspace_id: str = "acme") -> None:
    empty = dict.fromkeys(PhotoRow.__table__.c.keys())
    rows = [
        {
            **empty, "id": photo_id_of(number), "workspace_id": workspace_id,
            "storage_key": f"originals/{number}",
            "upload_event_id": "u", "status_event_id": "u", "uploaded_at": NOON, "status_at": NOON,
            "item_id": f"item{number // 4}", "filename": f"img_{number:05}.jpg", "display_order": number % 4,
            "is_primary": number % 4 == 0, "thumbnail_status": status_of(number), "attempts": 1,
            "is_lost": False, "republications": 0, "checksum": f"sha256:{number}",
            "perceptual_hash": f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}",
            "created_at": NOON + timedelta(seconds=number), "updated_at": NOON,
        }
        for number in range(many)
    ]  # fmt: skip
    connection.execute(insert(PhotoRow), rows)
    write_on(connection, [(row["id"], None, facts_of(PlainRow(**row))) for row in rows])
    connection.execute(text("ANALYZE"))


LISTS: Final = {
    "newest first": PhotoFilter(),
    "behind a photo": PhotoFilter(position=(NOON + timedelta(seconds=MANY // 2), UUID(int=0))),
    "of a status": PhotoFilter(status=["failed"], position=(NOON + timedelta(seconds=MANY // 2), UUID(int=0))),
    "of many statuses": PhotoFilter(status=["processing", "ready", "failed"]),
    "of statuses, behind a photo": PhotoFilter(
        status=["ready", "failed"], position=(NOON + timedelta(seconds=MANY // 2), UUID(int=0))
    ),
    "of rare statuses": PhotoFilter(status=["processing", "pending"]),
    "of statuses and frequent words": PhotoFilter(status=["ready", "failed"], words=("jpg", "img")),
    "of an item": PhotoFilter(item_id="item7"),
    "of an item, behind a photo": PhotoFilter(item_id="item7", position=(1, UUID(int=0))),
    "of ids": PhotoFilter(ids=[photo_id_of(number) for number in (5, 500, 5000)]),
    "of a time": PhotoFilter(created_after=NOON + timedelta(seconds=99), created_before=NOON + timedelta(seconds=199)),
    "of a rare word": PhotoFilter(words=("00042",)),
    "of a rare word and a frequent one": PhotoFilter(words=("jpg", "00042")),
    "of frequent words": PhotoFilter(words=("jpg", "img")),
}


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_looks_at_no_more_photos_than_it_shows(
    large: Database, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(listing, "_FEW_PHOTOS", 100)
    monkeypatch.setattr(listing, "_MAX_WALK", 200)
    with statements_of(large) as seen:
        async with large.reading() as session:
            rows, _ = await list_photos(session, "acme", LISTS[name])
    assert rows
    await check_plans(large, seen, most_rows=MANY // 3)


async def test_other_looks_at_a_workspace_read_no_more_than_they_need(large: Database) -> None:
    with statements_of(large) as seen:
        async with large.reading() as session:
            assert await find_duplicates(session, "acme", 4000 * 0x9E3779B97F4A7C15 % 2**64, "sha256:7", 20)
        assert (await large.run_read(lambda connection: figures_of(connection, "acme"))).counts["ready"] == (
            MANY - FEW
        ) // 2
        assert await large.run_read(lambda connection: figures_after(connection, "", 10))
    await check_plans(large, seen, most_rows=MANY // 4)


async def test_a_scan_of_the_workspace_would_be_seen(large: Database) -> None:
    with statements_of(large) as seen:
        async with large.reading() as session:
            await session.execute(text("SELECT id FROM photos WHERE workspace_id = 'acme' AND caption = 'x'"))
    with pytest.raises(AssertionError):
        await check_plans(large, seen, most_rows=MANY // 4)
    seen.clear()
    with statements_of(large) as seen:
        async with large.reading() as session:
            await session.execute(text("SELECT id FROM photos WHERE workspace_id = 'acme' ORDER BY filename LIMIT 5"))
    with pytest.raises(AssertionError):
        await check_plans(large, seen, most_rows=MANY // 4)
