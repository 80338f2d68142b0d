"""The way of a photo through real processes: worker and api on a real broker, with real storage and a real database."""

import asyncio
import json
from io import BytesIO
from uuid import uuid4

import pytest
from PIL import Image

from deployment import WORKSPACE
from photos import photo, truncated_photo
from polling import poll_async
from schemas import topics

pytestmark = pytest.mark.timeout(240)


async def test_a_posted_photo_goes_pending_processing_ready_and_its_thumbnails_are_served(deployment):
    async with deployment.client() as client, client.feed() as feed:
        status, posted = await client.post(photo(1200, 900, orientation=6), item_id="crate-7", caption="front")
        assert (status, posted["thumbnail_status"], posted["thumbnails"]) == (201, "pending", {})
        events = await feed.until(topics.READY, posted["id"])
        assert events in (
            [topics.UPLOADED, topics.STARTED, topics.READY],
            [topics.UPLOADED, topics.READY],
        ), "started may be folded after ready, and then changes nothing"
        ready = await client.settled(posted["id"])
        assert (ready["thumbnail_status"], ready["width"], ready["height"]) == ("ready", 900, 1200)
        assert (ready["item_id"], ready["caption"], ready["error"]) == ("crate-7", "front", None)
        for name, size in {"small": (113, 150), "medium": (300, 400), "large": (600, 800)}.items():
            async with client.session.get(ready["thumbnails"][name]["url"]) as answer:
                assert (answer.status, answer.content_type) == (200, "image/webp")
                with Image.open(BytesIO(await answer.read())) as image:
                    assert image.size == size
        async with client.session.get(ready["original_url"]) as answer:
            assert await answer.read() == photo(1200, 900, orientation=6)


async def test_a_photo_that_another_service_put_into_storage_becomes_ready_a_row_and_a_feed_message(deployment):
    photo_id = str(uuid4())
    await deployment.storage.write("incoming/cat.png", photo(200, 100, kind="PNG"))
    event = {"photo_id": photo_id, "workspace_id": WORKSPACE, "storage_key": "incoming/cat.png"}
    async with deployment.client() as client, client.feed() as feed, deployment.producer() as producer:
        await producer.send_and_wait(topics.UPLOADED, json.dumps(event).encode(), key=photo_id.encode())
        await feed.until(topics.READY, photo_id)
        ready = await client.settled(photo_id)
        assert (ready["width"], ready["height"], ready["content_type"]) == (200, 100, "image/png")
        _, listed = await client.get("/photos?status=ready")
        assert photo_id in [row["id"] for row in listed["items"]]


