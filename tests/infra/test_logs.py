import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.embedded

_PROGRAM = """
import logging, sys, warnings
from infra.logs import configure_logs
configure_logs({form!r})
import structlog
structlog.get_logger("ours").info("one thing", partition=3)
logging.getLogger("theirs").warning("another %s", "thing")
logging.getLogger("aiokafka.consumer").info("chatter")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("ours").exception("a fault")
"""

_HOSTILE = "\x00\x07\r\n\x1b[31m\x7f\x85\x9b\u2028\u202e\ud800 x"
_HOSTILE_PROGRAM = """
import logging, warnings
from infra.logs import configure_logs
configure_logs({form!r})
import structlog
hostile = {hostile!r}
class Odd:
    def __repr__(self): return hostile
    __str__ = __repr__
log = structlog.get_logger("ours")
log.warning(hostile, path=hostile, inside=[hostile], odd=Odd(), raw=hostile.encode(errors="replace"))
logging.getLogger("theirs").error("%s", hostile)
warnings.warn(hostile)
try:
    raise ValueError(hostile)
except ValueError:
    log.exception("a fault", path=hostile)
    logging.getLogger("theirs").exception(hostile)
"""

_KAFKA_PROGRAM = """
import asyncio
from infra.logs import configure_logs
configure_logs({form!r})
from pipeline.record_handler import RecordHandler
from pipeline.retries import Backoff
from pipeline.breaker import StorageBreaker
from schemas import topics
from schemas.records import Record
hostile = {hostile!r}
async def deliver(topic, key, value, headers):
    pass
async def main():
    handler = RecordHandler(
        None, deliver, deliver, breaker=StorageBreaker(None), backoff=Backoff(1, 1, 1), at_once=1, worker="host-1"
    )
    import json
    raw = hostile.encode(errors="surrogatepass")
    for value in (raw, json.dumps({{hostile: hostile, "photo_id": hostile, "workspace_id": hostile}}).encode()):
        record = Record(topics.UPLOADED, 0, 1, 0, raw, value, ((hostile, raw), ("ce_id", raw)))
        await handler.upload(record)
        await handler.retry(record)
        await handler.deletion(Record(topics.DELETED, 0, 1, 0, raw, value))
asyncio.run(main())
"""

#: Stands in the log between what the programs have written.
_MARK = "-- the next program --\n"


@cache
def _logs(form: str | None) -> list[str]:
    """What each of the three programs writes, in one process: to start one takes longer than all of them."""
    programs = [program.format(form=form, hostile=_HOSTILE) for program in (_PROGRAM, _HOSTILE_PROGRAM, _KAFKA_PROGRAM)]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.stderr.write({_MARK!r})\n".join(programs)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    )
    assert done.stdout == b""
    return done.stderr.decode().split(_MARK)


@pytest.mark.parametrize("form", ["json", None])
def test_where_no_person_looks_each_line_is_json_ours_and_theirs(form: str | None) -> None:
    ours, theirs, fault = map(json.loads, _logs(form)[0].splitlines())
    assert (ours["event"], ours["level"], ours["partition"]) == ("one thing", "info", 3)
    assert (theirs["event"], theirs["logger"]) == ("another thing", "theirs")
    assert fault["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert ours["timestamp"].endswith("Z")


@pytest.mark.parametrize("form", ["console", "logfmt"])
def test_for_people_a_fault_comes_with_its_traceback_and_without_colours_in_a_file(form: str) -> None:
    log = _logs(form)[0]
    assert "partition=3" in log
    assert "another thing" in log
    assert "chatter" not in log
    assert "ZeroDivisionError" in log
    assert "\x1b" not in log


@pytest.mark.parametrize("form", ["console", "logfmt", "json"])
def test_no_line_holds_what_steers_a_terminal(form: str) -> None:
    text = _logs(form)[1]
    assert text.count("31m") >= 8
    assert [line for line in text.split("\n") if not line.isprintable()] == []
    if form != "console":
        assert len(text.splitlines()) == 5


@pytest.mark.parametrize("form", ["console", "logfmt", "json"])
def test_no_field_of_a_record_gets_a_control_character_into_the_log(form: str) -> None:
    lines = _logs(form)[2].split("\n")
    assert sum("dead letter" in line for line in lines) == 6
    assert [line for line in lines if not line.isprintable()] == []
