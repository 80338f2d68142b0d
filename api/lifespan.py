"""Opens and starts what the application needs, and stops it without leaving work behind."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Mapping
from functools import partial
from typing import Final

import structlog
from aiohttp import web
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from api.access.admin_key import admin_key
from api.access.authenticator import Authenticator
from api.access.rate_limits import RateLimits
from api.access.uploads_at_once import UploadsAtOnce
from api.background import Background
from api.feed.health import Health, Workers
from api.feed.stats import Lag, Stats
from api.feed.subscribers import Feed
from api.figures.recorder import Recorder
from api.http.app_keys import (
    DATABASE,
    FEED,
    HEALTH,
    PHOTO_HASHER,
    QUEUE_POSITIONS,
    RECIPE_TRIALS,
    RECORDER,
    STATS,
    STORAGE,
    UPLOAD_STORE,
    WAKEUPS,
    WORKERS,
)
from api.http.auth import AUTHENTICATOR
from api.http.feeds.open_feeds import OPEN_FEEDS, watch_feeds
from api.http.handlers.health import READINESS
from api.http.usage_limits import RATE_LIMITS, UPLOADS_AT_ONCE
from api.photos.housekeeping import Housekeeping
from api.photos.photo_hasher import PhotoHasher
from api.photos.recipe_trial.trial import RecipeTrials
from api.photos.uploads import UploadStore
from api.projection.consumer import Projector
from api.publishing.consumer_progress import ConsumerProgress, is_a_photo_in_work
from api.publishing.reconciler import Reconciler
from api.publishing.relay import Relay
from api.publishing.topic_loss import TopicLossDetector
from api.store.database import Database, DatabaseUnavailable, open_database
from api.store.leases import Lease
from infra.kafka import clients
from infra.kafka.group_backlog import Backlog
from infra.kafka.queue_positions import QueuePositions
from infra.kafka.worker_heartbeat import HeartbeatReader
from infra.readiness import KeptAnswer, Readiness
from infra.settings import Settings
from infra.storage.client import open_storage
from infra.trouble import Trouble
from schemas import topics

log = structlog.get_logger(__name__)

BACKGROUND: Final = web.AppKey("background", Background)

_PUBLISH_AT_STOP_SECONDS: Final = 5.0
_PROJECT_AT_STOP_SECONDS: Final = 10.0
_DATABASE_AGAIN_SECONDS: Final = 1.0
#: To look at storage while nobody watches; a look costs four requests to a bucket.
_STORAGE_EVERY_SECONDS: Final = 60.0


@contextlib.asynccontextmanager
async def lifespan(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    """Database, storage and the tasks beside HTTP, for as long as the context lasts."""
    async with contextlib.AsyncExitStack() as stack:
        database = app[DATABASE] = open_database(settings)
        stack.push_async_callback(database.close)
        storage = app[STORAGE] = open_storage(settings)
        stack.push_async_callback(storage.close)
        await _migrated(database)
        app[AUTHENTICATOR] = Authenticator(admin_key(settings), database)
        app[RATE_LIMITS] = RateLimits(database)
        uploads_at_once = app[UPLOADS_AT_ONCE] = UploadsAtOnce(database)
        app[UPLOAD_STORE] = UploadStore(settings, database, storage, app[WAKEUPS])
        hasher = app[PHOTO_HASHER] = PhotoHasher(settings)
        stack.push_async_callback(hasher.close)
        app[RECIPE_TRIALS] = RecipeTrials(settings, storage)
        feed = app[FEED] = Feed(database, app[WAKEUPS].journal, settings.public_url or "")
        await feed.start()
        lease = Lease(database, "relay")
        memory = TopicLossDetector(settings, database)
        relay = Relay(settings, database, app[WAKEUPS].outbox, lease, memory.check)
        reconciler = Reconciler(settings, database, lease, app[WAKEUPS], memory)
        projector = Projector(settings, database, app[WAKEUPS])
        lag = Lag(settings, feed)
        stats = app[STATS] = Stats(database, feed, lag)
        workers = app[WORKERS] = Workers(HeartbeatReader(settings), feed)
        health = app[HEALTH] = Health(
            feed,
            {
                "broker": lag.check,
                "worker": workers.check,
                "database": lambda: _check_database(database, lease),
                "storage": storage.check,
                "projector": projector.progress.check,
            },
        )
        positions = app[QUEUE_POSITIONS] = QueuePositions()
        background = app[BACKGROUND] = Background()
        waits = {topics.UPLOADED: 0.0, topics.DELETED: 0.0, topics.RETRY: settings.retry_longest_seconds}

        def on_look(backlogs: Mapping[TopicPartition, Backlog], now: float) -> None:
            positions.see(backlogs, now)
            recorder.see_backlogs(backlogs, now)

        worker_progress = ConsumerProgress(
            settings,
            topics.WORKER_GROUP,
            waits,
            is_busy=partial(is_a_photo_in_work, database),
            on_look=on_look,
        )
        projector_progress = ConsumerProgress(settings, topics.PROJECTOR_GROUP, dict.fromkeys(topics.PROJECTED, 0.0))
        recorder = app[RECORDER] = Recorder(
            database,
            lease,
            f"{socket.gethostname()}:{os.getpid()}",
            parts=lambda: (health.last() or {"parts": {}})["parts"],
            checks={
                "worker": worker_progress.check,
                "database": lease.writes.check,
                "storage": KeptAnswer(storage.check, every_seconds=_STORAGE_EVERY_SECONDS).check,
                "projector": projector_progress.check,
            },
            lag=lambda: lag.records,
        )
        projector.on_folded = recorder.see_events
        app[READINESS] = Readiness(
            {
                "database": database.check,
                "kafka": lambda: _check_kafka(settings),
                "storage": storage.check_rights,
                "tasks": background.check,
                "worker": worker_progress.check,
                "projector": projector_progress.check,
                "feed": feed.check,
            }
        )
        stack.push_async_callback(_release, lease)
        stack.push_async_callback(background.stop)
        background.start("lease", lease.run())
        background.start("relay", relay.run())
        background.start("reconciler", reconciler.run())
        background.start("projector", projector.run())
        background.start("progress of workers", worker_progress.run())
        background.start("progress of projectors", projector_progress.run())
        background.start("feed", feed.run())
        background.start("heartbeats of feeds", feed.beat())
        background.start("lag", lag.run())
        background.start("stats", stats.run())
        background.start("workers", workers.run())
        background.start("open feeds", watch_feeds(app[OPEN_FEEDS], app[AUTHENTICATOR]))
        background.start("uploads at once", uploads_at_once.run())
        background.start("health", health.run())
        background.start("housekeeping", Housekeeping(settings, database, storage, lease, recorder.tick).run())
        yield
        await _at_most(_PUBLISH_AT_STOP_SECONDS, relay.drain())
        await _at_most(_PROJECT_AT_STOP_SECONDS, projector.catch_up())


async def _migrated(database: Database) -> None:
    """Bring the tables up to date as soon as the database answers."""
    trouble = Trouble(log, "waiting for the database")
    while True:
        try:
            await database.migrate()
            return
        except (OperationalError, InterfaceError, DatabaseUnavailable, OSError) as error:
            trouble.is_because(error)
            await asyncio.sleep(_DATABASE_AGAIN_SECONDS)


async def _check_kafka(settings: Settings) -> None:
    client = AIOKafkaClient(**clients.client_options(settings))
    try:
        await client.bootstrap()
    finally:
        await client.close()


async def _check_database(database: Database, lease: Lease) -> None:
    """Raise unless the database answers, and a write went through lately: a locked file can still be read."""
    await database.check()
    await lease.writes.check()


async def _release(lease: Lease) -> None:
    with contextlib.suppress(SQLAlchemyError, OSError):
        await lease.release()


async def _at_most(seconds: float, work: Awaitable[None]) -> None:
    with contextlib.suppress(TimeoutError, KafkaError, SQLAlchemyError, OSError):
        async with asyncio.timeout(seconds):
            await work
