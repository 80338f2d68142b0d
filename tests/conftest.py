"""Fixtures: real servers on free ports of 127.0.0.1, with their data in temporary folders.

What a fixture needs and the machine lacks skips the test with the reason; with ``TEST_REQUIRE_ALL=1`` it fails instead.
The servers themselves are classes in ``tests/support``, importable from every test (``from polling import poll``).
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn
from uuid import uuid4

import hypothesis
import pytest
import structlog

import reaper
import server_process
from chromium import chromium
from kafka_servers import ApacheKafka, Broker, EmbeddedBroker, kafka_libraries
from postgres_server import PostgreSQL, postgres_programs
from s3_server import S3Location, S3Server, rclone

# The tests choose every setting themselves; a developer's own would change what they say.
for _name in [name for name in os.environ if name.startswith("THUMBSTREAM_")]:
    del os.environ[_name]


# How long an example takes says something about the machine alone.
hypothesis.settings.register_profile("tests", deadline=None)
#: For `make test-unit`; `make test` draws all.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=25)
hypothesis.settings.load_profile("tests")

# structlog's own choice prints the local variables of a traceback: thousands of lines, for which the event loop waits
# so long that a consumer loses its membership.
_plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _plain])

# A shell's background job is deaf to Ctrl-C, and so would be every process that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


#: Fixtures, and words in the names of parameters, by which a test needs what is no Python package.
_SERVER_FIXTURES: Final = frozenset(
    {"apache_kafka", "apache_kafka_server", "kafka_cluster", "postgres", "postgres_url", "migrated_postgres_url"}
    | {"s3_server", "s3_storage"}
    | {"cluster_programs", "libfaketime", "chromium_path"}
)
_SERVER_WORDS: Final = ("apache_kafka", "kafka-", "postgres", "s3")
#: Fixtures by which a test needs a database; so does every test of the api.
_DATABASE_FIXTURES: Final = frozenset({"database", "no_kafka"})
_API_TESTS: Final = Path(__file__).with_name("api")
#: Fixtures by which a test needs a broker or other processes of ours.
_PROCESS_FIXTURES: Final = frozenset(
    {"embedded_broker", "broker", "start", "run", "up", "fresh_folder", "server_folder"}
)

_TIERS: Final = ("unit", "database", "embedded", "servers", "browser", "faults")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier, unless it says so itself, and put the quick tiers first."""
    tier_of = {item: _tier_of(item) for item in items}
    for item, tier in tier_of.items():
        item.add_marker(tier)
    items.sort(key=lambda item: _TIERS.index(tier_of[item]))


def _tier_of(item: pytest.Item) -> str:
    for tier in reversed(_TIERS):
        if item.get_closest_marker(tier):
            return tier
    fixtures = set(getattr(item, "fixturenames", ()))
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    texts = [value for value in parameters if isinstance(value, str)]
    if fixtures & _SERVER_FIXTURES or any(word in value for value in texts for word in _SERVER_WORDS):
        return "servers"
    if fixtures & _PROCESS_FIXTURES:
        return "embedded"
    return "database" if fixtures & _DATABASE_FIXTURES or _API_TESTS in item.path.parents else "unit"


def _lacking(what: str) -> NoReturn:
    if os.environ.get("TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"{what}, and TEST_REQUIRE_ALL forbids to skip", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session", autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """End what a test has left running, when all are over."""
    yield
    for server in list(server_process.running):
        server.stop()
    reaper.close()


@pytest.fixture(scope="session", autouse=True)
def _no_dotenv_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run elsewhere than in the repository, where a developer's ``.env`` would be read as settings."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(before)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Where the servers keep their data; open to the account that PostgreSQL runs as, and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="thumbstream-tests-"))
    folder.chmod(0o755)
    yield folder
    for server in list(server_process.running):
        server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fresh_folder(server_folder: Path) -> Path:
    """A new folder for the data of one more server."""
    folder = server_folder / uuid4().hex[:8]
    folder.mkdir()
    return folder


@pytest.fixture
def embedded_broker(fresh_folder: Path) -> Iterator[EmbeddedBroker]:
    """A running embedded broker without topics: each test has its own, which starts in 0.2 s."""
    with EmbeddedBroker(fresh_folder) as broker:
        yield broker


@pytest.fixture(scope="session")
def apache_kafka_server(server_folder: Path) -> Iterator[ApacheKafka]:
    """The Apache Kafka of one broker that all tests share, with whatever is on it."""
    _need_kafka()
    with ApacheKafka(server_folder / "kafka", 1) as kafka:
        yield kafka


@pytest.fixture
def apache_kafka(apache_kafka_server: ApacheKafka) -> ApacheKafka:
    """A running Apache Kafka of one broker without topics."""
    apache_kafka_server.start()
    apache_kafka_server.clear()
    return apache_kafka_server


@pytest.fixture
def kafka_cluster(fresh_folder: Path) -> Iterator[ApacheKafka]:
    """A running Apache Kafka of three brokers of the test's own, to kill and start again; it takes 8 s to start."""
    _need_kafka()
    with ApacheKafka(fresh_folder, 3) as kafka:
        yield kafka


def _need_kafka() -> None:
    if shutil.which("java") is None:
        _lacking("Java is not installed")
    if kafka_libraries() is None:
        _lacking("the jars of Apache Kafka are missing: make kafka")


@pytest.fixture(params=["embedded_broker", "apache_kafka"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each test runs twice: with the embedded broker and with Apache Kafka."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, Broker)
    return server


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[PostgreSQL]:
    """The PostgreSQL that all tests share."""
    if postgres_programs() is None:
        _lacking("PostgreSQL is not installed")
    folder = server_folder / "postgres"
    folder.mkdir()
    with PostgreSQL(folder) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgreSQL) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database of the test's own."""
    with postgres.fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def s3_server(server_folder: Path) -> Iterator[S3Server]:
    """The S3 server that all tests share."""
    if rclone() is None:
        _lacking("rclone is not installed")
    folder = server_folder / "s3"
    folder.mkdir()
    with S3Server(folder) as server:
        yield server


@pytest.fixture
def s3_storage(s3_server: S3Server) -> S3Location:
    """An empty folder of a bucket, of the test's own."""
    return s3_server.location(f"test-{uuid4().hex}")


@pytest.fixture(scope="session")
def cluster_programs() -> None:
    """What a deployment on Apache Kafka, PostgreSQL and S3 needs is there."""
    _need_kafka()
    if postgres_programs() is None:
        _lacking("PostgreSQL is not installed")
    if rclone() is None:
        _lacking("rclone is not installed")


@pytest.fixture(scope="session")
def libfaketime() -> str:
    """The library that shows a process another time."""
    found = sorted(str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else _lacking("faketime is not installed")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The machine's Chromium, for Playwright's ``executable_path``."""
    return chromium() or _lacking("Chromium is not installed")


@pytest.fixture(scope="session")
def nginx_path() -> str:
    """The machine's nginx, which is in no user's PATH on Debian."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    return found or _lacking("nginx is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the end of each running server's log beside a failure."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.failed:
        report.sections += [(f"end of {server.name}'s log", server.log_tail()) for server in server_process.running]
    return report  # type: ignore[return-value]
