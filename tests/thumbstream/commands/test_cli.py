import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from polling import poll
from schemas import topics
from server_process import free_port

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]


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


def test_a_misspelt_setting_is_told_also_where_others_are_bad(run: Run) -> None:
    done = run("worker", THUMBSTREAM_WORKERS="0", THUMBSTREAM_WORKRES="2")
    assert done.returncode == 2
    assert "did you mean THUMBSTREAM_WORKERS?" in done.stderr
    assert "THUMBSTREAM_WORKERS: " in done.stderr


@pytest.mark.parametrize("command", [("up",), ("worker",), ("doctor",), ("sweep",), ("bench", "latency")])
def test_no_password_of_a_bad_url_is_shown(run: Run, command: tuple[str, ...]) -> None:
    done = run(
        *command,
        THUMBSTREAM_DATABASE_URL="postgresql://user:hunter2@host:port/db",
        THUMBSTREAM_STORAGE_URL="ftp://key:hunter2@host/",
        THUMBSTREAM_S3_ENDPOINT_URL="ftp://key:hunter2@host/",
    )
    assert done.returncode == 2
    assert done.stderr.count("got ") == 3
    assert "hunter2" not in done.stdout + done.stderr


_EVERY_COMMAND = [
    *(("bench", name) for name in ("latency", "render", "neighbour", "soak")),
    ("dead", "list"),
    ("sweep",),
]


@pytest.mark.parametrize("command", _EVERY_COMMAND)
def test_help_is_wrapped_to_the_screen_and_says_brackets_as_they_are(run: Run, command: tuple[str, ...]) -> None:
    text = run(*command, "--help", COLUMNS="80").stdout
    assert max(len(line) for line in text.splitlines()) < 80
    if command == ("bench", "render"):
        assert "pip install 'pyvips[binary]'" in " ".join(text.split())
        paragraph = text.split("\n\n")[2].splitlines()
        assert all(len(line) > 60 for line in paragraph[:-1])


@pytest.mark.parametrize("service", ["worker", "api"])
def test_a_service_makes_the_data_directory_for_its_own_account_only(
    start: Start, tmp_path: Path, service: str
) -> None:
    process = start(service, THUMBSTREAM_HTTP_PORT=str(free_port()), THUMBSTREAM_EMBEDDED_KAFKA_PORT=str(free_port()))
    poll((tmp_path / "data").exists, what="the data directory is made")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert process.poll() is None


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


@pytest.mark.embedded
def test_the_command_line_is_light_to_import() -> None:
    """The render processes import ``__main__`` again, and every command waits for it."""
    heavy = ("faust", "aiokafka", "sqlalchemy", "aiohttp", "PIL", "alembic", "pydantic", "rich.progress")
    imports = "import sys, thumbstream.__main__, thumbstream.commands.cli"
    code = f"{imports}; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "[]"
