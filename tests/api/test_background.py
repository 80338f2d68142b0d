"""The tasks beside HTTP."""

from api.background import Background


async def test_one_that_died_is_told_and_does_not_hinder_the_end() -> None:
    async def work() -> None:
        raise LookupError("gone")

    background = Background()
    background.start("short-lived", work())
    assert await background.wait_for_failure() == "short-lived failed: LookupError: gone"
    await background.stop()
