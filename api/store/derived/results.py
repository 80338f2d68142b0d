"""What counts as a result, in which time slots it is counted, and how long it took, by buckets. Pure functions.

Counted is how each upload of a photo ended: ready or failed, at the time of the event that said so, whenever that was
projected. What is read again is counted once: the result of one generation of a photo is taken back where the row says
another one (an earlier event, ready instead of failed). A photo that is rendered again is another generation, and
counted again: it was rendered again. A deleted photo stays counted. Not counted is a result that the projector reads
together with a later upload of its photo, since it goes by the rows before and after a batch.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from api.store.tables import PhotoRow, PlainRow
from schemas.statuses import Status

#: Lengths of time slots in seconds, and for how many seconds they are kept: for charts of 15 min, 6 h and 7 d.
KEPT_SECONDS: Final = {10: 3_600, 120: 12 * 3_600, 3_600: 8 * 86_400}
SHORTEST_SLOT_SECONDS: Final = min(KEPT_SECONDS)

#: Of a failed photo: only successes are timed.
NOT_TIMED: Final = -1
#: A bucket is as long as 19 % of what lies before it.
_BUCKETS_A_DOUBLING: Final = 4
#: Some 12 days.
_LAST_BUCKET: Final = 30 * _BUCKETS_A_DOUBLING

_FINAL: Final = (Status.READY.word, Status.FAILED.word)


class Result(NamedTuple):
    """How one generation of a photo ended."""

    #: The event that the generation began with.
    event_id: str
    workspace_id: str
    thumbnail_status: str
    #: Seconds since 1970, the start of a shortest slot.
    done_at: int
    #: Of the time to ready.
    bucket: int


def result_of(row: PhotoRow | PlainRow | None) -> Result | None:
    """How the latest generation of a photo ended; None while it has not."""
    if row is None or row.thumbnail_status not in _FINAL or row.status_changed_at is None:
        return None
    if row.status_event_id is None or row.status_at is None:
        return None
    bucket = NOT_TIMED
    if row.thumbnail_status == Status.READY.word:
        bucket = bucket_of((row.status_changed_at - row.status_at).total_seconds())
    done_at = slot_of(int(row.status_changed_at.timestamp()), SHORTEST_SLOT_SECONDS)
    return Result(row.status_event_id, row.workspace_id, row.thumbnail_status, done_at, bucket)


def slot_of(seconds: int, step_seconds: int) -> int:
    """When the slot began that ``seconds`` lies in, since 1970."""
    return seconds - seconds % step_seconds


def bucket_of(seconds: float) -> int:
    """The bucket of a duration; 0 also of one below a millisecond, should two clocks differ."""
    return min(_LAST_BUCKET, math.floor(_BUCKETS_A_DOUBLING * math.log2(max(1.0, seconds * 1000))))


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The duration in seconds that so large a share of what is in the buckets did not exceed; None where there is none.

    Off by at most one bucket, which is 19 %.
    """
    rank = share * sum(counts.values())
    for bucket, count in sorted(counts.items()):
        if count > 0 and rank <= count:
            return _start_of(bucket) + (_start_of(bucket + 1) - _start_of(bucket)) * rank / count
        rank -= count
    return None


def _start_of(bucket: int) -> float:
    return float(2 ** (bucket / _BUCKETS_A_DOUBLING)) / 1000
