"""Uploads while the broker is away. A file of its own: the embedded broker forgets everything at a restart."""

import pytest

from deployment import READY_SECONDS
from photos import photo

pytestmark = pytest.mark.timeout(240)


async def test_uploads_are_taken_while_the_broker_is_away_and_become_ready_when_it_is_back(deployment):
    async with deployment.client() as client:
        _, before = await client.post(photo(seed=1))
        await client.settled(before["id"])
        deployment.broker.stop()
        answers = [await client.post(photo(seed=seed)) for seed in range(2, 5)]
        assert [(status, body["thumbnail_status"]) for status, body in answers] == [(201, "pending")] * 3
        deployment.broker.start()
        for _, body in answers:
            assert (await client.settled(body["id"], 2 * READY_SECONDS))["thumbnail_status"] == "ready"
