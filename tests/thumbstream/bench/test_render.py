import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageFilter

from photos import photo, truncated_photo
from thumbstream.bench.render.cases import cases_of, made_cases, renditions_in
from thumbstream.bench.render.chart import draw_chart
from thumbstream.bench.render.engine_process import EngineFailed, EngineProcess
from thumbstream.bench.render.quality import reference, ssim
from thumbstream.bench.sample_photos import photo_like, zone_plate

#: Benches start processes.
pytestmark = pytest.mark.embedded

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def own_photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(photo(1600, 1200, orientation=6))
    (folder / "two.png").write_bytes(photo(900, 700, kind="PNG"))
    (folder / "notes.txt").write_text("no photo")
    return folder


def test_ones_own_photos_are_measured_and_the_figures_written(run: Run, own_photos: Path, tmp_path: Path) -> None:
    done = run("bench", "render", "--photos", str(own_photos), "--rounds", "1", "--out", "figures", "--only", "to jpeg")
    assert done.returncode == 0, done.stderr
    assert "Thumbstream" in done.stdout
    figures = json.loads((tmp_path / "figures/render.json").read_text())
    assert [result["case"] for result in figures["results"]] == [
        "your JPEG (1) to JPEG",
        "your PNG (1) to JPEG",
    ]
    for result in figures["results"]:
        outcomes = {outcome["engine"]: outcome for outcome in result["outcomes"]}
        assert {"naive", "ours", "floor"} <= set(outcomes)
        for engine in ("naive", "ours"):
            assert outcomes[engine]["failed"] is None
            assert outcomes[engine]["seconds"] > 0
            assert outcomes[engine]["ssim"] > 0.9
    with Image.open(tmp_path / "figures/render.png") as chart:
        assert chart.width > 500
    assert "Thumbstream" in (tmp_path / "figures/render.md").read_text()
    ElementTree.parse(tmp_path / "figures/render.svg")


def test_the_cases_can_be_chosen_by_name(run: Run, own_photos: Path) -> None:
    done = run("bench", "render", "--photos", str(own_photos), "--rounds", "1", "--only", "png (1) to web")
    assert done.returncode == 0, done.stderr
    assert "PNG (1) to WEBP" in done.stdout
    assert "JPEG (1)" not in done.stdout


def test_nothing_to_measure_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run("bench", "render", "--photos", "empty")
    assert done.returncode == 1
    assert "nothing to measure" in done.stderr


def test_an_engine_that_is_not_installed_is_a_line_and_no_end(run: Run, own_photos: Path) -> None:
    done = run("bench", "render", "--photos", str(own_photos), "--rounds", "1", "--only", "png (1) to web", PATH="")
    assert done.returncode == 0, done.stderr
    assert "left out: Node.js is not installed" in done.stderr


def test_what_an_engine_cannot_read_is_told_and_it_goes_on(tmp_path: Path) -> None:
    broken, whole = tmp_path / "broken.jpg", tmp_path / "whole.jpg"
    broken.write_bytes(truncated_photo())
    whole.write_bytes(photo())
    with EngineProcess("ours") as process:
        with pytest.raises(EngineFailed, match="truncated"):
            process.measure(broken, renditions_in("jpeg"))
        assert process.measure(whole, renditions_in("jpeg"), keep=tmp_path / "kept").seconds > 0
    assert {path.name for path in tmp_path.glob("kept*")} == {"kept.0", "kept.1", "kept.2"}


def test_files_that_are_no_photos_are_left_out(own_photos: Path) -> None:
    cases = cases_of(own_photos, lambda name: True)
    assert {path.name for case in cases for path in case.originals} == {"one.jpg", "two.png"}


def test_only_what_is_wanted_is_made(tmp_path: Path) -> None:
    made: list[str] = []
    cases = made_cases(tmp_path, lambda name: name.startswith("zone"), made.append)
    assert [case.name for case in cases] == ["zone plate to PNG"]
    assert made == ["making zone plate"]


def test_the_renditions_come_largest_first() -> None:
    edges = [rendition.max_edge for rendition in renditions_in("webp")]
    assert edges == sorted(edges, reverse=True)


def test_likeness_is_one_for_the_same_and_falls_with_what_is_lost() -> None:
    image = photo_like(400, 300)
    softer, softest = (image.filter(ImageFilter.GaussianBlur(radius)) for radius in (1, 3))
    assert ssim(image, image) == pytest.approx(1)
    assert 1 > ssim(image, softer) > ssim(image, softest) > 0
    assert ssim(image, softer) == pytest.approx(ssim(softer, image))
    with pytest.raises(ValueError, match="px"):
        ssim(image, image.resize((300, 300)))


def test_a_zone_plate_tells_aliasing(tmp_path: Path) -> None:
    plate = zone_plate(800)
    original = tmp_path / "plate"
    plate.save(original, "PNG")
    best = reference(original, (200, 200))
    assert ssim(plate.resize((200, 200), Image.Resampling.LANCZOS), best) == pytest.approx(1)
    assert ssim(plate.resize((200, 200), Image.Resampling.NEAREST), best) < 0.5


def test_the_reference_is_upright(tmp_path: Path) -> None:
    original = tmp_path / "photo"
    original.write_bytes(photo(400, 300, orientation=6))
    with Image.open(original) as image:
        upright = image.transpose(Image.Transpose.ROTATE_270).resize((150, 200))
    assert ssim(reference(original, (150, 200)), upright) > 0.95


def test_the_photos_are_the_same_on_every_run() -> None:
    assert photo_like(300, 200, seed=1).tobytes() == photo_like(300, 200, seed=1).tobytes()
    assert photo_like(300, 200, seed=1).tobytes() != photo_like(300, 200, seed=2).tobytes()


def test_a_chart_shows_each_bar_in_both_drawings(tmp_path: Path) -> None:
    bars = {"one <case>": {"naive & co": 5.0, "Thumbstream": 1.125}, "another": {"Thumbstream": 90.0}}
    draw_chart(bars, tmp_path / "chart.png", tmp_path / "chart.svg")
    drawing = ElementTree.parse(tmp_path / "chart.svg")
    told = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    for text in ("one <case>", "naive & co", "5.00", "1.12", "90.00"):
        assert text in told
    with Image.open(tmp_path / "chart.png") as chart:
        assert len(chart.getcolors(256) or ()) > 4
