"""What brokers answer to a fetch, as bytes: nothing in it stops those behind it."""

import gzip
import struct

import cramjam
import pytest
from aiokafka.codec import snappy_encode
from aiokafka.consumer import fetcher
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.aiokafka_patches import patch_aiokafka
from infra.kafka.codecs import MAX_BATCH_BYTES
from raw_batches import CONTROL, GZIP, LZ4, SNAPPY, TRANSACTIONAL, ZSTD, batch, record
from schemas.records import UnreadableValue

PARTITION = TopicPartition("t", 0)
CODECS = {
    0: bytes,
    GZIP: gzip.compress,
    SNAPPY: lambda content: bytes(cramjam.snappy.compress_raw(content)),
    LZ4: lambda content: bytes(cramjam.lz4.compress(content)),
    ZSTD: lambda content: bytes(cramjam.zstd.compress(content)),
}


@pytest.fixture(autouse=True, scope="module")
def _mended():
    patch_aiokafka()


def at_offset(content, base):
    return struct.pack(">q", base) + content[8:]


def read(content, begin=0, aborted=None):
    """The records of an answer, and where the next fetch begins."""
    batches = fetcher.MemoryRecords(content)
    assert batches.has_next() or not content
    records = fetcher.PartitionRecords(PARTITION, batches, aborted, begin, None, None, True, fetcher.READ_COMMITTED)
    return list(records), records.next_fetch_offset


def answer(*batches):
    """Batches of one record each, one behind the other."""
    return b"".join(at_offset(content, base) for base, content in enumerate(batches))


GOOD = batch(record(b"good"))


@pytest.mark.parametrize("codec", [*CODECS, "xerial"])
@given(values=st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_records_of_every_codec_come_out_as_they_went_in(codec, values):
    content = b"".join(record(value, place=place, headers=[(b"h", None)]) for place, value in enumerate(values))
    compressed = snappy_encode(content) if codec == "xerial" else CODECS[codec](content)
    found, next_offset = read(batch(compressed, count=len(values), codec=SNAPPY if codec == "xerial" else codec))
    assert [each.value for each in found] == values
    assert [each.offset for each in found] == list(range(len(values)))
    assert found[0].headers == (("h", None),)
    assert next_offset == len(values)


UNREADABLE = {
    "not UTF-8": batch(record(b"v", headers=[(b"\xff", b"x")])),
    "no name": batch(record(b"v", headers=[(None, b"x")])),
    "checksum": batch(record(b"v"), crc_error=1),
    "codec 0x05": batch(record(b"v"), codec=5),
    "codec 0x07": batch(record(b"v"), codec=7),
    "gzip does not decompress": batch(b"garbage", codec=GZIP),
    "snappy does not decompress": batch(b"garbage", codec=SNAPPY),
    "lz4 does not decompress": batch(b"garbage", codec=LZ4),
    "zstd does not decompress": batch(b"garbage", codec=ZSTD),
    "within 67108864 bytes": batch(CODECS[ZSTD](record(bytes(MAX_BATCH_BYTES))), codec=ZSTD),
    "snappy does not decompress within": batch(b"\xff\xff\xff\xff\x0f", codec=SNAPPY),
    "offset": batch(record(b"v", place=100)),
    "are left": batch(record(b"vvvv")[:-2]),
    "cannot be read": batch(record(b"v"), magic=1),
}


@pytest.mark.parametrize("reason", UNREADABLE)
def test_what_cannot_be_read_says_why_and_what_lies_around_it_is_read(reason):
    found, next_offset = read(answer(GOOD, UNREADABLE[reason], GOOD))
    first, spoilt, last = found
    assert (first.offset, first.value, last.offset, last.value, next_offset) == (0, b"good", 2, b"good", 3)
    assert isinstance(spoilt.value, UnreadableValue)
    assert spoilt.offset == 1
    assert reason in spoilt.value.reason


@pytest.mark.parametrize("codec", CODECS)
def test_a_record_that_cannot_be_read_costs_none_of_its_batch_and_keeps_what_is_known_of_it(codec):
    content = b"".join(
        record(b"%d" % place, key=b"k", place=place, headers=[(b"n\xff" if place == 1 else b"n", b"x")])
        for place in range(3)
    )
    found, next_offset = read(batch(CODECS[codec](content), count=3, codec=codec))
    assert [(each.offset, each.key, each.value) for each in found] == [(n, b"k", b"%d" % n) for n in range(3)]
    assert [isinstance(each.value, UnreadableValue) for each in found] == [False, True, False]
    assert found[1].headers == (("n\\xff", b"x"),)
    assert next_offset == 3


def test_records_that_a_batch_only_claims_to_have_cost_nothing_behind_it():
    found, next_offset = read(answer(GOOD, batch(record(b"v"), count=9, last_delta=0), GOOD))
    assert ([each.value for each in found], next_offset) == ([b"good", b"v", b"good"], 3)


@given(st.data())
def test_no_bytes_of_a_batch_keep_those_behind_it_from_being_read(data):
    spoilt = bytearray(batch(record(b"some value", headers=[(b"name", b"x")])))
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(12, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    found, next_offset = read(answer(GOOD, bytes(spoilt), GOOD))
    assert (found[0].value, found[-1].value, found[-1].offset) == (b"good", b"good", 2)
    assert next_offset == 3


@given(st.data())
def test_no_records_whatever_they_are_made_of_keep_those_behind_from_being_read(data):
    content = data.draw(st.binary(max_size=60))
    codec, count = data.draw(st.integers(0, 7)), data.draw(st.integers(-1, 5))
    found, next_offset = read(answer(GOOD, batch(content, codec=codec, count=count, last_delta=0), GOOD))
    assert (found[0].value, found[-1].value, found[-1].offset, next_offset) == (b"good", b"good", 2, 3)


@given(st.binary(min_size=1, max_size=200), st.integers(0, 1000))
def test_an_answer_of_any_bytes_raises_nothing_and_goes_on_behind_what_it_has_given(content, begin):
    found, next_offset = read(content, begin)
    assert next_offset > begin or not found
    assert all(each.offset < next_offset for each in found)


def test_a_batch_that_is_cut_off_is_not_asked_for_again():
    found, next_offset = read(GOOD[:-3])
    assert [type(each.value) for each in found] == [UnreadableValue]
    assert next_offset == 1


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=8))
def test_what_was_aborted_does_not_come_out_and_what_was_committed_does(transactions):
    batches, aborted, expected = [], [], []
    for number, (producer_id, is_committed) in enumerate(transactions):
        value = b"%d" % number
        if is_committed:
            expected.append(value)
        else:
            aborted.append((producer_id, len(batches)))
        batches.append(batch(record(value), producer_id=producer_id, attributes=TRANSACTIONAL))
        marker = record(b"", key=struct.pack(">hh", 0, int(is_committed)))
        batches.append(batch(marker, producer_id=producer_id, attributes=TRANSACTIONAL | CONTROL))
    found, next_offset = read(answer(*batches), aborted=aborted)
    assert [each.value for each in found] == expected
    assert next_offset == len(batches)
