import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.text import Text

from fake_api import KEY, FakeApi
from polling import poll
from server_process import free_port
from thumbstream.client.models import Health, Photo, PhotoChanged, Stats
from thumbstream.commands.watch import changes_of_health, line_of, stats_in_words
from thumbstream.terminal.messages import printable

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "cat.jpg"
    file.write_bytes(b"fine")
    return file


@pytest.fixture
def watching(start: Start, fake_api: FakeApi) -> "Callable[..., subprocess.Popen[str]]":
    def watch(*arguments: str) -> "subprocess.Popen[str]":
        process = start("watch", "--url", fake_api.url, "--key", KEY, *arguments)
        poll(lambda: fake_api.feed_cursors, what="the feed is open")
        return process

    return watch


def test_each_event_is_a_line_also_over_a_break_and_ctrl_c_is_exit_code_0(
    watching: Start, run: Run, fake_api: FakeApi, photo: Path
) -> None:
    process = watching()
    assert run("upload", str(photo), "--url", fake_api.url, "--key", KEY).returncode == 0
    before = len(fake_api.feed_cursors)
    fake_api.cut_feeds()
    poll(lambda: len(fake_api.feed_cursors) > before, what="the feed is open again")
    assert run("upload", str(photo), "--url", fake_api.url, "--key", KEY).returncode == 0
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert output.count("photos.uploaded") == 2
    assert output.count("thumbnails.ready") == 2
    assert output.count("cat.jpg") == 4
    assert "Traceback" not in errors


def test_json_is_a_line_a_message_as_it_came(watching: Start, run: Run, fake_api: FakeApi, photo: Path) -> None:
    process = watching("--json")
    assert run("upload", str(photo), "--url", fake_api.url, "--key", KEY).returncode == 0
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    messages = [json.loads(line) for line in output.splitlines()]
    assert [message["type"] for message in messages] == ["hello", "stats", "photo", "photo"]


def test_nobody_there_is_exit_code_2(run: Run) -> None:
    done = run("watch", "--url", f"http://127.0.0.1:{free_port()}", "--key", KEY)
    assert done.returncode == 2
    assert "no connection" in done.stderr


def _changed(**photo: object) -> PhotoChanged:
    raw = {"id": "1", "thumbnail_status": "failed", **photo}
    return PhotoChanged("thumbnails.failed", Photo.from_json(raw), {"photo": raw})


def test_a_line_names_the_file_and_the_error() -> None:
    line = line_of(_changed(filename="cat.jpg", error={"code": "unreadable", "message": "cut short"}))
    assert isinstance(line, Text)
    assert "cat.jpg" in line.plain
    assert "unreadable: cut short" in line.plain


def test_a_hostile_file_name_steers_no_terminal() -> None:
    assert "\x1b" not in line_of(_changed(filename="\x1b[2Jcat.jpg")).plain
    assert printable("größe 🐈") == "größe 🐈"


def test_stats_are_shown_whatever_they_count() -> None:
    words = stats_in_words(Stats({"type": "stats", "counts": {"ready": 5}, "photos_per_second": 2.25, "lag": None}))
    assert words == "ready 5  photos per second 2.2"


def test_a_part_of_the_pipeline_is_named_when_it_goes_away_and_when_it_is_back() -> None:
    fine, frozen = {"ok": True, "reason": None}, {"ok": False, "reason": "no answer\x1b[2J"}
    before = Health.from_json({"type": "health", "parts": {"broker": fine, "worker": {"ok": None, "reason": "?"}}})
    after = Health.from_json({"type": "health", "parts": {"broker": frozen, "worker": fine}})
    assert (before.away, after.away) == ({}, {"broker": "no answer\x1b[2J"})
    (said,) = changes_of_health(before.away, after.away)
    assert said.startswith("broker does not work: no answer")
    assert "\x1b" not in said
    assert list(changes_of_health(after.away, after.away)) == []
    assert list(changes_of_health(after.away, before.away)) == ["broker works again"]
