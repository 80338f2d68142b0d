"""Dead letters: what a record on a dead topic says of itself, and the settlements of such records.

Kafka cannot delete one record, so a dead letter that was replayed or dropped stays. A settlement behind it, in the same
partition, says so: a record without a value whose headers name the offset of the dead letter. It lives as long as it.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas import ids, topics
from schemas.records import Headers, Record, UnreadableValue, dead_headers
from schemas.times import EARLIEST, Moment, in_range, time_json, time_of_record

Settlement = Literal["replayed", "dropped"]
DeadLetterOwner = Literal["worker", "projector"]

#: Who sends to which dead topic.
DEAD_TOPIC_OF: Final[Mapping[DeadLetterOwner, str]] = {"worker": topics.DEAD, "projector": topics.PROJECTED_DEAD}

#: What is sent to a dead topic: key, value, headers.
DeadLetterRecord = tuple[bytes | None, bytes | None, Headers]

_SOURCE_TOPIC: Final = "thumbstream_source_topic"
_SOURCE_PARTITION: Final = "thumbstream_source_partition"
_SOURCE_OFFSET: Final = "thumbstream_source_offset"
_REASON: Final = "thumbstream_reason"
_DEAD_AT: Final = "thumbstream_dead_at"
_OF_DEATH: Final = frozenset({_SOURCE_TOPIC, _SOURCE_PARTITION, _SOURCE_OFFSET, _REASON, _DEAD_AT})

#: Bytes of the value of a record that no dead topic could take whole: on a letter that has neither it nor own headers.
_LEFT_OUT_BYTES: Final = "thumbstream_left_out_bytes"
#: The key of such a letter is kept up to so many bytes; a photo's has 36.
_KEPT_KEY_BYTES: Final = 1024

#: Bytes of key and value that are shown.
_VALUE_SHOWN_BYTES: Final = 400

_SETTLES: Final = "thumbstream_settles_offset"
_SETTLED_AS: Final = "thumbstream_settled_as"

#: No letter goes back to a topic that is none of ours, whatever its headers say.
_REPLAYABLE: Final = frozenset(topics.ALL) - frozenset(topics.DEAD_LETTERS)


#: The fields of a criteria that leave letters out.
CONDITIONS: Final = ("reason", "workspace_id", "topic", "since", "until", "partition", "from_offset", "to_offset")


class DeadLetterFilter(BaseModel):
    """Which dead letters; a field that is absent sets no bound."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str | None = Field(
        default=None, min_length=1, description="a part of the reason, in any case", examples=["storage_key"]
    )
    workspace_id: str | None = Field(
        default=None, description="as the value says, where it can be read", examples=["acme"]
    )
    topic: str | None = Field(
        default=None, description="the topic that the record was read from", examples=["photos.uploaded"]
    )
    since: Moment | None = Field(default=None, description="dead since this time or later")
    until: Moment | None = Field(default=None, description="dead since before this time")
    partition: int | None = Field(default=None, ge=0, le=2**31 - 1, description="of the dead topic")
    from_offset: int | None = Field(default=None, ge=0, le=2**63 - 1, description="of the dead topic, included")
    to_offset: int | None = Field(default=None, ge=0, le=2**63 - 1, description="of the dead topic, included")
    settled: bool = Field(default=False, description="those that were replayed or dropped too")
    of: DeadLetterOwner = Field(default="worker", description="who could not take them: the worker, or the projector")

    @property
    def is_narrowed(self) -> bool:
        """Whether it speaks of some letters only, and not of all that are on the topic."""
        return any(getattr(self, name) is not None for name in CONDITIONS)

    @property
    def dead_topic(self) -> str:
        """The dead topic of which it speaks."""
        return DEAD_TOPIC_OF[self.of]


