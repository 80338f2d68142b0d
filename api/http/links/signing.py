"""Signed URLs: good for one file until a time, without a key. HMAC-SHA256 over path, version and expiry.

The path names workspace, photo and rendition. A proxy may add a prefix to it, which is not signed.
"""

import hmac
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from infra.secret_file import read_or_make
from infra.settings import Settings

SIGNATURE: Final = "signature"
_EXPIRES: Final = "expires"
_VERSION: Final = "v"
#: Seconds since 1970; more digits are no time that anybody has signed.
_TIME: Final = re.compile(r"[0-9]{1,12}")


class BadSignature(Exception):
    """The URL was not signed so, or by a key that is no longer known."""


class Expired(Exception):
    """The URL was signed, and its time is over."""


def signing_keys(settings: Settings) -> tuple[bytes, ...]:
    """The keys of the settings, else those in ``<data_dir>/url_signing.keys``, a line each, newest first.

    The file is made on the first call, with one key and mode 600.
    """
    if settings.url_signing_keys:
        return tuple(key.get_secret_value().encode() for key in settings.url_signing_keys)
    return tuple(read_or_make(settings.data_dir / "url_signing.keys").encode().split())


class UrlSigner:
    """Signs with the newest key, verifies with all."""

    def __init__(self, keys: Sequence[bytes], *, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._now = now

    def expiry_after(self, seconds: int) -> int:
        """The expiry, in seconds since 1970, of a URL that is signed now."""
        return int(self._now()) + seconds

    def sign(self, path: str, version: str | None, expires: int) -> str:
        """The query that makes ``path`` (decoded, without the prefix of a proxy) good until ``expires``."""
        signed = {_VERSION: version} if version is not None else {}
        signature = _signature(self._keys[0], path, version, str(expires))
        return urlencode({**signed, _EXPIRES: expires, SIGNATURE: signature})

    def verify(self, path: str, query: Mapping[str, str]) -> int:
        """The seconds, at least one, for which the URL is still good.

        Raises:
            BadSignature: it is not signed.
            Expired: it was good once.
        """
        expires, given = query.get(_EXPIRES, ""), query.get(SIGNATURE, "").encode(errors="replace")
        # Every key is tried, so that the time taken does not tell which one has signed.
        matches = [
            hmac.compare_digest(_signature(key, path, query.get(_VERSION), expires).encode(), given)
            for key in self._keys
        ]
        if not any(matches) or not _TIME.fullmatch(expires):
            raise BadSignature
        left = int(expires) - int(self._now())
        if left <= 0:
            raise Expired
        return left


URL_SIGNER: Final = web.AppKey("url_signer", UrlSigner)
#: Of a request by a signed URL: the seconds for which it is still good.
SIGNED_SECONDS: Final = web.RequestKey("signed_seconds", int)


def _signature(key: bytes, path: str, version: str | None, expires: str) -> str:
    # A line each: no version and no expiry has a line break before it is compared, and the path is the last.
    message = f"{expires}\n{'' if version is None else version}\n{path}".encode(errors="replace")
    return urlsafe_b64encode(hmac.digest(key, message, "sha256")).rstrip(b"=").decode()
