"""Reads fetch responses: a record that cannot be read becomes a dead letter and does not stop its partition.

aiokafka (0.14) raises out of the fetch where it cannot read one record, and stays before it: the same error comes again
for ever. Here such a record comes out as one whose value is an :class:`~schemas.records.UnreadableValue`, which says
why, so that its consumer makes a dead letter of it. Where the records of a batch cannot be told apart (its checksum is
wrong, or it does not decompress), one such record stands for those that are left of the batch, at its last offset.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiokafka.consumer import fetcher
from aiokafka.record import memory_records
from aiokafka.record.util import decode_varint

from infra.kafka.codecs import decompress
from schemas.records import UnreadableValue

log = structlog.get_logger(__name__)

#: Base offset and length of a batch; the length counts what follows it.
_HEAD: Final = struct.Struct(">qi")
#: Of a batch of format 2: attributes, last offset delta, first and longest time. Source: Kafka's message format.
_FACTS: Final = struct.Struct(">hiqq")
_FACTS_AT: Final = 21
_COUNT_AT: Final = 57
_RECORDS_AT: Final = 61
_MAGIC_AT: Final = 16
#: The shortest of any format.
_LEAST_BATCH_BYTES: Final = 26

_CODEC_MASK: Final = 0x07
_LOG_APPEND_TIME_MASK: Final = 0x08


@dataclass(frozen=True)
class FetchedRecord:
    """A record as aiokafka's own parsers give it."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    checksum: None = None


class FetchedBatches:
    """The batches of one answer, each as its bytes. It stands where aiokafka has its ``MemoryRecords``."""

    def __init__(self, content: bytes) -> None:
        self._content = bytes(content)
        self._at = 0

    def size_in_bytes(self) -> int:
        """Of the whole answer."""
        return len(self._content)

    def has_next(self) -> bool:
        """Whether there is one more: a whole one, or a first one that is cut off, which brokers do not send."""
        return self._end() is not None or (self._at == 0 and bool(self._content))

    def next_batch(self) -> bytes:
        """The next one, whatever it is."""
        begin, end = self._at, self._end() or len(self._content)
        self._at = end
        return self._content[begin:end]

    def next_offset(self) -> int | None:
        """Where the batch after the last one begins; None where none follows."""
        return None if self._end() is None else int(_HEAD.unpack_from(self._content, self._at)[0])

    def _end(self) -> int | None:
        if self._at + _HEAD.size > len(self._content):
            return None
        _, length = _HEAD.unpack_from(self._content, self._at)
        end = self._at + _HEAD.size + int(length)
        return end if self._at + _LEAST_BATCH_BYTES <= end <= len(self._content) else None


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """The records of one partition in one answer. It never raises."""

    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[Any]:
        while self._records.has_next():
            content = self._records.next_batch()
            try:
                yield from self._records_of(content)
            except Exception as error:
                yield from self._unreadable_rest(content, error)

    def _records_of(self, content: bytes) -> Iterator[Any]:
        # As aiokafka's own, but for what follows a record that cannot be read.
        batch = memory_records.MemoryRecords(content).next_batch()
        if batch is None:
            raise ValueError("it is cut off")
        if not batch.validate_crc():
            raise ValueError("its checksum is wrong")
        is_aborted = self._is_aborted(batch)  # asked of markers too: they end what is aborted
        if not (batch.is_control_batch or is_aborted):
            end = max(self.next_fetch_offset, batch.next_offset)
            records = iter(batch)
            while True:
                try:
                    record = next(records)
                    if record.offset >= end:
                        raise ValueError("its offset lies behind its batch")
                except StopIteration:
                    break
                except Exception:
                    yield from self._one_by_one(content)
                    break
                if record.offset >= self.next_fetch_offset:
                    yield self._taken(record)
        self.next_fetch_offset = max(self.next_fetch_offset, batch.next_offset)

    def _is_aborted(self, batch: Any) -> bool:
        if self._isolation_level != fetcher.READ_COMMITTED or batch.producer_id is None:
            return False
        self._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and self._contains_abort_marker(batch):
            self._aborted_producers.discard(batch.producer_id)
        return bool(batch.is_transactional and batch.producer_id in self._aborted_producers)

    def _one_by_one(self, content: bytes) -> Iterator[Any]:
        for record in _read_records(content):
            if record.offset >= self.next_fetch_offset:
                if isinstance(record.value, UnreadableValue):
                    self._tell(record)
                yield self._taken(record)

    def _unreadable_rest(self, content: bytes, error: Exception) -> Iterator[Any]:
        """One record for all that is left of a batch, at its last offset, so that the next fetch begins behind it."""
        first = self.next_fetch_offset
        last = _last_offset(content, self._records.next_offset())
        if last is None:
            last = first
        if last < first:
            return  # its records have come out, and what is wrong is behind them
        span = f"the record at offset {last}" if first == last else f"the batch with offsets {first} to {last}"
        value = UnreadableValue(b"", f"{span} cannot be read: {error or repr(error)}", left_out_bytes=len(content))
        record = FetchedRecord(last, -1, 0, None, value)
        self._tell(record)
        yield self._taken(record)

    def _taken(self, record: Any) -> Any:
        consumed = self._consumer_record(self._tp, record)
        self.next_fetch_offset = record.offset + 1
        return consumed

    def _tell(self, record: FetchedRecord) -> None:
        assert isinstance(record.value, UnreadableValue)
        topic, partition = self._tp
        log.warning(
            "a record cannot be read",
            topic=topic, partition=partition, offset=record.offset, reason=record.value.reason,
        )  # fmt: skip


