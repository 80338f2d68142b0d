"""Which photo holds which render slot."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from pipeline.render_slots import RenderSlots
from schemas.events import PhotoUploaded


def upload(number: int) -> PhotoUploaded:
    return PhotoUploaded(
        event_id=f"upload-{number}",
        occurred_at=datetime.now(UTC),
        photo_id=UUID(int=number),
        workspace_id="acme",
        storage_key="originals/acme/cat",
    )


@given(st.integers(1, 4), st.lists(st.integers(0, 6), max_size=30))
def test_each_photo_has_a_slot_of_its_own_and_the_others_are_queued(count: int, turns: list[int]) -> None:
    """Each turn lets the photo of that number begin, or end if it has begun."""

    async def scenario() -> None:
        slots = RenderSlots(count)
        going: dict[int, tuple[asyncio.Task[None], asyncio.Event]] = {}

        async def render(number: int, end: asyncio.Event) -> None:
            async with slots.hold(upload(number), attempt=number + 1) as slot:
                slot.set_limit(140.0)
                await end.wait()

        for number in turns:
            if number in going:
                task, end = going.pop(number)
                end.set()
                task.cancel()
                await asyncio.wait([task])
            else:
                end = asyncio.Event()
                going[number] = asyncio.ensure_future(render(number, end)), end
            for _ in range(3):
                await asyncio.sleep(0)
            busy = slots.busy()
            assert len(busy) == min(count, len(going))
            assert slots.queued == len(going) - len(busy)
            assert len({slot.slot for slot in busy}) == len(busy)
            assert all(slot.slot < count and slot.attempt == slot.photo_id.int + 1 for slot in busy)
            assert [slot.busy_seconds for slot in busy] == sorted((slot.busy_seconds for slot in busy), reverse=True)
            assert {slot.photo_id.int for slot in busy} <= set(going)
            assert all(slot.limit_seconds == 140.0 for slot in busy)
        for task, _ in going.values():
            task.cancel()
        await asyncio.gather(*(task for task, _ in going.values()), return_exceptions=True)
        assert (slots.busy(), slots.queued) == ((), 0)

    asyncio.run(scenario())
