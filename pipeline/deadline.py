"""How long one photo may render. What meets its deadline is given up for good, so that it must be stuck or hostile."""

from typing import Final

#: For what does not grow with the px: reading the file, handing it over, and pauses of the whole machine.
_BASE_SECONDS: Final = 10.0

#: The slowest photos take 0.1 s a megapixel (lossless HEIC and JPEG XL) and the slowest thumbnails 0.25 (AVIF); where
#: eight processes want each core, eight times that. Figures: docs/benchmarks.md.
_SECONDS_PER_MEGAPIXEL: Final = 1.5


def deadline_seconds_of(pixels: int) -> float:
    """The time that ``pixels`` may take, decoded and encoded together; 0 while the header is not read yet."""
    return _BASE_SECONDS + _SECONDS_PER_MEGAPIXEL * pixels / 1_000_000
