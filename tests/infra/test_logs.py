import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import logging_program

pytestmark = pytest.mark.embedded

_ROOT = Path(__file__).parents[2]


@cache
def _logs(form: str | None) -> list[str]:
    """What each of the three programs writes, in one process: to start one takes longer than all of them."""
    done = subprocess.run(
        [sys.executable, logging_program.__file__, form or "-"],
        env={"PYTHONPATH": str(_ROOT)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()
    return done.stderr.decode().split(logging_program.BETWEEN)


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
