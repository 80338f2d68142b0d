"""Authentication and authorization of requests: by a key, a session cookie, a ticket, or a signed URL."""

import math
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from api.access.authenticator import Authenticator, TooManyWrongKeys
from api.access.caller import Caller, Role
from api.http.links.signing import SIGNATURE, SIGNED_SECONDS, URL_SIGNER, BadSignature, Expired
from api.http.network.cors import is_named_origin
from api.http.problems import Problem
from api.store import audit
from infra.network_settings import DEFAULT_PORTS

COOKIE: Final = "thumbstream_session"
#: Methods that change nothing.
SAFE_METHODS: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})

AUTHENTICATOR: Final = web.AppKey("authenticator", Authenticator)
CALLER: Final = web.RequestKey("caller", Caller)
#: The same for the access log. A list, since behind a proxy handlers have a copy of the request, which shares it.
CALLERS: Final = web.RequestKey("callers", list[Caller])


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell nobody without a key which addresses there are; those that exist check their callers by their route."""
    if request.match_info.http_exception is not None:
        await authenticate(request)
    return await handler(request)


async def authenticate(request: web.Request, *, takes_ticket: bool = False, takes_signed_url: bool = False) -> Caller:
    """The caller, who from now on is the actor of the audit log.

    Raises:
        Problem: 401 without a valid key, session or ticket, 403 for a signature that is not valid or has expired;
            otherwise as :func:`find_caller`.
    """
    if takes_ticket and (ticket := request.query.get("ticket")):
        caller = await request.app[AUTHENTICATOR].tickets.redeem(ticket)
        if caller is None or await request.app[AUTHENTICATOR].find_ended([caller]):
            raise unauthorized("the ticket is not valid: it opens one feed within 60 s")
    elif takes_signed_url and SIGNATURE in request.query:
        caller = _caller_of_signed_url(request)
    else:
        caller = await find_caller(request)
    if caller is None:
        raise unauthorized("sign in, or send a key as Authorization: Bearer <key>")
    request[CALLER] = caller
    request[CALLERS].append(caller)
    audit.ACTOR.set(audit.Actor(caller.key_id, caller.key_name))
    return caller


def _caller_of_signed_url(request: web.Request) -> Caller:
    """Who asks by a signed URL, which is good for reading one file of its workspace."""
    try:
        request[SIGNED_SECONDS] = request.app[URL_SIGNER].verify(request.path, request.query)
    except BadSignature:
        raise Problem(403, "the signature of this URL is not valid") from None
    except Expired:
        raise Problem(403, "this URL has expired") from None
    return Caller("viewer", request.match_info["workspace"], "", "signed URL", "")


async def find_caller(request: web.Request) -> Caller | None:
    """Who sends the request; None if nothing says so.

    Of Authorization only Bearer counts: a proxy may add other schemes.

    Raises:
        Problem: 401 for a wrong key, 403 for a change that another site's page sends, 429 after many wrong keys.
        SQLAlchemyError: the database is away.
    """
    for header in request.headers.getall(hdrs.AUTHORIZATION, ()):
        scheme, _, key = header.strip().partition(" ")
        if scheme.lower() == "bearer":
            if caller := await find_caller_by_key(request, key.strip()):
                return caller
            raise unauthorized("the key is not known")
    token = request.cookies.get(COOKIE)
    caller = await request.app[AUTHENTICATOR].sessions.find(token) if token else None
    if caller is not None and request.method not in SAFE_METHODS and not is_same_origin(request):
        raise Problem(403, "a session is good for requests of its own page only")
    return caller


async def find_caller_by_key(request: web.Request, key: str) -> Caller | None:
    """Whose key this is; None for a wrong one.

    Raises:
        Problem: 429, this client address has sent many wrong keys.
    """
    try:
        return await request.app[AUTHENTICATOR].find_by_key(key, request.remote)
    except TooManyWrongKeys as error:
        seconds = str(math.ceil(error.wait_seconds))
        raise Problem(429, f"{error}; try again in {seconds} s", headers={hdrs.RETRY_AFTER: seconds}) from error


def authorize(caller: Caller, role: Role, *, everywhere: bool) -> None:
    """Refuse a caller whose role is too low, or whose key does not reach every workspace where that is needed.

    Raises:
        Problem: 403.
    """
    if not caller.has_role(role):
        raise Problem(403, f"this takes the role {role}; the key has the role {caller.role}")
    if everywhere and caller.workspace_id is not None:
        raise Problem(403, "this takes a key of every workspace")


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
        default = DEFAULT_PORTS.get(from_.scheme)
        # Host has no scheme of its own, and behind a proxy that is not trusted ours is not the browser's.
        return bool(from_.hostname) and (from_.hostname, from_.port or default) == (to.hostname, to.port or default)
    except ValueError:
        return False


def unauthorized(detail: str) -> Problem:
    """A 401 that says how to come in."""
    return Problem(401, detail, headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="thumbstream"'})
