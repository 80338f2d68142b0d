"""What storage says about a file."""

from dataclasses import dataclass
from datetime import datetime

from schemas.storage_keys import TEMPORARY_PREFIX


@dataclass(frozen=True)
class StoredFile:
    """What storage says about one file."""

    key: str
    #: Bytes.
    size: int
    #: Where storage says it.
    modified_at: datetime | None = None

    @property
    def is_temporary(self) -> bool:
        """Whether it is a write or an upload on its way, or what is left of one."""
        return any(part.startswith(TEMPORARY_PREFIX) for part in self.key.split("/"))
