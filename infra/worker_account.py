"""What a worker tells of itself: who it is, and which photo holds each of its render slots; cut to what fits."""

from bisect import bisect_right
from typing import Annotated, Final, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

#: Longer names are cut, and of more partitions only their number is told.
MAX_NAME: Final = 80
MAX_PARTITIONS: Final = 32

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
    #: It stops now, and this is its last heartbeat.
    is_leaving: bool = False

    def text(self, max_bytes: int) -> str:
        """As JSON of ``max_bytes`` at most, with as many busy slots as fit; empty where it does not fit without any."""

        def with_slots(number: int) -> str:
            return self.model_copy(update={"busy": self.busy[:number]}).model_dump_json()

        def byte_count(number: int) -> int:
            return len(with_slots(number).encode())

        whole = self.model_dump_json()
        if len(whole.encode()) <= max_bytes:
            return whole
        fitting = bisect_right(range(len(self.busy) + 1), max_bytes, key=byte_count)
        return with_slots(fitting - 1) if fitting else ""

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The account that ``text`` is; None for anything else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None
