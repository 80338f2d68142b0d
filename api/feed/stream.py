"""What one client of the feed gets, in order: hello, what it missed, then all that comes. Knows no HTTP."""

from collections.abc import AsyncGenerator

from api.feed.batches import Batch, Message
from api.feed.health import Health
from api.feed.stats import Stats
from api.feed.subscribers import Feed


async def stream(
    feed: Feed, stats: Stats, health: Health, workspace_id: str, position: int | None
) -> AsyncGenerator[Batch, None]:
    """The messages for a client that comes with ``position``, or without one that the journal knows.

    Raises:
        TooSlow: the client has not taken them in time.
    """
    if position is not None:
        yield Batch([_hello(feed, position, resumed=True)])
        async for missed in feed.replay(workspace_id, position):
            yield missed
    with feed.subscribed(workspace_id) as subscriber:  # nothing may be awaited between the replay's end and here
        if position is None:
            yield Batch([_hello(feed, feed.position, resumed=False)])
        for last in (stats.last(workspace_id), health.last()):
            if last:
                yield Batch([last])
        while True:
            yield await subscriber.next()


def _hello(feed: Feed, position: int, *, resumed: bool) -> Message:
    return {"type": "hello", "cursor": feed.cursor_at(position), "resumed": resumed}