def read_fetches_leniently() -> None:
    """Have every consumer of this process read by this module."""
    fetcher.MemoryRecords = FetchedBatches
    fetcher.PartitionRecords = PartitionRecords


def _last_offset(content: bytes, next_offset: int | None) -> int | None:
    """The last offset of a batch that may be corrupt, which is before the one behind it, whatever it says itself."""
    if len(content) < _FACTS_AT + _FACTS.size:
        return None
    base, _ = _HEAD.unpack_from(content)
    _, delta, _, _ = _FACTS.unpack_from(content, _FACTS_AT)
    last = int(base) + (int(delta) if content[_MAGIC_AT] >= 2 else 0)
    if next_offset is not None and not base <= last < next_offset:
        last = next_offset - 1
    return max(int(base), last)


def _read_records(content: bytes) -> Iterator[FetchedRecord]:
    """Every record of a batch of format 2, each told from the next by the length that it begins with.

    Raises:
        Exception: from here on they cannot be told apart.
    """
    if content[_MAGIC_AT] != 2:
        raise ValueError(f"a batch of format {content[_MAGIC_AT]} cannot be read record by record")
    base, _ = _HEAD.unpack_from(content)
    attributes, last_delta, *_ = _FACTS.unpack_from(content, _FACTS_AT)
    (count,) = struct.unpack_from(">i", content, _COUNT_AT)
    records = bytearray(decompress(attributes & _CODEC_MASK, content[_RECORDS_AT:]))
    at = 0
    for place in range(count):
        if at >= len(records):
            raise ValueError(f"it has {place} records and says that it has {count}")
        length, at = decode_varint(records, at)
        if not 0 <= length <= len(records) - at:
            raise ValueError(f"a record of {length} bytes where {len(records) - at} are left")
        end = at + length
        yield _read_record(records[at:end], content, base, min(place, last_delta))
        at = end
    if at != len(records):
        raise ValueError(f"{len(records) - at} bytes behind the last record")


def _read_record(record: bytearray, batch: bytes, base: int, place: int) -> FetchedRecord:
    attributes, last_delta, first_time, last_time = _FACTS.unpack_from(batch, _FACTS_AT)
    offset, timestamp, kind = base + place, first_time, int(bool(attributes & _LOG_APPEND_TIME_MASK))
    try:
        time_delta, at = decode_varint(record, 1)
        timestamp = last_time if kind else first_time + time_delta
        delta, at = decode_varint(record, at)
        if not 0 <= delta <= last_delta:
            raise ValueError(f"its offset is {delta} behind its batch's first, of {last_delta + 1}")
        offset = base + delta
        key, at = _bytes_at(record, at)
        value, at = _bytes_at(record, at)
        headers, faults = _headers_at(record, at)
    except Exception as error:
        reason = f"the record cannot be read: {error or repr(error)}"
        unreadable = UnreadableValue(b"", reason, left_out_bytes=len(record))
        return FetchedRecord(offset, timestamp, kind, None, unreadable)
    if faults:
        value = UnreadableValue(value or b"", f"the record cannot be read: {'; '.join(faults)}")
    return FetchedRecord(offset, timestamp, kind, key, value, tuple(headers))


def _headers_at(record: bytearray, at: int) -> tuple[list[tuple[str, bytes | None]], list[str]]:
    """The headers, and what is wrong with their names; a name that is no text is shown with escapes."""
    count, at = decode_varint(record, at)
    headers: list[tuple[str, bytes | None]] = []
    faults = []
    if count < 0:
        raise ValueError(f"it says that it has {count} headers")
    for number in range(1, count + 1):
        name, at = _bytes_at(record, at)
        value, at = _bytes_at(record, at)
        text = (name or b"").decode(errors="backslashreplace")
        if name is None:
            faults.append(f"header {number} has no name")
        elif text.encode() != name:
            faults.append(f"the name of header {number} is not UTF-8: {text[:100]}")
        headers.append((text, value))
    if at != len(record):
        raise ValueError(f"it has {len(record) - at} bytes behind its headers")
    return headers, faults


def _bytes_at(record: bytearray, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(record, at)
    if length < 0:
        return None, at
    if length > len(record) - at:
        raise ValueError(f"a field of {length} bytes where {len(record) - at} are left")
    return bytes(record[at : at + length]), at + length
