"""Dead letters, for admins. One request at a time reads them, and a limited number of records."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final, Self

import structlog
from aiohttp import hdrs, web
from aiokafka.errors import KafkaError
from pydantic import ConfigDict, Field, model_validator

from api.http.app_keys import DATABASE, SETTINGS
from api.http.problems import Problem
from api.store import audit
from infra.kafka.dead_letter_admin import DeadLetters, open_dead_letters
from schemas.dead_letters import CONDITIONS, DeadLetterFilter, Settlement, dead_letter_json

log = structlog.get_logger(__name__)

#: Read of the dead topic for one request: a second or two.
NEWEST_RECORDS: Final = 100_000
_MAX_SETTLED: Final = 10_000
_REASONS_SHOWN: Final = 20

READING: Final = web.AppKey("reading_dead", asyncio.Lock)


class DeadReplay(DeadLetterFilter):
    """Which dead letters to replay or to drop, the oldest of each partition first."""

    limit: int = Field(default=1000, ge=1, le=_MAX_SETTLED)
    dry_run: bool = Field(default=False, description="only say how many they are")


def _says_that_it_is_a_choice(schema: dict[str, Any]) -> None:
    unsaid = {name: {"type": "null"} for name in CONDITIONS}
    schema["not"] = {"properties": {**unsaid, "all": {"const": False}, "dry_run": {"const": False}}}


class DeadDrop(DeadReplay):
    """Which dead letters to drop: those that meet every condition that is given, or all of them if that is said."""

    model_config = ConfigDict(json_schema_extra=_says_that_it_is_a_choice)

    all: bool = Field(
        default=False, examples=[True], description="drop all there are; else at least one condition must be given"
    )

    @model_validator(mode="after")
    def _is_a_choice(self) -> Self:
        if not (self.all or self.dry_run or self.is_narrowed):
            raise ValueError(f"give at least one of {', '.join(CONDITIONS)}, or all: true")
        return self


class DeadListQuery(DeadLetterFilter):
    """Which dead letters to list, the newest of them."""

    limit: int = Field(default=50, ge=1, le=200)


async def get_dead(request: web.Request, query: DeadListQuery) -> web.Response:
    """``GET /v1/dead``."""
    async with _reading(request, query) as dead:
        listing = await dead.newest(query, query.limit, newest_records=NEWEST_RECORDS)
    items = [dead_letter_json(dead_letter, how) for dead_letter, how in reversed(listing.found)]
    return web.json_response({"items": items, "matched": listing.matched, "truncated": listing.survey.is_cut})


async def replay_dead(request: web.Request, body: DeadReplay) -> web.Response:
    """``POST /v1/dead/replay``."""
    return await _settle(request, body, "replayed")


async def drop_dead(request: web.Request, body: DeadDrop) -> web.Response:
    """``POST /v1/dead/drop``."""
    return await _settle(request, body, "dropped")


async def _settle(request: web.Request, criteria: DeadReplay, how: Settlement) -> web.Response:
    if not criteria.dry_run:  # before the act: Kafka has no part in our transaction, and nothing shall go unrecorded
        subject = audit.Subject("dead_letter", criteria.dead_topic, None, criteria.model_dump(mode="json"))
        await request.app[DATABASE].write(lambda session: audit.record(session, f"dead_letter.{how}", [subject]))
    async with _reading(request, criteria) as dead:
        settled = await dead.settle(
            criteria, how, limit=criteria.limit, newest_records=NEWEST_RECORDS, dry_run=criteria.dry_run
        )
    if not criteria.dry_run:
        log.info("dead letters settled", how=how, count=settled.done, skipped=len(settled.skipped))
    reasons = [
        {"partition": partition, "offset": offset, "reason": why}
        for (partition, offset), why in settled.skipped[:_REASONS_SHOWN]
    ]
    answer = {"matched": settled.matched, "done": settled.done, "skipped": len(settled.skipped), "more": settled.more}
    return web.json_response({**answer, "skipped_because": reasons})


@contextlib.asynccontextmanager
async def _reading(request: web.Request, criteria: DeadLetterFilter) -> AsyncIterator[DeadLetters]:
    try:
        async with request.app[READING], open_dead_letters(request.app[SETTINGS], criteria.dead_topic) as dead:
            yield dead
    except KafkaError as error:
        log.warning("kafka is unavailable", path=request.path, reason=repr(error))
        raise Problem(503, "Kafka does not answer; try again", headers={hdrs.RETRY_AFTER: "2"}) from error
