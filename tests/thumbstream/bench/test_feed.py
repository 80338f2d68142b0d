import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_every_client_gets_every_change_and_nothing_of_it_stays(run: Run, tmp_path: Path) -> None:
    done = run("bench", "feed", "--clients", "12", "--rate", "40", "--seconds", "2", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["clients"], figures["complete_clients"], figures["changes"]) == (12, 12, 80)
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert not (tmp_path / "data").exists()
