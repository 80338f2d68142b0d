"""Checks of parts, and how long their answers are kept."""

import pytest

from infra.readiness import KeptAnswer, NotWorking


@pytest.mark.parametrize(("every_seconds", "looks"), [(3600.0, 1), (-1.0, 3)])
async def test_a_costly_check_is_made_now_and_then_and_answers_in_between(every_seconds: float, looks: int) -> None:
    asked = 0

    async def look() -> None:
        nonlocal asked
        asked += 1
        raise OSError("it is away")

    kept = KeptAnswer(look, every_seconds=every_seconds)
    for _ in range(3):
        with pytest.raises(NotWorking, match="it is away"):
            await kept.check()
    assert asked == looks


async def test_a_part_that_works_again_is_not_reported_any_more() -> None:
    faults = [OSError("it is away"), None]

    async def look() -> None:
        if fault := faults.pop(0):
            raise fault

    kept = KeptAnswer(look, every_seconds=-1.0)
    with pytest.raises(NotWorking):
        await kept.check()
    await kept.check()
