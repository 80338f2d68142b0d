"""``thumbstream doctor --event``: checks a producer's sample event as the worker would, before it is sent."""

import difflib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from schemas import topics
from schemas.events import PhotoUploaded
from schemas.records import InvalidEvent, Record, read_event


def check_event_file(name: str) -> int:
    """Print what is wrong with the event in file ``name`` (``-``: stdin); exit code 1 if it would be no event."""
    try:
        value = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        print(f"thumbstream: {name}: {error.strerror}", file=sys.stderr)
        return 2
    verdict, lines = check_event(value)
    for line in lines:
        print(line)
    return 0 if verdict else 1


def check_event(value: bytes) -> tuple[bool, list[str]]:
    """Whether ``value`` is a valid value of ``photos.uploaded``, and all that is to be said of it, a line each."""
    hints = list(_hints(value))
    try:
        event = read_event(Record(topics.UPLOADED, 0, 0, int(time.time() * 1000), None, value))
    except InvalidEvent as error:
        faults = [f"wrong: {fault}" for fault in str(error).split("; ")]
        return False, [
            f"no valid event for {topics.UPLOADED}: the worker would put it on {topics.DEAD}",
            *faults,
            *hints,
        ]
    assert isinstance(event, PhotoUploaded)
    key = f"key: {event.photo_id} (as text, so that all events of a photo stay in one partition)"
    return True, [f"a valid event for {topics.UPLOADED}", key, *hints]


def _hints(value: bytes) -> Iterator[str]:
    try:
        body = json.loads(value)
    except (ValueError, RecursionError):
        return
    if not isinstance(body, dict):
        return
    known = list(PhotoUploaded.model_fields)
    for field in body.keys() - set(known):
        # photoId and PhotoID are meant as photo_id
        plain = "".join(f"_{char.lower()}" if char.isupper() else char for char in field).replace("-", "_").lstrip("_")
        nearest = difflib.get_close_matches(plain, known, n=1)
        yield f"ignored: {field} is no field of it" + (f"; did you mean {nearest[0]}?" if nearest else "")
    for field, what in (
        ("event_id", "a redelivery by your producer counts as a new upload"),
        ("checksum", "unchecked"),
    ):
        if body.get(field) is None:
            yield f"optional: no {field} ({what})"
