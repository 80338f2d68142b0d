"""What a worker tells of itself: who it is, which photo holds each of its render slots, and which wait for a repeat.

Cut to what fits.
"""

from bisect import bisect_right
from typing import Annotated, Final, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

#: Longer names are cut, and of more partitions only their number is told.
MAX_NAME: Final = 80
MAX_PARTITIONS: Final = 32
#: Of more retries only their number is told: the slots are worth more of the room.
MAX_RETRIES: Final = 8

_Name = Annotated[str, StringConstraints(max_length=MAX_NAME)]
_Count = Annotated[int, Field(ge=0, lt=2**31)]
#: Durations, never times of a clock: those of two machines differ.
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class BusySlot(NamedTuple):
    """A render slot that a photo holds; an array in JSON, of which more fit than of objects."""

    #: From 0.
    slot: _Count
    photo_id: UUID
    workspace_id: Annotated[str, StringConstraints(max_length=128)]
    attempt: _Count
    busy_seconds: _Seconds
    #: Of the clock, after which it is given up; longer once its size is known. None: it has just begun.
    limit_seconds: _Seconds | None


class WaitingRetry(NamedTuple):
    """A photo that waits for another attempt; an array in JSON too."""

    photo_id: UUID
    workspace_id: Annotated[str, StringConstraints(max_length=128)]
    #: The one that is to be made; 2 is the first repeat.
    attempt: _Count
    due_seconds: _Seconds
    #: Error code of the attempt before; None where it is not known.
    code: _Name | None


class WorkerAccount(BaseModel):
    """A worker at the moment of a heartbeat. Fields that a newer worker adds are ignored."""

    model_config = ConfigDict(frozen=True)

    worker: _Name
    version: _Name
    recipe: _Name
    slots: _Count
    up_seconds: _Seconds
    #: Of photos.uploaded: how many it owns, and the first of them.
    partition_count: _Count
    partitions: tuple[_Count, ...]
    #: Photos that wait for a slot of this worker.
    queued: _Count
    #: Slots that are held: how many, and those held longest.
    busy_count: _Count
    busy: tuple[BusySlot, ...]
    #: Photos that wait here for another attempt: how many, and those due next. Older workers do not tell of them.
    retrying_count: _Count = 0
    retrying: tuple[WaitingRetry, ...] = ()
    #: It stops now, and this is its last heartbeat.
    is_leaving: bool = False

    def text(self, max_bytes: int) -> str:
        """As JSON of ``max_bytes`` at most, with as many retries and busy slots as fit; empty where none would do."""
        retries = len(self.retrying)

        def with_photos(number: int) -> str:
            some = {"retrying": self.retrying[:number], "busy": self.busy[: max(0, number - retries)]}
            return self.model_copy(update=some).model_dump_json()

        def byte_count(number: int) -> int:
            return len(with_photos(number).encode())

        whole = self.model_dump_json()
        if len(whole.encode()) <= max_bytes:
            return whole
        fitting = bisect_right(range(retries + len(self.busy) + 1), max_bytes, key=byte_count)
        return with_photos(fitting - 1) if fitting else ""

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The account that ``text`` is; None for anything else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None
