"""Identifiers: new ones, and derived ones that are the same however often something is done."""

from typing import Final
from uuid import UUID, uuid5

from uuid6 import uuid7

#: Any fixed value will do; once results are out in the world it must never change.
_NAMESPACE: Final = UUID("6f9a3c1e-52d7-5c0b-9a64-2b7f0d1e8c35")


def new_id() -> UUID:
    """A new UUIDv7: ids minted later sort later. Source: RFC 9562, section 5.7."""
    return UUID(int=uuid7().int)


def id_from_position(topic: str, partition: int, offset: int) -> str:
    """The event id of a record whose producer sent none: the same at every redelivery."""
    return str(uuid5(_NAMESPACE, f"{topic}/{partition}/{offset}"))


def id_of_result(event_id: str, outcome: str) -> str:
    """The id of a result, from the id of the event that caused it and what came of it.

    ``outcome`` is the result's topic, with the attempt where each attempt is a result of its own.
    Source: UUIDv5, RFC 9562, section 5.5.
    """
    return str(uuid5(_NAMESPACE, f"{event_id}/{outcome}"))
