"""Settings: environment variables ``THUMBSTREAM_…`` and a ``.env`` file, all checked at the start."""

import difflib
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import NoDecode, SettingsConfigDict

from infra.limit_settings import LimitSettings
from infra.network_settings import NetworkSettings
from infra.settings_checks import (
    Amount,
    check_bootstrap,
    check_database_url,
    check_host,
    check_pem,
    check_web_url,
    faults_together,
    without_credentials,
)
from schemas import topics
from schemas.renditions import DEFAULT_RENDITIONS, Recipe

PREFIX: Final = "THUMBSTREAM_"
_MEGABYTE: Final = 1_000_000

LogFormat = Literal["console", "logfmt", "json"]

_PemFile = Annotated[Path, AfterValidator(check_pem)]

#: Read by the command-line clients, not by the services.
_CLIENT_NAMES: Final = ("THUMBSTREAM_URL", "THUMBSTREAM_KEY")

#: Every partition costs the embedded broker and its clients something at every poll: with 12 they take twice as much.
_EMBEDDED_PARTITIONS: Final = 3

#: Never shown, not even when they are wrong.
_SECRET_FIELDS: Final = frozenset({"kafka_sasl_password", "s3_secret_access_key", "admin_key", "url_signing_keys"})


class BadSettings(Exception):
    """One or more settings are wrong; the text names each, a line each."""


class UnknownSetting(UserWarning):
    """A ``THUMBSTREAM_…`` name that means nothing, probably misspelt."""


