import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from schemas import topics

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_version_is_told(run: Run) -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("thumbstream")


@pytest.mark.parametrize("command", ["up", "worker", "api", "doctor", "watch"])
def test_every_bad_setting_is_listed_and_nothing_starts(run: Run, command: str) -> None:
    done = run(command, THUMBSTREAM_WORKERS="0", THUMBSTREAM_HTTP_PORT="x")
    assert done.returncode == 2
    assert "THUMBSTREAM_WORKERS" in done.stderr
    assert "THUMBSTREAM_HTTP_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_setting_is_a_plain_warning_once(run: Run) -> None:
    done = run("watch", "--url", "http://127.0.0.1:1", "--key", "k", THUMBSTREAM_WORKRES="2")
    assert done.stderr.count("THUMBSTREAM_WORKRES") == 1
    assert "did you mean THUMBSTREAM_WORKERS?" in done.stderr
    assert "UserWarning" not in done.stderr


def test_the_schemas_of_all_topics_are_json_schemas(run: Run) -> None:
    printed = json.loads(run("schemas").stdout)
    assert set(topics.PROJECTED) == set(printed)
    for schema in printed.values():
        Draft202012Validator.check_schema(schema)


def test_one_topics_schema_can_be_asked_for(run: Run) -> None:
    assert json.loads(run("schemas", topics.UPLOADED).stdout)["title"] == "PhotoUploaded"
    assert run("schemas", "photos.uplaoded").returncode == 2


def test_a_sample_event_is_checked_from_stdin_and_from_a_file(run: Run, tmp_path: Path) -> None:
    bad = '{"photo_id": "1"}'
    assert run("doctor", "--event", "-", stdin=bad).returncode == 1
    good = {"photo_id": "0198f0c2-0000-7000-8000-000000000000", "workspace_id": "a", "storage_key": "b/c.jpg"}
    (tmp_path / "event.json").write_text(json.dumps(good))
    assert run("doctor", "--event", "event.json").returncode == 0
    assert run("doctor", "--event", "nowhere.json").returncode == 2


def test_the_command_line_is_light_to_import() -> None:
    """The render processes import ``__main__`` again, and every command waits for it."""
    heavy = ("faust", "aiokafka", "sqlalchemy", "aiohttp", "PIL", "alembic", "pydantic", "rich.progress")
    code = f"import sys, thumbstream.__main__, thumbstream.cli; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "[]"
