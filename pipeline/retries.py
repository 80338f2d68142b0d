"""Records of the retry topic: an upload that is to be tried again later."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import nsmallest
from time import monotonic
from typing import Final

from infra.metrics import RETRIES_WAITING
from infra.worker_account import MAX_RETRIES, WaitingRetry
from schemas import topics
from schemas.events import MAX_NUMBER, PhotoUploaded
from schemas.faults import FaultCode
from schemas.records import Headers, InvalidEvent, Record, read_event

_ATTEMPT: Final = "thumbstream_attempt"
_DUE: Final = "thumbstream_due_at"
_REASON: Final = "thumbstream_error_code"


@dataclass(frozen=True)
class Backoff:
    """How often and how soon a transient fault is tried again."""

    #: The first included.
    attempts: int
    first_seconds: float
    longest_seconds: float

    def seconds_before(self, attempt: int) -> float:
        """The wait before ``attempt`` (2 is the first repeat): doubled each time, then a random part of its upper half.

        Source: "equal jitter", M. Brooker, Exponential Backoff and Jitter, 2015.
        """
        longest = min(self.longest_seconds, self.first_seconds * 2.0 ** min(attempt - 2, 30))
        return longest / 2 + random.random() * longest / 2


@dataclass(frozen=True)
class Retry:
    """One upload, the attempt that is to be made, and when."""

    upload: PhotoUploaded
    attempt: int
    #: Seconds since 1970.
    due_at: float
    #: Error code of the attempt before; None where the record does not say it.
    reason: str | None = None


class WaitingRetries:
    """The retries that this worker holds until they are due, of which it tells."""

    def __init__(self) -> None:
        #: Those that wait, with when each is due, by the monotonic clock.
        self._waiting: dict[int, tuple[float, Retry]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @contextmanager
    def waiting(self, retry: Retry, seconds: float) -> Iterator[None]:
        """``retry`` waits for ``seconds``, for as long as the context lasts."""
        self._waiting[id(retry)] = (monotonic() + seconds, retry)
        try:
            with RETRIES_WAITING.track_inprogress():
                yield
        finally:
            del self._waiting[id(retry)]

    def due_next(self) -> tuple[WaitingRetry, ...]:
        """Those that are due next, the first first."""
        now = monotonic()
        return tuple(
            WaitingRetry(
                photo_id=retry.upload.photo_id,
                workspace_id=retry.upload.workspace_id,
                attempt=retry.attempt,
                due_seconds=round(max(0.0, due - now), 1),
                code=retry.reason,
            )
            for due, retry in nsmallest(MAX_RETRIES, self._waiting.values(), key=lambda each: each[0])
        )


def retry_headers(retry: Retry) -> Headers:
    """What the record on the retry topic says beside the event."""
    headers: Headers = [(_ATTEMPT, str(retry.attempt).encode()), (_DUE, f"{retry.due_at:.3f}".encode())]
    return headers if retry.reason is None else [*headers, (_REASON, retry.reason.encode())]


def retry_of(record: Record) -> Retry:
    """Read a record of the retry topic; one that lacks its headers is attempt 2, due now.

    Raises:
        InvalidEvent: it is no upload, or its headers are no numbers.
    """
    upload = read_event(Record(**{**vars(record), "topic": topics.UPLOADED}))
    assert isinstance(upload, PhotoUploaded)
    headers = dict(record.headers)
    try:
        attempt = min(max(1, int(headers.get(_ATTEMPT) or b"2")), MAX_NUMBER)
        reason = (headers.get(_REASON) or b"").decode("ascii", "replace")
        # It only informs: one that is no code is left out.
        known = reason if reason in [*FaultCode] else None
        return Retry(upload, attempt, due_at=float(headers.get(_DUE) or b"0"), reason=known)
    except ValueError as error:
        raise InvalidEvent(f"the retry's headers are no numbers: {error}") from error
