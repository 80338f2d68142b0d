import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployment import WorkerProcess
from kafka_servers import ApacheKafka
from thumbstream.bench.latency import STAGES, percentile

Run = Callable[..., subprocess.CompletedProcess[str]]


def _measured(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, float]]:
    assert done.returncode == 0, done.stderr
    figures: dict[str, dict[str, float]] = json.loads(done.stdout)["milliseconds"]
    assert set(figures) == set(STAGES)
    assert 0 < figures["overhead"]["p50"] < figures["event_to_result"]["p50"] <= figures["event_to_result"]["p95"]
    return figures


def test_without_a_kafka_it_brings_its_own_and_touches_nothing(run: Run, tmp_path: Path) -> None:
    _measured(run("bench", "latency", "--photos", "2", "--interval-ms", "0", "--json"))
    assert not (tmp_path / "data").exists()


def test_a_table_for_people_names_every_stage(run: Run) -> None:
    done = run("bench", "latency", "--photos", "1", "--interval-ms", "0")
    assert done.returncode == 0, done.stderr
    for words in STAGES.values():
        assert words in done.stdout


def test_on_ones_own_kafka_without_a_worker_it_brings_one_and_leaves_no_file(
    run: Run, apache_kafka: ApacheKafka, tmp_path: Path
) -> None:
    done = run("bench", "latency", "--photos", "2", "--interval-ms", "0", "--json", **apache_kafka.variables)
    _measured(done)
    assert "a worker of the bench's own" in json.loads(done.stdout)["kafka"]
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_workers_that_run_are_measured_and_get_no_new_colleague(
    run: Run, apache_kafka: ApacheKafka, environment: dict[str, str], fresh_folder: Path
) -> None:
    worker = WorkerProcess("worker", fresh_folder, environment | apache_kafka.variables)
    worker.start()
    try:
        done = run("bench", "latency", "--photos", "2", "--interval-ms", "0", "--json", **apache_kafka.variables)
    finally:
        worker.stop()
    _measured(done)
    assert "its running workers" in json.loads(done.stdout)["kafka"]


def test_storage_that_the_worker_cannot_see_is_refused(run: Run) -> None:
    done = run("bench", "latency", THUMBSTREAM_STORAGE_URL="memory://", THUMBSTREAM_KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert done.returncode == 1
    assert "memory://" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["latency"])
def test_bad_settings_end_it_with_all_of_them_named(run: Run, command: str) -> None:
    done = run("bench", command, THUMBSTREAM_WORKERS="0", THUMBSTREAM_HTTP_PORT="x")
    assert done.returncode == 2
    assert "THUMBSTREAM_WORKERS" in done.stderr
    assert "THUMBSTREAM_HTTP_PORT" in done.stderr


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([1, 50, 95, 100]))
def test_a_percentile_is_one_of_the_values_and_enough_of_them_do_not_exceed_it(
    values: list[float], percent: int
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100
    assert sum(value < found for value in values) < max(1, len(values) * percent / 100)
