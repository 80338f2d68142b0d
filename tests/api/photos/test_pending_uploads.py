"""An upload ends as a photo with its original or as nothing, whatever fails and in whatever order things happen."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar
from unittest.mock import AsyncMock

import pytest
from hypothesis import given
from hypothesis import settings as choices
from hypothesis import strategies as st
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from api.photos.errors import Unavailable
from api.photos.housekeeping import Housekeeping
from api.photos.uploads import UploadStore
from api.store.database import WRITE_SECONDS, Database, open_database
from api.store.engines import READ_SECONDS
from api.store.leases import Lease
from api.store.tables import ArrivalRow, PhotoRow
from api.store.wakeups import Wakeups
from infra.settings import Settings
from infra.storage.client import Storage, open_storage
from schemas import ids
from schemas.events import PhotoUploaded
from schemas.faults import StorageUnavailable
from schemas.storage_keys import key_of_original

T = TypeVar("T")

LIMIT: Final = timedelta(seconds=120)
FAILURES: Final = (SQLAlchemyError, StorageUnavailable, Unavailable)


class Outcome(StrEnum):
    """How one step ends."""

    WORKS = "works"
    FAILS = "fails"
    #: It is done, and the answer is lost.
    UNHEARD = "unheard"
    #: It fails, and is done all the same a while later: only a server that stores a file does so.
    LATE = "late"


class Steps:
    """Where actors do one step at a time, in the order that a test has chosen."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, asyncio.Future[Outcome]]] = []
        #: Steps that failed and will be done all the same.
        self.late: list[Callable[[], Awaitable[Any]]] = []
        self.changed = asyncio.Event()

    async def step(self, actor: str) -> Outcome:
        """Wait until it is this actor's turn; how the step shall end."""
        turn: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.waiting.append((actor, turn))
        self.changed.set()
        return await turn


def away() -> OperationalError:
    return OperationalError("a statement", None, ConnectionError("the database is away"))


class SteppedDatabase(Database):
    """Each transaction is a step."""

    def __init__(self, database: Database, steps: Steps, actor: str) -> None:
        super().__init__(database._engine)
        self._steps, self._actor = steps, actor

    async def write(self, work: Callable[[AsyncSession], Awaitable[T]], *, seconds: float = WRITE_SECONDS) -> T:
        outcome = await self._steps.step(self._actor)
        if outcome in (Outcome.FAILS, Outcome.LATE):
            raise away()
        result = await super().write(work, seconds=seconds)
        if outcome is Outcome.UNHEARD:
            raise away()
        return result

    async def run_write(self, work: Callable[[Connection], T], *, seconds: float = WRITE_SECONDS) -> T:
        outcome = await self._steps.step(self._actor)
        if outcome in (Outcome.FAILS, Outcome.LATE):
            raise away()
        result = await super().run_write(work, seconds=seconds)
        if outcome is Outcome.UNHEARD:
            raise away()
        return result

    @asynccontextmanager
    async def reading(self, seconds: float = READ_SECONDS) -> AsyncIterator[AsyncSession]:
        if await self._steps.step(self._actor) is not Outcome.WORKS:
            raise away()
        async with super().reading(seconds) as session:
            yield session


class SteppedStorage(Storage):
    """Each write and each erasure is a step."""

    def __init__(self, storage: Storage, steps: Steps, actor: str) -> None:
        super().__init__(storage._fs, storage._root)
        self._threads = storage._threads
        self._steps, self._actor = steps, actor

    async def put_file(self, source: Path, key: str) -> None:
        outcome = await self._steps.step(self._actor)
        if outcome is Outcome.LATE:
            self._steps.late.append(lambda: super(SteppedStorage, self).put_file(source, key))
        if outcome in (Outcome.WORKS, Outcome.UNHEARD):
            await super().put_file(source, key)
        if outcome is not Outcome.WORKS:
            raise StorageUnavailable("storage is away")

    async def erase(self, keys: Any) -> int:
        outcome = await self._steps.step(self._actor)
        count = await super().erase(keys) if outcome in (Outcome.WORKS, Outcome.UNHEARD) else 0
        if outcome is not Outcome.WORKS:
            raise StorageUnavailable("storage is away")
        return count


