"""How much a key and a workspace may use: requests a second, uploads at once. Refusals are 429 with Retry-After.

Source of the fields RateLimit and RateLimit-Policy: draft-ietf-httpapi-ratelimit-headers-10.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from aiohttp import hdrs, web

from api.access.rate_limits import WINDOW_SECONDS, Rate, RateLimited, RateLimits, Standing
from api.access.uploads_at_once import TooManyUploads, UploadLimit, UploadsAtOnce
from api.http.app_keys import SETTINGS
from api.http.auth import CALLER
from api.http.problems import Problem

Number = TypeVar("Number", int, float)

RATE_LIMITS: Final = web.AppKey("rate_limits", RateLimits)
UPLOADS_AT_ONCE: Final = web.AppKey("uploads_at_once", UploadsAtOnce)
#: What is left after this request. A list, since behind a proxy handlers have a copy of the request, which shares it.
STANDINGS: Final = web.RequestKey("standings", list[Standing])

_UPLOADS_WAIT_SECONDS: Final = 1


async def count_request(request: web.Request) -> None:
    """Count a request of a caller who is known.

    Raises:
        Problem: 429, there were too many.
    """
    settings = request.app[SETTINGS]
    limits = _limits_of(request, settings.key_requests_per_second, settings.workspace_requests_per_second)
    rates = [Rate(name, subject, limit) for name, subject, limit in limits]
    if not rates:
        return
    try:
        request[STANDINGS].extend(await request.app[RATE_LIMITS].count(rates))
    except RateLimited as refused:
        request[STANDINGS].extend(refused.standings)
        headers = {str(hdrs.RETRY_AFTER): str(refused.wait_seconds)}
        raise Problem(429, f"{refused}; try again in {refused.wait_seconds} s", headers=headers) from refused


@contextmanager
def counted_upload(request: web.Request) -> Iterator[None]:
    """Count an upload for as long as the context lasts.

    Raises:
        Problem: 429, there are too many at once.
    """
    settings = request.app[SETTINGS]
    limits = _limits_of(request, settings.key_uploads_at_once, settings.workspace_uploads_at_once)
    wanted = [UploadLimit(name, subject, limit) for name, subject, limit in limits]
    try:
        with request.app[UPLOADS_AT_ONCE].counted(wanted):
            yield
    except TooManyUploads as refused:
        headers = {str(hdrs.RETRY_AFTER): str(_UPLOADS_WAIT_SECONDS)}
        raise Problem(429, f"{refused}; try again when one of them is done", headers=headers) from refused


async def add_rate_limit_fields(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the client what is left; called when the head of an answer is sent."""
    if standings := request.get(STANDINGS):
        response.headers.update(fields_of(standings))


def fields_of(standings: Sequence[Standing]) -> dict[str, str]:
    """The fields ``RateLimit`` and ``RateLimit-Policy``."""
    policies = (f'"{each.rate.name}";q={each.rate.quota};w={WINDOW_SECONDS}' for each in standings)
    left = (f'"{each.rate.name}";r={each.remaining};t={each.reset_seconds}' for each in standings)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}


def _limits_of(
    request: web.Request, of_key: Number | None, of_workspace: Number | None
) -> Iterator[tuple[str, str, Number]]:
    """The limits that are set for this request: name, subject and number. A signed URL has no key."""
    workspace_id = request.match_info.get("workspace", "")
    for name, subject, limit in (("key", request[CALLER].key_id, of_key), ("workspace", workspace_id, of_workspace)):
        if subject and limit is not None:
            yield name, subject, limit
