"""Requests through reverse proxies: who has asked, by which scheme and host.

Only headers of trusted proxies count. They become ``request.remote``, ``request.scheme``, ``request.secure`` and
``request.host``, so that whoever asks for those need not know of proxies.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from api.http.app_keys import SETTINGS
from infra.network_settings import Network

Address = IPv4Address | IPv6Address

#: Of RFC 7239: pairs of an element, with the value as a token or in quotes.
_PAIR: Final = re.compile(r'\s*([\w!#$%&\'*+.^`|~-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*(?=[;,]|$)')
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]{1,5})?")
_SCHEMES: Final = ("http", "https")


@dataclass(frozen=True)
class Hop:
    """What one proxy says of the request that it has got; None for what it does not say."""

    address: Address | None
    scheme: str | None = None
    host: str | None = None


@web.middleware
async def believe_proxies(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Show the handlers the request as the client has sent it."""
    asked_by = client_of(request, request.app[SETTINGS].trusted_proxies)
    if asked_by is None:
        return await handler(request)
    return await handler(
        request.clone(
            remote=str(asked_by.address),
            scheme=asked_by.scheme or request.scheme,
            host=asked_by.host or request.host,
        )
    )


def client_of(request: web.BaseRequest, trusted: Sequence[Network]) -> Hop | None:
    """What the nearest hop that is no trusted proxy has asked; None where it asks us itself.

    A client may send either header itself and a proxy may pass on the one that it does not write, so that two which
    name different clients are not believed.
    """
    peer = _address(request.remote or "")
    if peer is None or not _is_in(peer, trusted):
        return None
    by_both = [
        _nearest_untrusted(hops, trusted)
        for hops in (_x_forwarded(request), _forwarded(request.headers.getall(hdrs.FORWARDED, ())))
        if hops
    ]
    if not by_both or len({hop.address for hop in by_both}) > 1:
        return None
    return by_both[0] if by_both[0].address is not None else None


def _nearest_untrusted(hops: Sequence[Hop], trusted: Sequence[Network]) -> Hop:
    """Of ``hops``, the nearest last. What lies behind one that cannot be read is not looked at."""
    for hop in reversed(hops):
        if hop.address is None or not _is_in(hop.address, trusted):
            return hop
    return hops[0]


def _x_forwarded(request: web.BaseRequest) -> list[Hop]:
    """By X-Forwarded-For, -Proto and -Host. The last two may have fewer values: some proxies keep what is there."""
    addresses, schemes, hosts = (
        [part.strip() for header in request.headers.getall(name, ()) for part in header.split(",")]
        for name in (hdrs.X_FORWARDED_FOR, hdrs.X_FORWARDED_PROTO, hdrs.X_FORWARDED_HOST)
    )

    def at(values: Sequence[str], distance: int) -> str | None:
        return values[-min(distance, len(values))] if values else None

    return [
        Hop(_address(addresses[-distance]), _scheme(at(schemes, distance)), _host(at(hosts, distance)))
        for distance in range(len(addresses), 0, -1)
    ]


def _forwarded(headers: Sequence[str]) -> list[Hop]:
    """By the header Forwarded. Source: RFC 7239."""
    hops = []
    for header in headers:
        at, element = 0, dict[str, str]()
        while pair := _PAIR.match(header, at):
            value = pair[2]
            element[pair[1].lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
            at = pair.end() + 1
            if header[pair.end() : at] != ";":
                hops.append(_hop(element))
                element = {}
        if at <= len(header):  # the rest cannot be read: nobody knows what it would have said
            hops.append(Hop(None))
    return hops


def _hop(element: dict[str, str]) -> Hop:
    return Hop(_address(element.get("for", "")), _scheme(element.get("proto")), _host(element.get("host")))


def _address(text: str | None) -> Address | None:
    """An IP address, perhaps with a port; IPv6 with a port in brackets. An IPv4 address within IPv6 is that address."""
    text = (text or "").strip()
    if bracketed := re.fullmatch(r"\[([^\]]*)\](:\d+)?", text):
        text = bracketed[1]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _scheme(text: str | None) -> str | None:
    return text.lower() if text and text.lower() in _SCHEMES else None


def _host(text: str | None) -> str | None:
    return text if text and _HOST.fullmatch(text) else None


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