@dataclass
class Deployment:
    """A database, a storage, uploads that are taken in by an api each, and one who keeps house."""

    folder: Path
    database: Database
    storage: Storage
    steps: Steps = field(default_factory=Steps)
    tasks: dict[str, asyncio.Task[Any]] = field(default_factory=dict)
    events: dict[str, PhotoUploaded] = field(default_factory=dict)

    def upload(self, actor: str, key: str | None) -> None:
        event = self.events[actor] = upload_event()
        file = self.folder / actor
        file.write_bytes(b"an original")
        upload_store = UploadStore(
            settings_of(self.folder),
            SteppedDatabase(self.database, self.steps, actor),
            SteppedStorage(self.storage, self.steps, actor),
            Wakeups(),
        )
        self._act(actor, upload_store.store_upload(file, event, idempotency_key=key))

    def keep_house(self) -> None:
        database = SteppedDatabase(self.database, self.steps, "housekeeping")
        storage = SteppedStorage(self.storage, self.steps, "housekeeping")
        self._act("housekeeping", housekeeping(self.folder, database, storage).clear_pending_uploads())

    async def keep_house_after(self, span: timedelta) -> None:
        """Time passes, and the house is kept without a break."""
        await time_passes(self.database, span)
        await housekeeping(self.folder, self.database, self.storage).clear_pending_uploads()

    def _act(self, actor: str, work: Any) -> None:
        task = self.tasks[actor] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self.steps.changed.set())

    async def quiet(self) -> None:
        """Wait until every actor waits for its turn or has ended."""
        while not {actor for actor, task in self.tasks.items() if not task.done()} <= {
            actor for actor, _ in self.steps.waiting
        }:
            self.steps.changed.clear()
            await self.steps.changed.wait()

    async def go_on(self, index: int, outcome: Outcome) -> None:
        """One of those who wait does its step."""
        if self.steps.waiting:
            _, turn = self.steps.waiting.pop(index % len(self.steps.waiting))
            turn.set_result(outcome)
            await asyncio.sleep(0)
            await self.quiet()

    async def kill(self, actor: str) -> None:
        """The actor does nothing more, not even tidy up."""
        turns = [turn for name, turn in self.steps.waiting if name == actor]
        self.steps.waiting = [(name, turn) for name, turn in self.steps.waiting if name != actor]
        self.tasks[actor].cancel()
        for turn in turns:
            turn.cancel()
        await asyncio.wait([self.tasks[actor]])
        await self.quiet()

    async def land_late(self) -> None:
        for work in self.steps.late:
            with suppress(StorageUnavailable):
                await work()
        self.steps.late.clear()

    async def photos(self) -> set[str]:
        async with self.database.reading() as session:
            return {str(row.id) for row in await session.scalars(select(PhotoRow))}

    async def files(self) -> set[str]:
        return {file.key.rpartition("/")[2] for file in await self.storage.list_under("originals")}


def settings_of(folder: Path) -> Settings:
    return Settings(data_dir=folder, store_within_seconds=LIMIT.total_seconds(), _env_file=None)


def upload_event() -> PhotoUploaded:
    photo_id = ids.new_id()
    return PhotoUploaded(
        event_id=str(ids.new_id()), occurred_at=datetime.now(UTC), photo_id=photo_id, workspace_id="acme",
        storage_key=key_of_original("acme", photo_id),
    )  # fmt: skip


def housekeeping(folder: Path, database: Database, storage: Storage) -> Housekeeping:
    return Housekeeping(settings_of(folder), database, storage, Lease(database, "relay"), AsyncMock())


async def pending(database: Database) -> list[ArrivalRow]:
    async with database.reading() as session:
        return list((await session.scalars(select(ArrivalRow))).all())


async def time_passes(database: Database, span: timedelta) -> None:
    """Every arrival is older by ``span``."""

    async def work(session: AsyncSession) -> None:
        for row in await session.scalars(select(ArrivalRow)):
            row.created_at -= span
            if row.erase_at is not None:
                row.erase_at -= span

    await database.write(work)


@asynccontextmanager
async def deployment_with(migrated_sqlite: Path) -> AsyncIterator[Deployment]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(migrated_sqlite, folder / migrated_sqlite.name)
        database, storage = open_database(settings_of(folder)), open_storage(settings_of(folder))
        await storage.incoming_folder()  # as every upload does first
        try:
            yield Deployment(folder, database, storage)
        finally:
            await database.close()
            await storage.close()


