"""Records near the brokers' limit: as dead letters they would be over it, and yet nothing waits behind them."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from deployment import WORKSPACE, Deployment
from infra.kafka.clients import wait_for_topics
from infra.kafka.dead_letters import new_dead_letter_producer
from photos import photo
from polling import poll_async
from result_events import ready
from schemas import topics
from schemas.events import PhotoUploaded
from schemas.records import value_of

_ROOT = Path(__file__).parents[2]

#: Apache Kafka's default limit is 1,048,588 bytes; what of that is a record's value, the test finds out.
_OVER_THE_LIMIT = 1_100_000
_UNDER_THE_LIMIT = 1_000_000


async def largest_value(producer, topic):
    """How long a value these brokers take beside the key ``b"k"``; the embedded broker has no limit to find."""

    async def is_taken(byte_count):
        try:
            await producer.send_and_wait(topic, b"x" * byte_count, key=b"k")
        except MessageSizeTooLargeError:
            return False
        return True

    if await is_taken(_OVER_THE_LIMIT):
        return _OVER_THE_LIMIT
    taken, refused = _UNDER_THE_LIMIT, _OVER_THE_LIMIT
    while refused - taken > 1:
        middle = (taken + refused) // 2
        taken, refused = (middle, refused) if await is_taken(middle) else (taken, middle)
    return taken


@pytest.fixture
def deployment(fresh_folder, broker):
    deployed = Deployment(fresh_folder, broker, partitions="1")
    yield deployed
    deployed.stop()


def dead_list(deployment, *arguments):
    """The lines of ``thumbstream dead list --json``."""
    run = subprocess.run(
        [sys.executable, "-m", "thumbstream", "dead", "list", "--json", *arguments],
        env={**os.environ, **deployment.variables, "PYTHONPATH": str(_ROOT)},
        cwd=deployment.folder, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.mark.timeout(240)
async def test_the_largest_record_that_kafka_takes_is_buried_and_holds_up_nothing(deployment, broker):
    await wait_for_topics(deployment.settings)
    broker.create_topic("scratch", partitions=1)
    await deployment.storage.write("incoming/cat.jpg", photo())
    producer = new_dead_letter_producer(deployment.settings)
    await producer.start()
    try:
        byte_count = await largest_value(producer, "scratch")
        poison = b"x" * byte_count
        for topic in (topics.UPLOADED, topics.DELETED, topics.READY):
            await producer.send_and_wait(topic, poison, key=b"k")
        photo_id = uuid4()
        upload = {"photo_id": str(photo_id), "workspace_id": WORKSPACE, "storage_key": "incoming/cat.jpg"}
        await producer.send_and_wait(topics.UPLOADED, json.dumps(upload).encode(), key=b"k")
        other = PhotoUploaded(
            event_id="other", occurred_at=datetime.now(UTC), photo_id=uuid4(), workspace_id=WORKSPACE,
            storage_key="incoming/dog.jpg",
        )  # fmt: skip
        await producer.send_and_wait(topics.READY, value_of(ready(other)), key=b"k")
    finally:
        await producer.stop()
    deployment.start()
    async with deployment.client() as client:
        assert (await client.settled(str(photo_id)))["thumbnail_status"] == "ready"
        assert (await client.settled(str(other.photo_id)))["thumbnail_status"] == "ready"

    of_worker = await dead_letters(deployment, 2, "--of", "worker")
    of_projector = await dead_letters(deployment, 1, "--of", "projector")
    found = {dead_letter["source"]["topic"]: dead_letter for dead_letter in of_worker + of_projector}
    assert set(found) == {topics.UPLOADED, topics.DELETED, topics.READY}
    for dead_letter in found.values():
        assert (dead_letter["source"]["partition"], dead_letter["source"]["offset"]) == (0, 0)
        assert (dead_letter["value_size"], dead_letter["key"]) == (byte_count, "k")
        assert dead_letter["value_left_out"] is not broker.is_embedded
        assert dead_letter["reason"]


async def dead_letters(deployment, count, *arguments):
    """The dead letters, once there are ``count``; who buries them is in no hurry."""

    async def enough():
        found = dead_list(deployment, *arguments)
        return found if len(found) >= count else None

    found = await poll_async(enough, 60, what=f"{count} dead letters {arguments}")
    assert len(found) == count
    return found
