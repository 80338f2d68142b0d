"""Where a record stands in its partition's queue, and how long that may take: from what a group has committed.

Nothing is asked for this: others look at the group's offsets anyway, and show them to :meth:`QueuePositions.see`.
"""

import math
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition

from infra.kafka.group_backlog import Backlog

#: How far back the pace of a partition is measured.
_WINDOW_SECONDS: Final = 90.0
#: What was seen longer ago says nothing about now.
_STALE_SECONDS: Final = 30.0
#: With fewer finished records a pace is a guess.
_ENOUGH_RECORDS: Final = 9
#: The pace of the records to come differs from that of those before by this share at least.
_LEAST_DOUBT: Final = 1 / 3


@dataclass(frozen=True)
class QueuePosition:
    """Where a record stands. What is not known is None."""

    #: 1 is the next to be finished. At most: records that are finished out of order still count.
    position: int | None = None
    #: From when to when it may be finished, in seconds from now.
    expected_seconds: tuple[int, int] | None = None
    #: Why something is not known; empty where all is.
    unknown_reason: str = ""


@dataclass(frozen=True)
class _Look:
    seconds: float
    offset: int
    is_waiting: bool


class QueuePositions:
    """The rule, without Kafka. Times in seconds, of any clock that only goes forward."""

    def __init__(self) -> None:
        self._looks: dict[TopicPartition, deque[_Look]] = defaultdict(deque)

    def see(self, backlogs: Mapping[TopicPartition, Backlog], now: float) -> None:
        """Take in where the group was ``now``, in every partition."""
        for partition, backlog in backlogs.items():
            looks = self._looks[partition]
            if looks and backlog.offset < looks[-1].offset:  # the topic has begun anew
                looks.clear()
            looks.append(_Look(now, backlog.offset, backlog.records > 0))
            while now - looks[0].seconds > _WINDOW_SECONDS:
                looks.popleft()

    def of(self, partition: TopicPartition, offset: int, now: float) -> QueuePosition:
        """Where the record at ``offset`` stands.

        The range is the pace of the last 90 s, in doubt by a third or, where that is more, by two standard deviations
        of a random process that has finished so many (2 / sqrt(n)).
        """
        looks = self._looks.get(partition)
        if not looks or now - looks[-1].seconds > _STALE_SECONDS:
            return QueuePosition(unknown_reason="Kafka has not said lately how far the workers are")
        position = offset - looks[-1].offset + 1
        if position < 1:
            return QueuePosition(unknown_reason="a worker has taken it: its result or another attempt follows")
        # Only while something waited: an idle partition has no pace.
        pairs = [(one, next_) for one, next_ in zip(looks, list(looks)[1:], strict=False) if one.is_waiting]
        seconds = sum(next_.seconds - one.seconds for one, next_ in pairs)
        finished = sum(next_.offset - one.offset for one, next_ in pairs)
        if finished < _ENOUGH_RECORDS or seconds <= 0:
            return QueuePosition(position, unknown_reason="too few photos of its partition were finished lately")
        doubt = max(_LEAST_DOUBT, 2 / math.sqrt(finished))
        since = now - looks[-1].seconds
        fastest, slowest = (position * seconds / finished / (1 + sign * doubt) - since for sign in (1, -1))
        return QueuePosition(position, (max(0, math.floor(fastest)), max(1, math.ceil(slowest))))