NEXT: Final = st.tuples(st.just("go on"), st.integers(0, 2), st.sampled_from([*[Outcome.WORKS] * 5, *Outcome]))
MOVES: Final = st.lists(
    st.one_of(
        NEXT,
        NEXT,
        NEXT,
        st.tuples(st.just("kill"), st.sampled_from(["first", "second", "housekeeping"])),
        st.tuples(st.just("time passes")),
        st.tuples(st.just("keep house")),
        st.tuples(st.just("keep house to the end")),
        st.tuples(st.just("land late")),
    ),
    max_size=40,
)


@given(moves=MOVES, is_same_key=st.booleans(), all_die=st.booleans())
@choices(max_examples=100, deadline=None)
def test_in_every_order_of_steps_failures_and_deaths_a_photo_has_its_original_and_no_original_is_left(
    migrated_sqlite: Path, moves: list[Any], is_same_key: bool, all_die: bool
) -> None:
    async def play() -> None:
        async with deployment_with(migrated_sqlite) as deployment:
            deployment.upload("first", "key")
            deployment.upload("second", "key" if is_same_key else None)
            await deployment.quiet()
            for move in moves:
                await act(deployment, move)
                assert await deployment.photos() <= await deployment.files(), "a photo without its original"
            await play_out(deployment, all_die=all_die)
            assert await deployment.photos() == await deployment.files()
            assert await pending(deployment.database) == []
            for actor in ("first", "second"):
                task = deployment.tasks[actor]
                if not task.cancelled() and task.exception() is None:
                    assert str(task.result().row.id) in await deployment.photos(), "accepted, and not there"
            if is_same_key:
                assert len(await deployment.photos()) <= 1

    asyncio.run(play())


async def act(deployment: Deployment, move: Any) -> None:
    match move:
        case ("go on", index, outcome):
            await deployment.go_on(index, outcome)
        case ("kill", actor) if actor in deployment.tasks and not deployment.tasks[actor].done():
            await deployment.kill(actor)
        case ("time passes",):
            await time_passes(deployment.database, 2 * LIMIT)
        case ("keep house",) if "housekeeping" not in deployment.tasks or deployment.tasks["housekeeping"].done():
            deployment.keep_house()
            await deployment.quiet()
        case ("keep house to the end",):
            await deployment.keep_house_after(2 * LIMIT)
        case ("land late",):
            await deployment.land_late()


async def play_out(deployment: Deployment, *, all_die: bool) -> None:
    """All end, by death or in their own time; what is late lands; days pass in which somebody keeps house."""
    while running := [actor for actor, task in deployment.tasks.items() if not task.done()]:
        if all_die:
            await deployment.kill(running[0])
        else:
            await deployment.go_on(0, Outcome.WORKS)
    await asyncio.gather(*deployment.tasks.values(), return_exceptions=True)
    for task in deployment.tasks.values():
        assert task.cancelled() or task.exception() is None or isinstance(task.exception(), FAILURES), task
    await deployment.land_late()
    for _ in range(3):
        await deployment.keep_house_after(timedelta(days=2))


async def begun(deployment: Deployment, *steps: Outcome) -> asyncio.Task[Any]:
    """An upload that has come so far: its announcement, its original, its row."""
    deployment.upload("first", "key")
    await deployment.quiet()
    looking_for_the_key = Outcome.WORKS
    for outcome in (looking_for_the_key, *steps):
        await deployment.go_on(0, outcome)
    return deployment.tasks["first"]


async def test_an_upload_that_was_given_up_is_refused_and_may_come_again(migrated_sqlite: Path) -> None:
    async with deployment_with(migrated_sqlite) as deployment:
        stopped = await begun(deployment, Outcome.WORKS, Outcome.WORKS)
        assert len(await deployment.files()) == 1
        await deployment.keep_house_after(LIMIT * 2)
        assert await deployment.files() == set()
        await play_out(deployment, all_die=False)
        with pytest.raises(Unavailable, match="not written down within 120 s"):
            stopped.result()
        assert await deployment.photos() == set()
        again = await begun(deployment, *[Outcome.WORKS] * 3)
        assert await deployment.photos() == await deployment.files() == {str(again.result().row.id)}


