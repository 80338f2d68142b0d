"""What the api may answer: photos, feed messages, problems.

ClientFault
├── NotReachable   no connection, or it broke                     (worth another try)
├── Unavailable    the api asks to come again                     (worth another try)
├── NotAllowed     no key, a bad one, or one that may not do this
├── UnknownPlace   no such workspace, or no api at this address
└── Refused        any other problem that the api names
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class ClientFault(Exception):
    """Why the api did not do as asked; the text is for a person."""


class NotReachable(ClientFault):
    """There is no connection, or it broke."""


class Unavailable(ClientFault):
    """The api asks to come again."""

    def __init__(self, message: str, retry_after_seconds: float | None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotAllowed(ClientFault):
    """The key is missing or bad, or its role may not do this."""


class UnknownPlace(ClientFault):
    """No such workspace for this key, or no Thumbstream at this address."""


class Refused(ClientFault):
    """The api says no; source of the fields: RFC 9457."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(f"{status} {title}" + (f": {detail}" if detail and detail != title else ""))
        self.status = status


@dataclass(frozen=True)
class Photo:
    """A photo as the api shows it; ``raw`` has the rest."""

    id: str
    status: str
    filename: str | None
    width: int | None
    height: int | None
    error_code: str | None
    error_message: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Photo":
        """From a photo of the api; a deleted photo may have little but its id."""
        error = raw.get("error") or {}
        return cls(
            id=str(raw["id"]),
            status=str(raw.get("thumbnail_status") or ""),
            filename=raw.get("filename"),
            width=raw.get("width"),
            height=raw.get("height"),
            error_code=error.get("code"),
            error_message=error.get("message"),
            raw=raw,
        )


@dataclass(frozen=True)
class Hello:
    """The feed is open; if it did not resume, events may be missed and the list is to be fetched anew."""

    resumed: bool
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class PhotoChanged:
    """Something happened to a photo."""

    event: str
    photo: Photo
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Stats:
    """How the workspace fares; ``raw`` as the api documents it."""

    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Health:
    """Which parts of the pipeline do not do their work, each with the reason; ``raw`` as the api documents it."""

    away: Mapping[str, str]
    raw: Mapping[str, Any]

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Health":
        """From a message of the feed."""
        parts = raw.get("parts") or {}
        away = {name: str(part.get("reason") or "") for name, part in parts.items() if part.get("ok") is False}
        return cls(away, raw)


Message = Hello | PhotoChanged | Stats | Health


@dataclass(frozen=True)
class Page:
    """Some photos, and the cursor of the next page if there is one."""

    photos: list[Photo]
    next_cursor: str | None
