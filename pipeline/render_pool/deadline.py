"""Time limits of a photo: CPU time of its own work, and a wall-clock limit for what hangs."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class TimeLimits:
    """CPU time does not grow with the load of the machine, so a photo that has used it up is stuck or hostile.

    The slowest photos take 0.1 s a megapixel (lossless HEIC and JPEG XL) and the slowest thumbnails 0.25 (AVIF); a slow
    machine takes four times that. Figures: docs/benchmarks.md.
    """

    #: For what does not grow with the px: reading the file, and handing over the result.
    cpu_base_seconds: float = 10.0
    cpu_seconds_per_megapixel: float = 1.5
    #: For pauses of the whole machine, and for a file that comes slowly.
    clock_base_seconds: float = 60.0
    #: So busy may the machine be: a process that gets an eighth of a core still reaches its CPU limit first.
    clock_seconds_per_cpu_second: float = 8.0

    def cpu_seconds(self, pixels: int) -> float:
        """The CPU time that ``pixels`` may take, decoded and encoded together."""
        return self.cpu_base_seconds + self.cpu_seconds_per_megapixel * pixels / 1_000_000

    def clock_seconds(self, pixels: int) -> float:
        """The time on the clock that ``pixels`` may take."""
        return self.clock_base_seconds + self.clock_seconds_per_cpu_second * self.cpu_seconds(pixels)


DEFAULT_LIMITS: Final = TimeLimits()
