"""What a command refuses; HTTP answers each with a problem document of its own status.

Refused
├── NotFound         no such photo or item in this workspace
├── InvalidField     a field has a value that is not possible
├── Conflict         not possible as the photo is now
├── OverQuota        the workspace has as much as it may
├── KeyReused        the idempotency key belongs to another request
└── Unavailable      a part of the system does not answer; the same request may succeed later
"""


class Refused(Exception):
    """Not done; the text is a sentence for the caller."""

    #: The field that is wrong, and what is wrong with it.
    fields: dict[str, str]

    def __init__(self, detail: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.fields = fields or {}


class NotFound(Refused):
    """Unknown, or of another workspace, which is not told apart."""

    def __init__(self, what: str = "photo") -> None:
        super().__init__(f"there is no such {what}")


class InvalidField(Refused):
    """A field has a value that is not possible."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", {field: message})


class Conflict(Refused):
    """Not possible as the photo is now."""


class OverQuota(Refused):
    """The workspace has as much as it may."""


class KeyReused(Refused):
    """The idempotency key belongs to another request."""

    def __init__(self, message: str) -> None:
        super().__init__(f"this Idempotency-Key {message}", {"Idempotency-Key": message})


class Unavailable(Refused):
    """A part of the system does not answer; the same request may succeed later."""
