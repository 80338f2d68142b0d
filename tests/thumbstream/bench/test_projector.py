import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_whole_backlog_is_folded_and_nothing_of_it_stays(run: Run, tmp_path: Path) -> None:
    done = run("bench", "projector", "--events", "3000", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["events"] == 3000
    assert figures["events_per_second"] > 0
    assert all(figures["memory_bytes"])
    assert not (tmp_path / "data").exists()


def test_a_database_that_has_photos_is_refused(run: Run, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'rows.sqlite'}"
    assert run("bench", "projector", "--events", "3", "--database-url", url).returncode == 0
    again = run("bench", "projector", "--events", "3", "--database-url", url)
    assert again.returncode == 1
    assert "the database has photos" in again.stderr