async def test_a_broken_photo_fails_with_its_reason_and_one_that_is_no_image_is_refused(deployment):
    async with deployment.client() as client:
        status, posted = await client.post(truncated_photo())
        assert status == 201
        failed = await client.settled(posted["id"])
        assert (failed["thumbnail_status"], failed["error"]["code"]) == ("failed", "unreadable")
        assert failed["error"]["message"]
        status, problem = await client.post(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cat.jpg")
        assert (status, problem["status"]) == (415, 415)
        async with deployment.results() as results:
            events = await results.until(1, topics.FAILED)
            assert {event["error"]["code"] for event in events} == {"unreadable"}
            assert [event["photo_id"] for event in events].count(posted["id"]) == 1


async def test_a_record_that_is_no_event_is_buried_unchanged_and_holds_up_nothing(deployment):
    poison = [b"", b"\xff\x00", b"[]", b'{"photo_id": "x"}', b'{"photo_id": null, "storage_key": "../../etc/passwd"}']
    await deployment.storage.write("incoming/cat.jpg", photo())
    photo_ids = [str(uuid4()) for _ in poison]
    async with deployment.producer() as producer, deployment.results() as results:
        for value, photo_id in zip(poison, photo_ids, strict=True):
            event = {"photo_id": photo_id, "workspace_id": WORKSPACE, "storage_key": "incoming/cat.jpg"}
            await producer.send_and_wait(topics.UPLOADED, value, key=b"k", headers=[("mine", b"1"), ("ce_id", None)])
            empty = [("ce_id", None), ("traceparent", None), ("mine", None)]
            await producer.send_and_wait(topics.UPLOADED, json.dumps(event).encode(), key=b"k", headers=empty)
        await results.until_answered(photo_ids)
        await results.until(len(poison), topics.DEAD)
        dead = [record for record in results.records if record.topic == topics.DEAD]
        assert sorted(record.value for record in dead) == sorted(poison)
        for record in dead:
            headers = dict(record.headers)
            assert (record.key, headers["mine"], headers["ce_id"]) == (b"k", b"1", None)
            assert headers["thumbstream_source_topic"] == topics.UPLOADED.encode()
            assert headers["thumbstream_reason"]
        assert set(photo_ids) <= set(results.outcomes())


async def test_a_deleted_photo_leaves_no_row_and_no_file(deployment):
    async with deployment.client() as client, deployment.results() as results, client.feed() as feed:
        _, posted = await client.post(photo())
        await client.settled(posted["id"])
        async with client.session.delete(f"/v1/workspaces/{WORKSPACE}/photos/{posted['id']}") as answer:
            assert answer.status == 204
        assert (await client.get(f"/photos/{posted['id']}"))[0] == 404
        events = await feed.until(topics.FILES_DELETED, posted["id"])
        assert events[-2:] == [topics.DELETED, topics.FILES_DELETED]
        await results.until(1, topics.FILES_DELETED)
        files = [*await deployment.storage.list_under("originals"), *await deployment.storage.list_under("thumbnails")]
        assert [file for file in files if posted["id"] in file.key] == []


async def test_a_backlog_far_over_the_window_on_one_partition_is_answered_wholly(deployment):
    await deployment.storage.write("incoming/small.jpg", photo(64, 48))
    photo_ids = [str(uuid4()) for _ in range(300)]
    async with deployment.producer() as producer, deployment.results(topics.READY, topics.FAILED) as results:
        upload = {"workspace_id": WORKSPACE, "storage_key": "incoming/small.jpg"}
        values = [json.dumps({**upload, "photo_id": photo_id}).encode() for photo_id in photo_ids]
        sent = [await producer.send(topics.UPLOADED, value, key=b"one partition") for value in values]
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        for value, outcome in zip(values, outcomes, strict=True):
            if isinstance(outcome, Exception):  # the embedded broker may refuse a batch on a busy machine
                await producer.send_and_wait(topics.UPLOADED, value, key=b"one partition")
        await results.until_answered(photo_ids)
        assert deployment.workers[0].is_running


async def test_a_photo_that_takes_long_holds_up_no_other(deployment):
    slow = photo(9000, 9000, kind="PNG")
    async with deployment.client() as client:
        _, big = await client.post(slow)
        quick = [(await client.post(photo(seed=seed)))[1]["id"] for seed in range(6)]
        await asyncio.gather(*(client.settled(photo_id) for photo_id in quick))
        assert (await client.settled(big["id"]))["thumbnail_status"] == "ready"


async def test_a_feed_that_comes_back_with_its_cursor_misses_nothing_also_after_the_api_restarted(deployment):
    async with deployment.client() as client:
        async with client.feed() as feed:
            _, first = await client.post(photo(seed=1))
            await feed.until(topics.READY, first["id"])
            cursor = feed.cursor
        _, second = await client.post(photo(seed=2))
        await client.settled(second["id"])
        deployment.api.restart()
        async with client.feed(cursor) as feed:
            assert feed.hello["resumed"] is True
            events = await feed.until(topics.READY, second["id"])
            assert (events[0], events[-1]) == (topics.UPLOADED, topics.READY)


async def test_a_restarted_worker_goes_on_where_the_last_one_was(deployment):
    async with deployment.client() as client:
        deployment.workers[0].stop()
        posted = [(await client.post(photo(seed=seed)))[1]["id"] for seed in range(3)]
        deployment.workers[0].start()
        for photo_id in posted:
            assert (await client.settled(photo_id))["thumbnail_status"] == "ready"


async def test_without_a_key_every_route_and_the_feed_are_closed(deployment):
    async with deployment.client() as client:
        _, posted = await client.post(photo())
        await poll_async(lambda: client.get(f"/photos/{posted['id']}"), what="the photo is there")
        workspace = f"/v1/workspaces/{WORKSPACE}"
        for path in ("/photos", f"/photos/{posted['id']}", f"/photos/{posted['id']}/original", "/feed"):
            for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}):
                async with client.session.get(workspace + path, headers=headers) as answer:
                    assert answer.status == 401
