"""Everything at once on the photos of one item: no deadlock, nothing is refused, no place is left empty."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from api.http.app_keys import DATABASE
from api.photos.rerender import RerenderFilter, rerender
from api.projection.apply import project
from api.publishing.republish import mark_lost, republish
from infra.settings import Settings
from result_events import ready
from running_api import WORKSPACE, Running, running_api
from schemas import ids
from schemas.events import Event, PhotoDeleted, PhotoUploaded

PHOTOS = 24
ITEM = f"/v1/workspaces/{WORKSPACE}/items/box"


@pytest.fixture
async def api(no_kafka: Settings, database_url: str) -> AsyncIterator[Running]:
    """An api without Kafka, on either database."""
    async with running_api(no_kafka.model_copy(update={"database_url": database_url})) as running:
        yield running


def uploaded(item_id: str | None = "box", **chosen: object) -> PhotoUploaded:
    photo_id = ids.new_id()
    fields = {
        "event_id": f"up-{photo_id}", "occurred_at": "2025-06-01T12:00:00Z", "photo_id": photo_id,
        "workspace_id": WORKSPACE, "storage_key": f"incoming/{photo_id}", "item_id": item_id, **chosen,
    }  # fmt: skip
    return PhotoUploaded.model_validate(fields)


def deletion(event: PhotoUploaded) -> PhotoDeleted:
    return PhotoDeleted(
        event_id=f"del-{event.photo_id}",
        occurred_at=event.occurred_at,
        photo_id=event.photo_id,
        workspace_id=event.workspace_id,
    )


async def fold(api: Running, *events: Event) -> None:
    await api.app[DATABASE].write(lambda session: project(session, events))


async def places(api: Running, item_id: str = "box") -> list[tuple[str, int, bool]]:
    shown = (await api.get("", item_id=item_id, limit="200"))["items"]
    return [(photo["id"], photo["display_order"], photo["is_primary"]) for photo in shown]


async def check_places(api: Running, count: int, item_id: str = "box") -> None:
    found = await places(api, item_id)
    assert [order for _, order, _ in found] == list(range(count))
    assert sum(is_primary for *_, is_primary in found) == min(count, 1)


@contextmanager
def no_deadlock() -> Iterator[None]:
    """No transaction has to begin again, for whatever reason."""
    with capture_logs() as logs:
        yield
    assert [line for line in logs if "met another" in line["event"]] == []


async def answered(api: Running, method: str, path: str, body: object = None) -> int:
    async with api.client.request(method, path, json=body) as response:
        await response.read()
        return response.status


async def test_whatever_is_done_at_once_to_one_item_meets_no_deadlock_and_is_not_refused(api: Running) -> None:
    events = [uploaded() for _ in range(PHOTOS)]
    await fold(api, *events)
    chance = Random(5)
    photo_ids = [str(event.photo_id) for event in events]
    shuffled = chance.sample(photo_ids, PHOTOS)
    reversed_ids = [*reversed(photo_ids)]

    def ask(method: str, path: str, body: object = None) -> Coroutine[Any, Any, int]:
        return answered(api, method, path, body)

    async def background(work: Callable[[], Coroutine[Any, Any, Any]]) -> int:
        await work()
        return 200

    work = [
        *(ask("DELETE", f"{api.photos}/{photo_id}") for photo_id in shuffled[:8]),
        *(ask("PATCH", f"{api.photos}/{photo_id}", {"is_primary": True}) for photo_id in shuffled[8:16]),
        *(ask("PATCH", f"{api.photos}/{photo_id}", {"caption": "c"}) for photo_id in shuffled[8:12]),
        *(ask("PUT", f"{ITEM}/photo-order", {"photo_ids": order}) for order in (photo_ids, reversed_ids)),
        *(ask("POST", f"{api.photos}/bulk-caption", {"photo_ids": order, "caption": "all"})
          for order in (photo_ids, reversed_ids)),
        ask("POST", f"{api.photos}/bulk-delete", {"photo_ids": [*reversed(shuffled[16:20])]}),
        ask("POST", f"{api.photos}/retry", {"item_id": "box"}),
        background(lambda: fold(api, *(ready(event) for event in reversed(events)))),
        background(lambda: fold(api, *(deletion(event) for event in events if str(event.photo_id) in shuffled[20:22]))),
        background(lambda: fold(api, *(uploaded() for _ in range(3)), uploaded("other"))),
        background(lambda: mark_lost(api.app[DATABASE])),
        background(lambda: republish(api.app[DATABASE], None, 100)),
        background(lambda: rerender(api.app[DATABASE], WORKSPACE, RerenderFilter(status="ready"), "today")),
    ]  # fmt: skip
    chance.shuffle(work)
    with no_deadlock():
        statuses = await asyncio.gather(*work)
    # An order that does not have exactly the item's photos is a 400, as ever.
    assert set(statuses) <= {200, 202, 204, 400, 404}
    await check_places(api, PHOTOS - 8 - 4 - 2 + 3)


@pytest.mark.parametrize("step", [1, -1])
async def test_an_item_has_no_gaps_however_its_photos_leave_it(api: Running, step: int) -> None:
    events = [uploaded() for _ in range(12)]
    await fold(api, *events)
    photo_ids = [str(event.photo_id) for event in events][::step]
    assert await answered(api, "DELETE", f"{api.photos}/{photo_ids[0]}") == 204
    await check_places(api, 11)
    bulk = {"photo_ids": [photo_ids[2], photo_ids[4], photo_ids[5]]}
    assert await answered(api, "POST", f"{api.photos}/bulk-delete", bulk) == 200
    await check_places(api, 8)
    left = [event for event in events if str(event.photo_id) in {place[0] for place in await places(api)}]
    await fold(api, deletion(left[1]), deletion(left[3]), uploaded())
    await check_places(api, 7)
    moved = left[0].model_copy(update={"event_id": "z", "item_id": "new"})
    taken_out = left[4].model_copy(update={"event_id": "z", "item_id": None})
    later = {"occurred_at": moved.occurred_at.replace(year=2026)}
    await fold(api, moved.model_copy(update=later), taken_out.model_copy(update=later))
    await check_places(api, 5)
    await check_places(api, 1, "new")


async def test_photos_that_are_sent_between_items_at_once_leave_no_gap_in_any(api: Running) -> None:
    events = [uploaded(f"item-{number % 3}") for number in range(12)]
    await fold(api, *events)

    def to(item_id: str, each: PhotoUploaded, year: int) -> PhotoUploaded:
        later = {"event_id": f"{year}", "occurred_at": each.occurred_at.replace(year=year), "item_id": item_id}
        return each.model_copy(update=later)

    batches = [
        [to("item-0", each, 2026) for each in events],
        [to("item-1", each, 2027) for each in reversed(events)],
        [to(f"item-{number % 2}", each, 2028) for number, each in enumerate(events[:6])],
        [deletion(each) for each in events[::5]],
    ]
    with no_deadlock():
        await asyncio.gather(*(fold(api, *batch) for batch in batches))
    gone = {each.photo_id for each in events[::5]}
    for item_id in ("item-0", "item-1", "item-2"):
        found = await places(api, item_id)
        assert not gone & {UUID(photo_id) for photo_id, *_ in found}
        await check_places(api, len(found), item_id)
