"""Authentication: a key in the Authorization header, or the session cookie that a browser has traded it for."""

import hmac
import os
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, cast
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from api.http.problems import Problem
from api.http.sessions import SESSIONS
from infra.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Role = Literal["viewer", "editor", "admin"]

COOKIE: Final = "thumbstream_session"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

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


class Authenticator:
    """Knows the admin key."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        #: Names the key in the sessions that it opened: a new admin key ends them all.
        self.key_id = f"admin-{hmac.digest(self._key, b'thumbstream session', 'sha256').hex()[:32]}"

    def is_valid_key(self, key: str) -> bool:
        """Whether this is the admin key; takes as long for a near miss as for nonsense."""
        return hmac.compare_digest(sha256(key.encode(errors="replace")).digest(), sha256(self._key).digest())


AUTHENTICATOR: Final = web.AppKey("gate", Authenticator)


async def caller_of(request: web.Request) -> Caller | None:
    """Who asks; None where nothing tells. Of Authorization only Bearer counts: a proxy may add other schemes.

    Raises:
        Problem: 401 for a key that is none, 403 for a change that another site's page asks for.
        SQLAlchemyError: a session could not be looked up.
    """
    authenticator = request.app[AUTHENTICATOR]
    for header in request.headers.getall(hdrs.AUTHORIZATION, ()):
        scheme, _, key = header.strip().partition(" ")
        if scheme.lower() == "bearer":
            if authenticator.is_valid_key(key.strip()):
                return Caller("admin")
            raise unauthorized("the key is not known")
    token = request.cookies.get(COOKIE)
    session = await request.app[SESSIONS].find(token) if token else None
    if session is None or session.key_id != authenticator.key_id:
        return None
    if request.method not in _SAFE_METHODS and not is_same_origin(request):
        raise Problem(403, "a session is good for requests of its own page only")
    return Caller(cast(Role, session.role), session.workspace_id)


def is_open(path: str) -> bool:
    """Whether anyone may ask for ``path``."""
    return path in _OPEN_PATHS or path.startswith(_OPEN_PREFIX)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let nobody in without a key or a session, except to the open paths."""
    if not is_open(request.path):
        caller = await caller_of(request)
        if caller is None:
            raise unauthorized("sign in, or send a key as Authorization: Bearer <key>")
        request[CALLER] = caller
    return await handler(request)


def is_same_origin(request: web.Request) -> bool:
    """Whether a browser asks for one of our own pages. Source: Fetch Metadata; RFC 6454 for Origin.

    A browser that keeps its referrer to itself sends ``Origin: null``, which says nothing.
    """
    origin = request.headers.get(hdrs.ORIGIN, "null")
    if origin == "null":
        return request.headers.get("Sec-Fetch-Site") in ("same-origin", "none")
    try:
        from_, to = urlsplit(origin), urlsplit(f"//{request.headers.get(hdrs.HOST, '')}")
        default = _DEFAULT_PORTS.get(from_.scheme)
        # Host has no scheme of its own, and behind a proxy ours is not the browser's.
        return bool(from_.hostname) and (from_.hostname, from_.port or default) == (to.hostname, to.port or default)
    except ValueError:
        return False


def unauthorized(detail: str) -> Problem:
    """A 401 that says how to come in."""
    return Problem(401, detail, headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="thumbstream"'})
