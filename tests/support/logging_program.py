"""Writes to the log in one format what three programs would: ours and theirs, hostile text, and hostile records.

``python logging_program.py FORMAT``, with ``-`` for none. ``BETWEEN`` stands in the log between the three.
"""

import asyncio
import json
import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Final, cast

import structlog

from infra.logs import configure_logs
from infra.settings import LogFormat
from pipeline.breaker import StorageBreaker
from pipeline.record_handler import RecordHandler
from pipeline.retries import Backoff
from pipeline.thumbnailer import Thumbnailer
from schemas import topics
from schemas.records import Record

BETWEEN: Final = "-- the next program --\n"
_HOSTILE: Final = "\x00\x07\r\n\x1b[31m\x7f\x85\x9b\u2028\u202e\ud800 x"


class _Hostile:
    def __repr__(self) -> str:
        return _HOSTILE

    __str__ = __repr__


def _ours_and_theirs() -> None:
    structlog.get_logger("ours").info("one thing", partition=3)
    logging.getLogger("theirs").warning("another %s", "thing")
    logging.getLogger("aiokafka.consumer").info("chatter")
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        structlog.get_logger("ours").exception("a fault")


def _hostile_text() -> None:
    log = structlog.get_logger("ours")
    log.warning(_HOSTILE, path=_HOSTILE, inside=[_HOSTILE], odd=_Hostile(), raw=_HOSTILE.encode(errors="replace"))
    logging.getLogger("theirs").error("%s", _HOSTILE)
    warnings.warn(_HOSTILE, stacklevel=1)
    try:
        raise ValueError(_HOSTILE)
    except ValueError:
        log.exception("a fault", path=_HOSTILE)
        logging.getLogger("theirs").exception(_HOSTILE)


async def _hostile_records() -> None:
    async def publish(*_: Any) -> None: ...

    async def storage_is_up() -> None: ...

    no_record_gets_to_it = cast(Thumbnailer, None)
    handler = RecordHandler(
        no_record_gets_to_it,
        publish,
        publish,
        has_one_broker=lambda: True,
        breaker=StorageBreaker(storage_is_up),
        backoff=Backoff(1, 1, 1),
        at_once=1,
        worker="host-1",
    )
    raw = _HOSTILE.encode(errors="surrogatepass")
    event = {_HOSTILE: _HOSTILE, "photo_id": _HOSTILE, "workspace_id": _HOSTILE}
    for value in (raw, json.dumps(event).encode()):
        record = Record(topics.UPLOADED, 0, 1, 0, raw, value, ((_HOSTILE, raw), ("ce_id", raw)))
        await handler.upload(record)
        await handler.retry(record)
        await handler.deletion(Record(topics.DELETED, 0, 1, 0, raw, value))


def main(arguments: Sequence[str]) -> None:
    """Write what the three programs write, in the format that the one argument names."""
    [form] = arguments
    configure_logs(cast(LogFormat | None, None if form == "-" else form))
    _ours_and_theirs()
    sys.stderr.write(BETWEEN)
    _hostile_text()
    sys.stderr.write(BETWEEN)
    asyncio.run(_hostile_records())


if __name__ == "__main__":
    main(sys.argv[1:])