@pytest.mark.parametrize("steps", range(4), ids=["nothing", "announced", "stored", "written down"])
async def test_what_a_killed_api_leaves_is_gone_once_its_time_is_over(migrated_sqlite: Path, steps: int) -> None:
    async with deployment_with(migrated_sqlite) as deployment:
        upload = await begun(deployment, *[Outcome.WORKS] * steps)
        if not upload.done():
            await deployment.kill("first")
        await deployment.keep_house_after(LIMIT / 2)
        assert len(await deployment.files()) == (steps >= 2), "too early"
        await deployment.keep_house_after(LIMIT)
        assert await deployment.files() == await deployment.photos()
        assert len(await deployment.photos()) == (steps == 3)


@pytest.mark.parametrize("how", [Outcome.LATE, Outcome.UNHEARD])
async def test_an_original_that_storage_took_after_it_had_failed_is_erased_too(
    migrated_sqlite: Path, how: Outcome
) -> None:
    async with deployment_with(migrated_sqlite) as deployment:
        await begun(deployment, Outcome.WORKS, how, Outcome.WORKS)
        await deployment.keep_house_after(timedelta(0))
        await deployment.land_late()
        await deployment.keep_house_after(LIMIT * 2)
        assert await deployment.files() == set()
        await deployment.keep_house_after(timedelta(days=2))
        await deployment.keep_house_after(timedelta(days=2))
        assert await pending(deployment.database) == []


class AwayStorage(Storage):
    """Erases nothing."""

    async def erase(self, keys: Any) -> int:
        raise StorageUnavailable("storage is away")


async def test_while_storage_is_away_what_was_given_up_is_kept_in_mind(migrated_sqlite: Path) -> None:
    async with deployment_with(migrated_sqlite) as deployment:
        await begun(deployment, Outcome.WORKS, Outcome.WORKS)
        await deployment.kill("first")
        away = AwayStorage(deployment.storage._fs, deployment.storage._root)
        for _ in range(3):
            await time_passes(deployment.database, timedelta(days=3))
            with pytest.raises(StorageUnavailable):
                await housekeeping(deployment.folder, deployment.database, away).clear_pending_uploads()
            assert len(await deployment.files()) == len(await pending(deployment.database)) == 1
        await deployment.keep_house_after(LIMIT)
        assert await deployment.files() == set()


async def test_the_original_of_a_photo_is_kept_whatever_the_arrivals_say(migrated_sqlite: Path) -> None:
    async with deployment_with(migrated_sqlite) as deployment:
        upload = await begun(deployment, *[Outcome.WORKS] * 3)
        row = upload.result().row
        left = ArrivalRow(photo_id=ids.new_id(), storage_key=row.storage_key)
        await deployment.database.write(lambda session: add(session, left))
        await deployment.keep_house_after(timedelta(days=2))
        assert await deployment.files() == await deployment.photos() == {str(row.id)}
        assert await pending(deployment.database) == []


async def add(session: AsyncSession, row: ArrivalRow) -> None:
    session.add(row)


class StuckStorage(Storage):
    """Never finishes a write."""

    async def put_file(self, source: Path, key: str) -> None:
        await asyncio.Event().wait()


async def test_an_upload_that_storage_does_not_take_in_time_is_refused_and_given_up(migrated_sqlite: Path) -> None:
    async with deployment_with(migrated_sqlite) as deployment:
        settings = Settings(data_dir=deployment.folder, store_within_seconds=1, _env_file=None)
        storage = StuckStorage(deployment.storage._fs, deployment.storage._root)
        with pytest.raises(Unavailable, match="storage does not answer"):
            await UploadStore(settings, deployment.database, storage, Wakeups()).store_upload(
                deployment.folder / "x", upload_event()
            )
        assert [row.erase_at is not None for row in await pending(deployment.database)] == [True]


async def test_while_the_database_is_away_no_original_is_put(migrated_sqlite: Path) -> None:
    async with deployment_with(migrated_sqlite) as deployment:
        upload = await begun(deployment, Outcome.FAILS)
        assert isinstance(upload.exception(), SQLAlchemyError)
        assert await deployment.files() == set()
