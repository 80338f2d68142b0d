"""Rerendering: many photos are rendered again, a page at a time, within the limits of a request."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.photos.commands import Trace, render_again
from api.store.database import Database
from api.store.engines import LONG_SECONDS
from api.store.tables import READY, UNFINISHED, PhotoRow
from schemas.events import MAX_NUMBER, NO_NUL, ContentType, ItemId, ProducerName
from schemas.faults import FaultCode
from schemas.statuses import Status, StatusWord
from schemas.times import Moment

#: One transaction's worth: it holds the locks of so many rows.
_PAGE_ROWS: Final = 500
_MOST_AT_ONCE: Final = 10_000
_BEFORE_ALL: Final = UUID(int=0)


_CONDITIONS: Final = (
    "status", "code", "content_type", "producer", "item_id", "created_after", "created_before", "recipe",
)  # fmt: skip


def _says_at_least_one(schema: dict[str, Any]) -> None:
    schema["not"] = {"properties": {name: {"type": "null"} for name in _CONDITIONS}}


class RerenderFilter(BaseModel):
    """Which photos to render again: those that meet every condition that is given."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_says_at_least_one)

    status: StatusWord | None = Field(default=None, examples=["failed"])
    code: FaultCode | None = Field(default=None, description="why they failed")
    content_type: Annotated[ContentType, StringConstraints(pattern=NO_NUL)] | None = Field(
        default=None, description="as the upload named it", examples=["image/heic"]
    )
    producer: ProducerName | None = Field(
        default=None, description="who produced their first event", examples=["/thumbstream/api"]
    )
    item_id: Annotated[ItemId, StringConstraints(pattern=NO_NUL)] | None = None
    created_after: Moment | None = Field(default=None, description="at or after")
    created_before: Moment | None = None
    recipe: Literal["stale"] | None = Field(
        default=None, description="stale: only those whose thumbnails were made for other renditions than today's"
    )

    limit: int = Field(default=_MOST_AT_ONCE, ge=1, le=_MOST_AT_ONCE, description="how many photos at most")
    cursor: UUID | None = Field(default=None, description="the next_cursor of the answer before")
    max_unfinished: int | None = Field(
        default=None,
        ge=1,
        le=MAX_NUMBER,
        description="stop while so many photos of all have no result yet: new uploads wait for no more than these",
    )
    dry_run: bool = Field(default=False, description="only say how many they are")

    @model_validator(mode="after")
    def _is_a_choice(self) -> Self:
        if not any(getattr(self, name) for name in _CONDITIONS):
            raise ValueError(f"give at least one of {', '.join(_CONDITIONS)}")
        return self


@dataclass(frozen=True)
class Again:
    """How many photos are rendered again, and after which one to go on; None: there are no more."""

    count: int
    next_cursor: UUID | None


async def count_photos(database: Database, workspace_id: str | None, criteria: RerenderFilter, recipe: str) -> int:
    """Of how many photos ``criteria`` speaks; ``recipe`` is today's. Workspace None: all."""
    wanted = select(func.count()).select_from(PhotoRow).where(*_conditions(workspace_id, criteria, recipe))
    async with database.reading(LONG_SECONDS) as session:
        return await session.scalar(wanted) or 0


def ready_photos_by_recipe(connection: Connection) -> list[tuple[str | None, int]]:
    """How many ready photos of all workspaces have thumbnails of each recipe, most first.

    Reads the partial index ``photos_ready_by_recipe`` only.
    """
    recipe = col(PhotoRow.recipe)
    counted = select(recipe, func.count()).where(READY).group_by(recipe).order_by(func.count().desc(), recipe)
    return [(recipe, count) for recipe, count in connection.execute(counted)]


async def rerender(
    database: Database, workspace_id: str | None, criteria: RerenderFilter, recipe: str, trace: Trace = ()
) -> Again:
    """Have the photos of ``criteria`` rendered again, by id, as far as its bounds allow. Workspace None: all."""
    count, cursor = 0, criteria.cursor or _BEFORE_ALL
    while count < criteria.limit:
        room = min(_PAGE_ROWS, criteria.limit - count)
        if criteria.max_unfinished is not None:
            room = min(room, await _room(database, criteria.max_unfinished))
        if room <= 0:
            break
        conditions = [*_conditions(workspace_id, criteria, recipe), col(PhotoRow.id) > cursor]
        done, last = await database.write(
            partial(_page, conditions=conditions, limit=room, trace=trace), seconds=LONG_SECONDS
        )
        count += done
        if last is None:
            return Again(count, None)
        cursor = last
    return Again(count, cursor)


async def _page(
    session: AsyncSession, conditions: list[ColumnElement[bool]], limit: int, trace: Trace
) -> tuple[int, UUID | None]:
    wanted = select(PhotoRow).where(*conditions).order_by(col(PhotoRow.id)).limit(limit).with_for_update()
    rows = (await session.scalars(wanted)).all()
    done = await render_again(session, rows, trace)
    return done, rows[-1].id if len(rows) == limit else None


async def _room(database: Database, most: int) -> int:
    # In the order of the partial index, or SQLite would count by another one that has all photos.
    unfinished = select(col(PhotoRow.id)).where(UNFINISHED).order_by(col(PhotoRow.updated_at)).limit(most)
    async with database.reading() as session:
        return most - (await session.scalar(select(func.count()).select_from(unfinished.subquery())) or 0)


def _conditions(workspace_id: str | None, criteria: RerenderFilter, recipe: str) -> list[ColumnElement[bool]]:
    # A photo that fails again and again would be stale for ever, so stale are only those that have thumbnails.
    status = criteria.status or (Status.READY.word if criteria.recipe else None)
    given: dict[Any, object] = {
        col(PhotoRow.workspace_id): workspace_id,
        col(PhotoRow.thumbnail_status): status,
        col(PhotoRow.error_code): criteria.code and criteria.code.value,
        col(PhotoRow.content_type): criteria.content_type,
        col(PhotoRow.producer): criteria.producer,
        col(PhotoRow.item_id): criteria.item_id,
    }
    conditions = [column == value for column, value in given.items() if value is not None]
    if criteria.created_after is not None:
        conditions.append(col(PhotoRow.created_at) >= criteria.created_after)
    if criteria.created_before is not None:
        conditions.append(col(PhotoRow.created_at) < criteria.created_before)
    if criteria.recipe is not None:
        conditions.append(col(PhotoRow.recipe) != recipe)
    return [*conditions, col(PhotoRow.storage_key).is_not(None)]