@dataclass(frozen=True)
class DeadLetter:
    """One record of a dead topic."""

    record: Record
    #: Topic, partition and offset that it was read from; None where its headers do not say.
    source: tuple[str, int, int] | None
    reason: str
    died_at: datetime
    #: Bytes of the value where it was left out, since the record was too large for a dead letter.
    left_out_bytes: int | None = None

    @property
    def position(self) -> tuple[int, int]:
        """Partition and offset on the dead topic."""
        return self.record.partition, self.record.offset

    @property
    def value_bytes(self) -> int:
        """How long the value is, or was."""
        return len(self.record.value or b"") if self.left_out_bytes is None else self.left_out_bytes

    @property
    def workspace_id(self) -> str | None:
        """The workspace, where the value is JSON that names one."""
        try:
            found = json.loads(self.record.value or b"")["workspace_id"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return found if isinstance(found, str) else None

    def is_wanted(self, criteria: DeadLetterFilter) -> bool:
        """Whether ``criteria`` speaks of it; whether it is settled is not asked here."""
        return (
            (criteria.partition is None or self.record.partition == criteria.partition)
            and (criteria.from_offset is None or self.record.offset >= criteria.from_offset)
            and (criteria.to_offset is None or self.record.offset <= criteria.to_offset)
            and (criteria.since is None or self.died_at >= criteria.since)
            and (criteria.until is None or self.died_at < criteria.until)
            and (criteria.topic is None or (self.source is not None and self.source[0] == criteria.topic))
            and (criteria.reason is None or criteria.reason.casefold() in self.reason.casefold())
            and (criteria.workspace_id is None or self.workspace_id == criteria.workspace_id)
        )


def whole_dead_letter(record: Record, reason: str) -> DeadLetterRecord:
    """The dead letter of ``record``: all of it, unchanged, and whence and why.

    A record with neither key nor value cannot be sent: an empty key stands for none then. One whose value could not be
    read is sent without it.
    """
    if isinstance(record.value, UnreadableValue) and record.value.left_out_bytes is not None:
        return bare_dead_letter(record, reason)
    key = b"" if record.key is None and record.value is None else record.key
    return key, record.value, dead_headers(record, reason)


def bare_dead_letter(record: Record, reason: str) -> DeadLetterRecord:
    """The dead letter of a record whose value is too large or not known: its source and the reason, no own headers."""
    key = record.key if record.key and len(record.key) <= _KEPT_KEY_BYTES else b""
    bare = replace(record, value=None, headers=())
    byte_count = getattr(record.value, "left_out_bytes", None) or len(record.value or b"")
    left_out = (_LEFT_OUT_BYTES, str(byte_count).encode())
    return key, None, [*dead_headers(bare, reason), left_out]


def read_dead_letter(record: Record) -> DeadLetter:
    """Read a record of a dead topic, whoever has put it there."""
    headers: dict[str, Any] = dict(record.headers)
    return DeadLetter(
        record,
        _source_of(headers),
        record.value.reason if isinstance(record.value, UnreadableValue) else _text(headers.get(_REASON)),
        _died_at(headers, record.timestamp_ms),
        _left_out_bytes(record, headers),
    )


def settlement_of(record: Record) -> tuple[int, Settlement] | None:
    """The offset that ``record`` settles in its own partition, and how; None where it is a letter."""
    headers: dict[str, Any] = dict(record.headers)
    how = _text(headers.get(_SETTLED_AS))
    try:
        offset = int(_text(headers.get(_SETTLES)))
    except ValueError:
        return None
    if record.value is not None or offset >= record.offset or _SOURCE_TOPIC in headers:
        return None  # a dead letter, though its record had headers like those of a settlement
    return offset, "dropped" if how == "dropped" else "replayed"


def settlement_headers(dead_letter: DeadLetter, how: Settlement) -> Headers:
    """The headers of the settlement of ``dead_letter``, which must go to the same partition."""
    return [
        (_SETTLES, str(dead_letter.record.offset).encode()),
        (_SETTLED_AS, how.encode()),
        ("thumbstream_settled_at", datetime.now(UTC).isoformat().encode()),
    ]


def replay_topic(dead_letter: DeadLetter) -> str | None:
    """Where the letter goes when it is replayed; None where it cannot be: ``why_not_replayed`` says why."""
    return dead_letter.source[0] if dead_letter.source and not why_not_replayed(dead_letter) else None


def why_not_replayed(dead_letter: DeadLetter) -> str:
    """Why the letter cannot be replayed, for a person; empty where it can."""
    if dead_letter.source is None or dead_letter.source[0] not in _REPLAYABLE:
        return "it does not say which of our topics it was read from"
    if dead_letter.left_out_bytes is not None:
        place = "topic {}, partition {}, offset {}".format(*dead_letter.source)
        return f"it was kept without its value of {dead_letter.left_out_bytes} bytes: the record itself is at {place}"
    return ""


def replay_headers(dead_letter: DeadLetter) -> Sequence[tuple[str, bytes | None]]:
    """The letter's own headers as it had them, and the event id of its first position where it had none.

    So a letter that is replayed twice is one event twice, not two.
    """
    own = [(name, value) for name, value in dead_letter.record.headers if name not in _OF_DEATH]
    if dead_letter.source is None or any(name == "ce_id" for name, _ in own):
        return own
    return [*own, ("ce_id", ids.id_from_position(*dead_letter.source).encode())]


def _source_of(headers: dict[str, Any]) -> tuple[str, int, int] | None:
    try:
        return (
            _text(headers[_SOURCE_TOPIC]),
            int(_text(headers[_SOURCE_PARTITION])),
            int(_text(headers[_SOURCE_OFFSET])),
        )
    except (KeyError, ValueError):
        return None


def _left_out_bytes(record: Record, headers: dict[str, Any]) -> int | None:
    said = _text(headers.get(_LEFT_OUT_BYTES))
    return int(said) if record.value is None and said.isascii() and said.isdigit() and len(said) < 20 else None


def _died_at(headers: dict[str, Any], timestamp_ms: int) -> datetime:
    try:
        said = datetime.fromisoformat(_text(headers.get(_DEAD_AT)))
    except ValueError:
        return time_of_record(timestamp_ms) or EARLIEST
    return in_range(said if said.tzinfo else said.replace(tzinfo=UTC))


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def dead_letter_json(dead_letter: DeadLetter, how: Settlement | None) -> dict[str, Any]:
    """A dead letter as HTTP shows it."""
    record, source = dead_letter.record, dead_letter.source
    value = record.value
    return {
        "partition": record.partition,
        "offset": record.offset,
        "died_at": time_json(dead_letter.died_at),
        "source": source and dict(zip(("topic", "partition", "offset"), source, strict=True)),
        "workspace_id": dead_letter.workspace_id,
        "reason": dead_letter.reason,
        "key": None if record.key is None else record.key[:_VALUE_SHOWN_BYTES].decode(errors="replace"),
        "value": None if value is None else value[:_VALUE_SHOWN_BYTES].decode(errors="replace"),
        "value_base64": None if value is None else base64.b64encode(value[:_VALUE_SHOWN_BYTES]).decode(),
        "value_size": dead_letter.value_bytes,
        "value_left_out": dead_letter.left_out_bytes is not None,
        "settled": how,
    }
