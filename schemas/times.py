"""Times of events: the range that every part can store, compare and count from, in UTC."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, TypeAdapter, ValidationError

_NUMBER: Final = re.compile(r"[+-]?[\d_]*\.?[\d_]*(e[+-]?\d+)?", re.IGNORECASE)

_AWARE: Final = TypeAdapter(AwareDatetime)

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

#: Milliseconds since 1970 of a record that cannot be so old: what says less counts seconds, or nothing.
_FIRST_MS: Final = 31_536_000_000
_LAST_MS: Final = int(LATEST.timestamp() * 1000)


def in_range(moment: datetime) -> datetime:
    """The same moment in UTC, or the nearest one that can be kept."""
    try:
        return min(max(moment.astimezone(UTC), EARLIEST), LATEST)
    except OverflowError:  # in UTC, it is in a year that the calendar does not have
        return EARLIEST if moment.year == 1 else LATEST


def time_of_record(timestamp_ms: int) -> datetime | None:
    """When a record was written, by its timestamp; None where that is none in milliseconds since 1970."""
    if not _FIRST_MS <= timestamp_ms < _LAST_MS:
        return None
    return EARLIEST + timedelta(milliseconds=timestamp_ms)


def _kept(moment: datetime) -> datetime:
    in_utc = in_range(moment)
    # The ends first, which are in the same zone: a comparison with another asks it for its offset.
    if in_utc in (EARLIEST, LATEST) and in_utc != moment:
        raise ValueError(f"must lie in the years {EARLIEST.year} to {LATEST.year} (UTC)")
    return in_utc


#: The time of an event.
EventTime = Annotated[
    AwareDatetime,
    AfterValidator(_kept),
    Field(description=f"RFC 3339, in the years {EARLIEST.year} to {LATEST.year} (UTC)"),
]


def time_json(moment: datetime) -> str:
    """RFC 3339 in UTC, with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be in the years 1 to 9999 in UTC too") from error


def _parsed(moment: object) -> object:
    """The time that is written; what is none is left to the error message of the type itself."""
    if isinstance(moment, int | float) or (isinstance(moment, str) and _NUMBER.fullmatch(moment.strip())):
        raise ValueError("must be a time as RFC 3339 has it, not a number")
    try:
        return _AWARE.validate_python(moment)
    except ValidationError:
        return moment


#: A time with a zone, in UTC: at the ends of the calendar the change of zone can fail.
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc), BeforeValidator(_parsed)]
