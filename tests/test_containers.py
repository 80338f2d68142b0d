"""docker-compose.yml and Dockerfile: as the Compose Specification has them, and in step with the code and the tests."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from compose_pydantic import ComposeSpecification
from typer.main import get_command

from infra.settings import PREFIX, Settings
from thumbstream.commands.cli import app

_ROOT: Final = Path(__file__).parents[1]
_OURS: Final = ("api", "worker")
_SETTINGS: Final = {PREFIX + field.upper() for field in Settings.model_fields}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (_ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_file_is_valid_compose(compose: dict[str, Any]) -> None:
    ComposeSpecification(**{key: value for key, value in compose.items() if not key.startswith("x-")})


def test_every_service_is_watched_and_comes_back(services: dict[str, Any]) -> None:
    assert set(services) == {"api", "worker", "kafka", "postgres", "s3"}
    for name, service in services.items():
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert "image" in service, name


def test_ours_start_when_what_they_need_is_healthy(services: dict[str, Any]) -> None:
    others = set(services) - set(_OURS)
    for name in _OURS:
        assert {each: rule["condition"] for each, rule in services[name]["depends_on"].items()} == dict.fromkeys(
            others, "service_healthy"
        )


def test_every_volume_is_declared_and_used(compose: dict[str, Any], services: dict[str, Any]) -> None:
    used = {volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    assert used == set(compose["volumes"])


def test_only_this_machine_reaches_a_published_port(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("name", _OURS)
def test_its_command_is_one_of_thumbstreams(services: dict[str, Any], name: str) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert services[name]["command"] == [name]
    assert name in commands
    assert "doctor" in commands


@pytest.mark.parametrize("name", _OURS)
def test_its_variables_are_settings_with_good_values(
    services: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {key: _as_compose_fills_it(value) for key, value in services[name]["environment"].items()}
    assert set(environment) <= _SETTINGS
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    settings = Settings()
    assert settings.bootstrap_servers == ["kafka:19092"]
    assert str(settings.database_url).startswith("postgresql+asyncpg://thumbstream:thumbstream@postgres:5432/")
    assert settings.s3_secret_access_key is not None


def test_both_sides_and_the_servers_use_the_same_secrets(services: dict[str, Any]) -> None:
    api, worker = (services[name]["environment"] for name in _OURS)
    assert worker.items() <= api.items()
    assert f":{services['postgres']['environment']['POSTGRES_PASSWORD']}@" in api["THUMBSTREAM_DATABASE_URL"]
    key = f"{api['THUMBSTREAM_S3_ACCESS_KEY_ID']},{api['THUMBSTREAM_S3_SECRET_ACCESS_KEY']}"
    assert services["s3"]["environment"]["RCLONE_AUTH_KEY"] == key


def test_its_host_names_are_services(services: dict[str, Any]) -> None:
    for value in services["api"]["environment"].values():
        for host in re.findall(r"(?:@|http://|^)([a-z0-9]+):\d+", value):
            assert host in services


def test_kafka_is_the_version_that_the_tests_run(services: dict[str, Any]) -> None:
    pom = ElementTree.parse(_ROOT / "tests/support/apache_kafka/pom.xml")
    version = pom.findtext(".//{*}kafka.version")
    assert services["kafka"]["image"] == f"apache/kafka:{version}"


def test_kafka_listens_where_the_others_look(services: dict[str, Any]) -> None:
    environment = services["kafka"]["environment"]
    listeners = _by_name(environment["KAFKA_LISTENERS"])
    advertised = _by_name(environment["KAFKA_ADVERTISED_LISTENERS"])
    assert f"kafka:{listeners['CONTAINERS']}" == services["api"]["environment"]["THUMBSTREAM_KAFKA_BOOTSTRAP"]
    assert {name: listeners[name] for name in advertised} == advertised
    assert set(listeners) == {
        pair.partition(":")[0] for pair in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    }
    assert services["kafka"]["ports"] == [f"127.0.0.1:{advertised['HOST']}:{listeners['HOST']}"]


def test_the_image_runs_as_nobody_special_and_is_watched(dockerfile: list[tuple[str, str]]) -> None:
    last_stage = dockerfile[[word for word, _ in dockerfile].index("FROM", 1) :]
    words = [word for word, _ in last_stage]
    account = dict(last_stage)["USER"]
    assert account not in ("root", "0")
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert any(word == "RUN" and rest.startswith("useradd") and account in rest for word, rest in last_stage)
    assert "python" in dict(last_stage)["HEALTHCHECK"]
    assert dict(last_stage)["ENTRYPOINT"] == '["thumbstream"]'


def test_the_image_is_built_from_pinned_requirements(dockerfile: list[tuple[str, str]]) -> None:
    installs = [rest for word, rest in dockerfile if word == "RUN" and "pip install" in rest]
    assert any("--require-hashes -r requirements.txt" in each for each in installs)
    assert all("--require-hashes" in each or "--no-index" in each for each in installs)


def test_the_image_holds_every_room_and_no_more(dockerfile: list[tuple[str, str]]) -> None:
    copied = {
        source for word, rest in dockerfile if word == "COPY" and "--from" not in rest for source in rest.split()[:-1]
    }
    assert all((_ROOT / source).exists() for source in copied)
    allowed = {line[1:] for line in (_ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == allowed
    rooms = {path.parent.name for path in _ROOT.glob("*/__init__.py")}
    assert rooms <= copied


def test_the_images_settings_are_settings(dockerfile: list[tuple[str, str]]) -> None:
    names = {name for word, rest in dockerfile if word == "ENV" for name in re.findall(r"(THUMBSTREAM_\w+)=", rest)}
    assert {"THUMBSTREAM_DATA_DIR", "THUMBSTREAM_HTTP_HOST"} <= names <= _SETTINGS


def _as_compose_fills_it(value: str) -> str:
    """``${NAME:-default}`` is its default, ``${NAME:?reason}`` something."""
    return re.sub(r"\$\{\w+:(?:-([^}]*)|\?[^}]*)\}", lambda found: found[1] or "given", value)


def _by_name(listeners: str) -> dict[str, str]:
    return {each.partition("://")[0]: each.rpartition(":")[2] for each in listeners.split(",")}
