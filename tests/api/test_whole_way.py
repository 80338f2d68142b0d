"""From a POST through the outbox, Kafka and the projector to what is shown."""

from result_events import ready, started
from running_api import Running


async def test_a_posted_photo_becomes_ready_when_the_worker_says_so(running: Running) -> None:
    posted = await running.post(item_id="box-1", caption="A cat")
    assert posted["thumbnail_status"] == "pending"
    upload = await running.upload_of(posted["id"])
    await running.produce(started(upload), ready(upload))
    shown = await running.status_becomes(posted["id"], "ready")
    assert shown["caption"] == "A cat"
    assert set(shown["thumbnails"]) == {"small", "medium", "large"}
