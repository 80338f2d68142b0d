"""The thumbnail status of a photo: exactly four words."""

from enum import IntEnum
from typing import Literal

StatusWord = Literal["pending", "processing", "ready", "failed"]


class Status(IntEnum):
    """The thumbnail status, in the order in which one generation may go through it."""

    PENDING = 0
    PROCESSING = 1
    FAILED = 2
    READY = 3

    @property
    def word(self) -> str:
        """As everyone outside knows it."""
        return self.name.lower()
