"""Parses points in time on the command line."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_time(text: str) -> datetime:
    """RFC 3339 (local time where no zone is given), or how long ago: ``90s``, ``15m``, ``24h``, ``7d``, ``2w``.

    Raises:
        ValueError: with a text for a person.
    """
    if re.fullmatch(r"\d+(\.\d+)?[smhdw]", text):
        return datetime.now(UTC) - parse_duration(text)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time: give 2026-01-31T12:00:00Z, or how long ago, as 24h") from error


def parse_duration(text: str) -> timedelta:
    """A number and a unit: ``90s``, ``15m``, ``24h``, ``7d``, ``2w``.

    Raises:
        ValueError: with a text for a person.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    try:
        if found:
            return timedelta(**{_UNITS[found[2]]: float(found[1])})
    except OverflowError:
        pass
    raise ValueError(f"{text!r} is no duration: give a number and s, m, h, d or w, as 24h")
