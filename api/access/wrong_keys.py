"""Slows those who send wrong keys: each client address may send a few at once, then some a second."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: 2,500 wrong keys of one address take eight minutes.
BURST: Final = 20
PER_SECOND: Final = 5.0

_MAX_ADDRESSES: Final = 10_000
#: One customer has at least so many bits of IPv6 to choose addresses from. Source: RFC 6177.
_IPV6_PREFIX: Final = 64


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


class WrongKeys:
    """A token bucket for each client address; an address that has sent no wrong key is not slowed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_seconds(self, address: str | None) -> float:
        """How long this address must wait before its next key is looked at; 0 when it need not."""
        bucket = self._buckets.get(_client_of(address))
        if bucket is None:
            return 0.0
        self._fill(bucket)
        return 0.0 if bucket.tokens >= 1 else (1 - bucket.tokens) / PER_SECOND

    def add(self, address: str | None) -> None:
        """This address has sent a wrong key."""
        client = _client_of(address)
        bucket = self._buckets.setdefault(client, _Bucket(BURST, self._clock()))
        self._fill(bucket)
        bucket.tokens = max(0.0, bucket.tokens - 1)
        self._buckets.move_to_end(client)
        if len(self._buckets) > _MAX_ADDRESSES:
            self._buckets.popitem(last=False)

    def _fill(self, bucket: _Bucket) -> None:
        now = self._clock()
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled_at) * PER_SECOND)
        bucket.filled_at = now


def _client_of(address: str | None) -> str:
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(parsed), _IPV6_PREFIX), strict=False))
    return str(parsed)
