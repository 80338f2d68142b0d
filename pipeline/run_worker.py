"""Runs the worker process: starts what it needs, runs until a signal, drains, stops."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version
from time import monotonic
from typing import Final

import structlog

from infra.kafka.clients import wait_for_topics
from infra.kafka.worker_heartbeat import send_heartbeats
from infra.listener import CannotListen, bound_socket
from infra.metrics import RENDER_PROCESS_RESTARTS, RENDER_SLOTS
from infra.readiness import Check, Progress, Readiness
from infra.settings import Settings
from infra.storage.client import Storage, open_storage
from infra.watchdog import end_at_latest, end_when_stuck
from infra.worker_account import MAX_NAME, MAX_PARTITIONS, WorkerAccount
from pipeline.breaker import StorageBreaker
from pipeline.monitoring import checks_at_start, serving
from pipeline.render_pool.pool import RenderPool
from pipeline.render_slots import RenderSlots
from pipeline.retries import Backoff
from pipeline.thumbnailer import Thumbnailer
from pipeline.worker import Worker
from schemas import topics
from schemas.renditions import recipe_of

log = structlog.get_logger(__name__)

#: For photos in work at a stop, and for leaving the group after. Together under the 30 s that orchestrators give.
_DRAIN_SECONDS: Final = 20.0
_LEAVE_SECONDS: Final = 5.0

#: Heartbeats go out every two seconds.
_HEARTBEAT_LATE_SECONDS: Final = 10.0

#: Photos in progress for each that renders: enough that reading, writing and publishing keep no renderer waiting.
_IN_PROGRESS_PER_RENDER: Final = 4


def run_worker(settings: Settings, on_ready: Callable[[], object] = lambda: None) -> int:
    """Run a worker until SIGTERM or SIGINT, which drain it. Returns the process's exit code; 1 after a crash.

    ``on_ready`` is called once it has joined its group and can render.

    The process ends then in any case: what Faust leaves behind after a crash may never end by itself.
    """
    try:
        listener = bound_socket(settings.http_host, port) if (port := settings.worker_http_port) else None
    except CannotListen as error:
        log.error(f"{error}: set THUMBSTREAM_WORKER_HTTP_PORT to another one")
        return 1
    with listener or contextlib.nullcontext(), asyncio.Runner() as runner:
        end_when_stuck(runner.get_loop())
        exit_code = 1
        try:
            exit_code = runner.run(_serve(settings, on_ready, listener))
        finally:
            end_at_latest(_LEAVE_SECONDS, exit_code)
    return exit_code


async def _serve(settings: Settings, on_ready: Callable[[], object], listener: socket.socket | None) -> int:
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    storage = open_storage(settings)
    pool = RenderPool(
        processes=settings.concurrency,
        max_pixels=settings.max_pixels,
        on_replace=lambda reason: RENDER_PROCESS_RESTARTS.labels(reason).inc(),
    )
    RENDER_SLOTS.set(settings.concurrency)
    checks = checks_at_start()
    checks["storage"] = storage.check_rights
    starting = asyncio.create_task(pool.start())  # joining the group takes as long: both at once
    try:
        async with serving(listener, Readiness(checks)) if listener else contextlib.nullcontext():
            if await _unless_stopped(wait_for_topics(settings), asked_to_stop):
                return await _consume(settings, storage, pool, starting, checks, on_ready, asked_to_stop)
            return 0
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await pool.close()
        await storage.close()


async def _consume(
    settings: Settings,
    storage: Storage,
    pool: RenderPool,
    starting: asyncio.Task[None],
    checks: dict[str, Check],
    on_ready: Callable[[], object],
    asked_to_stop: asyncio.Event,
) -> int:
    slots = RenderSlots(settings.concurrency)
    thumbnailer = Thumbnailer(
        storage,
        pool,
        settings.renditions,
        max_bytes=settings.max_upload_bytes,
        slots=slots,
        erase_foreign_originals=settings.erase_foreign_originals,
    )
    breaker = StorageBreaker(storage.check)
    backoff = Backoff(settings.retry_attempts, settings.retry_first_seconds, settings.retry_longest_seconds)
    worker = Worker(
        settings, thumbnailer, breaker=breaker, backoff=backoff, at_once=_IN_PROGRESS_PER_RENDER * settings.concurrency
    )
    worker.app.finalize()
    await worker.app.start()
    checks["group"] = worker.check
    await starting
    checks["render_pool"] = pool.check
    on_ready()
    log.info("worker started", brokers=settings.bootstrap_servers, concurrency=settings.concurrency)
    heard = Progress("the brokers have taken no heartbeat", late_after_seconds=_HEARTBEAT_LATE_SECONDS)
    account = partial(
        _account, worker, slots, version("thumbstream"), recipe_of(settings.renditions), started_at=monotonic()
    )
    heartbeats = asyncio.create_task(send_heartbeats(settings, heard.done, account=account, owned=lambda: worker.owned))
    checks["kafka"] = heard.check
    await worker.app.wait(asked_to_stop.wait())
    heartbeats.cancel()
    crashed = worker.app.crashed
    log.info("worker stopping", in_work=worker.in_work)
    drain_seconds = _DRAIN_SECONDS if not crashed else 0.0
    steps = (
        (worker.drain(drain_seconds), drain_seconds + _LEAVE_SECONDS),
        (breaker.close(), _LEAVE_SECONDS),
        (worker.app.stop(), _LEAVE_SECONDS),
    )
    for step, seconds in steps:
        try:
            await asyncio.wait_for(step, seconds)
        except Exception as error:
            log.warning("stopping without a clean end", reason=repr(error))
    log.info("worker stopped")
    return 1 if crashed else 0


def _account(
    worker: Worker, slots: RenderSlots, version_of_ours: str, recipe: str, *, started_at: float
) -> WorkerAccount:
    partitions = sorted(partition.partition for partition in worker.owned if partition.topic == topics.UPLOADED)
    busy = slots.busy()
    return WorkerAccount(
        worker=worker.name[:MAX_NAME],
        version=version_of_ours[:MAX_NAME],
        recipe=recipe,
        slots=slots.count,
        up_seconds=round(monotonic() - started_at, 1),
        partition_count=len(partitions),
        partitions=tuple(partitions[:MAX_PARTITIONS]),
        queued=slots.queued,
        busy_count=len(busy),
        busy=busy,
        retrying_count=len(worker.waiting_retries),
        retrying=worker.waiting_retries.due_next(),
    )


async def _unless_stopped(work: Awaitable[object], asked_to_stop: asyncio.Event) -> bool:
    """Wait for ``work``, or give it up when asked to stop. Whether it was done."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(asked_to_stop.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        working.result()
        return True
    working.cancel()
    return False
