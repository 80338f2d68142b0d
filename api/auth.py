"""Who asks: a key in the Authorization header, or the session cookie that a browser has traded it for."""

import hmac
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from api.problems import Problem
from groundwork.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Role = Literal["viewer", "editor", "admin"]

COOKIE: Final = "thumbstream_session"
SESSION_SECONDS: Final = 30 * 24 * 3600

#: What anyone may ask: whether we live, and to sign in.
_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/", "/session"})
_OPEN_PREFIX: Final = "/dashboard/"
_SAFE_METHODS: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


@dataclass(frozen=True)
class Caller:
    """Who asks, and what they may."""

    role: Role
    #: None: every workspace.
    workspace_id: str | None = None


CALLER: Final = web.RequestKey("caller", Caller)


def admin_key(settings: Settings) -> str:
    """The admin key: the setting, else the one in ``<data_dir>/admin.key``, made on the first call (mode 600)."""
    if settings.admin_key is not None:
        return settings.admin_key.get_secret_value()
    file = settings.data_dir / "admin.key"
    with suppress(FileNotFoundError):
        return file.read_text().strip()
    return _made_key(file)


def _made_key(file: Path) -> str:
    """Write a new key beside the file and link it into place, so that of two who do it at once one wins whole."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write(f"ts_{secrets.token_urlsafe(32)}\n")
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
    return file.read_text().strip()


class Gate:
    """Tells who asks. Sessions are signed with the key, so a new key ends them all."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._secret = hmac.digest(self._key, b"thumbstream session", "sha256")

    def knows(self, key: str) -> bool:
        """Whether this is the admin key; takes as long for a near miss as for nonsense."""
        return hmac.compare_digest(sha256(key.encode(errors="replace")).digest(), sha256(self._key).digest())

    def new_session(self) -> str:
        """A session token: when it ends, and our signature."""
        ends_at = str(int(time.time()) + SESSION_SECONDS)
        return f"{ends_at}.{self._signature(ends_at)}"

    def is_session(self, token: str) -> bool:
        """Whether we have signed ``token`` and it has not ended."""
        ends_at, _, signature = token.partition(".")
        if not hmac.compare_digest(signature.encode(errors="replace"), self._signature(ends_at).encode()):
            return False
        return int(ends_at) > time.time()

    def caller_of(self, request: web.Request) -> Caller | None:
        """Who asks; None where nothing tells.

        Raises:
            Problem: 401 for a key that is none, 403 for a change that another site's page asks for.
        """
        scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme:
            if scheme.lower() == "bearer" and self.knows(key.strip()):
                return Caller("admin")
            raise unauthorized("the key is not known")
        if not self.is_session(request.cookies.get(COOKIE, "")):
            return None
        if request.method not in _SAFE_METHODS and not is_same_origin(request):
            raise Problem(403, "a session is good for requests of its own page only")
        return Caller("admin")

    def _signature(self, ends_at: str) -> str:
        return hmac.new(self._secret, ends_at.encode(errors="replace"), "sha256").hexdigest()


GATE: Final = web.AppKey("gate", Gate)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let nobody in without a key or a session, but to the open paths."""
    caller = request.app[GATE].caller_of(request) if request.path not in ("/healthz", "/readyz") else None
    if caller is not None:
        request[CALLER] = caller
    elif request.path not in _OPEN_PATHS and not request.path.startswith(_OPEN_PREFIX):
        raise unauthorized("sign in, or send a key as Authorization: Bearer <key>")
    return await handler(request)


def is_same_origin(request: web.Request) -> bool:
    """Whether a browser asks for one of our own pages. Source: Fetch Metadata; RFC 6454 for Origin."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None:
        return urlsplit(origin).netloc.lower() == request.headers.get(hdrs.HOST, "").lower()
    return request.headers.get("Sec-Fetch-Site") in ("same-origin", "none")


def unauthorized(detail: str) -> Problem:
    """A 401 that says how to come in."""
    return Problem(401, detail, headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="thumbstream"'})
