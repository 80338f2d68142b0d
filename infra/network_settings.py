"""Settings of how the api is reached from outside: links, reverse proxies, host names, pages of other origins."""

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from infra.settings_checks import check_host, check_web_url

T = TypeVar("T")

Network = IPv4Network | IPv6Network

#: As long as the digest: a shorter key is easier to guess than the signature. Source: RFC 2104, section 3.
_KEY_CHARACTERS: Final = 32
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
ANY_ORIGIN: Final = "*"


def _with_commas(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


#: Values with commas between, each of which a validator of the setting checks.
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_with_commas)]
Networks = Annotated[tuple[Network, ...], NoDecode]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_with_commas)]


class NetworkSettings(BaseSettings):
    """How the api is reached from outside."""

    #: The URL under which browsers and other programs reach the api, with the path prefix that a proxy removes. Unset:
    #: links are relative to the server.
    public_url: str | None = None
    #: Addresses and networks of reverse proxies, whose X-Forwarded-… and Forwarded headers are believed.
    trusted_proxies: Networks = ()
    #: Host names by which the api may be asked, ``*.example.com`` for all below; loopback and the public URL's are
    #: added. Unset: any.
    allowed_hosts: Texts = ()
    #: Origins of other pages that may use the api from a browser; ``*`` for any, then without cookies.
    cors_origins: Texts = ()

    #: For signed URLs, newest first: the first signs, all verify. Unset: one is made on the first start.
    url_signing_keys: Secrets = ()
    #: Whether signed URLs redirect to presigned URLs of the S3 storage instead of sending the bytes.
    signed_url_redirect: bool = False

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        return value and check_web_url(value).rstrip("/")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _trusted_proxies(cls, value: Any) -> Any:
        return _each(_with_commas(value), _network)

    @field_validator("allowed_hosts")
    @classmethod
    def _allowed_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _each(value, _host_pattern)

    @field_validator("cors_origins")
    @classmethod
    def _cors_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if ANY_ORIGIN in value and len(value) > 1:
            raise ValueError("* stands alone, or not at all")
        return value if value == (ANY_ORIGIN,) else _each(value, normal_origin)

    @field_validator("url_signing_keys")
    @classmethod
    def _url_signing_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, key in enumerate(value, start=1):
            if len(key.get_secret_value()) < _KEY_CHARACTERS:
                raise ValueError(f"number {number} of {len(value)} has fewer than {_KEY_CHARACTERS} characters")
        return value

    @property
    def public_origin(self) -> str | None:
        """The origin of the pages at the public URL."""
        if self.public_url is None:
            return None
        parts = urlsplit(self.public_url)
        return normal_origin(f"{parts.scheme}://{parts.netloc}")


def normal_origin(text: str) -> str:
    """``text``, the origin of a page, as browsers send it: lower case, without the default port. Source: RFC 6454.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(text)
    check_web_url(text)
    if parts.path.strip("/"):
        raise ValueError("expected an origin, without a path: https://app.example.com")
    host = parts.hostname or ""
    port = parts.port if parts.port != DEFAULT_PORTS[parts.scheme] else None
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"


def _each(values: Sequence[Any], check: Callable[[Any], T]) -> tuple[T, ...]:
    """``check`` of each value; the message of the first that is wrong says which one it is."""
    checked = []
    for number, value in enumerate(values, start=1):
        try:
            checked.append(check(value))
        except ValueError as error:
            raise ValueError(f"{error}; number {number} of {len(values)} is not") from error
    return tuple(checked)


def _network(value: Any) -> Network:
    try:
        return ip_network(value)
    except ValueError:
        raise ValueError("expected an IP address, or a network as 10.0.0.0/8, several with commas") from None


def _host_pattern(value: str) -> str:
    name = value.removeprefix("*.")
    if re.search(r":\d+$", name) and name.count(":") == 1:
        raise ValueError("expected a host name without a port, or *. and one")
    return value.removesuffix(name) + check_host(name).lower().rstrip(".")
