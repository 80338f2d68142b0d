"""Lists, changes, deletions, renderings anew: over HTTP, on both databases."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlmodel import col
from yarl import URL

from api.http.app_keys import DATABASE, STORAGE
from api.projection.apply import project
from api.store.tables import JournalRow, OutboxRow
from infra.settings import Settings
from photos import photo
from result_events import failed, ready, started
from running_api import WORKSPACE, Running, running_api
from schemas.events import Event


@pytest.fixture
async def api(no_kafka: Settings, database_url: str) -> AsyncIterator[Running]:
    """An api without Kafka, on either database."""
    async with running_api(no_kafka.model_copy(update={"database_url": database_url})) as running:
        yield running


async def fold(api: Running, *events: Event) -> None:
    await api.app[DATABASE].write(lambda session: project(session, events))


async def events_in_outbox(api: Running) -> list[tuple[str, dict[str, Any]]]:
    async with api.app[DATABASE].reading() as session:
        rows = (await session.scalars(select(OutboxRow).order_by(col(OutboxRow.id)))).all()
    return [(row.topic, json.loads(row.value)) for row in rows]


async def journal(api: Running) -> list[str]:
    async with api.app[DATABASE].reading() as session:
        return list((await session.scalars(select(col(JournalRow.event)).order_by(col(JournalRow.seq)))).all())


async def ask(api: Running, method: str, path: str, body: object = None) -> tuple[int, Any]:
    async with api.client.request(method, path, json=body) as response:
        text = await response.text()
        return response.status, json.loads(text) if text else None


async def all_pages(api: Running, **query: str) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = await api.get("", **query, **({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) <= int(query["limit"])
        found += [photo["id"] for photo in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def test_pages_go_through_all_photos_newest_first(api: Running) -> None:
    posted = [(await api.post())["id"] for _ in range(7)]
    assert await all_pages(api, limit="3") == posted[::-1]
    assert await all_pages(api, limit="7") == posted[::-1]


async def test_an_item_is_listed_by_display_order(api: Running) -> None:
    posted = [(await api.post(item_id="a/b ü"))["id"] for _ in range(5)]
    await api.post(item_id="other")
    new_order = [posted[3], posted[0], posted[4], posted[1], posted[2]]
    path = f"/v1/workspaces/{WORKSPACE}/items/a%2Fb%20%C3%BC/photo-order"
    async with api.client.put(URL(api.origin + path, encoded=True), json={"photo_ids": new_order}) as response:
        assert response.status == 204
    assert await all_pages(api, limit="2", item_id="a/b ü") == new_order


async def test_a_list_can_be_of_one_status(api: Running) -> None:
    posted = [(await api.post())["id"] for _ in range(3)]
    await fold(api, failed(await api.upload_of(posted[1])))
    assert await all_pages(api, limit="1", status="failed") == [posted[1]]
    assert await all_pages(api, limit="1", status="pending") == [posted[2], posted[0]]
    assert await all_pages(api, limit="1", status="ready") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "done"), ("limit", "0"), ("limit", "201"), ("limit", "ten"), ("limit", "-1"), ("limit", "٣"),
        ("cursor", "x"), ("cursor", "WyJvIiwxLCJ6Il0"), ("cursor", "bnVsbA"), ("cursor", "é"), ("item_id", ""),
    ],
)  # fmt: skip
async def test_a_bad_query_is_told_so_by_field(lonely_api: Running, field: str, value: str) -> None:
    async with lonely_api.client.get(lonely_api.photos, params={field: value}) as response:
        assert response.status == 400
        assert response.content_type == "application/problem+json"
        assert (await response.json())["errors"][0]["field"] == field


async def test_unknown_photos_and_those_of_others_get_the_same_404(api: Running) -> None:
    posted = await api.post()
    answers = [
        await ask(api, method, path, body)
        for path in (f"{api.photos}/{uuid4()}", f"/v1/workspaces/other/photos/{posted['id']}")
        for method, body in (("GET", None), ("PATCH", {"caption": "x"}), ("DELETE", None))
    ]
    told = [{**body, "request_id": ""} for _, body in answers]
    assert all(body == told[0] for body in told)
    assert {status for status, _ in answers} == {404}
    assert (await ask(api, "GET", f"{api.photos}/{posted['id']}"))[0] == 200
    status, body = await ask(api, "GET", f"{api.photos}/not-a-uuid")
    assert (status, body["errors"][0]["field"]) == (400, "id")
    status, body = await ask(api, "GET", "/v1/workspaces/.hidden/photos")
    assert (status, body["errors"][0]["field"]) == (400, "workspace_id")


async def test_a_caption_is_changed_kept_and_cleared(api: Running) -> None:
    posted = await api.post(caption="old")
    path = f"{api.photos}/{posted['id']}"
    assert (await ask(api, "PATCH", path, {"caption": "new"}))[1]["caption"] == "new"
    upload = await api.upload_of(posted["id"])
    await fold(api, upload.model_copy(update={"caption": "old"}), ready(upload))
    assert (await api.get(f"/{posted['id']}"))["caption"] == "new"
    assert (await ask(api, "PATCH", path, {"caption": None}))[1]["caption"] is None


@pytest.mark.parametrize(
    "body", [{}, {"caption": 1}, {"caption": "a\0"}, {"is_primary": False}, {"status": "ready"}, [1], 1]
)
async def test_a_bad_change_is_a_problem(lonely_api: Running, body: object) -> None:
    posted = await lonely_api.post()
    status, problem = await ask(lonely_api, "PATCH", f"{lonely_api.photos}/{posted['id']}", body)
    assert (status, problem["status"]) == (400, 400)


async def test_an_item_has_one_primary_photo_whatever_is_done(api: Running) -> None:
    first, second, third = [(await api.post(item_id="box"))["id"] for _ in range(3)]

    async def primary() -> list[str]:
        return [photo["id"] for photo in (await api.get("", item_id="box"))["items"] if photo["is_primary"]]

    assert await primary() == [first]
    assert (await ask(api, "PATCH", f"{api.photos}/{third}", {"is_primary": True}))[1]["is_primary"]
    assert await primary() == [third]
    assert (await ask(api, "DELETE", f"{api.photos}/{third}"))[0] == 204
    assert await primary() == [first]
    assert (await ask(api, "DELETE", f"{api.photos}/{first}"))[0] == 204
    assert await primary() == [second]
    assert (await api.post(item_id="box"))["display_order"] == 1


@pytest.mark.parametrize("mistake", ["one too few", "one twice", "a stranger", "no uuid"])
async def test_an_order_must_be_exactly_the_photos_of_the_item(lonely_api: Running, mistake: str) -> None:
    one, two = [(await lonely_api.post(item_id="box"))["id"] for _ in range(2)]
    wrong = {
        "one too few": [one], "one twice": [one, one], "a stranger": [one, str(uuid4())], "no uuid": [one, "x"],
    }[mistake]  # fmt: skip
    path = f"/v1/workspaces/{WORKSPACE}/items/box/photo-order"
    status, _ = await ask(lonely_api, "PUT", path, {"photo_ids": wrong})
    assert status == 400
    assert [photo["id"] for photo in (await lonely_api.get("", item_id="box"))["items"]] == [one, two]
    assert (await ask(lonely_api, "PUT", path.replace("box", "none"), {"photo_ids": []}))[0] == 404


async def test_a_deleted_photo_is_gone_and_its_files_are_asked_to_go(api: Running) -> None:
    posted = await api.post()
    assert (await ask(api, "DELETE", f"{api.photos}/{posted['id']}"))[0] == 204
    assert (await ask(api, "GET", f"{api.photos}/{posted['id']}"))[0] == 404
    assert (await ask(api, "DELETE", f"{api.photos}/{posted['id']}"))[0] == 404
    topic, event = (await events_in_outbox(api))[-1]
    assert (topic, event["photo_id"]) == ("photos.deleted", posted["id"])
    assert event["storage_key"] == f"originals/{WORKSPACE}/{posted['id']}"
    assert await journal(api) == ["photos.uploaded", "photos.deleted"]


async def test_a_deleted_item_takes_all_its_photos_with_it(api: Running) -> None:
    for _ in range(3):
        await api.post(item_id="box")
    kept = await api.post(item_id="other")
    assert (await ask(api, "DELETE", f"/v1/workspaces/{WORKSPACE}/items/box"))[0] == 204
    assert [photo["id"] for photo in (await api.get())["items"]] == [kept["id"]]
    assert [topic for topic, _ in await events_in_outbox(api)].count("photos.deleted") == 3
    assert (await ask(api, "DELETE", f"/v1/workspaces/{WORKSPACE}/items/box"))[0] == 404


async def test_bulk_requests_answer_for_each_id(api: Running) -> None:
    one, two = [(await api.post(item_id="box"))["id"] for _ in range(2)]
    unknown = str(uuid4())
    status, body = await ask(
        api, "POST", f"{api.photos}/bulk-caption", {"photo_ids": [one, unknown, two], "caption": "both"}
    )
    assert status == 200
    assert [each["result"] for each in body["results"]] == ["changed", "not_found", "changed"]
    assert {photo["caption"] for photo in (await api.get())["items"]} == {"both"}
    status, body = await ask(api, "POST", f"{api.photos}/bulk-delete", {"photo_ids": [one, one, unknown]})
    assert [each["result"] for each in body["results"]] == ["deleted", "deleted", "not_found"]
    (left,) = (await api.get())["items"]
    assert left["id"] == two
    assert left["is_primary"]
    for path in ("bulk-delete", "bulk-caption"):
        assert (await ask(api, "POST", f"{api.photos}/{path}", {"photo_ids": []}))[0] == 400


async def test_a_failed_photo_is_rendered_again_under_a_new_generation(api: Running) -> None:
    posted = await api.post(caption="kept")
    old = await api.upload_of(posted["id"])
    await fold(api, started(old), failed(old))
    assert (await api.get(f"/{posted['id']}"))["error"]["code"] == "unreadable"
    status, body = await ask(api, "POST", f"{api.photos}/{posted['id']}/retry")
    assert (status, body["thumbnail_status"], body["error"], body["attempts"]) == (202, "pending", None, 0)
    topic, event = (await events_in_outbox(api))[-1]
    assert (topic, event["caption"]) == ("photos.uploaded", "kept")
    assert event["event_id"] != old.event_id
    await fold(api, failed(old))
    assert (await api.get(f"/{posted['id']}"))["thumbnail_status"] == "pending"
    await fold(api, ready(await api.upload_of(posted["id"])))
    assert (await api.get(f"/{posted['id']}"))["thumbnail_status"] == "ready"


async def test_all_failed_photos_of_one_reason_are_rendered_again(api: Running) -> None:
    posted = [(await api.post())["id"] for _ in range(3)]
    for photo_id in posted[:2]:
        await fold(api, failed(await api.upload_of(photo_id)))
    path = f"{api.photos}/retry"
    assert await ask(api, "POST", path, {"status": "failed", "code": "render_timeout"}) == (202, again(0))
    assert await ask(api, "POST", path, {"status": "failed", "code": "unreadable"}) == (202, again(2))
    assert (await ask(api, "POST", path, {"status": "gone"}))[0] == 400
    assert {photo["thumbnail_status"] for photo in (await api.get())["items"]} == {"pending"}


def again(count: int) -> dict[str, Any]:
    return {"count": count, "next_cursor": None}


async def test_the_original_comes_back_with_its_type_and_may_be_kept_for_ever(lonely_api: Running) -> None:
    content = photo(kind="PNG")
    posted = await lonely_api.post(content)
    async with lonely_api.client.get(posted["original_url"]) as response:
        assert await response.read() == content
        assert response.content_type == "image/png"
        assert response.headers["Cache-Control"] == "private, max-age=31536000, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        tag = response.headers["ETag"]
    async with lonely_api.client.get(posted["original_url"], headers={"If-None-Match": tag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with lonely_api.client.head(posted["original_url"]) as response:
        assert response.headers["Content-Length"] == str(len(content))


async def test_a_thumbnail_comes_with_its_own_type_only_once_it_is_there(lonely_api: Running) -> None:
    posted = await lonely_api.post()
    path = f"{lonely_api.photos}/{posted['id']}/thumbnails"
    async with lonely_api.client.get(f"{path}/small") as response:
        assert (response.status, response.headers["Retry-After"]) == (404, "1")
        assert response.headers["Cache-Control"] == "no-store"
    event = ready(await lonely_api.upload_of(posted["id"]))
    await lonely_api.app[STORAGE].write(event.thumbnails["small"].storage_key, b"small")
    await fold(lonely_api, event)
    shown = await lonely_api.get(f"/{posted['id']}")
    for url in (shown["thumbnails"]["small"]["url"], f"{path}/small", f"{path}/small?v=outdated"):
        kept = "max-age=31536000, immutable" if url == shown["thumbnails"]["small"]["url"] else "no-cache"
        async with lonely_api.client.get(url) as response:
            assert (response.status, response.content_type, await response.read()) == (200, "image/webp", b"small")
            assert response.headers["Cache-Control"] == f"private, {kept}"
    async with lonely_api.client.get(f"{path}/huge") as response:
        assert response.status == 404
        assert "Retry-After" not in response.headers
    async with lonely_api.client.get(f"{path}/medium") as response:
        assert response.status == 404  # said to be there and lost since


async def test_an_address_that_may_be_kept_for_ever_never_shows_other_bytes(lonely_api: Running) -> None:
    posted = await lonely_api.post()
    upload = await lonely_api.upload_of(posted["id"])
    plain = [f"{lonely_api.photos}/{posted['id']}/{name}" for name in ("thumbnails/small", "original")]
    seen: dict[str, set[tuple[str, bytes]]] = {}
    tags: dict[str, str] = {}
    for number in range(3):
        again = upload.model_copy(
            update={
                "event_id": f"upload-{number}",
                "occurred_at": upload.occurred_at + timedelta(seconds=number),
                "storage_key": f"originals/{WORKSPACE}/{posted['id']}-{number}",
                "checksum": f"sha256:{number:064}",
            }
        )
        rendered = ready(again)
        small = rendered.thumbnails["small"].model_copy(
            update={"storage_key": f"thumbnails/{WORKSPACE}/small-{number}"}
        )
        rendered = rendered.model_copy(update={"thumbnails": {"small": small}})
        for key in (again.storage_key, small.storage_key):
            await lonely_api.app[STORAGE].write(key, photo() + f"bytes {number}".encode())
        await fold(lonely_api, again, rendered)
        shown = await lonely_api.get(f"/{posted['id']}")
        for address in (shown["thumbnails"]["small"]["url"], shown["original_url"], *plain):
            seen.setdefault(address, set())
        for address, answers in seen.items():
            async with lonely_api.client.get(address) as response:
                answers.add((response.headers["Cache-Control"], await response.read()))
        for address in plain:
            async with lonely_api.client.get(address, headers={"If-None-Match": tags.get(address, "")}) as response:
                assert response.status == 200, "what was kept of the rendering before is out of date"
                tags[address] = response.headers["ETag"]
            async with lonely_api.client.get(address, headers={"If-None-Match": tags[address]}) as response:
                assert response.status == 304
    assert len(seen) == 2 * 3 + 2
    for answers in seen.values():
        assert len({content for kept, content in answers if "immutable" in kept}) <= 1
    assert {kept for address in plain for kept, _ in seen[address]} == {"private, no-cache"}


@pytest.mark.parametrize("cursor", [["o", 2**31, 1], ["o", -1, 1], ["o", 1e300, 1], ["o", "1", 1], ["n", 10**30, 1]])
async def test_a_forged_cursor_is_a_bad_field(api: Running, cursor: list[object]) -> None:
    forged = base64.urlsafe_b64encode(json.dumps([*cursor[:2], uuid4().hex]).encode()).decode()
    query = {"item_id": "box"} if cursor[0] == "o" else {}
    async with api.client.get(api.photos, params={**query, "cursor": forged}) as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["field"] == "cursor"


async def test_the_thumbnail_of_a_failed_photo_is_not_to_be_waited_for(lonely_api: Running) -> None:
    posted = await lonely_api.post()
    await fold(lonely_api, failed(await lonely_api.upload_of(posted["id"])))
    async with lonely_api.client.get(f"{lonely_api.photos}/{posted['id']}/thumbnails/small") as response:
        assert response.status == 404
        assert "Retry-After" not in response.headers
        assert "the file is truncated" in (await response.json())["detail"]


async def changes(api: Running, after: int) -> list[tuple[str, int, bool, str | None]]:
    """What the feed tells of changes after so many journal rows, with each photo as it was then."""
    async with api.app[DATABASE].reading() as session:
        rows = (await session.scalars(select(JournalRow).order_by(col(JournalRow.seq)).offset(after))).all()
    shown = [row.photo for row in rows if row.event == "photo.changed"]
    return [(each["id"], each["display_order"], each["is_primary"], each["caption"]) for each in shown]


async def test_the_feed_tells_of_captions_orders_and_primaries(api: Running) -> None:
    one, two, three = [(await api.post(item_id="box"))["id"] for _ in range(3)]
    assert await changes(api, 0) == []
    await ask(api, "PATCH", f"{api.photos}/{two}", {"caption": "A cat"})
    assert await changes(api, 3) == [(two, 1, False, "A cat")]
    await ask(api, "PATCH", f"{api.photos}/{two}", {"caption": "A cat"})
    await ask(api, "POST", f"{api.photos}/bulk-caption", {"photo_ids": [two], "caption": "A cat"})
    assert await changes(api, 4) == [], "nothing has changed"
    await ask(api, "PATCH", f"{api.photos}/{two}", {"is_primary": True})
    assert sorted(await changes(api, 4)) == sorted([(one, 0, False, None), (two, 1, True, "A cat")])
    order = f"/v1/workspaces/{WORKSPACE}/items/box/photo-order"
    assert (await ask(api, "PUT", order, {"photo_ids": [two, one, three]}))[0] == 204
    assert sorted(await changes(api, 6)) == sorted([(two, 0, True, "A cat"), (one, 1, False, None)])
    await ask(api, "DELETE", f"{api.photos}/{two}")
    assert await changes(api, 8) == [(one, 0, True, None), (three, 1, False, None)]
    shown = [(each["id"], each["display_order"]) for each in (await api.get("", item_id="box"))["items"]]
    assert shown == [(one, 0), (three, 1)]


async def test_workspaces_are_listed_with_their_photos_and_bytes_for_admins(api: Running) -> None:
    assert await ask(api, "GET", "/v1/workspaces") == (200, {"items": [], "next_cursor": None})
    first, second = await api.post(), await api.post()
    await fold(api, failed(await api.upload_of(second["id"])))
    status, page = await ask(api, "GET", "/v1/workspaces?limit=1")
    counts = {"pending": 1, "processing": 0, "ready": 0, "failed": 1}
    size = first["file_size"] + second["file_size"]
    quota = {"max_photos": None, "max_bytes": None}
    assert (status, page["items"]) == (200, [{"id": WORKSPACE, "photos": 2, "counts": counts, "bytes": size, **quota}])
    assert (await ask(api, "GET", f"/v1/workspaces?limit=1&cursor={page['next_cursor']}"))[1]["items"] == []
    async with api.client.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    assert {'thumbstream_photos{status="failed"} 1.0', 'thumbstream_photos{status="pending"} 1.0'} <= set(lines)
    assert [float(line.split()[1]) for line in lines if line.startswith("thumbstream_photo_bytes ")] == [size]
    async with api.client.get("/v1/workspaces", headers=await api.signed_in_as("editor")) as response:
        assert response.status == 403
