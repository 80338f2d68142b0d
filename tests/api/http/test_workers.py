"""Which workers there are, as the api answers it."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from api.feed import health
from infra.kafka import worker_heartbeat
from infra.kafka.clients import wait_for_topics
from infra.kafka.worker_heartbeat import send_heartbeats
from infra.settings import Settings
from infra.worker_account import BusySlot, WaitingRetry, WorkerAccount
from polling import poll_async
from running_api import WORKSPACE, Running
from schemas import topics
from schemas.renditions import recipe_of


async def workers_of(running: Running, path: str = "/v1/workers") -> dict[str, Any]:
    async with running.client.get(path) as response:
        answer: dict[str, Any] = await response.json()
        assert response.status == 200, answer
        return answer


async def test_without_kafka_it_says_that_it_does_not_know(lonely_api: Running) -> None:
    answer = await workers_of(lonely_api)
    assert answer == {
        "items": [],
        "recipe": recipe_of(lonely_api.settings.renditions),
        "unknown_reason": "Kafka does not answer",
    }


async def test_workers_are_told_without_anybody_watching_the_feed(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_heartbeat, "_SEND_EVERY_SECONDS", 0.2)
    monkeypatch.setattr(worker_heartbeat, "_READ_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(health, "_HEARTBEATS_SECONDS", 60.0)
    settings: Settings = running.settings
    await wait_for_topics(settings)
    posted = await running.post(item_id="box")
    busy = (
        BusySlot(1, UUID(posted["id"]), WORKSPACE, 2, 1.5, 140.0),
        BusySlot(0, UUID(int=1), "elsewhere", 1, 0.5, None),
        BusySlot(2, UUID(posted["id"]), "elsewhere", 1, 0.5, None),
    )
    retrying = (
        WaitingRetry(UUID(posted["id"]), WORKSPACE, 2, 4.5, "storage_unavailable"),
        WaitingRetry(UUID(int=1), "elsewhere", 3, 20.0, None),
    )
    told = WorkerAccount(
        worker="w-1", version="1", recipe="old", slots=4, up_seconds=1, partition_count=2, partitions=(1, 2),
        queued=5, busy_count=9, busy=busy, retrying_count=12, retrying=retrying,
    )  # fmt: skip
    sending = [
        asyncio.create_task(
            send_heartbeats(settings, account=lambda: told, owned=lambda: [(topics.UPLOADED, 1), (topics.UPLOADED, 2)])
        ),
        asyncio.create_task(send_heartbeats(settings, owned=lambda: [(topics.UPLOADED, 0)])),
    ]
    try:

        async def both() -> list[dict[str, Any]] | None:
            items: list[dict[str, Any]] = (await workers_of(running))["items"]
            return items if len(items) == 2 else None

        unknown, known = sorted(await poll_async(both, 60, what="both workers"), key=lambda each: each["slots"])
        assert (unknown["name"], unknown["busy"], unknown["is_silent"]) == (None, [], False)
        assert (known["name"], known["recipe"], known["slots"], known["queued"]) == ("w-1", "old", 4, 5)
        assert (known["partitions"], known["busy_count"]) == ([1, 2], 9)
        ours, theirs, no_such_photo = known["busy"]
        assert ours["photo"] == await running.get(f"/{posted['id']}")
        assert (ours["slot"], ours["attempt"], ours["busy_seconds"], ours["limit_seconds"]) == (1, 2, 1.5, 140.0)
        assert (theirs["workspace_id"], theirs["photo"]) == ("elsewhere", None)
        assert (no_such_photo["workspace_id"], no_such_photo["photo"]) == ("elsewhere", None)
        assert known["retrying_count"] == 12
        mine, other = known["retrying"]
        assert mine["photo"] == ours["photo"]
        assert (mine["attempt"], mine["due_seconds"], mine["code"]) == (2, 4.5, "storage_unavailable")
        assert (other["photo_id"], other["workspace_id"], other["photo"]) == (str(UUID(int=1)), "elsewhere", None)
        here = await workers_of(running, f"/v1/workspaces/{WORKSPACE}/workers")
        (shown,) = [each for each in here["items"] if each["name"]]
        assert [slot["photo_id"] for slot in shown["busy"]] == [posted["id"], None, None]
        assert [slot["photo"] is None for slot in shown["busy"]] == [False, True, True]
        assert shown["retrying"] == [
            mine,
            {"photo_id": None, "workspace_id": None, "attempt": 3, "due_seconds": 20.0, "code": None, "photo": None},
        ]
    finally:
        for each in sending:
            each.cancel()
        await asyncio.wait(sending)
