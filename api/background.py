"""Background tasks. An unhandled exception in one of them stops the process."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Background:
    """Tasks that run until they are stopped."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._failed = asyncio.Event()
        #: Which task failed, and why; empty while all run.
        self.failure_reason = ""

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work``, which must not end by itself."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    async def wait_for_failure(self) -> str:
        """Wait until one fails; returns which and why."""
        await self._failed.wait()
        return self.failure_reason

    async def check(self) -> None:
        """Raise if one has failed."""
        if self.failure_reason:
            raise RuntimeError(self.failure_reason)

    async def stop(self) -> None:
        """Cancel them all and wait for their end."""
        for task in self._tasks:
            task.remove_done_callback(self._ended)
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        reason = f"{type(error).__name__}: {error}" if error else "it ended by itself"
        self.failure_reason = self.failure_reason or f"{task.get_name()} failed: {reason}"
        log.error("a background task failed", task=task.get_name(), exc_info=error)
        self._failed.set()
