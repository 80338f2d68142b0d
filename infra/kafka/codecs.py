"""Decompresses record batches: every codec of Kafka, with a limit on memory.

aiokafka (0.14) decompresses whatever comes into as much memory as that takes, and brokers take a batch of a few
kilobytes that becomes gigabytes. Here a batch that becomes too long is a corrupt one.
"""

import mmap
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

import cramjam
from aiokafka.record import default_records, legacy_records

#: What a batch may become, in bytes. Producers limit a request to 1 MB by default, which JSON fills twentyfold.
MAX_BATCH_BYTES: Final = 64 * 1024 * 1024

#: How the Java client frames snappy: this head, then blocks, each behind its length. Source: xerial's snappy-java.
_XERIAL_MAGIC: Final = b"\x82SNAPPY\0"
_XERIAL_HEAD_BYTES: Final = 16

#: Decompresses its first argument into its second, and returns the length.
_Into = Callable[[Any, Any], int]


def _decoder(name: str, into: _Into) -> Callable[[Any], bytes]:
    def decode(content: Any) -> bytes:
        # Anonymous memory, of which only what is written to becomes real.
        with mmap.mmap(-1, MAX_BATCH_BYTES) as room:
            try:
                return room[: into(bytes(content), room)]
            except Exception as error:
                limit = f"{MAX_BATCH_BYTES} bytes"
                raise ValueError(f"its {name} does not decompress within {limit}: {error}") from error

    return decode


def _snappy_into(content: bytes, room: mmap.mmap) -> int:
    if not content.startswith(_XERIAL_MAGIC):
        return int(cramjam.snappy.decompress_raw_into(content, room))
    at, length = _XERIAL_HEAD_BYTES, 0
    with memoryview(room) as whole:
        while at < len(content):
            (block_bytes,) = struct.unpack_from(">i", content, at)
            at += 4
            if not 0 < block_bytes <= len(content) - at:
                raise ValueError(f"a block of {block_bytes} bytes where {len(content) - at} are left")
            with whole[length:] as left:
                length += int(cramjam.snappy.decompress_raw_into(content[at : at + block_bytes], left))
            at += block_bytes
    return length


_DECODERS: Final = {
    "gzip_decode": _decoder("gzip", cramjam.gzip.decompress_into),
    "snappy_decode": _decoder("snappy", _snappy_into),
    "lz4_decode": _decoder("lz4", cramjam.lz4.decompress_into),
    "zstd_decode": _decoder("zstd", cramjam.zstd.decompress_into),
}
_DECODER_OF_CODEC: Final = dict(zip(range(1, 5), _DECODERS.values(), strict=True))


def decompress(codec: int, content: bytes) -> bytes:
    """What a batch of this compression type contains.

    Raises:
        ValueError: Kafka has no such codec, it is corrupt, or it becomes longer than ``MAX_BATCH_BYTES``.
    """
    if codec == 0:
        return content
    if codec not in _DECODER_OF_CODEC:
        raise ValueError(f"Kafka has no compression codec {codec}")
    return _DECODER_OF_CODEC[codec](content)


def limit_decompression() -> None:
    """Have every consumer of this process decompress by this module."""
    compiled = (default_records.DefaultRecordBatch.__module__, legacy_records.LegacyRecordBatch.__module__)
    for module in (default_records, legacy_records, *(sys.modules[name] for name in compiled)):
        for name, decode in _DECODERS.items():
            if hasattr(module, name):
                setattr(module, name, decode)
