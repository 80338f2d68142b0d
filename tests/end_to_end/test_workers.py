"""A worker is shown with the photo that it renders, and no longer once it is dead."""

import contextlib
import os
import signal
from typing import Any

import pytest

from deployment import READY_SECONDS, Client, Deployment
from photos import photo
from polling import poll_async

pytestmark = pytest.mark.timeout(300)


async def workers_of(client: Client, path: str = "/v1/workers") -> list[dict[str, Any]]:
    async with client.session.get(path) as answer:
        found = await answer.json()
        assert answer.status == 200, found
        items: list[dict[str, Any]] = found["items"]
        return items


async def test_a_worker_appears_with_what_it_renders_and_goes_when_it_is_killed(deployment: Deployment) -> None:
    worker = deployment.workers[0]
    async with deployment.client() as client:
        pids: list[int] = []

        async def the_one() -> dict[str, Any] | None:
            """The worker, told to live."""
            living = [each for each in await workers_of(client) if not each["is_silent"]]
            return living[0] if len(living) == 1 else None

        idle = await poll_async(the_one, READY_SECONDS, what="the worker is told of")
        assert idle["name"].endswith(f"-{worker.pid}")
        assert (idle["slots"], idle["busy"], idle["partitions"]) == (2, [], [0, 1, 2, 3])
        try:
            pids += worker.render_processes()
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            posted = [(await client.post(photo(seed=seed), f"held{seed}.jpg"))[1] for seed in range(3)]

            async def held() -> dict[str, Any] | None:
                told = await the_one()
                return told if told and (told["busy_count"], told["queued"]) == (2, 1) else None

            busy = await poll_async(held, READY_SECONDS, what="two photos are held, and one waits")
            assert {slot["slot"] for slot in busy["busy"]} == {0, 1}
            for slot in busy["busy"]:
                assert slot["photo_id"] in {each["id"] for each in posted}
                assert slot["photo"]["filename"] in {"held0.jpg", "held1.jpg", "held2.jpg"}
                assert (slot["workspace_id"], slot["attempt"]) == ("acme", 1)
                assert slot["limit_seconds"] > 60
            (elsewhere,) = await workers_of(client, "/v1/workspaces/other/workers")
            assert elsewhere["busy_count"] == 2
            assert {(slot["photo_id"], slot["workspace_id"], slot["photo"]) for slot in elsewhere["busy"]} == {
                (None, None, None)
            }
            worker.kill()
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        async def is_silent() -> bool:
            return any(each["is_silent"] and each["name"] == idle["name"] for each in await workers_of(client))

        await poll_async(is_silent, READY_SECONDS, what="the dead worker is silent")
        worker.start()
        for each in posted:
            assert (await client.settled(each["id"], 2 * READY_SECONDS))["thumbnail_status"] == "ready"
        assert (await poll_async(the_one, READY_SECONDS, what="the new one is told of"))["name"] != idle["name"]

        async def is_gone() -> bool:
            return idle["name"] not in {each["name"] for each in await workers_of(client)}

        if deployment.settings.kafka_is_embedded:  # once is enough: it takes a minute
            await poll_async(is_gone, 2 * READY_SECONDS, what="the dead worker is gone")
