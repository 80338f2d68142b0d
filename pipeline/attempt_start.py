"""When others are told that an attempt has begun: with its result, unless that takes longer than a moment."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final, Self

#: How long a render goes on before others are told of it. One that is over by then nobody could have seen.
MOMENT_SECONDS: Final = 0.25


class AttemptStart:
    """Has it published that one attempt has begun; a context, behind which nothing more is published.

    What is published together is one request to Kafka, one answer to the projector, and one transaction there.
    """

    def __init__(self, publish: Callable[[datetime], Coroutine[Any, Any, None]]) -> None:
        """``publish`` delivers that it began at a time, however long that takes."""
        self._publish = publish
        #: When it began, and what has that published once it is a moment ago.
        self._begun: tuple[datetime, asyncio.TimerHandle] | None = None
        self._publishing: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._begun:
            self._begun[1].cancel()
        if self._publishing:
            self._publishing.cancel()

    def begun(self) -> None:
        """Note that the photo has its render slot."""
        now = datetime.now(UTC)
        self._begun = now, asyncio.get_running_loop().call_later(MOMENT_SECONDS, self._publish_alone, now)

    async def told(self) -> None:
        """Return when Kafka has it; at once if the attempt did not come so far.

        To be gathered with the publishing of the result, and before it.
        """
        if self._begun is None:
            return
        began_at, timer = self._begun
        timer.cancel()
        await (self._publishing or self._publish(began_at))

    def _publish_alone(self, began_at: datetime) -> None:
        self._publishing = asyncio.create_task(self._publish(began_at))
