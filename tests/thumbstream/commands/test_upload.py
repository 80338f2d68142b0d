import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fake_api import FakeApi
from polling import poll
from server_process import free_port

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    (folder / "deeper").mkdir(parents=True)
    for number in range(5):
        (folder / "deeper" / f"photo-{number}.jpg").write_bytes(b"fine %d" % number)
    return folder


def test_all_ready_is_exit_code_0_and_a_line_for_each(upload: Run, album: Path) -> None:
    done = upload(str(album))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("640 x 480 px") == 5
    assert "uploaded 5 of 5, ready 5, failed 0" in done.stdout


def test_a_refused_and_a_failed_photo_are_named_with_their_reasons(upload: Run, album: Path) -> None:
    (album / "notes.txt").write_bytes(b"bad")
    (album / "cut.jpg").write_bytes(b"broken")
    done = upload(str(album))
    assert done.returncode == 1
    assert "415 Unsupported image: no image by its bytes" in done.stdout
    assert "unreadable: the file is cut short" in done.stdout
    assert "uploaded 6 of 7, ready 5, failed 2" in done.stdout


def test_many_ready_photos_are_a_number_unless_all_are_asked_for(upload: Run, album: Path) -> None:
    for number in range(30):
        (album / f"more-{number}.jpg").write_bytes(b"fine too")
    (album / "cut.jpg").write_bytes(b"broken")
    short = upload(str(album))
    assert "photo-1.jpg" not in short.stdout
    assert "cut.jpg" in short.stdout
    assert "ready 35, failed 1" in short.stdout
    assert upload(str(album), "--verbose").stdout.count("640 x 480") == 35


def test_a_missing_path_is_told_before_anything_is_sent(upload: Run, album: Path, fake_api: FakeApi) -> None:
    done = upload(str(album), str(album / "nowhere"))
    assert done.returncode == 2
    assert "nowhere: no such file" in done.stderr
    assert fake_api.posts == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are always Unicode")
def test_names_that_are_no_utf8_are_uploaded_and_shown_with_what_cannot_be_shown_replaced(
    upload: Run, album: Path
) -> None:
    folder = album / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    for name, content in ((b"\xff\xfe.jpg", b"fine"), (b"tail\xc3.jpg", b"fine"), (b"bad\xe9.txt", b"bad")):
        (folder / os.fsdecode(name)).write_bytes(content)
    done = upload(str(album))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "uploaded 7 of 8, ready 7, failed 1" in done.stdout
    assert "bad\N{REPLACEMENT CHARACTER}.txt" in done.stdout


def test_nobody_there_is_exit_code_2_and_says_what_to_do(upload: Run, album: Path) -> None:
    done = upload(str(album), THUMBSTREAM_URL=f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert "thumbstream up" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--key", "another"], "does not know this key (401)", id="a bad key"),
        pytest.param(["--workspace", "other"], "not found, or not for this key (404)", id="another's workspace"),
        pytest.param(["--concurrency", "0"], "concurrency", id="no uploads at once"),
    ],
)
def test_misuse_is_exit_code_2_and_says_why(upload: Run, album: Path, arguments: list[str], said: str) -> None:
    done = upload(str(album), *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_no_key_at_all_says_where_keys_are_looked_for(run: Run, album: Path) -> None:
    done = run("upload", str(album))
    assert done.returncode == 2
    assert "THUMBSTREAM_KEY" in done.stderr


def test_the_data_directorys_key_is_used(run: Run, album: Path, fake_api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "admin.key").write_text("the-key\n")
    done = run("upload", str(album), "--url", fake_api.url)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stumbles", [[503, 429], [0, 0], [500]], ids=["busy", "hung up", "a fault of its own"])
def test_a_passing_fault_is_tried_again_and_makes_no_second_photo(
    upload: Run, album: Path, fake_api: FakeApi, stumbles: list[int]
) -> None:
    fake_api.stumbles = list(stumbles)
    done = upload(str(album))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(fake_api.photos) == 5
    assert fake_api.posts == 5 + len(stumbles)


def test_a_result_that_overtakes_its_upload_counts(upload: Run, album: Path, fake_api: FakeApi) -> None:
    fake_api.results_first = True
    done = upload(str(album))
    assert done.returncode == 0, done.stderr
    assert "ready 5" in done.stdout


def test_results_that_the_feed_lost_are_looked_up(upload: Run, album: Path, fake_api: FakeApi) -> None:
    fake_api.feed_tells = False
    done = upload(str(album))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("resumes", [True, False])
def test_a_feed_that_breaks_is_opened_again_where_it_was(
    start: Start, album: Path, fake_api: FakeApi, resumes: bool
) -> None:
    fake_api.renders = False
    fake_api.resumes = resumes
    uploading = start("upload", str(album), "--key", "the-key", "--url", fake_api.url)
    poll(lambda: len(fake_api.photos) == 5, what="all are uploaded")
    fake_api.cut_feeds()
    *in_the_gap, last = fake_api.photos
    for photo_id in in_the_gap:
        fake_api.finish(photo_id, "ready")
    poll(lambda: len(fake_api.feed_cursors) == 2, what="the feed is opened again")
    fake_api.finish(last, "ready")
    output, errors = uploading.communicate(timeout=30)
    assert uploading.returncode == 0, output + errors
    assert fake_api.feed_cursors[0] is None
    assert int(fake_api.feed_cursors[1] or "0") >= 1


def test_no_result_within_the_timeout_is_exit_code_1_and_says_who_waits(
    upload: Run, album: Path, fake_api: FakeApi
) -> None:
    fake_api.renders = False
    done = upload(str(album), "--timeout", "1")
    assert done.returncode == 1
    assert done.stdout.count("no result yet") == 5


def test_no_wait_ends_when_all_are_uploaded(upload: Run, album: Path, fake_api: FakeApi) -> None:
    fake_api.renders = False
    assert upload(str(album), "--no-wait").returncode == 0
    assert len(fake_api.photos) == 5


def test_no_more_files_at_once_than_asked_for(upload: Run, album: Path, fake_api: FakeApi) -> None:
    fake_api.results_first = True
    assert upload(str(album), "--concurrency", "2").returncode == 0
    assert fake_api.most_posting == 2


def test_the_item_and_the_name_come_with_the_photo(upload: Run, tmp_path: Path, fake_api: FakeApi) -> None:
    named = tmp_path / 'größe "1" 50%.jpg'
    named.write_bytes(b"fine")
    assert upload(str(named), "--item", "shelf 7").returncode == 0
    (photo,) = fake_api.photos.values()
    assert photo["filename"] == named.name
    assert photo["item_id"] == "shelf 7"


def test_ctrl_c_prints_what_is_known(start: Start, album: Path, fake_api: FakeApi) -> None:
    fake_api.renders = False
    uploading = start("upload", str(album), "--key", "the-key", "--url", fake_api.url)
    poll(lambda: len(fake_api.photos) == 5, what="all are uploaded")
    uploading.send_signal(signal.SIGINT)
    output, errors = uploading.communicate(timeout=20)
    assert uploading.returncode == 130
    assert "waiting for" in output
    assert "Traceback" not in errors
