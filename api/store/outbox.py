"""The outbox: events are written with the change that they report; :mod:`api.publishing.relay` sends them to Kafka."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from api.store.tables import OutboxRow
from schemas import records
from schemas.events import Event


def enqueue(session: AsyncSession, event: Event, trace: Iterable[tuple[str, bytes]] = ()) -> None:
    """Have ``event`` published if and when the transaction commits."""
    session.add(OutboxRow(**row_of(event, trace)))


def row_of(event: Event, trace: Iterable[tuple[str, bytes]] = ()) -> dict[str, Any]:
    """The outbox row that has ``event`` published."""
    headers = records.headers_of(event, source=records.API_SOURCE, trace=trace)
    return {
        "topic": event.topic,
        "key": records.key_of(event).decode(),
        "value": records.value_of(event),
        "headers": [[name, (value or b"").decode("latin-1")] for name, value in headers],
        "created_at": datetime.now(UTC),
    }