class Settings(NetworkSettings, LimitSettings):
    """Everything that a deployment can choose. Limits are the same in api and worker since both read them here."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    #: Everything that ``up`` keeps: SQLite file, originals, thumbnails, keys.
    data_dir: Path = Path("data")

    #: Where the api and the dashboard listen.
    http_host: Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(check_host)] = "127.0.0.1"
    http_port: int = Field(default=8080, ge=1, le=65535)

    #: Where a worker serves ``/metrics``, ``/healthz`` and ``/readyz``, on ``http_host``. Unset: nowhere. Of several
    #: workers under ``up`` the first has this port, the second the next one, and so on.
    worker_http_port: int | None = Field(default=None, ge=1, le=65535)

    #: ``host:port``, several with commas. Unset: the embedded broker of ``up``.
    kafka_bootstrap: Annotated[str, AfterValidator(check_bootstrap)] | None = None
    embedded_kafka_port: int = Field(default=9092, ge=1, le=65535)
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_ca_file: _PemFile | None = None
    kafka_ssl_cert_file: _PemFile | None = None
    kafka_ssl_key_file: _PemFile | None = None

    #: Of topics that are created; on the embedded broker fewer by default.
    partitions: int = Field(default=12, ge=1, le=10_000)
    replication_factor: int = Field(default=1, ge=1, le=32)

    #: A SQLAlchemy async URL of SQLite or PostgreSQL. Unset: a SQLite file in the data directory.
    database_url: str | None = None

    #: An fsspec URL (``file://``, ``s3://bucket/prefix``, ``memory://``). Unset: a folder in the data directory.
    storage_url: str | None = None
    #: For an S3 server that is not Amazon's. The keys may stand in AWS's own variables instead.
    s3_endpoint_url: Annotated[str, AfterValidator(check_web_url)] | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None

    #: Whether a deletion also erases an original outside ``originals/`` that an event named; never one that another
    #: photo uses.
    erase_foreign_originals: bool = False

    #: Worker processes that ``up`` starts.
    workers: int = Field(default=1, ge=1, le=64)
    #: Photos that one worker renders at once.
    concurrency: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=256)

    renditions: Annotated[Recipe, NoDecode] = DEFAULT_RENDITIONS

    #: Bytes; ``50 MB`` is understood too.
    max_upload_bytes: Amount = 50 * _MEGABYTE
    #: Width times height; ``100 MP`` is understood too.
    max_pixels: Amount = 100 * _MEGABYTE

    #: An upload whose row is not written so long after its last byte is refused, and its original erased; storage gets
    #: as long to take the original.
    store_within_seconds: float = Field(default=120.0, ge=1, le=3600)

    #: Attempts at a photo that fails for a passing reason (storage, timeouts), the first included.
    retry_attempts: int = Field(default=8, ge=1, le=100)
    #: The wait before the second attempt; each further one is twice as long, up to the longest.
    retry_first_seconds: float = Field(default=1.0, gt=0, le=3600)
    retry_longest_seconds: float = Field(default=300.0, gt=0, le=86_400)

    #: A photo (or a deletion) without a result for so long, counted from when the workers have passed it, is
    #: published again. Eight attempts with their waits take two minutes; who allows more, waits longer here as well.
    reconcile_after_seconds: float = Field(default=600.0, gt=0)

    #: Lines of the log. Unset: for people on a terminal, else JSON.
    log_format: LogFormat | None = None

    #: An admin key that always holds. Unset: one is made on the first start and kept in the data directory.
    admin_key: SecretStr | None = None

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("renditions", mode="before")
    @classmethod
    def _renditions_from_json(cls, value: Any) -> Any:
        import json

        return json.loads(value) if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _async_database(cls, value: str | None) -> str | None:
        known = ("sqlite+aiosqlite://", "postgresql+asyncpg://")
        for short, scheme in {"sqlite://": known[0], "postgresql://": known[1], "postgres://": known[1]}.items():
            if value and value.startswith(short):
                value = scheme + value.removeprefix(short)
        if value and not value.startswith(known):
            raise ValueError(f"expected a URL that starts with {' or '.join(known)}")
        return value and check_database_url(value)

    @field_validator("storage_url")
    @classmethod
    def _known_storage(cls, value: str | None) -> str | None:
        known = ("file://", "s3://", "memory://")
        if value and not value.startswith(known):
            raise ValueError(f"expected a URL that starts with {', '.join(known)}")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _all_faults_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Also with a bad value somewhere, what is wrong between the others is told in the same go."""
        if "partitions" not in data and not data.get("kafka_bootstrap"):
            workers = str(data.get("workers", ""))
            data = {**data, "partitions": max(_EMBEDDED_PARTITIONS, int(workers) if workers.isdecimal() else 0)}
        faults: list[InitErrorDetails] = []
        bad: set[str] = set()
        try:
            settings = handler(data)
        except ValidationError as error:
            faults = [_fault(fault["loc"], fault["msg"], input=fault["input"]) for fault in error.errors()]
            bad = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
            settings = handler({name: value for name, value in data.items() if name not in bad})
        for field, text in faults_together(settings, leave_out=bad).items():
            faults.append(_fault((field,), text, input=None))
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return settings

    def partitions_of(self, topic: str) -> int:
        """With how many partitions a topic is made: on the embedded broker only the busy ones have several."""
        return 1 if self.kafka_is_embedded and topic not in topics.BUSY else self.partitions

    @property
    def kafka_is_embedded(self) -> bool:
        """Whether Kafka is the embedded broker, which lacks some of it."""
        return self.kafka_bootstrap is None

    @property
    def bootstrap_servers(self) -> list[str]:
        """``host:port`` of the brokers to ask first."""
        if self.kafka_bootstrap is None:
            return [f"127.0.0.1:{self.embedded_kafka_port}"]
        return [server.strip() for server in self.kafka_bootstrap.split(",") if server.strip()]

    @property
    def admin_key_file(self) -> Path:
        """Where the admin key is kept that is made when none is set."""
        return self.data_dir / "admin.key"

    @property
    def sqlite_file(self) -> Path:
        """The database where no URL is set."""
        return self.data_dir / "thumbstream.sqlite"

    @property
    def resolved_storage_url(self) -> str:
        """The storage root's URL, with the default filled in; a folder of its own, so that no key reaches the rest."""
        return self.storage_url or f"file://{self.data_dir / 'storage'}"


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; ``overrides`` win over the environment, which wins over ``.env``.

    An unknown ``THUMBSTREAM_…`` name is an :class:`UnknownSetting` warning that suggests the nearest.

    Raises:
        BadSettings: with every bad value named.
    """
    _warn_of_unknown({**dotenv_values(".env"), **os.environ})
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [_describe(fault) for fault in error.errors()]
        raise BadSettings("\n".join(lines)) from error


def _fault(where: tuple[int | str, ...], message: str, *, input: object) -> InitErrorDetails:
    text = message.removeprefix("Value error, ")
    return InitErrorDetails(type=PydanticCustomError("setting", "{text}", {"text": text}), loc=where, input=input)


def _describe(fault: Mapping[str, Any]) -> str:
    where = [str(part) for part in fault["loc"]]
    name = PREFIX + where[0].upper() if where else PREFIX.rstrip("_")
    inside = f" ({'.'.join(where[1:])})" if len(where) > 1 else ""
    return f"{name}{inside}: {fault['msg']}{_given(where, fault.get('input'))}"


def _given(where: Sequence[str], value: object) -> str:
    if not where or not isinstance(value, str | int) or where[0] in _SECRET_FIELDS:
        return ""
    return f", got {without_credentials(value) if isinstance(value, str) and '://' in value else value!r}"


def _warn_of_unknown(environment: Mapping[str, object]) -> None:
    known = {PREFIX + field.upper() for field in Settings.model_fields} | set(_CLIENT_NAMES)
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            warnings.warn(f"{name} is no setting{hint}", UnknownSetting, stacklevel=3)
