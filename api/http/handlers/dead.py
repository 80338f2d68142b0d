"""Dead letters, for admins. One request at a time reads them, and no more than so many records."""

import asyncio
import contextlib
import heapq
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final, Self

import structlog
from aiohttp import hdrs, web
from aiokafka.errors import KafkaError
from pydantic import Field, model_validator

from api.http.app_keys import SETTINGS
from api.http.problems import Problem
from infra.kafka.dead_letter_admin import DeadLetters, Found, Settled, open_dead_letters, settle
from schemas.dead_letters import CONDITIONS, DeadLetterFilter, Settlement, letter_json, why_not_replayed

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


class DeadDrop(DeadReplay):
    """Which dead letters to drop: those that meet every condition that is given, or all of them if that is said."""

    all: bool = Field(default=False, description="drop all there are; else at least one condition must be given")

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
    newest: list[tuple[Any, tuple[int, int], dict[str, Any]]] = []
    matched = 0
    async with _reading(request, query) as dead:
        survey = await dead.survey(query, newest_records=NEWEST_RECORDS)
        async for letter, how in dead.letters(survey, query):
            matched += 1
            entry = (letter.died_at, letter.position, letter_json(letter, how))
            (heapq.heappush if len(newest) < query.limit else heapq.heappushpop)(newest, entry)
    items = [shown for _, _, shown in sorted(newest, reverse=True, key=lambda entry: entry[:2])]
    return web.json_response({"items": items, "matched": matched, "truncated": survey.is_cut})


async def replay_dead(request: web.Request, body: DeadReplay) -> web.Response:
    """``POST /v1/dead/replay``."""
    return await _settle(request, body, "replayed")


async def drop_dead(request: web.Request, body: DeadDrop) -> web.Response:
    """``POST /v1/dead/drop``."""
    return await _settle(request, body, "dropped")


async def _settle(request: web.Request, criteria: DeadReplay, how: Settlement) -> web.Response:
    settings = request.app[SETTINGS]
    async with _reading(request, criteria) as dead:
        survey = await dead.survey(criteria, newest_records=NEWEST_RECORDS)
        chosen = _AtMost(dead.letters(survey, criteria), criteria.limit)
        if criteria.dry_run:
            found = [(letter.position, why_not_replayed(letter)) async for letter, _ in chosen]
            settled = Settled(skipped=[(place, why) for place, why in found if why and how == "replayed"])
        else:
            settled = await settle(settings, aiter(chosen), how)
            log.info("dead letters settled", how=how, count=settled.done, skipped=len(settled.skipped))
    answer = {"matched": chosen.count, "done": settled.done, "skipped": len(settled.skipped), "more": chosen.more}
    reasons = [
        {"partition": partition, "offset": offset, "reason": why}
        for (partition, offset), why in settled.skipped[:_REASONS_SHOWN]
    ]
    return web.json_response({**answer, "skipped_because": reasons})


class _AtMost:
    """The first letters, and whether there were more."""

    def __init__(self, letters: AsyncGenerator[Found, None], limit: int) -> None:
        self._letters = letters
        self._limit = limit
        self.count = 0
        self.more = False

    async def __aiter__(self) -> AsyncIterator[Found]:
        async with contextlib.aclosing(self._letters) as letters:
            async for found in letters:
                if self.count == self._limit:
                    self.more = True
                    return
                self.count += 1
                yield found


@contextlib.asynccontextmanager
async def _reading(request: web.Request, criteria: DeadLetterFilter) -> AsyncIterator[DeadLetters]:
    try:
        async with request.app[READING], open_dead_letters(request.app[SETTINGS], criteria.dead_topic) as dead:
            yield dead
    except KafkaError as error:
        log.warning("kafka is unavailable", path=request.path, reason=repr(error))
        raise Problem(503, "Kafka does not answer; try again", headers={hdrs.RETRY_AFTER: "2"}) from error
