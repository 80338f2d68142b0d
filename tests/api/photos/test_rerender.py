"""Rendering many photos again: exactly those that are asked for, bit by bit, and each once."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, select, update
from sqlmodel import col

from api.http.app_keys import DATABASE
from api.photos.rerender import ready_photos_by_recipe
from api.projection.apply import project
from api.store.tables import OutboxRow, PhotoRow
from infra.settings import Settings
from query_plans import statements_of
from result_events import failed, ready
from running_api import Running, running_api
from schemas import topics
from schemas.events import Event
from schemas.faults import FaultCode
from schemas.renditions import recipe_of
from schemas.storage_keys import key_of_original


@pytest.fixture
async def api(no_kafka: Settings, database_url: str) -> AsyncIterator[Running]:
    """An api without Kafka, on either database."""
    async with running_api(no_kafka.model_copy(update={"database_url": database_url})) as running:
        yield running


async def fold(api: Running, *events: Event) -> None:
    await api.app[DATABASE].write(lambda session: project(session, events))


async def retry(api: Running, path: str | None = None, **criteria: Any) -> dict[str, Any]:
    async with api.client.post(path or f"{api.photos}/retry", json=criteria) as response:
        assert response.status == 202, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer


async def uploads(api: Running) -> list[str]:
    """The photos of which the outbox has uploads, in its order."""
    async with api.app[DATABASE].reading() as session:
        rows = await session.scalars(select(OutboxRow).order_by(col(OutboxRow.id)))
        return [json.loads(row.value)["photo_id"] for row in rows if row.topic == topics.UPLOADED]


async def test_filters_meet(api: Running) -> None:
    box, other, fine = [await api.post(item_id=item) for item in ("box", "other", "box")]
    for shown, code in ((box, FaultCode.UNREADABLE), (other, FaultCode.RENDER_TIMEOUT)):
        await fold(api, failed(await api.upload_of(shown["id"]), code=code))
    await fold(api, ready(await api.upload_of(fine["id"])))
    now = datetime.now(UTC)

    async def count(**criteria: Any) -> int:
        found: int = (await retry(api, dry_run=True, **criteria))["count"]
        return found

    assert await count(status="failed") == 2
    assert await count(status="failed", item_id="box") == 1
    assert await count(code="render_timeout") == 1
    assert await count(status="ready", code="render_timeout") == 0
    assert await count(item_id="box") == 2
    assert await count(created_before=now.isoformat()) == 3
    assert await count(created_after=now.isoformat()) == 0
    assert await count(created_after=(now - timedelta(hours=1)).isoformat(), status="ready") == 1
    assert len(await uploads(api)) == 3, "a dry run publishes nothing"
    assert (await retry(api, code="unreadable"))["count"] == 1
    assert (await uploads(api))[3:] == [box["id"]]


async def test_stale_are_only_those_with_thumbnails_of_another_recipe(api: Running) -> None:
    stale, fresh, broken, waiting = [(await api.post())["id"] for _ in range(4)]
    today = recipe_of(api.settings.renditions)
    await fold(api, ready(await api.upload_of(stale)), failed(await api.upload_of(broken)))
    await fold(api, ready(await api.upload_of(fresh)).model_copy(update={"recipe": today}))
    assert (await retry(api, recipe="stale", dry_run=True))["count"] == 1
    assert (await retry(api, recipe="stale")) == {"count": 1, "next_cursor": None}
    assert (await uploads(api))[4:] == [stale]
    assert (await retry(api, recipe="stale"))["count"] == 0, "what is on its way already is not sent twice"
    await fold(api, ready(await api.upload_of(stale)).model_copy(update={"recipe": today}))
    assert (await retry(api, recipe="stale"))["count"] == 0
    assert waiting


async def test_a_cursor_leads_through_all_of_them_once(api: Running) -> None:
    posted = sorted([(await api.post(item_id="box"))["id"] for _ in range(7)])
    counts, cursor = [], None
    while True:
        answer = await retry(api, item_id="box", limit=3, cursor=cursor)
        counts.append(answer["count"])
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert counts == [3, 3, 1]
    assert (await uploads(api))[7:] == posted


async def test_no_more_are_sent_than_leave_room_for_new_uploads(api: Running) -> None:
    posted = [(await api.post(item_id="box"))["id"] for _ in range(6)]
    await fold(api, *[ready(await api.upload_of(each)) for each in posted])
    first = await retry(api, item_id="box", max_unfinished=4)
    assert first["count"] == 4
    assert await retry(api, item_id="box", max_unfinished=4, cursor=first["next_cursor"]) == first | {"count": 0}
    for each in (await uploads(api))[6:]:
        await fold(api, ready(await api.upload_of(each)))
    last = await retry(api, item_id="box", max_unfinished=4, cursor=first["next_cursor"])
    assert last == {"count": 2, "next_cursor": None}
    assert sorted((await uploads(api))[6:]) == sorted(posted)


async def test_an_admin_renders_again_in_every_workspace(api: Running) -> None:
    here, there = [(await api.post())["id"] for _ in range(2)]
    place = {"workspace_id": "there", "storage_key": key_of_original("there", UUID(there))}
    moved = update(PhotoRow).where(col(PhotoRow.id) == UUID(there)).values(place)
    await api.app[DATABASE].write(lambda session: session.execute(moved))
    assert (await retry(api, status="pending", dry_run=True))["count"] == 1
    assert (await retry(api, "/v1/photos/retry", status="pending"))["count"] == 2
    assert sorted((await uploads(api))[2:]) == sorted([here, there])
    editor = await api.signed_in_as("editor", "acme")
    async with api.client.post("/v1/photos/retry", json={"status": "failed"}, headers=editor) as response:
        assert response.status == 403


@pytest.mark.parametrize(
    "criteria",
    [{}, {"limit": 5}, {"status": "gone"}, {"status": "failed", "limit": 0}, {"recipe": "fresh"}, {"item": "x"}],
)
async def test_criteria_that_choose_nothing_or_are_unknown_are_refused(
    lonely_api: Running, criteria: dict[str, Any]
) -> None:
    async with lonely_api.client.post(f"{lonely_api.photos}/retry", json=criteria) as response:
        assert response.status == 400


async def test_ready_photos_are_counted_by_the_recipe_of_their_thumbnails(api: Running) -> None:
    today = recipe_of(api.settings.renditions)
    for recipe in (today, "older", "older", "oldest"):
        await fold(api, ready(await api.upload_of((await api.post())["id"])).model_copy(update={"recipe": recipe}))
    failing = await api.post()
    await fold(api, failed(await api.upload_of(failing["id"]), code=FaultCode.UNREADABLE))

    async def recipes() -> dict[str, Any]:
        async with api.client.get("/v1/recipes") as response:
            assert response.status == 200
            found: dict[str, Any] = await response.json()
            return found

    found = await recipes()
    assert found["recipe"] == today
    assert found["items"][0] == {"recipe": "older", "photos": 2}
    assert sorted(each["recipe"] for each in found["items"]) == sorted(["older", today, "oldest"])
    assert (await retry(api, dry_run=True, recipe="stale"))["count"] == 3
    await retry(api, recipe="stale")
    assert (await recipes())["items"] == [{"recipe": today, "photos": 1}]


async def test_photos_are_counted_by_recipe_in_an_index_that_has_no_more(no_kafka: Settings) -> None:
    async with running_api(no_kafka) as running:
        database = running.app[DATABASE]
        with statements_of(database) as statements:
            assert await database.run_read(ready_photos_by_recipe) == []
        ((statement, parameters),) = [each for each in statements if "GROUP BY photos.recipe" in each[0]]

        def plan(connection: Connection) -> list[str]:
            return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]

        assert "SCAN photos USING COVERING INDEX photos_ready_by_recipe" in await database.run_read(plan)
