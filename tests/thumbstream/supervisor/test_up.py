"""``up`` with everything in it: real broker, worker, api."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image

from infra.settings import Settings
from kafka_servers import ApacheKafka
from polling import poll
from server_process import free_port
from thumbstream.supervisor.up import run_up
from up_process import UpProcess

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="tells processes apart by /proc")

Run = Callable[..., subprocess.CompletedProcess[str]]

WORKER, API, BROKER = r"thumbstream worker", r"thumbstream api", r"^\S*tansu\S* broker"


#: Our packages, none of which may be taken from the folder that ``up`` is run in.
FOREIGN: Final = frozenset({"api", "schemas", "imaging", "pipeline", "infra", "thumbstream"})


@pytest.fixture
def up(fresh_folder: Path) -> Iterator[UpProcess]:
    with _ended(UpProcess(fresh_folder)) as process:
        yield process


@pytest.fixture(scope="module")
def running_up(server_folder: Path) -> Iterator[UpProcess]:
    """One for all tests that leave it running: with two workers, run where modules have the names of ours."""
    folder = Path(tempfile.mkdtemp(dir=server_folder))
    for name in FOREIGN:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise SystemExit('not ours')")
    with _ended(UpProcess(folder, THUMBSTREAM_WORKERS="2")) as process:
        process.settings["THUMBSTREAM_WORKER_HTTP_PORT"] = str(_two_free_ports())  # none of the process's own
        yield process.start()


@contextmanager
def _ended(process: UpProcess) -> Iterator[UpProcess]:
    try:
        yield process
    finally:
        process.stop()
    poll(lambda: not process.family(), what="no process is left")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(5):
        noise = Image.effect_noise((320, 240), 30 + number).convert("RGB")
        noise.save(folder / f"photo-{number}.jpg")
    return folder


@pytest.fixture
def upload(run: Run, up: UpProcess) -> Run:
    return _upload_to(up, run)


def _upload_to(up: UpProcess, run: Run) -> Run:
    def run_upload(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run("upload", *arguments, THUMBSTREAM_DATA_DIR=str(up.data_dir), THUMBSTREAM_HTTP_PORT=str(up.port))

    return run_upload


def _photos(up: UpProcess) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"{up.url}/v1/workspaces/default/photos", headers={"Authorization": f"Bearer {up.key}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        photos: list[dict[str, Any]] = json.load(answer)["items"]
        return photos


def _ready_count(up: UpProcess) -> int:
    try:
        return [photo["thumbnail_status"] for photo in _photos(up)].count("ready")
    except OSError:
        return -1


def test_from_start_to_stop_as_a_newcomer_does_it(up: UpProcess, upload: Run, album: Path) -> None:
    whole = (album / "photo-0.jpg").read_bytes()
    (album / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    up.start()
    assert f"{up.url}/?key={up.key}" in up.said()
    assert (up.data_dir.stat().st_mode & 0o777) == 0o700
    done = upload(str(album))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "uploaded 6 of 6, ready 5, failed 1" in done.stdout
    assert done.stdout.count("320 x 240 px") == 5
    assert "unreadable: " in done.stdout
    os.kill(up.pid, signal.SIGINT)
    assert up.wait(30) == 0
    poll(lambda: not up.family(), what="no process is left")
    said = up.said()
    assert said.index("worker stopped") < said.index("the api stops")


def test_it_takes_no_module_from_the_folder_it_is_run_in_and_leaves_nothing_there(
    running_up: UpProcess, run: Run, album: Path
) -> None:
    assert _upload_to(running_up, run)(str(album)).returncode == 0
    assert {path.name for path in running_up.folder.iterdir()} == FOREIGN | {"data", running_up.log_file.name}


def test_when_up_is_killed_all_end_and_the_next_up_finishes_the_photos(up: UpProcess, upload: Run, album: Path) -> None:
    up.start()
    os.kill(up.child(WORKER), signal.SIGSTOP)
    assert upload(str(album), "--no-wait").returncode == 0
    up.kill()
    frozen = up.child(WORKER)
    os.kill(frozen, signal.SIGCONT)
    poll(lambda: not up.family(), what="no process is left")
    up.start()
    poll(lambda: _ready_count(up) == 5, 60, what="the photos are ready")


def test_a_worker_that_dies_is_started_again_and_no_photo_is_lost(up: UpProcess, upload: Run, album: Path) -> None:
    up.start()
    os.kill(up.child(WORKER), signal.SIGKILL)
    poll(lambda: "worker-1 was ended by SIGKILL; starting it again in 0.5 s" in up.said())
    done = upload(str(album))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broker_that_dies_takes_no_photo_with_it(up: UpProcess, upload: Run, album: Path) -> None:
    up.start()
    assert upload(str(album)).returncode == 0
    os.kill(up.child(WORKER), signal.SIGSTOP)
    assert upload(str(album), "--no-wait").returncode == 0
    os.kill(up.child(BROKER), signal.SIGKILL)
    poll(lambda: "workers and api start anew" in up.said(), 20)
    poll(lambda: _ready_count(up) == 10, 60, what="all photos are ready")
    assert upload(str(album)).returncode == 0


def test_with_a_kafka_of_ones_own_no_broker_is_started(
    apache_kafka: ApacheKafka, fresh_folder: Path, run: Run, album: Path
) -> None:
    with UpProcess(fresh_folder, THUMBSTREAM_KAFKA_BOOTSTRAP=apache_kafka.bootstrap) as up:
        assert not [command for command in up.family().values() if "tansu" in command]
        done = _upload_to(up, run)(str(album))
        assert done.returncode == 0, done.stdout + done.stderr
    poll(lambda: not up.family(), what="no process is left")


def test_a_taken_port_is_told_before_anything_starts(up: UpProcess) -> None:
    with socket.create_server(("127.0.0.1", up.port)):
        up.spawn()
        assert up.wait(30) == 1
    assert f"cannot listen on 127.0.0.1:{up.port}" in up.said()
    assert "THUMBSTREAM_HTTP_PORT" in up.said()
    assert "tansu" not in up.said()


def test_a_second_up_on_one_data_directory_is_refused(running_up: UpProcess) -> None:
    second = subprocess.run(
        running_up.command(),
        env={**os.environ, **running_up.environment()},
        cwd=running_up.folder,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert second.returncode == 1
    assert f"another `thumbstream up` (process {running_up.pid})" in second.stderr
    assert running_up.is_running


def test_ctrl_c_while_it_starts_leaves_nothing(up: UpProcess) -> None:
    up.spawn()
    poll(lambda: len(up.family()) >= 3, what="children are there")
    os.kill(up.pid, signal.SIGINT)
    assert up.wait(30) == 0
    poll(lambda: not up.family(), what="no process is left")


def test_a_second_ctrl_c_kills_at_once(up: UpProcess) -> None:
    up.start()
    os.kill(up.child(WORKER), signal.SIGSTOP)
    os.kill(up.pid, signal.SIGINT)
    poll(lambda: "stopping" in up.said())
    before = time.monotonic()
    os.kill(up.pid, signal.SIGINT)
    assert up.wait(10) == 1
    assert time.monotonic() - before < 5
    poll(lambda: not up.family(), what="no process is left")


def test_each_worker_serves_its_metrics_on_a_port_of_its_own(running_up: UpProcess, run: Run, album: Path) -> None:
    first = int(running_up.settings["THUMBSTREAM_WORKER_HTTP_PORT"])

    def text_of(port: int, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def ready_count() -> float:
        text = "".join(text_of(port, "/metrics") for port in (first, first + 1))
        return sum(map(float, re.findall(r'thumbstream_results_total{code="",result="ready"} (\S+)', text)))

    for port in (first, first + 1):
        poll(lambda port=port: text_of(port, "/readyz"), 60, what="the worker is ready")  # type: ignore[misc]
        assert text_of(port, "/healthz")
    before = ready_count()
    assert _upload_to(running_up, run)(str(album)).returncode == 0
    assert ready_count() == before + 5
    metrics = "".join(text_of(port, "/metrics") for port in (first, first + 1))
    assert 'thumbstream_rendition_seconds_count{format="jpg",rendition="small"}' in metrics


def _two_free_ports() -> int:
    """The lower one of two in a row."""
    while True:
        port = free_port()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@pytest.mark.unit
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"worker_http_port": 65535, "workers": 2}, "2 workers take the ports 65535 to 65536"),
        ({"worker_http_port": 8078, "workers": 3, "http_port": 8080}, "8080 is THUMBSTREAM_HTTP_PORT"),
        ({"worker_http_port": 9092}, "9092 is THUMBSTREAM_EMBEDDED_KAFKA_PORT"),
    ],
)
def test_ports_that_the_workers_cannot_have_are_told_before_anything_starts(
    settings: dict[str, int], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_up(Settings(data_dir=tmp_path / "data", _env_file=None, **settings)) == 2
    said = capsys.readouterr().err
    assert "THUMBSTREAM_WORKER_HTTP_PORT" in said
    assert message in said
    assert not (tmp_path / "data").exists()
