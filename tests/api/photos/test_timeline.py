"""A photo's way as REST tells it, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import TopicPartition

from api.http.app_keys import DATABASE, QUEUE_POSITIONS
from api.projection.apply import project_on
from infra.kafka.group_backlog import Backlog
from infra.settings import Settings
from polling import poll_async
from result_events import failed, ready, started
from running_api import Running, running_api
from schemas import topics
from schemas.events import Event
from schemas.records import Record
from server_process import free_port


@pytest.fixture
async def api(tmp_path: Path, database_url: str) -> AsyncIterator[Running]:
    settings = Settings(data_dir=tmp_path, database_url=database_url, embedded_kafka_port=free_port(), _env_file=None)
    async with running_api(settings) as running:
        yield running


async def read(api: Running, *events: Event, partition: int = 2, offset: int = 40) -> None:
    """The projector reads these events from Kafka, each when it occurred."""
    records = [
        Record(event.topic, partition, offset + at, _ms(event.occurred_at), None, None)
        for at, event in enumerate(events)
    ]
    await api.app[DATABASE].run_write(lambda connection: project_on(connection, events, records))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


async def timeline(api: Running, photo_id: str) -> Any:
    return await api.get(f"/{photo_id}/timeline")


async def test_a_photo_that_is_stored_and_not_published_says_so(api: Running) -> None:
    posted = await api.post()
    told = await timeline(api, posted["id"])
    (upload,) = told["uploads"]
    assert (upload["published"], upload["attempts"], upload["result"]) == ([], [], None)
    assert upload["stored_at"][:19] == posted["created_at"][:19]
    assert (told["position"], told["expected_seconds"]) == (None, None)
    assert "not come back from Kafka" in told["unknown_reason"]


async def test_the_way_of_a_photo_that_was_tried_twice(api: Running) -> None:
    posted = await api.post()
    upload = await api.upload_of(posted["id"])
    at = upload.occurred_at
    first = started(upload).model_copy(
        update={"worker": "host-1", "occurred_at": at + timedelta(seconds=4), "waiting_since": at}
    )
    second = started(upload, 2).model_copy(
        update={
            "worker": "host-2", "occurred_at": at + timedelta(seconds=17),
            "waiting_since": at + timedelta(seconds=7), "retried_after": "storage_unavailable",
        }
    )  # fmt: skip
    done = ready(upload, 2).model_copy(update={"worker": "host-2"})
    await read(api, upload, first, second, done)
    told = await timeline(api, posted["id"])
    (way,) = told["uploads"]
    assert [(each["topic"], each["partition"], each["offset"]) for each in way["published"]] == [
        ("photos.uploaded", 2, 40)
    ]
    assert [
        (
            each["attempt"],
            each["worker"],
            each["waited_seconds"],
            each["rendered_seconds"],
            each["outcome"],
            each["code"],
        )
        for each in way["attempts"]
    ] == [(1, "host-1", 4, 3, "retried", "storage_unavailable"), (2, "host-2", 10, 0.05, "ready", None)]
    assert (way["result"]["outcome"], way["result"]["topic"]) == ("ready", "thumbnails.ready")
    assert way["result"]["projected_at"] is not None
    assert (told["thumbnail_status"], told["position"], told["unknown_reason"]) == ("ready", None, None)


async def test_an_attempt_whose_worker_ended_was_interrupted(api: Running) -> None:
    posted = await api.post()
    upload = await api.upload_of(posted["id"])
    one, other = (
        started(upload).model_copy(
            update={"worker": worker, "occurred_at": upload.occurred_at + timedelta(seconds=late)}
        )
        for worker, late in (("host-1", 1), ("host-2", 50))
    )
    await read(api, upload, one, one, other)
    (way,) = (await timeline(api, posted["id"]))["uploads"]
    assert [(each["worker"], each["outcome"]) for each in way["attempts"]] == [
        ("host-1", "interrupted"),
        ("host-2", None),
    ]


async def test_a_photo_that_failed_before_it_had_a_slot_and_was_asked_for_again(api: Running) -> None:
    posted = await api.post()
    upload = await api.upload_of(posted["id"])
    await read(api, upload, failed(upload))
    async with api.client.post(f"{api.photos}/{posted['id']}/retry") as response:
        assert response.status == 202
    told = await timeline(api, posted["id"])
    before, again = told["uploads"]
    (attempt,) = before["attempts"]
    assert (attempt["started_at"], attempt["outcome"], attempt["code"]) == (None, "failed", "unreadable")
    assert (again["published"], again["result"]) == ([], None)
    assert again["event_id"] == (await api.upload_of(posted["id"])).event_id


async def test_the_place_in_the_queue_is_told_while_it_is_known(api: Running) -> None:
    posted = await api.post()
    await read(api, await api.upload_of(posted["id"]), offset=139)
    told = await timeline(api, posted["id"])
    assert told["position"] is None
    assert "Kafka" in told["unknown_reason"]
    now, partition = asyncio.get_running_loop().time(), TopicPartition(topics.UPLOADED, 2)
    for seconds, offset in ((-60, 0), (0, 100)):
        api.app[QUEUE_POSITIONS].see({partition: Backlog(offset, 50, None)}, now + seconds)
    told = await timeline(api, posted["id"])
    assert (told["position"], told["unknown_reason"]) == (40, None)
    # At an even pace 24 s. What the machine needs until here shortens it.
    assert told["expected_seconds"]["min"] <= 18
    assert told["expected_seconds"]["max"] <= 36
    assert told["expected_seconds"]["min"] < told["expected_seconds"]["max"]


async def test_lists_and_photos_do_not_have_the_way(api: Running) -> None:
    posted = await api.post()
    await read(api, await api.upload_of(posted["id"]))
    (listed,) = (await api.get())["items"]
    assert "timeline" not in listed
    assert "timeline" not in await api.get(f"/{posted['id']}")


async def test_an_unknown_photo_has_no_way(api: Running) -> None:
    async with api.client.get(f"{api.photos}/{uuid4()}/timeline") as response:
        assert response.status == 404


async def test_with_kafka_and_without_a_worker_a_photo_is_told_its_record_and_its_position(running: Running) -> None:
    posted = await running.post()

    async def position_is_told() -> Any:
        told = await timeline(running, posted["id"])
        return told if told["position"] is not None else None

    told = await poll_async(position_is_told, 60, what="the position is told")
    (published,) = told["uploads"][0]["published"]
    assert published["topic"] == "photos.uploaded"
    assert (published["offset"], told["position"]) == (0, 1)
    assert told["expected_seconds"] is None
    assert told["unknown_reason"]
