"""Checks of single settings and of combinations. Each raises or returns a message for a person."""

import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import BeforeValidator, Field

_HOST_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_PEM: Final = b"-----BEGIN "
_HIDDEN: Final = "***"
_FACTORS: Final = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "MP": 10**6}


def check_host(host: str) -> str:
    """``host`` as it is, a name or an address without a port.

    Raises:
        ValueError: it is neither.
    """
    bare = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        if len(host) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
            raise ValueError("expected a host name or an IP address, without scheme and port") from None
        if all(label.isdigit() for label in labels):
            raise ValueError("expected an IP address with four numbers from 0 to 255") from None
        return host
    return bare


def check_bootstrap(servers: str) -> str:
    """``servers`` as it is: ``host:port``, several with commas.

    Raises:
        ValueError: one of them is not; it is named.
    """
    each = [server.strip() for server in servers.split(",")]
    for number, server in enumerate(each, start=1):
        host, _, port = server.rpartition(":")
        if "://" in server or not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise ValueError(f"expected host:port, several with commas; number {number} of {len(each)} is not")
        check_host(host)
    return servers


def check_web_url(url: str) -> str:
    """``url`` as it is, of a server.

    Raises:
        ValueError: it is no http or https URL with a host.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected a URL that starts with http:// or https:// and names a host")
    check_host(parts.hostname)
    _ = parts.port  # raises ValueError itself where it is no number
    if parts.query or parts.fragment:
        raise ValueError("expected a URL without ? and #")
    if parts.username is not None:
        raise ValueError("expected a URL without a user and a password")
    return url


def check_pem(file: Path) -> Path:
    """``file`` as it is: readable, and in the PEM format.

    Raises:
        ValueError: it is not; another format, DER, is named.
    """
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error
    if _PEM not in content:
        raise ValueError(f"{file} is not in PEM format; `openssl x509 -inform der` or `openssl pkey` converts DER")
    return file


def check_database_url(url: str) -> str:
    """``url`` as it is, of a database.

    Raises:
        ValueError: SQLAlchemy cannot read it.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("not a URL: scheme://user:password@host:port/database, special characters as %xx") from None
    if parsed.get_backend_name() == "postgresql" and not parsed.database:
        raise ValueError("the URL names no database")
    return url


