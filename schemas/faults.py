"""The ways in which a photo can fail. Each owns its code and how many attempts it is worth.

Fault
├── OriginalMissing        nothing lies at the storage key
├── OriginalTooLarge       more bytes than allowed
├── TooManyPixels          more pixels than allowed, by the header
├── UnsupportedFormat      none of the accepted formats by its bytes
├── Unreadable             truncated or corrupt
├── RenderTimeout          used up its CPU time
│   └── RenderStalled      not done in time on the clock, with CPU time left         (worth two more attempts)
├── RenderCrashed          the process that rendered it ended              (worth one more attempt)
├── ChecksumMismatch       not the bytes that the event speaks of
├── StorageUnavailable     storage did not answer, or with an error     (worth all that are allowed)
└── Internal               a fault of ours                              (worth all that are allowed)
"""

import sys
from enum import StrEnum
from typing import ClassVar, Final

#: For what may well pass: the settings of the retries are the limit.
AS_OFTEN_AS_ALLOWED: Final = sys.maxsize


class FaultCode(StrEnum):
    """The codes of ``thumbnails.failed``, as consumers see them."""

    ORIGINAL_MISSING = "original_missing"
    ORIGINAL_TOO_LARGE = "original_too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNREADABLE = "unreadable"
    RENDER_TIMEOUT = "render_timeout"
    RENDER_CRASHED = "render_crashed"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    INTERNAL = "internal"


class Fault(Exception):
    """What went wrong with one photo; its text is one line for a person and names no internals."""

    code: ClassVar[FaultCode]
    #: How many attempts a photo is worth that fails so: one where another would end the same.
    attempts: ClassVar[int] = 1


class OriginalMissing(Fault):
    """Nothing lies at the storage key."""

    code = FaultCode.ORIGINAL_MISSING


class OriginalTooLarge(Fault):
    """More bytes than allowed."""

    code = FaultCode.ORIGINAL_TOO_LARGE


class TooManyPixels(Fault):
    """More pixels than allowed, by the header."""

    code = FaultCode.TOO_MANY_PIXELS


class UnsupportedFormat(Fault):
    """None of the accepted formats, by its bytes."""

    code = FaultCode.UNSUPPORTED_FORMAT


class Unreadable(Fault):
    """Truncated or corrupt."""

    code = FaultCode.UNREADABLE


class RenderTimeout(Fault):
    """Not rendered within its CPU time: another attempt would end the same."""

    code = FaultCode.RENDER_TIMEOUT


class RenderStalled(RenderTimeout):
    """Not rendered in time, though it had CPU time left: the machine was busy, or the file did not come."""

    attempts = 3


class RenderCrashed(Fault):
    """The process that rendered it ended."""

    code = FaultCode.RENDER_CRASHED
    attempts = 2


class ChecksumMismatch(Fault):
    """The original is not the bytes that the event speaks of."""

    code = FaultCode.CHECKSUM_MISMATCH


class StorageUnavailable(Fault):
    """Storage did not answer, or answered with an error."""

    code = FaultCode.STORAGE_UNAVAILABLE
    attempts = AS_OFTEN_AS_ALLOWED


class Internal(Fault):
    """A fault of ours."""

    code = FaultCode.INTERNAL
    attempts = AS_OFTEN_AS_ALLOWED
