"""Posting photos, with Kafka away throughout."""

import asyncio
import json
import os
import time
from io import BytesIO
from pathlib import Path
from uuid import UUID

import pytest
from aiohttp import ClientSession, FormData
from PIL import Image
from sqlalchemy import select

from api.app import build_api
from api.http.app_keys import DATABASE
from api.photos.filenames import plain_filename
from api.photos.housekeeping import clear_incoming
from api.store.tables import OutboxRow, PhotoRow
from infra.settings import Settings
from photos import photo
from polling import poll_async
from running_api import Running, form, running_api


def incoming(running: Running) -> list[Path]:
    """What is left of uploads on their way."""
    return list((running.settings.data_dir / "storage" / ".incoming-uploads").glob("*"))


async def outbox(running: Running) -> list[OutboxRow]:
    async with running.app[DATABASE].reading() as session:
        return list((await session.scalars(select(OutboxRow))).all())


async def answer(running: Running, data: object, **headers: str) -> tuple[int, dict[str, object]]:
    async with running.client.post(running.photos, data=data, headers=headers) as response:
        assert response.content_type in ("application/problem+json", "application/json")
        return response.status, await response.json()


async def test_a_posted_photo_is_pending_stored_and_in_the_outbox_with_kafka_away(lonely_api: Running) -> None:
    content = photo()
    async with lonely_api.client.post(
        lonely_api.photos,
        data=form(content, item_id="box", caption="A cat"),
        headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"},
    ) as response:
        body = await response.json()
        assert response.status == 201
        assert response.headers["Location"] == f"{lonely_api.photos}/{body['id']}"
    assert UUID(body["id"]).version == 7
    assert (body["thumbnail_status"], body["item_id"], body["caption"]) == ("pending", "box", "A cat")
    assert (body["content_type"], body["file_size"], body["filename"]) == ("image/jpeg", len(content), "cat.jpg")
    assert (body["is_primary"], body["display_order"], body["thumbnails"], body["error"]) == (True, 0, {}, None)
    assert await lonely_api.get(f"/{body['id']}") == body
    assert await lonely_api.stored_files() == [f"originals/acme/{body['id']}"]
    (row,) = await outbox(lonely_api)
    event = json.loads(row.value)
    assert (row.topic, row.key, event["photo_id"]) == ("photos.uploaded", body["id"], body["id"])
    assert event["checksum"] == body["checksum"]
    headers = dict(row.headers)
    assert headers["ce_id"] == event["event_id"]
    assert headers["traceparent"] == f"00-{'a' * 32}-{'b' * 16}-01"
    assert incoming(lonely_api) == []


@pytest.mark.parametrize("after", [True, False])
async def test_fields_may_come_before_or_after_the_file(lonely_api: Running, after: bool) -> None:
    data = FormData()
    if not after:
        data.add_field("caption", "grüße")
    data.add_field("photo", photo(), filename="x.jpg")
    if after:
        data.add_field("caption", "grüße")
    status, body = await answer(lonely_api, data)
    assert (status, body["caption"]) == (201, "grüße")


def png_bomb() -> bytes:
    file = BytesIO()
    Image.new("1", (16000, 16000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"#!/bin/sh\nexit 1\n", 415, "unsupported_format"),
        (b"%PDF-1.7 " + b"x" * 5000, 415, "unsupported_format"),
        (photo()[:10], 422, "unreadable"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, 422, "unreadable"),
        (png_bomb(), 422, "too_many_pixels"),
        (b"", 400, None),
    ],
)
async def test_what_cannot_be_rendered_is_refused_and_leaves_nothing(
    lonely_api: Running, content: bytes, status: int, code: str | None
) -> None:
    answered, body = await answer(lonely_api, form(content))
    assert (answered, body.get("code")) == (status, code)
    assert body["status"] == status
    assert await lonely_api.stored_files() == []
    assert await outbox(lonely_api) == []
    assert incoming(lonely_api) == []


async def test_a_body_without_a_photo_is_told_so_by_field(lonely_api: Running) -> None:
    data = FormData({"caption": "no photo"})
    data.add_field("other", b"x", filename="x")
    status, body = await answer(lonely_api, data)
    assert status == 400
    assert body["errors"] == [{"field": "photo", "message": "is missing"}]
    status, body = await answer(lonely_api, b"{}")
    assert (status, body["errors"][0]["field"]) == (400, "photo")  # type: ignore[index]


@pytest.mark.parametrize(
    ("field", "value"),
    [("item_id", "x" * 256), ("item_id", "a\0b"), ("caption", "x" * 10_001), ("caption", "y" * 90_000)],
)
async def test_a_bad_field_is_named(lonely_api: Running, field: str, value: str) -> None:
    status, body = await answer(lonely_api, form(photo(), **{field: value}))
    assert (status, body["errors"][0]["field"]) == (400, field)  # type: ignore[index]
    assert incoming(lonely_api) == []


async def test_an_upload_over_the_limit_is_refused_from_its_length_or_while_it_is_read(
    no_kafka: Settings,
) -> None:
    settings = no_kafka.model_copy(update={"max_upload_bytes": 200_000})
    async with running_api(settings) as running:
        content = photo() + b"\0" * 200_000
        status, body = await answer(running, form(content))
        assert (status, body["code"]) == (413, "original_too_large")

        async def endless() -> object:
            head = b'--B\r\nContent-Disposition: form-data; name="photo"; filename="x"\r\n\r\n' + photo()
            yield head
            for _ in range(1000):
                yield b"\0" * 10_000

        status, body = await answer(running, endless(), **{"Content-Type": "multipart/form-data; boundary=B"})
        assert (status, body["code"]) == (413, "original_too_large")
        assert incoming(running) == []
        assert await running.stored_files() == []


