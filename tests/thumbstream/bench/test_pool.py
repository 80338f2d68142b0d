import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imaging.formats import MAX_JPEG_SCANS, read_header
from photos import photo
from thumbstream.bench import neighbour, soak
from thumbstream.bench.neighbour import Neighbourhood, slow_jpeg
from thumbstream.bench.service import CannotMeasure

#: Benches start processes.
pytestmark = pytest.mark.embedded

pytest.importorskip("resource", reason="render processes need a POSIX system")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def small_photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo"
    path.write_bytes(photo(320, 240))
    return path


async def test_photos_are_measured_alone_and_beside_a_hostile_one_that_never_ends_in_time(
    small_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour, "_CPU_SECONDS", 0.1)
    hostile = tmp_path / "hostile"
    hostile.write_bytes(slow_jpeg(4000))
    wait_for_wakeup: list[int] = []
    figures = await neighbour.measure(small_photo, hostile, 2, 60, 2, wait_for_wakeup.append)
    assert (figures.processes, figures.photos, figures.other_slots) == (2, 60, 0.5)
    assert min(figures.alone_photos_per_second, figures.beside_photos_per_second) > 0
    assert figures.given_up >= 1
    assert wait_for_wakeup == list(range(1, 2 * 2 * 60 + 1))


async def test_a_hostile_photo_that_is_rendered_is_no_measurement(
    small_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour, "_CPU_SECONDS", 1000.0)
    harmless = tmp_path / "harmless"
    harmless.write_bytes(photo(640, 480))
    with pytest.raises(CannotMeasure, match="before its deadline"):
        await neighbour.measure(small_photo, harmless, 1, 1, 1, lambda count: None)


def test_the_share_of_the_other_slots_is_that_of_all_but_one() -> None:
    figures = Neighbourhood(4, 100, 40.0, 30.0, kept=0.75, given_up=7)
    assert figures.other_slots == 0.75


def test_the_hostile_photo_is_let_in_with_as_many_scans_as_may_be(tmp_path: Path) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(slow_jpeg(64))
    assert path.read_bytes().count(b"\xff\xda") == MAX_JPEG_SCANS
    assert read_header(path, max_pixels=64 * 64).width == 64


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells")
async def test_a_soak_looks_at_every_process_at_every_step_and_counts_those_replaced(small_photo: Path) -> None:
    moments = await soak.measure([small_photo], 2, 25, 10, 4, lambda count: None)
    assert [moment.photos for moment in moments] == [10, 20, 25]
    replaced = [moment.replaced for moment in moments]
    assert replaced == sorted(replaced)
    assert replaced[-1] > 1
    for moment in moments:
        assert moment.worker_bytes > 1_000_000
        assert 1 <= len(moment.render_bytes) <= 2
        assert list(moment.render_bytes) == sorted(moment.render_bytes, reverse=True)


def test_too_few_photos_are_refused_by_the_command_line(run: Run) -> None:
    for command in ("neighbour", "soak"):
        done = run("bench", command, "--photos", "0")
        assert done.returncode == 2
        assert "photos" in done.stderr


def test_the_figures_of_a_soak_come_as_a_table_or_as_json(
    capsys: pytest.CaptureFixture[str], small_photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "_made", lambda folder: [small_photo])
    if not Path("/proc/self/smaps_rollup").exists():
        assert soak.run_soak(1, 4, 2, 2000, as_json=True) == 1
        return
    assert soak.run_soak(1, 4, 2, 2000, as_json=True) == 0
    assert [moment["photos"] for moment in json.loads(capsys.readouterr().out)] == [2, 4]
    assert soak.run_soak(1, 4, 2, 2000, as_json=False) == 0
    assert "from 2 to 4 photos" in capsys.readouterr().out