def without_credentials(text: str) -> str:
    """``text``, a URL, without its user and password, so that it can be shown."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return _HIDDEN
    place = parts.netloc
    if "@" in text and "@" not in place:
        return _HIDDEN  # a password with a slash or the like: where it ends cannot be told
    if "@" in place:
        place = f"{_HIDDEN}@{place.rpartition('@')[2]}"
    query = re.sub(r"(?i)((?:password|secret|token|key)[^=&]*)=[^&]*", rf"\1={_HIDDEN}", parts.query)
    if (place, query) == (parts.netloc, parts.query):
        return text
    return urlunsplit(parts._replace(netloc=place, query=query))


@dataclass(frozen=True)
class TogetherRule:
    """A rule about several settings. ``fault`` gives None, or what is wrong; the first field is the one to name."""

    fields: tuple[str, ...]
    fault: Callable[[Any], str | None]


def faults_together(settings: Any, *, leave_out: set[str]) -> Mapping[str, str]:
    """What is wrong with settings that belong together, by the field to name; rules about ``leave_out`` are skipped."""
    faults: dict[str, str] = {}
    for rule in _RULES:
        if not leave_out.intersection(rule.fields) and (fault := rule.fault(settings)):
            faults.setdefault(rule.fields[0], fault)
    return faults


def _needed_for_sasl(field: str) -> Callable[[Any], str | None]:
    def fault(settings: Any) -> str | None:
        if settings.kafka_security_protocol.startswith("SASL") and not getattr(settings, field):
            return f"needed by THUMBSTREAM_KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}"
        return None

    return fault


def _embedded_is_plain(settings: Any) -> str | None:
    if settings.kafka_bootstrap is None and settings.kafka_security_protocol != "PLAINTEXT":
        return "needs THUMBSTREAM_KAFKA_BOOTSTRAP: the embedded broker speaks PLAINTEXT only"
    return None


def _certificate_missing(settings: Any) -> str | None:
    if settings.kafka_ssl_key_file and not settings.kafka_ssl_cert_file:
        return "needed by THUMBSTREAM_KAFKA_SSL_KEY_FILE"
    return None


def _bad_ca(settings: Any) -> str | None:
    if not settings.kafka_ssl_ca_file:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(settings.kafka_ssl_ca_file)
    except (ssl.SSLError, OSError) as error:
        return f"{settings.kafka_ssl_ca_file} holds no certificate that can be read: {error}"
    return None


def _bad_certificate(settings: Any) -> str | None:
    if not settings.kafka_ssl_cert_file:
        return None
    encrypted = False

    def no_password() -> str:
        nonlocal encrypted
        encrypted = True
        return ""

    certificate, key = settings.kafka_ssl_cert_file, settings.kafka_ssl_key_file
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        if encrypted:
            return f"the key in {key or certificate} is encrypted: `openssl pkey` decrypts it"
        return f"certificate and key cannot be used together: {error}"
    return None


def _longest_below_first(settings: Any) -> str | None:
    if settings.retry_longest_seconds < settings.retry_first_seconds:
        return "must not be below THUMBSTREAM_RETRY_FIRST_SECONDS"
    return None


def _half_of_s3_keys(settings: Any) -> str | None:
    if bool(settings.s3_access_key_id) != bool(settings.s3_secret_access_key):
        return "THUMBSTREAM_S3_ACCESS_KEY_ID and THUMBSTREAM_S3_SECRET_ACCESS_KEY are needed both or not at all"
    return None


def _redirect_without_s3(settings: Any) -> str | None:
    if settings.signed_url_redirect and not (settings.storage_url or "").startswith("s3://"):
        return "only for storage on S3: THUMBSTREAM_STORAGE_URL is not s3://…"
    return None


_RULES: Final = (
    TogetherRule(("kafka_sasl_username", "kafka_security_protocol"), _needed_for_sasl("kafka_sasl_username")),
    TogetherRule(("kafka_sasl_password", "kafka_security_protocol"), _needed_for_sasl("kafka_sasl_password")),
    TogetherRule(("kafka_security_protocol", "kafka_bootstrap"), _embedded_is_plain),
    TogetherRule(("kafka_ssl_cert_file", "kafka_ssl_key_file"), _certificate_missing),
    TogetherRule(("kafka_ssl_ca_file",), _bad_ca),
    TogetherRule(("kafka_ssl_cert_file", "kafka_ssl_key_file"), _bad_certificate),
    TogetherRule(("retry_longest_seconds", "retry_first_seconds"), _longest_below_first),
    TogetherRule(("s3_secret_access_key", "s3_access_key_id"), _half_of_s3_keys),
    TogetherRule(("signed_url_redirect", "storage_url"), _redirect_without_s3),
)


def amount_of(text: str) -> str:
    """A number of bytes or pixels without its unit: of ``50 MB`` that is 50000000.

    Raises:
        ValueError: it has another unit, or is not finite.
    """
    number, _, unit = text.strip().replace("_", "").upper().partition(" ")
    if (factor := _FACTORS.get(unit.strip())) is None:
        raise ValueError("expected a number, with MB or MP after it at most")
    if not unit:
        return number
    if not isfinite(amount := float(number)):
        raise ValueError("expected a finite number")
    return str(int(amount * factor))


#: A number of bytes or pixels, at least 1, perhaps with a unit.
Amount = Annotated[
    int, Field(ge=1), BeforeValidator(lambda value: amount_of(value) if isinstance(value, str) else value)
]
