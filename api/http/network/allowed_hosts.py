"""Refuses host names that are not ours: a hostile page may give its own name our address (DNS rebinding)."""

from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from api.http.app_keys import SETTINGS
from api.http.problems import Problem
from infra.settings import Settings

#: No page of another site can have these names.
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
#: Probes ask by the address of a container; they get no data.
_FOR_PROBES: Final = frozenset({"/healthz", "/readyz"})


@web.middleware
async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a host that the settings do not name."""
    if request.path not in _FOR_PROBES and not is_allowed(request.host, request.app[SETTINGS]):
        raise Problem(421, "this host name is not served here; THUMBSTREAM_ALLOWED_HOSTS names those that are")
    return await handler(request)


def is_allowed(host: str, settings: Settings) -> bool:
    """Whether the api may be asked as ``host``, with or without a port."""
    if not settings.allowed_hosts:
        return True
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    named = {*settings.allowed_hosts, *_LOOPBACK, urlsplit(settings.public_url or "").hostname}
    return name in named or any(
        pattern.startswith("*.") and name.endswith(pattern[1:]) for pattern in settings.allowed_hosts
    )
