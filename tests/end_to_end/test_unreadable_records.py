"""Records and batches that no client can read, in every codec: each costs itself, in the worker and in the api."""

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import cramjam
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from deployment import WORKSPACE, Deployment
from infra.kafka import clients
from photos import photo
from polling import poll_async
from raw_batches import ZSTD, batch, produce, record
from schemas import topics

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def deployment(fresh_folder, broker):
    deployed = Deployment(fresh_folder, broker, partitions="1")
    yield deployed
    deployed.stop()


def upload(**fields):
    event = {"photo_id": str(uuid4()), "workspace_id": WORKSPACE, "storage_key": "incoming/cat.jpg", **fields}
    return event["photo_id"], json.dumps(event).encode()


def dead_letters(deployment, *arguments):
    """The lines of ``thumbstream dead list --json``."""
    variables = {**os.environ, **deployment.variables, "PYTHONPATH": str(_ROOT)}
    run = subprocess.run(
        [sys.executable, "-m", "thumbstream", "dead", "list", "--json", *arguments],
        env=variables, cwd=deployment.folder, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.mark.timeout(240)
async def test_what_cannot_be_read_is_a_dead_letter_and_holds_up_nothing(deployment):
    settings = deployment.settings
    await clients.wait_for_topics(settings)
    await deployment.storage.write("incoming/cat.jpg", photo())
    good, refused = [], {}

    async def poison(topic, content, reason):
        try:
            offset = await produce(settings, TopicPartition(topic, 0), content)
        except KafkaError:
            return  # Apache Kafka looks into a batch before it takes it, the embedded broker does not
        refused[topic, offset] = reason

    for codec in ("gzip", "snappy", "lz4", "zstd", None):
        producer = clients.new_producer(settings, compression_type=codec)
        async with producer:
            photo_id, value = upload()
            await producer.send_and_wait(topics.UPLOADED, value, key=photo_id.encode())
            good.append(photo_id)
        _, value = upload()
        bomb = bytes(cramjam.zstd.compress(record(bytes(100_000_000))))
        for topic in (topics.UPLOADED, topics.DELETED, topics.RETRY, topics.READY):
            await poison(topic, batch(record(value, headers=[(b"\xff", b"x")])), "not UTF-8")
            await poison(topic, batch(record(value, headers=[(None, b"x")])), "no name")
            await poison(topic, batch(record(value, place=7)), "offset")
            await poison(topic, batch(record(value), crc_error=1), "checksum")
            await poison(topic, batch(b"no zstd", codec=ZSTD), "zstd")
            await poison(topic, batch(bomb, codec=ZSTD), "bytes")
        _, value = upload(occurred_at="9999-12-31T23:59:59.999999Z")
        await poison(topics.UPLOADED, batch(record(value)), "occurred_at")
    for timestamp_ms in (-1, 0, 1_700_000_000, 1_700_000_000_000_000):
        photo_id, value = upload(occurred_at="2025-06-01T12:00:00Z")
        try:
            content = batch(record(value, key=photo_id.encode()), timestamp_ms=timestamp_ms)
            await produce(settings, TopicPartition(topics.UPLOADED, 0), content)
        except KafkaError:
            continue  # Apache Kafka takes no timestamp of the far future
        good.append(photo_id)

    deployment.start()
    async with deployment.client() as client:
        for photo_id in good:
            assert (await client.settled(photo_id))["thumbnail_status"] == "ready"

    async def all_are_dead():
        found = dead_letters(deployment, "--of", "worker") + dead_letters(deployment, "--of", "projector")
        reasons = {
            (dead_letter["source"]["topic"], dead_letter["source"]["offset"]): dead_letter["reason"]
            for dead_letter in found
        }
        return reasons if refused.keys() <= reasons.keys() else None

    reasons = await poll_async(all_are_dead, 60, what="all that cannot be read is a dead letter")
    assert {place: reason in reasons[place] for place, reason in refused.items()} == dict.fromkeys(refused, True)
