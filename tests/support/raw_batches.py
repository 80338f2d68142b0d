"""Record batches made byte by byte, as a faulty or hostile producer may send them, and their way onto a topic.

Source: Kafka's message format, version 2 (record batch and record).
"""

import struct
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c

from infra.kafka import clients
from infra.settings import Settings

GZIP: Final = 1
SNAPPY: Final = 2
LZ4: Final = 3
ZSTD: Final = 4

TRANSACTIONAL: Final = 0x10
#: A batch of a broker, which ends a transaction.
CONTROL: Final = 0x20

Headers = Sequence[tuple[bytes | None, bytes | None]]


def varint(number: int) -> bytes:
    """A zigzag varint."""
    left = (number << 1) ^ (number >> 63)
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*found, left])


def record(
    value: bytes | None, *, key: bytes | None = None, headers: Headers = (), place: int = 0, milliseconds: int = 0
) -> bytes:
    """One record; ``place`` is its offset and ``milliseconds`` its time, both counted from those of the batch."""
    body = b"\0" + varint(milliseconds) + varint(place) + _sized(key) + _sized(value) + varint(len(headers))
    body += b"".join(_sized(name) + _sized(header) for name, header in headers)
    return varint(len(body)) + body


def batch(
    records: bytes,
    *,
    count: int = 1,
    codec: int = 0,
    timestamp_ms: int = 1_700_000_000_000,
    last_delta: int | None = None,
    crc_error: int = 0,
    magic: int = 2,
    producer_id: int = -1,
    attributes: int = 0,
) -> bytes:
    """A batch of ``count`` records, which are given as they stand behind its head: compressed, if ``codec`` says so.

    ``attributes``: others than the codec, such as ``TRANSACTIONAL``.
    """
    delta = count - 1 if last_delta is None else last_delta
    protected = struct.pack(
        ">hiqqqhii", codec | attributes, delta, timestamp_ms, timestamp_ms, producer_id, -1, -1, count
    )
    protected += records
    crc = calc_crc32c(protected) ^ crc_error
    return struct.pack(">qiibI", 0, len(protected) + 9, -1, magic, crc) + protected


async def produce(settings: Settings, partition: TopicPartition, content: bytes) -> int:
    """Send one batch as it stands. Returns its first offset.

    Raises:
        KafkaError: the broker refuses it.
    """
    client = AIOKafkaClient(**clients.client_options(settings))
    try:
        await client.bootstrap()
        await client.force_metadata_update()
        client.add_topic(partition.topic)
        await client._maybe_wait_metadata()
        await client.force_metadata_update()
        leader = client.cluster.leader_for_partition(partition)
        topics = [(partition.topic, [(partition.partition, content)])]
        answer: Any = await client.send(
            leader, ProduceRequest(transactional_id=None, required_acks=-1, timeout=5000, topics=topics)
        )
        _, error_code, offset, *_ = answer.topics[0][1][0]
        if (fault := for_code(error_code)) is not NoError:
            raise fault(f"{partition.topic}/{partition.partition}")
        return int(offset)
    finally:
        await client.close()


def _sized(content: bytes | None) -> bytes:
    return varint(-1) if content is None else varint(len(content)) + content