async def test_a_client_that_goes_away_in_the_middle_leaves_nothing(lonely_api: Running) -> None:
    begun = asyncio.Event()

    async def half() -> object:
        yield b'--B\r\nContent-Disposition: form-data; name="photo"; filename="x"\r\n\r\n' + photo()
        begun.set()
        await asyncio.Event().wait()

    async with ClientSession(lonely_api.origin, headers=lonely_api.client.headers) as leaving:
        headers = {"Content-Type": "multipart/form-data; boundary=B"}
        posting = asyncio.create_task(leaving.post(lonely_api.photos, data=half(), headers=headers))
        await begun.wait()
        await poll_async(lambda: incoming(lonely_api), what="the upload has begun")
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)
    await poll_async(lambda: not incoming(lonely_api), what="nothing is left of it")
    assert (await lonely_api.get())["items"] == []


async def test_a_repeated_idempotency_key_returns_the_first_photo(lonely_api: Running) -> None:
    first = await answer(lonely_api, form(photo()), **{"Idempotency-Key": "k1"})
    again = await answer(lonely_api, form(photo()), **{"Idempotency-Key": "k1"})
    assert again == first
    assert len(await outbox(lonely_api)) == 1
    other = await answer(lonely_api, form(photo()), **{"Idempotency-Key": "k2"})
    assert other[1]["id"] != first[1]["id"]


@pytest.mark.parametrize(
    "other",
    [
        form(photo(seed=2)), form(photo(), caption="another"), form(photo(), item_id="another"),
        form(photo(), filename="dog.jpg"),
    ],
    ids=["file", "caption", "item", "filename"],
)  # fmt: skip
async def test_an_idempotency_key_of_another_request_is_refused_and_nothing_is_stored(
    lonely_api: Running, other: FormData
) -> None:
    status, first = await answer(lonely_api, form(photo()), **{"Idempotency-Key": "k1"})
    assert status == 201
    status, body = await answer(lonely_api, other, **{"Idempotency-Key": "k1"})
    assert (status, body["errors"][0]["field"]) == (422, "Idempotency-Key")  # type: ignore[index]
    assert await answer(lonely_api, form(photo()), **{"Idempotency-Key": "k1"}) == (201, first)
    assert len(await lonely_api.stored_files()) == 1


async def test_different_requests_at_once_with_one_idempotency_key_make_one_photo(lonely_api: Running) -> None:
    answers = await asyncio.gather(
        *(answer(lonely_api, form(photo(seed=n)), **{"Idempotency-Key": "k"}) for n in range(4))
    )
    assert sorted(status for status, _ in answers) == [201, 422, 422, 422]
    assert len(await lonely_api.stored_files()) == 1
    assert len(await outbox(lonely_api)) == 1


async def test_the_same_idempotency_key_at_once_makes_one_photo(lonely_api: Running) -> None:
    answers = await asyncio.gather(*(answer(lonely_api, form(photo()), **{"Idempotency-Key": "k"}) for _ in range(8)))
    assert {status for status, _ in answers} == {201}
    assert len({body["id"] for _, body in answers}) == 1
    assert len(await lonely_api.stored_files()) == 1
    assert len(await outbox(lonely_api)) == 1


async def test_first_photos_of_an_item_at_once_all_come_in_with_one_primary(lonely_api: Running) -> None:
    posted = await asyncio.gather(*(lonely_api.post(item_id="box") for _ in range(10)))
    assert sorted(body["display_order"] for body in posted) == list(range(10))
    assert sum(body["is_primary"] for body in posted) == 1


async def test_a_photo_that_cannot_be_written_down_leaves_no_original(
    lonely_api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lonely_api.app[DATABASE]._engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE outbox")
    status, body = await answer(lonely_api, form(photo()))
    assert status == 503
    assert "outbox" not in json.dumps(body)
    assert await lonely_api.stored_files() == []
    async with lonely_api.app[DATABASE].reading() as session:
        assert (await session.scalars(select(PhotoRow))).all() == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"), ("C:\\photos\\cat.jpg", "cat.jpg"), ("a\r\nb\0.jpg", "ab.jpg"),
        ("x" * 300 + ".jpg", "x" * 251 + ".jpg"), ("..", ".."), ("/", None), (None, None),
        ("Käse 猫.heic", "Käse 猫.heic"),
    ],
)  # fmt: skip
def test_a_filename_is_data_without_folders(given: str | None, kept: str | None) -> None:
    assert plain_filename(given) == kept


def test_only_old_temporary_files_of_uploads_are_cleared(tmp_path: Path) -> None:
    for name, age_seconds in {".incoming-old": 3700, ".incoming-new": 3500, "other": 3700}.items():
        (tmp_path / name).write_bytes(b"half a photo")
        then = time.time() - age_seconds
        os.utime(tmp_path / name, (then, then))
    (tmp_path / ".incoming-uploads").mkdir()
    assert clear_incoming(tmp_path, 3600) == 1
    assert {path.name for path in tmp_path.iterdir()} == {".incoming-new", "other", ".incoming-uploads"}


def test_building_the_api_makes_its_keys_and_opens_nothing_else(tmp_path: Path) -> None:
    build_api(Settings(data_dir=tmp_path, _env_file=None))
    assert {entry.name for entry in tmp_path.iterdir()} == {"admin.key", "url_signing.keys"}


async def test_a_camera_raw_file_is_refused_by_its_kind(lonely_api: Running) -> None:
    status, problem = await answer(lonely_api, form(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(200)))
    assert (status, problem["code"]) == (415, "unsupported_format")
    assert "camera raw file (CR3)" in str(problem["detail"])
