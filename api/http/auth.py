"""Authentication: a key in the Authorization header, or the session cookie that a browser has traded it for."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, cast
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from api.http.links.signing import SIGNATURE, SIGNED_SECONDS, URL_SIGNER, BadSignature, Expired
from api.http.network.cors import is_named_origin
from api.http.problems import Problem
from api.http.sessions import SESSIONS
from infra.secret_file import read_or_make
from infra.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Role = Literal["viewer", "editor", "admin"]

COOKIE: Final = "thumbstream_session"
#: Of a session's hash, in the log.
_ID_CHARACTERS: Final = 8
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
    #: For logs, no secrets: which key it is, and the start of the session's hash where one was opened with it.
    key_id: str = ""
    session_id: str = ""


CALLER: Final = web.RequestKey("caller", Caller)


def admin_key(settings: Settings) -> str:
    """The admin key: the setting, else the one in ``<data_dir>/admin.key``, made on the first call (mode 600)."""
    if settings.admin_key is not None:
        return settings.admin_key.get_secret_value()
    return read_or_make(settings.data_dir / "admin.key", prefix="ts_")


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
                return Caller("admin", key_id=authenticator.key_id)
            raise unauthorized("the key is not known")
    token = request.cookies.get(COOKIE)
    session = await request.app[SESSIONS].find(token) if token else None
    if session is None or session.key_id != authenticator.key_id:
        return None
    if request.method not in _SAFE_METHODS and not is_same_origin(request):
        raise Problem(403, "a session is good for requests of its own page only")
    return Caller(cast(Role, session.role), session.workspace_id, session.key_id, session.token_hash[:_ID_CHARACTERS])


def signed_caller_of(request: web.Request) -> Caller | None:
    """Who asks by a signed URL, which is good for reading one file of its workspace; None where it is not signed.

    Raises:
        Problem: 403 for a signature that does not fit, or whose time is over.
    """
    if SIGNATURE not in request.query or request.method not in _SAFE_METHODS:
        return None
    try:
        request[SIGNED_SECONDS] = request.app[URL_SIGNER].verify(request.path, request.query)
    except BadSignature:
        raise Problem(403, "the signature of this URL is not valid") from None
    except Expired:
        raise Problem(403, "this URL has expired") from None
    return Caller("viewer", request.match_info["workspace"])


def is_open(path: str) -> bool:
    """Whether anyone may ask for ``path``."""
    return path in _OPEN_PATHS or path.startswith(_OPEN_PREFIX)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let nobody in without a key or a session, except to the open paths."""
    if not is_open(request.path):
        caller = signed_caller_of(request) or await caller_of(request)
        if caller is None:
            raise unauthorized("sign in, or send a key as Authorization: Bearer <key>")
        request[CALLER] = caller
    return await handler(request)


def is_same_origin(request: web.Request) -> bool:
    """Whether a browser asks for one of our own pages, or for one of an origin that the settings name.

    A browser that keeps its referrer to itself sends ``Origin: null``, which says nothing.
    Source: Fetch Metadata; RFC 6454 for Origin.
    """
    origin = request.headers.get(hdrs.ORIGIN, "null")
    if origin == "null":
        return request.headers.get("Sec-Fetch-Site") in ("same-origin", "none")
    if is_named_origin(request):
        return True
    try:
        from_, to = urlsplit(origin), urlsplit(f"//{request.host}")
        default = _DEFAULT_PORTS.get(from_.scheme)
        # Host has no scheme of its own, and behind a proxy that is not trusted ours is not the browser's.
        return bool(from_.hostname) and (from_.hostname, from_.port or default) == (to.hostname, to.port or default)
    except ValueError:
        return False


def unauthorized(detail: str) -> Problem:
    """A 401 that says how to come in."""
    return Problem(401, detail, headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="thumbstream"'})
