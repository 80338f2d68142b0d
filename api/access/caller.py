"""The caller of a request: its key, its role and its workspace."""

from dataclasses import dataclass
from typing import Final, Literal

#: ``viewer`` reads, ``editor`` also writes, ``admin`` also manages keys.
Role = Literal["viewer", "editor", "admin"]

#: In place of the prefix of the admin key, which may be anything.
ADMIN_PREFIX: Final = "admin"

_RANK: Final[dict[Role, int]] = {"viewer": 0, "editor": 1, "admin": 2}


@dataclass(frozen=True)
class Caller:
    """Who sends a request, and what they may do."""

    role: Role
    #: None: every workspace.
    workspace_id: str | None
    key_id: str
    key_name: str
    #: The start of the key, by which logs name it; no secret.
    key_prefix: str
    #: The hash of the session's token; None for a key and for a ticket that a key has bought.
    session_hash: str | None = None

    def has_role(self, role: Role) -> bool:
        """Whether the caller has this role or a higher one."""
        return _RANK[self.role] >= _RANK[role]

    def reaches(self, workspace_id: str | None) -> bool:
        """Whether the caller may see this workspace; None: every one."""
        return self.workspace_id is None or self.workspace_id == workspace_id
