"""The audit log: who did what to which photo, key or dead letter. Written in the transaction of the act itself.

The actor is set once, where a request is authenticated, and follows its task: a command cannot forget to pass it on.
What no caller asked for (the projector, housekeeping) has no actor and is not in the log.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.store.access_tables import AuditRow


@dataclass(frozen=True)
class Actor:
    """A key that acts, by its id and name."""

    key_id: str
    name: str


@dataclass(frozen=True)
class Subject:
    """To what something was done."""

    kind: Literal["photo", "key", "dead_letter"]
    id: str
    #: None: it belongs to no single workspace.
    workspace_id: str | None
    detail: dict[str, Any] | None = None


ACTOR: Final[ContextVar[Actor | None]] = ContextVar("actor", default=None)


async def record(session: AsyncSession, action: str, subjects: Sequence[Subject]) -> None:
    """Write down what the current actor does to each of ``subjects``; nothing without an actor."""
    actor = ACTOR.get()
    if actor is None or not subjects:
        return
    rows = [
        {
            "key_id": actor.key_id,
            "key_name": actor.name,
            "action": action,
            "workspace_id": each.workspace_id,
            "subject_kind": each.kind,
            "subject_id": each.id,
            "detail": each.detail,
        }
        for each in subjects
    ]
    await session.execute(insert(AuditRow), rows)


async def list_newest(
    session: AsyncSession, *, workspace_id: str | None, subject_id: str | None, before: int | None, limit: int
) -> Sequence[AuditRow]:
    """A page of the log, newest first: of a workspace or all, about one subject or all, before a row number."""
    wanted = select(AuditRow).order_by(col(AuditRow.seq).desc()).limit(limit)
    if workspace_id is not None:
        wanted = wanted.where(col(AuditRow.workspace_id) == workspace_id)
    if subject_id is not None:
        wanted = wanted.where(col(AuditRow.subject_id) == subject_id)
    if before is not None:
        wanted = wanted.where(col(AuditRow.seq) < before)
    return (await session.scalars(wanted)).all()
