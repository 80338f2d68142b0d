import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

import pool_owner
import reaper
from pictures import encoded, picture, written
from pipeline import pool as pool_module
from pipeline.pool import RenderPool
from pipeline.render import render
from polling import poll, poll_async
from schemas.faults import Internal, RenderCrashed, RenderTimeout, TooManyPixels, Unreadable, UnsupportedFormat
from schemas.renditions import DEFAULT_RENDITIONS

resource = pytest.importorskip("resource", reason="render processes need a POSIX system")

MAX_PIXELS = 1_000_000


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return written(tmp_path, encoded(picture(), "JPEG"))


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A file that never says a word: whoever reads it is stuck."""
    path = tmp_path / "endless"
    os.mkfifo(path)
    return path


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[RenderPool]:
    pool = RenderPool(processes=2, max_pixels=MAX_PIXELS)
    await pool.start()
    for pid in pool.process_ids:
        reaper.started(pid)
    yield pool
    mine = pool.process_ids
    await pool.close()
    assert not any(is_alive(pid) for pid in mine)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(FileNotFoundError, ProcessLookupError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return True


def address_space_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


async def is_stuck(task: "asyncio.Task[object]") -> bool:
    """Whether ``task`` is still waiting after the loop has had time to hand the photo to a process."""
    done, _ = await asyncio.wait([task], timeout=0.1)
    return not done


async def test_a_pool_renders_what_render_renders(pool: RenderPool, photo: Path) -> None:
    made = await pool.render(photo, DEFAULT_RENDITIONS, pixels=400 * 300)
    assert made == render(photo, DEFAULT_RENDITIONS, max_pixels=MAX_PIXELS)


async def test_more_photos_than_processes_are_all_rendered(pool: RenderPool, photo: Path) -> None:
    made = await asyncio.gather(*(pool.render(photo, DEFAULT_RENDITIONS) for _ in range(20)))
    assert len({photo.thumbhash for photo in made}) == 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"no photo", UnsupportedFormat),
        (encoded(picture(), "PNG")[:200], Unreadable),
        (encoded(picture(1001, 1000), "PNG"), TooManyPixels),
    ],
)
async def test_faults_come_out_as_they_were_raised_and_cost_no_process(
    pool: RenderPool, tmp_path: Path, content: bytes, fault: type[Exception]
) -> None:
    before = pool.process_ids
    with pytest.raises(fault, match=r"\w+ \w+"):
        await pool.render(written(tmp_path, content), DEFAULT_RENDITIONS)
    assert pool.process_ids == before


async def test_a_fault_of_ours_is_internal_and_its_traceback_is_kept(pool: RenderPool, tmp_path: Path) -> None:
    with pytest.raises(Internal) as caught:
        await pool.render(tmp_path / "not there", DEFAULT_RENDITIONS)
    assert "FileNotFoundError" in str(caught.value.__cause__)


async def test_a_stuck_photo_times_out_and_holds_up_nobody(
    pool: RenderPool, photo: Path, endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_DEADLINE_SECONDS", 0.3)
    loop = asyncio.get_running_loop()
    before = pool.process_ids
    start = loop.time()
    stuck = asyncio.ensure_future(pool.render(endless, DEFAULT_RENDITIONS, pixels=1))
    await pool.render(photo, DEFAULT_RENDITIONS)
    assert not stuck.done()
    with pytest.raises(RenderTimeout):
        await stuck
    assert 0.3 <= loop.time() - start < 3
    await asyncio.gather(*(pool.render(photo, DEFAULT_RENDITIONS) for _ in range(4)))
    await poll_async(lambda: len(pool.process_ids) == 2, what="the stuck process is replaced")
    assert len(pool.process_ids & before) == 1


async def test_a_deadline_grows_with_the_pixels(
    pool: RenderPool, endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_DEADLINE_SECONDS", 0.1)
    monkeypatch.setattr(pool_module, "_DEADLINE_SECONDS_PER_MEGAPIXEL", 1.0)
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(RenderTimeout):
        await pool.render(endless, DEFAULT_RENDITIONS, pixels=500_000)
    assert loop.time() - start >= 0.6


async def test_a_process_that_dies_costs_one_photo_and_the_others_go_on(
    pool: RenderPool, photo: Path, endless: Path
) -> None:
    one, other = (asyncio.ensure_future(pool.render(endless, DEFAULT_RENDITIONS)) for _ in range(2))
    assert await is_stuck(one)
    victim = min(pool.process_ids)
    os.kill(victim, signal.SIGSEGV)
    done, going_on = await asyncio.wait([one, other], return_when=asyncio.FIRST_COMPLETED)
    assert isinstance(done.pop().exception(), RenderCrashed)
    assert len(going_on) == 1
    await pool.render(photo, DEFAULT_RENDITIONS)
    assert not going_on.pop().done()


async def test_a_process_that_dies_idle_costs_nothing(pool: RenderPool, photo: Path) -> None:
    victims = pool.process_ids
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    await poll_async(lambda: not any(is_alive(victim) for victim in victims))
    await asyncio.gather(*(pool.render(photo, DEFAULT_RENDITIONS) for _ in range(4)))


async def test_cancelling_stops_the_work(pool: RenderPool, photo: Path, endless: Path) -> None:
    before = pool.process_ids
    stuck = [asyncio.ensure_future(pool.render(endless, DEFAULT_RENDITIONS)) for _ in range(2)]
    assert await is_stuck(stuck[0])
    for render_ in stuck:
        render_.cancel()
    await poll_async(lambda: not any(is_alive(pid) for pid in before), what="the processes are gone")
    await pool.render(photo, DEFAULT_RENDITIONS)


async def test_cancelling_one_that_waits_for_a_process_leaves_the_others_alone(
    pool: RenderPool, photo: Path, endless: Path
) -> None:
    before = pool.process_ids
    stuck = [asyncio.ensure_future(pool.render(endless, DEFAULT_RENDITIONS)) for _ in range(2)]
    waiting = asyncio.ensure_future(pool.render(photo, DEFAULT_RENDITIONS))
    assert await is_stuck(waiting)
    waiting.cancel()
    assert await is_stuck(stuck[0])
    assert pool.process_ids == before


async def test_closing_ends_stuck_processes_at_once_and_blames_no_photo(endless: Path) -> None:
    pool = RenderPool(processes=2, max_pixels=MAX_PIXELS)
    await pool.start()
    mine = pool.process_ids
    stuck = asyncio.ensure_future(pool.render(endless, DEFAULT_RENDITIONS))
    assert await is_stuck(stuck)
    await asyncio.wait_for(pool.close(), 2)
    assert not any(is_alive(pid) for pid in mine)
    with pytest.raises(asyncio.CancelledError):
        await stuck


async def test_signals_to_the_whole_group_end_no_render_process(pool: RenderPool, photo: Path) -> None:
    before = pool.process_ids
    for pid in before:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    await asyncio.gather(*(pool.render(photo, DEFAULT_RENDITIONS) for _ in range(4)))
    assert pool.process_ids == before


async def test_a_process_makes_way_for_a_fresh_one_after_its_photos(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_PHOTOS_PER_PROCESS", 3)
    pool = RenderPool(processes=1, max_pixels=MAX_PIXELS)
    await pool.start()
    first = pool.process_ids
    for _ in range(8):
        await pool.render(photo, DEFAULT_RENDITIONS)
    await poll_async(lambda: len(pool.process_ids) == 1)
    assert pool.process_ids != first
    await pool.close()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="asks Linux for another process's limits")
async def test_a_process_has_a_memory_limit_and_dumps_no_core(pool: RenderPool) -> None:
    for pid in pool.process_ids:
        least = 1536 * 1024 * 1024
        assert least < resource.prlimit(pid, resource.RLIMIT_AS)[0] < 4 * least
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="sets another process's limits")
async def test_a_photo_that_wants_too_much_memory_fails_and_the_next_gets_a_fresh_process(
    tmp_path: Path, photo: Path
) -> None:
    pool = RenderPool(processes=1, max_pixels=MAX_PIXELS)
    await pool.start()
    (pid,) = pool.process_ids
    limit = address_space_bytes(pid) + 1024 * 1024
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
    (tmp_path / "large.png").write_bytes(encoded(picture(1000, 1000), "PNG"))
    with pytest.raises(RenderCrashed, match="memory"):
        await pool.render(tmp_path / "large.png", DEFAULT_RENDITIONS)
    await pool.render(photo, DEFAULT_RENDITIONS)
    assert pid not in pool.process_ids
    await pool.close()


@pytest.fixture
def owner(endless: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that owns a pool and works in a folder whose packages are named like ours."""
    for name in ("schemas", "pipeline"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a stranger was imported')\n")
    root = Path(pool_module.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-P", pool_owner.__file__, str(endless)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    reaper.started(process.pid)
    with process:
        yield process
        process.kill()
    reaper.ended(process.pid)


def test_render_processes_end_with_their_worker_even_when_it_is_killed(owner: "subprocess.Popen[str]") -> None:
    assert owner.stdout is not None
    family = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(family) == 4
    assert all(is_alive(pid) for pid in family)
    owner.kill()
    poll(lambda: not any(is_alive(pid) for pid in family), 5, what="render processes and fork server are gone")
