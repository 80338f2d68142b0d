"""Checks storage as a whole: what it permits now.

Readiness, ``doctor`` and the breaker rest on it; and it tells whether an error concerns one key or every key.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import uuid4

from infra.storage.blocking_files import BlockingFiles
from infra.storage.faults import KeyRefused, Missing, Right, RightMissing, Scope, is_refusal, reason_of, scope_of
from schemas.faults import Fault, StorageUnavailable
from schemas.storage_keys import TEMPORARY_PREFIX

#: What each kind of call must be allowed for any key, if an error of it is to be one key's.
NEEDED_BY: Final = {
    "reading": (Right.WRITE, Right.READ),
    "writing": (Right.WRITE, Right.READ),
    "erasing": (Right.WRITE, Right.READ, Right.ERASE),
}

#: A check that hangs is waited for together for so long, then another is begun.
_CHECK_AGAIN_SECONDS: Final = 10.0

#: What storage does not let us do, and why.
Lacking = dict[Right, StorageUnavailable]


class StorageCheck:
    """Writes, reads, lists and erases a file of its own."""

    def __init__(self, files: BlockingFiles, call: Callable[..., Awaitable[Any]]) -> None:
        """``call`` runs a blocking function in a thread; ``StorageUnavailable`` where it does not come back."""
        self._files = files
        self._call = call
        #: Always the same, lest files pile up where none can be erased.
        self._key = f"{TEMPORARY_PREFIX}check-{uuid4().hex}"
        #: Those that go on, and when they began.
        self._running: dict[asyncio.Task[Lacking], float] = {}
        #: The last that was made to tell whom an error concerns, and when it began.
        self._told: Lacking = {}
        self._told_at = float("-inf")
        self._telling = asyncio.Lock()

    async def require_for(self, act: str) -> None:
        """Raise ``StorageUnavailable`` unless storage permits what ``act`` (of ``NEEDED_BY``) needs."""
        lacking = await self.lacking()
        for right in NEEDED_BY[act]:
            if right in lacking:
                raise lacking[right]

    async def require_all(self) -> None:
        """Raise ``StorageUnavailable`` unless storage permits everything; name what it does not."""
        lacking = await self.lacking()
        if lacking:
            is_right = all(isinstance(each, RightMissing) for each in lacking.values())
            kind = RightMissing if is_right else StorageUnavailable
            raise kind("; ".join(dict.fromkeys(map(str, lacking.values()))))

    async def lacking(self) -> Lacking:
        """Check, or wait for the check that goes on.

        Who gives up waiting leaves the check to go on: were each asked to begin another, all threads would soon hang.
        """
        now = asyncio.get_running_loop().time()
        for checking, began_at in self._running.items():
            if not checking.done() and now - began_at < _CHECK_AGAIN_SECONDS:
                break
        else:
            checking = asyncio.ensure_future(self._check())
            self._running[checking] = now
            checking.add_done_callback(self._checked)
        return await asyncio.shield(checking)

    async def is_away(self, act: str) -> bool:
        """Whether storage refuses what ``act`` needs for any key, by a check that begins after the call.

        One check serves all who ask while the one before it goes on.
        """
        asked_at = asyncio.get_running_loop().time()
        async with self._telling:
            if self._told_at < asked_at:
                began_at = asyncio.get_running_loop().time()
                self._told, self._told_at = await self._check(), began_at
            return any(right in self._told for right in NEEDED_BY[act])

    async def fault_of(self, error: Exception, act: str, key: str) -> Fault:
        """The fault to raise where storage answers ``error`` to ``act`` (of ``NEEDED_BY``) on a key."""
        reason = reason_of(error, self._files.root)
        scope = scope_of(error)
        if act == "writing" and scope is Scope.ABSENT:
            scope = Scope.UNCLEAR  # where even the root cannot be written, it says nothing about one key
        if scope is Scope.STORAGE or (scope is Scope.UNCLEAR and await self.is_away(act)):
            return StorageUnavailable(f"{act} {key} failed: {reason}")
        if act == "reading":
            if isinstance(error, FileNotFoundError) and error.errno in (None, errno.ENOENT):
                return Missing(f"nothing lies at the storage key {key}")
            return Missing(f"nothing can be read at the storage key {key}: {reason}")
        return KeyRefused(f"storage refuses the storage key {key}: {reason}")

    async def close(self) -> None:
        """End the checks that go on."""
        for checking in tuple(self._running):
            checking.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _check(self) -> Lacking:
        steps: dict[Right, tuple[Any, ...]] = {
            Right.WRITE: (self._files.write, {self._key: b"ok"}),
            Right.READ: (self._files.read, self._key),
            Right.LIST: (self._files.find, self._key),
            Right.ERASE: (self._files.erase, self._key),
        }
        lacking: Lacking = {}
        for right, step in steps.items():
            if right is Right.READ and Right.WRITE in lacking:
                continue  # there is nothing to read
            try:
                await self._call(*step)
            except StorageUnavailable as fault:
                return lacking | {right: fault}
            except Exception as error:  # each fsspec backend has errors of its own
                if right is Right.READ and isinstance(error, FileNotFoundError):
                    continue  # another check has just erased it
                lacking[right] = why_not(right, error, self._files)
                if not isinstance(lacking[right], RightMissing):
                    return lacking
        return lacking

    def _checked(self, checking: asyncio.Task[Lacking]) -> None:
        self._running.pop(checking, None)
        if not checking.cancelled():
            checking.exception()  # retrieved, though nobody may wait for it any more


def why_not(right: Right, error: Exception, files: BlockingFiles) -> StorageUnavailable:
    """The fault to raise where storage answers ``error`` to what ``right`` allows."""
    reason = reason_of(error, files.root)
    if not is_refusal(error):
        return StorageUnavailable(f"storage does not work: {reason}")
    if files.is_local:
        return RightMissing(f"storage does not let us {right.name.lower()}: {reason}")
    return RightMissing(f"storage does not let us {right.name.lower()}: the right {right.value} is missing")
