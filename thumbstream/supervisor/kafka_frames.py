"""What the proxy before the embedded broker reads of Kafka's protocol: requests to produce, fetches and their answers.

Source: the protocol guide of Apache Kafka. All numbers are signed and big-endian; a name stands after its length in 16
bits. Requests and answers are without the size that stands before them.
"""

from typing import Final, NamedTuple

_PRODUCE: Final = 0
_FETCH: Final = 1

#: What aiokafka sends. In later versions the numbers have no fixed size.
_PRODUCE_VERSIONS: Final = range(3, 9)
_FETCH_VERSIONS: Final = range(4, 12)

#: A topic's name and the number of one of its partitions.
Partition = tuple[bytes, int]


class Fetch(NamedTuple):
    """A request for records that may wait until there are some."""

    request: bytes
    version: int
    #: Where the wait stands in the request.
    wait_at: int
    #: The offset from which on each partition is to be read.
    offsets: dict[Partition, int]

    @property
    def wait_seconds(self) -> float:
        """How long it may wait."""
        return _int(self.request, self.wait_at, 4) / 1000

    @property
    def least_bytes(self) -> int:
        """How many bytes of records it waits for."""
        return _int(self.request, self.wait_at + 4, 4)

    def for_any(self, wait_ms: int) -> bytes:
        """The same request, which waits for so long and for any record."""
        waiting = wait_ms.to_bytes(4, "big") + b"\0\0\0\1"
        return self.request[: self.wait_at] + waiting + self.request[self.wait_at + 8 :]


class Found(NamedTuple):
    """What an answer to a fetch says; of an error only that it is one."""

    record_bytes: int
    #: The high watermark of each partition.
    ends: dict[Partition, int]
    #: Whether some partition has records from its offset on, and none of them is in the answer.
    has_left_out: bool = False
    is_error: bool = False


def fetch_of(request: bytes) -> Fetch | None:
    """What ``request`` fetches; None where it is another request, of another version, or of a fetch session.

    Key and version (16 bits each), correlation id (32), client id, replica, wait in ms, least bytes, most bytes (32
    each), isolation (8), from version 7 on the session and its epoch (32 each). For each topic its name; for each of
    its partitions number (32), from version 9 on its leader's epoch (32), offset (64), from version 5 on the log's
    start (64), most bytes (32).
    """
    version = _int(request, 2, 2)
    if _int(request, 0, 2) != _FETCH or version not in _FETCH_VERSIONS:
        return None
    wait_at = 14 + max(0, _int(request, 8, 2))
    at = wait_at + 13
    if version >= 7:
        if (_int(request, at, 4), _int(request, at + 4, 4)) != (0, -1):
            return None
        at += 8
    before, after = 8 if version >= 9 else 4, 20 if version >= 5 else 12
    offsets = {}
    for _ in range(_int(request, at, 4)):
        length = _int(request, at + 4, 2)
        topic, at = request[at + 6 : at + 6 + length], at + 6 + length
        for _ in range(_int(request, at, 4)):
            offsets[topic, _int(request, at + 4, 4)] = _int(request, at + 4 + before, 8)
            at += before + after
    return Fetch(request, version, wait_at, offsets)


def found_by(fetch: Fetch, answer: bytes) -> Found:
    """What ``answer`` to ``fetch`` says.

    Correlation id, throttle time (32 bits each), from version 7 on error (16) and session (32). For each topic its
    name; for each of its partitions number (32), error (16), high watermark, last stable offset (64 each), from version
    5 on the log's start (64), aborted transactions (128 each), in version 11 the replica to read (32), and the records
    after their length (32).
    """
    at, size = 8, 0
    ends: dict[Partition, int] = {}
    unread = dict(fetch.offsets)
    if fetch.version >= 7:
        if _int(answer, at, 2):
            return Found(0, {}, is_error=True)
        at += 6
    topics, at = _int(answer, at, 4), at + 4
    for _ in range(topics):
        length = _int(answer, at, 2)
        topic, at = answer[at + 2 : at + 2 + length], at + 2 + length
        partitions, at = _int(answer, at, 4), at + 4
        for _ in range(partitions):
            if _int(answer, at + 4, 2):
                return Found(0, {}, is_error=True)
            partition = topic, _int(answer, at, 4)
            ends[partition] = end = _int(answer, at + 6, 8)
            at += 30 if fetch.version >= 5 else 22
            at += 4 + 16 * max(0, _int(answer, at, 4)) + (4 if fetch.version >= 11 else 0)
            length = max(0, _int(answer, at, 4))
            at += 4 + length
            size += length
            if length or end <= unread.get(partition, end):
                unread.pop(partition, None)
    return Found(size, ends, has_left_out=bool(unread))


def topics_produced_to(request: bytes) -> frozenset[bytes]:
    """The topics that ``request`` produces to; an empty name where they are not known, none of another request.

    Key and version (16 bits each), correlation id (32), client id, transactional id, acks (16), time-out (32). For each
    topic its name; for each of its partitions number (32) and the records after their length (32).
    """
    if _int(request, 0, 2) != _PRODUCE:
        return frozenset()
    if _int(request, 2, 2) not in _PRODUCE_VERSIONS:
        return frozenset({b""})
    at = 10 + max(0, _int(request, 8, 2))
    at += 8 + max(0, _int(request, at, 2))
    topics = set()
    for _ in range(_int(request, at, 4)):
        length = _int(request, at + 4, 2)
        topics.add(request[at + 6 : at + 6 + length])
        at += 6 + length
        for _ in range(_int(request, at, 4)):
            at += 8 + max(0, _int(request, at + 8, 4))
    return frozenset(topics)


def _int(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big", signed=True)
