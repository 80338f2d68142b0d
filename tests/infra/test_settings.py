import json
import subprocess
from pathlib import Path

import pytest

from infra.settings import BadSettings, Settings, UnknownSetting, load_settings
from schemas import topics


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A working directory without a ``.env``."""
    monkeypatch.chdir(tmp_path)


def test_the_defaults_keep_everything_below_the_data_directory(tmp_path):
    settings = load_settings()
    assert settings.data_dir == tmp_path / "data"
    assert settings.resolved_storage_url == f"file://{tmp_path}/data/storage"
    assert settings.sqlite_file == tmp_path / "data/thumbstream.sqlite"
    assert settings.kafka_is_embedded
    assert settings.bootstrap_servers == ["127.0.0.1:9092"]
    assert [rendition.max_edge for rendition in settings.renditions] == [150, 400, 800]


def test_every_bad_value_is_named_at_once(monkeypatch):
    monkeypatch.setenv("THUMBSTREAM_HTTP_PORT", "many")
    monkeypatch.setenv("THUMBSTREAM_PARTITIONS", "0")
    monkeypatch.setenv("THUMBSTREAM_STORAGE_URL", "ftp://x")
    monkeypatch.setenv("THUMBSTREAM_RENDITIONS", '[{"name": "small", "max_edge": 0}]')
    with pytest.raises(BadSettings) as caught:
        load_settings()
    told = str(caught.value).splitlines()
    assert len(told) == 4
    for name in ("HTTP_PORT", "PARTITIONS", "STORAGE_URL", "RENDITIONS"):
        assert any(line.startswith(f"THUMBSTREAM_{name}") for line in told)


def test_a_secret_is_not_told(monkeypatch):
    monkeypatch.setenv("THUMBSTREAM_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("THUMBSTREAM_KAFKA_SASL_PASSWORD", "hunter2")
    with pytest.raises(BadSettings) as caught:
        load_settings()
    assert "KAFKA_SASL_USERNAME" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_name_is_a_warning_that_suggests_the_nearest(monkeypatch):
    monkeypatch.setenv("THUMBSTREAM_PARTITONS", "3")
    with pytest.warns(UnknownSetting, match="did you mean THUMBSTREAM_PARTITIONS"):
        load_settings()


def test_an_env_file_is_read_and_the_environment_wins(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("THUMBSTREAM_PARTITIONS=5\nTHUMBSTREAM_WORKERS=2\n")
    monkeypatch.setenv("THUMBSTREAM_WORKERS", "3")
    settings = load_settings()
    assert (settings.partitions, settings.workers) == (5, 3)


@pytest.mark.parametrize(("given", "bytes_"), [("1000", 1000), ("50 MB", 50_000_000), ("1.5 GB", 1_500_000_000)])
def test_bytes_may_have_a_unit(monkeypatch, given, bytes_):
    monkeypatch.setenv("THUMBSTREAM_MAX_UPLOAD_BYTES", given)
    assert load_settings().max_upload_bytes == bytes_


@pytest.mark.parametrize("given", ["inf MB", "nan GB", "many MB", "5 TB", "-1 MB", "0"])
def test_a_number_of_bytes_that_is_none_is_named(monkeypatch, given):
    monkeypatch.setenv("THUMBSTREAM_MAX_UPLOAD_BYTES", given)
    with pytest.raises(BadSettings, match="THUMBSTREAM_MAX_UPLOAD_BYTES"):
        load_settings()


def test_the_waits_between_attempts_cannot_begin_above_their_longest(monkeypatch):
    monkeypatch.setenv("THUMBSTREAM_RETRY_FIRST_SECONDS", "60")
    assert load_settings().retry_first_seconds == 60
    monkeypatch.setenv("THUMBSTREAM_RETRY_LONGEST_SECONDS", "59")
    with pytest.raises(BadSettings, match="RETRY_LONGEST_SECONDS"):
        load_settings()


def test_renditions_are_read_from_json_and_their_names_must_differ(monkeypatch):
    twice = [{"name": "a", "max_edge": 10}, {"name": "a", "max_edge": 20}]
    monkeypatch.setenv("THUMBSTREAM_RENDITIONS", json.dumps(twice[:1]))
    assert load_settings().renditions[0].max_edge == 10
    monkeypatch.setenv("THUMBSTREAM_RENDITIONS", json.dumps(twice))
    with pytest.raises(BadSettings, match="same name"):
        load_settings()


@pytest.mark.parametrize("given", ["", "[", "{}", "3", "[]"])
def test_renditions_that_are_no_list_are_refused_or_left_to_the_default(monkeypatch, given):
    monkeypatch.setenv("THUMBSTREAM_RENDITIONS", given)
    if given:
        with pytest.raises(BadSettings, match="THUMBSTREAM_RENDITIONS"):
            load_settings()
    else:
        assert len(load_settings().renditions) == 3


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ("postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("sqlite:///x.db", "sqlite+aiosqlite:///x.db"),
    ],
)
def test_a_database_url_without_a_driver_gets_the_asynchronous_one(monkeypatch, given, resolved):
    monkeypatch.setenv("THUMBSTREAM_DATABASE_URL", given)
    assert load_settings().database_url == resolved


def test_files_for_tls_must_be_there(monkeypatch, tmp_path):
    monkeypatch.setenv("THUMBSTREAM_KAFKA_SSL_CA_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(BadSettings, match=r"no file .*none\.pem"):
        load_settings()


def test_what_is_missing_beside_other_faults_is_named_too(monkeypatch):
    monkeypatch.setenv("THUMBSTREAM_KAFKA_BOOTSTRAP", "kafka:9092")
    monkeypatch.setenv("THUMBSTREAM_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("THUMBSTREAM_RETRY_LONGEST_SECONDS", "0.5")
    monkeypatch.setenv("THUMBSTREAM_WORKERS", "none")
    assert _faults() == ["KAFKA_SASL_PASSWORD", "KAFKA_SASL_USERNAME", "RETRY_LONGEST_SECONDS", "WORKERS"]


def test_a_rule_about_a_value_that_is_bad_itself_says_nothing(monkeypatch):
    monkeypatch.setenv("THUMBSTREAM_KAFKA_SECURITY_PROTOCOL", "SASL")
    monkeypatch.setenv("THUMBSTREAM_RETRY_FIRST_SECONDS", "soon")
    monkeypatch.setenv("THUMBSTREAM_RETRY_LONGEST_SECONDS", "0.5")
    assert _faults() == ["KAFKA_SECURITY_PROTOCOL", "RETRY_FIRST_SECONDS"]


def _faults() -> list[str]:
    with pytest.raises(BadSettings) as caught:
        load_settings()
    return sorted(line.partition(":")[0].removeprefix("THUMBSTREAM_") for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "HTTP_HOST",
            ["0.0.0.0", "::1", "[::]", "localhost", "api.example.com"],
            ["http://x", "a b", "h:80", "1.2.3.400"],
        ),
        (
            "KAFKA_BOOTSTRAP",
            ["kafka:9092", "a:1, b:2", "[::1]:9092", "10.0.0.1:9092"],
            ["kafka", "kafka:", ":9092", "kafka:0", "kafka:99999", "a:1,,b:2", "PLAINTEXT://kafka:9092", "a b:9092"],
        ),
        (
            "S3_ENDPOINT_URL",
            ["http://127.0.0.1:9000", "https://s3.example.com"],
            ["s3.example.com", "ftp://x", "http://", "http://h:port", "http://h/?x"],
        ),
        (
            "DATABASE_URL",
            ["sqlite:///x.db", "postgresql://u:p@h:5432/d"],
            ["postgresql://u@h:port/d", "postgresql://h", "mysql://h/d", "postgresql"],
        ),
    ],
)
def test_addresses_are_checked_at_the_start(monkeypatch, name, good, bad):
    for value in good:
        monkeypatch.setenv(f"THUMBSTREAM_{name}", value)
        load_settings()
    for value in bad:
        monkeypatch.setenv(f"THUMBSTREAM_{name}", value)
        assert _faults() == [name]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://user:hunter2@host/",
        "mysql://user:hunter2@host:3306/db?ssl=1",
        "postgresql://user:hunter2/@host/db",
        "postgresql://user:hun%ter2@host:x/db?password=hunter2",
        "ftp://host/?secret_key=hunter2&x=1",
    ],
)
def test_no_part_of_a_password_in_a_url_is_told(monkeypatch, url):
    for name in ("DATABASE_URL", "STORAGE_URL", "S3_ENDPOINT_URL", "KAFKA_BOOTSTRAP", "HTTP_HOST"):
        monkeypatch.setenv(f"THUMBSTREAM_{name}", url)
    with pytest.raises(BadSettings) as caught:
        load_settings()
    assert "hun" not in str(caught.value)


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Path:
    """A certificate with its key, both in several formats."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=x")
    openssl("pkey", "-in", "key.pem", "-aes256", "-passout", "pass:hunter2", "-out", "encrypted.pem")
    openssl("x509", "-in", "cert.pem", "-outform", "der", "-out", "cert.der")
    openssl("genrsa", "-out", "other.pem", "2048")
    (folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    return folder


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"ca": "cert.pem"}, None),
        ({"cert": "cert.pem", "key": "key.pem"}, None),
        ({"ca": "cert.der"}, "not in PEM format"),
        ({"ca": "broken.pem"}, "no certificate that can be read"),
        ({"cert": "cert.pem", "key": "encrypted.pem"}, "is encrypted"),
        ({"cert": "cert.pem", "key": "other.pem"}, "cannot be used together"),
        ({"cert": "cert.pem"}, "cannot be used together"),
        ({"key": "key.pem"}, "needed by THUMBSTREAM_KAFKA_SSL_KEY_FILE"),
    ],
)
def test_files_for_tls_are_tried_at_the_start_and_nothing_is_asked_on_the_console(monkeypatch, tls, files, fault):
    monkeypatch.setenv("THUMBSTREAM_KAFKA_BOOTSTRAP", "kafka:9092")
    monkeypatch.setenv("THUMBSTREAM_KAFKA_SECURITY_PROTOCOL", "SSL")
    for kind, file in files.items():
        monkeypatch.setenv(f"THUMBSTREAM_KAFKA_SSL_{kind.upper()}_FILE", str(tls / file))
    if fault is None:
        load_settings()
    else:
        with pytest.raises(BadSettings, match=fault):
            load_settings()


def test_the_readme_names_every_setting():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    names = [f"THUMBSTREAM_{field.upper()}" for field in Settings.model_fields]
    assert [name for name in names if f"`{name}`" not in readme] == []


@pytest.mark.parametrize(
    ("given", "partitions"),
    [
        ({}, 3),
        ({"workers": 5}, 5),
        ({"workers": "7"}, 7),
        ({"partitions": 1}, 1),
        ({"partitions": 12, "workers": 20}, 12),
        ({"kafka_bootstrap": "kafka:9092"}, 12),
        ({"kafka_bootstrap": "kafka:9092", "partitions": 2}, 2),
    ],
)
def test_the_embedded_brokers_busy_topics_get_few_partitions_unless_they_are_given_and_others_one(
    given: dict[str, object], partitions: int
) -> None:
    settings = Settings(**given, _env_file=None)  # type: ignore[arg-type]
    of_others = partitions if "kafka_bootstrap" in given else 1
    made = {name: settings.partitions_of(name) for name in topics.ALL}
    assert made == dict.fromkeys(topics.ALL, of_others) | dict.fromkeys(topics.BUSY, partitions)
