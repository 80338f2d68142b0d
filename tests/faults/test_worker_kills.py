"""``kill -9`` of workers in mid-load: nothing is lost, nothing is left running."""

import asyncio
import json
from random import Random
from uuid import uuid4

import pytest

from deployment import WORKSPACE, Deployment, lives
from photos import photo, truncated_photo
from polling import poll
from schemas import topics

pytestmark = pytest.mark.faults

PHOTOS = 300
KILLS = 10


@pytest.mark.timeout(600)
async def test_ten_kills_of_two_workers_lose_no_photo_and_leave_no_process(apache_kafka, fresh_folder, record_property):
    deployment = Deployment(fresh_folder, apache_kafka, workers=2)
    chance = Random(7)
    sizes = [(320, 240), (1600, 1200), (4000, 3000)]
    originals = {f"incoming/{n}.jpg": photo(*sizes[n % 3], seed=n) for n in range(12)}
    originals |= {"incoming/broken.jpg": truncated_photo()}
    for key, content in originals.items():
        await deployment.storage.write(key, content)
    accepted = {str(uuid4()): chance.choice(sorted(originals)) for _ in range(PHOTOS)}
    for worker in deployment.workers:
        worker.start()
    orphans: list[int] = []
    async with deployment.results(topics.READY, topics.FAILED) as results, deployment.producer() as producer:
        sending = asyncio.ensure_future(_send(producer, accepted))
        for kill in range(KILLS):
            await results.until(len(results.records) + 5, topics.READY, 120)
            worker = deployment.workers[kill % 2]
            orphans += worker.render_processes()
            worker.kill()
            worker.spawn()
        await sending
        await results.until_answered(accepted, 180)
    for worker in deployment.workers:
        orphans += worker.render_processes()
        worker.wait_until_ready()
        worker.stop()
    poll(lambda: not [pid for pid in orphans if lives(pid)], what="no render process outlives its worker")

    outcomes = results.outcomes()
    lost = set(accepted) - set(outcomes)
    duplicates = sum(len(topics_) - 1 for topics_ in outcomes.values())
    distinct = {event["event_id"] for topic in (topics.READY, topics.FAILED) for event in results.events(topic)}
    print(f"\n{KILLS} kills, {PHOTOS} photos: lost {len(lost)}, duplicates {duplicates}")
    record_property("duplicates", duplicates)
    assert not lost
    assert len(distinct) == PHOTOS
    for photo_id, key in accepted.items():
        assert set(outcomes[photo_id]) == {topics.FAILED if "broken" in key else topics.READY}


async def _send(producer, accepted):
    for photo_id, key in accepted.items():
        event = {"photo_id": photo_id, "workspace_id": WORKSPACE, "storage_key": key}
        await producer.send_and_wait(topics.UPLOADED, json.dumps(event).encode(), key=photo_id.encode())
        await asyncio.sleep(0)
