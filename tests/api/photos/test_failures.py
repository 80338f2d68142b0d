"""Failed photos in groups: each failed photo in one of them, and as cheap as its groups are few."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import Connection, insert, text

from api.http.app_keys import DATABASE
from api.photos import failures
from api.photos.failures import FailureGroup, failure_groups
from api.projection.apply import project
from api.store.database import Database, open_database
from api.store.tables import PhotoRow
from infra.settings import Settings
from query_plans import check_plans, statements_of
from result_events import failed, ready
from running_api import Running
from schemas import topics
from schemas.events import PhotoUploaded
from schemas.faults import FaultCode
from schemas.records import API_SOURCE, Record, read_event, value_of

NOON: Final = datetime(2025, 6, 1, 12, tzinfo=UTC)
MANY: Final = 4_000

CODES: Final = ("unreadable", "render_timeout", "a_code_of_tomorrow")
TYPES: Final = (None, "", "image/jpeg", "image/heic")
PRODUCERS: Final = (None, "/shop/photos", API_SOURCE)


def rows() -> list[dict[str, Any]]:
    """Photos of two workspaces; every other one has failed, some of them before the time of a failure was kept."""
    empty = dict.fromkeys(PhotoRow.__table__.c.keys())
    return [
        {
            **empty, "id": UUID(int=number + 1), "workspace_id": "beta" if number % 7 == 0 else "acme",
            "thumbnail_status": "failed" if number % 2 else "ready", "attempts": 1, "display_order": 0,
            "error_code": CODES[number % 3] if number % 2 else None, "content_type": TYPES[number // 2 % 4],
            "producer": "/few" if number % 500 == 1 else PRODUCERS[number // 8 % 3],
            "status_changed_at": NOON + timedelta(seconds=number * 31 % 997) if number % 5 else None,
            "status_event_id": "u", "status_at": NOON, "is_primary": False, "is_lost": False, "republications": 0,
            "created_at": NOON, "updated_at": NOON,
        }
        for number in range(MANY)
    ]  # fmt: skip


def expected(workspace_id: str) -> dict[tuple[str, str | None], list[dict[str, Any]]]:
    """By code and content type, the last to fail first."""
    groups = defaultdict(list)
    for row in rows():
        if row["workspace_id"] == workspace_id and row["thumbnail_status"] == "failed":
            groups[row["error_code"], row["content_type"]].append(row)
    for group in groups.values():
        group.sort(key=lambda row: (row["status_changed_at"] or datetime.min.replace(tzinfo=UTC), row["id"]))
        group.reverse()
    return groups


@pytest.fixture
async def large(tmp_path: Path, database_url: str) -> AsyncIterator[Database]:
    database = open_database(Settings(data_dir=tmp_path, database_url=database_url, _env_file=None))

    def fill(connection: Connection) -> None:
        connection.execute(insert(PhotoRow), rows())
        if connection.dialect.name == "postgresql":  # which does so by itself; SQLite has no statistics
            connection.execute(text("ANALYZE"))

    await database.run_write(fill, seconds=120)
    yield database
    await database.close()


def groups_of(database: Database, workspace_id: str, producer: str | None = None) -> Any:
    return database.run_read(lambda connection: failure_groups(connection, workspace_id, producer))


async def test_every_failed_photo_is_in_the_group_of_its_code_and_content_type(large: Database) -> None:
    for workspace_id in ("acme", "beta", "empty"):
        wanted = expected(workspace_id)
        found: list[FailureGroup] = await groups_of(large, workspace_id)
        assert {(group.code, group.content_type): group.count for group in found} == {
            key: len(photos) for key, photos in wanted.items()
        }
        for group in found:
            photos = wanted[group.code, group.content_type]
            times = [row["status_changed_at"] for row in photos if row["status_changed_at"]]
            assert (group.first_at, group.last_at) == (min(times), max(times))
            assert group.samples == [row["id"] for row in photos[:5]]
            assert not group.has_more
            assert dict(group.producers) == Counter(row["producer"] for row in photos)
            assert group.producers[0][1] == max(count for _, count in group.producers)


@pytest.mark.parametrize("producer", ["/few", API_SOURCE, "/nobody"])
async def test_the_groups_of_one_producer_have_its_photos_only(large: Database, producer: str) -> None:
    wanted = {
        key: found
        for key, photos in expected("acme").items()
        if (found := [row for row in photos if row["producer"] == producer])
    }
    groups: list[FailureGroup] = await groups_of(large, "acme", producer)
    assert {(group.code, group.content_type): group.count for group in groups} == {
        key: len(photos) for key, photos in wanted.items()
    }
    for group in groups:
        photos = wanted[group.code, group.content_type]
        times = [row["status_changed_at"] for row in photos if row["status_changed_at"]]
        assert (group.first_at, group.last_at) == (min(times, default=None), max(times, default=None))
        assert group.samples[:1] == [photos[0]["id"]]
        assert set(group.samples) <= {row["id"] for row in photos}
        assert dict(group.producers)[producer] == group.count


async def test_a_group_is_counted_up_to_a_bound(large: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {key: len(photos) for key, photos in expected("acme").items()}
    bound = sorted(sizes.values())[len(sizes) // 2]
    monkeypatch.setattr(failures, "MAX_COUNT", bound)
    for group in await groups_of(large, "acme"):
        size = sizes[group.code, group.content_type]
        assert (group.count, group.has_more) == (min(size, bound), size > bound)


async def test_of_many_photos_few_are_looked_at(large: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "MAX_COUNT", 50)
    with statements_of(large) as seen:
        assert len(await groups_of(large, "acme")) == len(expected("acme"))
        await groups_of(large, "acme", "/few")
    await check_plans(large, seen, most_rows=MANY // 10)


async def test_the_answer_follows_the_photos_and_a_retry_can_be_of_one_group(lonely_api: Running) -> None:
    one, other, fine = [await lonely_api.post() for _ in range(3)]
    for shown, code in ((one, FaultCode.UNREADABLE), (other, FaultCode.RENDER_TIMEOUT)):
        event = failed(await lonely_api.upload_of(shown["id"]), code=code)
        await lonely_api.app[DATABASE].write(lambda session, event=event: project(session, [event]))
    done = ready(await lonely_api.upload_of(fine["id"]))
    await lonely_api.app[DATABASE].write(lambda session: project(session, [done]))

    async def answer(**query: str) -> dict[str, Any]:
        async with lonely_api.client.get("/v1/workspaces/acme/failures", params=query) as response:
            assert response.status == 200
            found: dict[str, Any] = await response.json()
            return found

    shown = await answer()
    assert shown["failed"] == 2
    assert [(group["code"], group["content_type"], group["count"]) for group in shown["groups"]] == [
        ("render_timeout", "image/jpeg", 1), ("unreadable", "image/jpeg", 1),
    ]  # fmt: skip
    assert [group["producers"] for group in shown["groups"]] == [[{"producer": API_SOURCE, "count": 1}]] * 2
    assert {photo["producer"] for group in shown["groups"] for photo in group["samples"]} == {API_SOURCE}
    assert [photo["id"] for group in shown["groups"] for photo in group["samples"]] == [other["id"], one["id"]]

    async def retry(**criteria: Any) -> int:
        async with lonely_api.client.post(f"{lonely_api.photos}/retry", json=criteria) as response:
            assert response.status == 202
            return int((await response.json())["count"])

    assert (await answer(producer="/shop"))["groups"] == []
    assert (await answer(producer=API_SOURCE))["groups"] == shown["groups"]

    assert await retry(status="failed", content_type="image/heic") == 0
    assert await retry(status="failed", producer="/shop") == 0
    assert await retry(code="render_timeout", producer=API_SOURCE, dry_run=True) == 1
    assert await retry(status="failed", code="render_timeout", content_type="image/jpeg") == 1
    assert [group["code"] for group in (await answer())["groups"]] == ["unreadable"]


async def test_a_page_is_told_what_its_key_may_do(lonely_api: Running) -> None:
    for role, workspace_id in (("viewer", "acme"), ("admin", None)):
        headers = await lonely_api.signed_in_as(role, workspace_id)  # type: ignore[arg-type]
        async with lonely_api.client.get("/session", headers=headers) as response:
            assert (await response.json()) == {"name": "admin", "role": role, "workspace_id": workspace_id}


async def test_a_photo_keeps_its_producer_when_the_api_has_it_rendered_again(lonely_api: Running) -> None:
    upload = PhotoUploaded(
        event_id="of the shop", occurred_at=NOON, photo_id=UUID(int=1), workspace_id="acme", storage_key="shop/1.jpg",
        producer="/shop/photos",
    )  # fmt: skip
    await lonely_api.app[DATABASE].write(lambda session: project(session, [upload, failed(upload)]))
    async with lonely_api.client.post(f"{lonely_api.photos}/{upload.photo_id}/retry") as response:
        assert response.status == 202
        assert (await response.json())["producer"] == "/shop/photos"
    again = await lonely_api.upload_of(str(upload.photo_id))
    assert again.event_id != upload.event_id
    assert read_event(Record(topics.UPLOADED, 0, 0, 0, None, value_of(again))).producer == "/shop/photos"  # type: ignore[union-attr]
