"""Slows those who send wrong keys: each client address may send a few at once, then some a second."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

#: 2,500 wrong keys of one address take eight minutes.
BURST: Final = 20
PER_SECOND: Final = 5.0

_MAX_ADDRESSES: Final = 10_000
#: One customer has at least so many bits of IPv6 to choose addresses from. Source: RFC 6177.
_IPV6_PREFIX: Final = 64


class WrongKeys:
    """A token bucket for each client address; an address that has sent no wrong key is not slowed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: By client: the tokens that its bucket lacked, and when that was.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, address: str | None) -> float:
        """How long this address must wait before its next key is looked at; 0 when it need not."""
        return max(0.0, self._missing_tokens(_client_of(address)) - (BURST - 1)) / PER_SECOND

    def add(self, address: str | None) -> None:
        """This address has sent a wrong key."""
        client = _client_of(address)
        self._buckets[client] = min(BURST, self._missing_tokens(client) + 1), self._clock()
        self._buckets.move_to_end(client)
        if len(self._buckets) > _MAX_ADDRESSES:
            self._buckets.popitem(last=False)

    def _missing_tokens(self, client: str) -> float:
        """What its bucket lacks by now; 0 when it is full."""
        missing, then = self._buckets.get(client, (0.0, 0.0))
        return max(0.0, missing - (self._clock() - then) * PER_SECOND)


def _client_of(address: str | None) -> str:
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(parsed), _IPV6_PREFIX), strict=False))
    return str(parsed)
