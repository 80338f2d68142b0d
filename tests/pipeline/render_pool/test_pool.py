import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as some

import pool_owner
import reaper
from imaging.geometry import size_of_thumbnail
from imaging.render import render, render_checked
from pictures import encoded, picture, written
from pipeline.render_pool import pool as pool_module
from pipeline.render_pool import render_process
from pipeline.render_pool.deadline import TimeLimits
from pipeline.render_pool.messages import HeaderRead, Order
from pipeline.render_pool.pool import RenderPool
from polling import poll, poll_async
from schemas.faults import (
    ChecksumMismatch,
    Internal,
    RenderCrashed,
    RenderStalled,
    RenderTimeout,
    TooManyPixels,
    Unreadable,
    UnsupportedFormat,
)
from schemas.renditions import DEFAULT_RENDITIONS
from thumbstream.bench.neighbour import slow_jpeg

pytestmark = pytest.mark.embedded

fcntl = pytest.importorskip("fcntl", reason="render processes need a POSIX system")
resource = pytest.importorskip("resource")

MAX_PIXELS = 1_000_000

#: Longer than any test may take.
UNLIMITED = TimeLimits(cpu_base_seconds=100_000, clock_base_seconds=100_000)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return written(tmp_path, encoded(picture(), "JPEG"))


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A file that never says a word: whoever reads it is stuck."""
    path = tmp_path / "endless"
    os.mkfifo(path)
    return path


@pytest.fixture
def small_that_sticks(tmp_path: Path) -> Iterator[Path]:
    with sticking_after_its_header(tmp_path / "small", encoded(picture(40, 30), "PNG")) as path:
        yield path


@pytest.fixture
def large_that_sticks(tmp_path: Path) -> Iterator[Path]:
    with sticking_after_its_header(tmp_path / "large", encoded(picture(400, 300), "PNG")) as path:
        yield path


@contextmanager
def sticking_after_its_header(path: Path, content: bytes) -> Iterator[Path]:
    """A photo whose checksum and header can be read, and whose decoder then waits for ever.

    Those who open it first and second get the file, and everybody after them a pipe that nobody writes to.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        pytest.skip("needs leases on files, which Linux has")
    again, pipe = path.with_suffix(".again"), path.with_suffix(".pipe")
    os.mkfifo(pipe)
    leases = [leased(path, content), leased(again, content)]
    swapper = threading.Thread(target=swap_when_opened, args=(leases, (again, pipe), path), daemon=True)
    swapper.start()
    yield path
    swapper.join(60)
    assert not swapper.is_alive()


def leased(path: Path, content: bytes) -> int:
    """A new file, and a lease on it that holds up the first who opens it."""
    path.write_bytes(content)
    lease = os.open(path, os.O_RDONLY)
    fcntl.fcntl(lease, fcntl.F_SETSIG, signal.SIGURG)  # which is ignored unless asked for
    fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    return lease


def swap_when_opened(leases: Sequence[int], successors: Sequence[Path], path: Path) -> None:
    """Each time that somebody opens the file: put the next in its place, and let them go on."""
    for lease, successor in zip(leases, successors, strict=True):
        poll(lambda lease=lease: fcntl.fcntl(lease, fcntl.F_GETLEASE) != fcntl.F_WRLCK, 60, what="it is opened")
        successor.rename(path)
        os.close(lease)


@asynccontextmanager
async def running_pool(*, processes: int = 2, max_pixels: int = MAX_PIXELS, **more: Any) -> AsyncIterator[RenderPool]:
    pool = RenderPool(processes=processes, max_pixels=max_pixels, **more)
    await pool.start()
    for pid in pool.process_ids:
        reaper.started(pid)
    try:
        yield pool
    finally:
        mine = pool.process_ids
        await pool.close()
        assert not any(is_alive(pid) for pid in mine)


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[RenderPool]:
    async with running_pool() as pool:
        yield pool


class ClockOf(TimeLimits):
    """Limits on the clock as ``seconds_of`` says, which is asked in this process only; any CPU time."""

    def __init__(self, seconds_of: Callable[[int], float]) -> None:
        super().__init__(cpu_base_seconds=UNLIMITED.cpu_base_seconds)
        object.__setattr__(self, "_seconds_of", seconds_of)

    def clock_seconds(self, pixels: int) -> float:
        seconds: float = self._seconds_of(pixels)  # type: ignore[attr-defined]
        return seconds

    def __reduce__(self) -> Any:
        return TimeLimits, (self.cpu_base_seconds,)


def cpu_seconds_of(path: Path) -> float:
    """What one render takes of this process."""
    began = time.process_time()
    render(path, DEFAULT_RENDITIONS, max_pixels=10**9)
    return time.process_time() - began


def pixels_of(width: int, height: int) -> int:
    """Of a photo and its default thumbnails."""
    sizes = [(width, height), *(size_of_thumbnail((width, height), rendition) for rendition in DEFAULT_RENDITIONS)]
    return sum(across * down for across, down in sizes)


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


def one_is_replaced(before: frozenset[int], now: frozenset[int]) -> bool:
    return len(before) == len(now) and len(before & now) == len(before) - 1


async def is_stuck(task: "asyncio.Future[Any]") -> bool:
    """Whether ``task`` is still waiting after the loop has had time to hand the photo to a process."""
    done, _ = await asyncio.wait([task], timeout=0.1)
    return not done


async def test_a_pool_renders_what_render_renders(pool: RenderPool, photo: Path) -> None:
    made = await pool.render(photo, DEFAULT_RENDITIONS)
    assert made == render_checked(photo, DEFAULT_RENDITIONS, max_pixels=MAX_PIXELS)


async def test_a_photo_of_other_bytes_than_said_is_not_rendered_whatever_else_is_wrong(
    pool: RenderPool, tmp_path: Path
):
    broken = written(tmp_path, b"no photo")
    with pytest.raises(ChecksumMismatch, match="sha256:0000"):
        await pool.render(broken, DEFAULT_RENDITIONS, checksum="sha256:" + "0" * 64)
    with pytest.raises(UnsupportedFormat):
        await pool.render(broken, DEFAULT_RENDITIONS, checksum=f"sha256:{sha256(b'no photo').hexdigest()}")


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


async def test_a_photo_that_uses_up_its_cpu_time_is_given_up_for_good_and_costs_its_own_process_only(
    photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "hostile").write_bytes(slow_jpeg(4000))
    limits = TimeLimits(cpu_base_seconds=0.1, cpu_seconds_per_megapixel=0.0)
    async with running_pool(limits=limits, max_pixels=16_000_000) as pool:
        before = pool.process_ids
        hostile = asyncio.ensure_future(pool.render(tmp_path / "hostile", DEFAULT_RENDITIONS))
        await pool.render(photo, DEFAULT_RENDITIONS)
        with pytest.raises(RenderTimeout, match=r"0\.1 seconds of CPU time") as caught:
            await hostile
        assert (caught.value.code, caught.value.attempts) == ("render_timeout", 1)
        await asyncio.gather(*(pool.render(photo, DEFAULT_RENDITIONS) for _ in range(4)))
        await poll_async(lambda: one_is_replaced(before, pool.process_ids), what="the process is replaced")


async def test_cpu_time_is_counted_for_each_photo_anew(tmp_path: Path) -> None:
    large = written(tmp_path, encoded(picture(1000, 1000), "PNG"))
    limits = TimeLimits(cpu_base_seconds=10 * cpu_seconds_of(large), cpu_seconds_per_megapixel=0.0)
    async with running_pool(processes=1, limits=limits) as pool:
        before = pool.process_ids
        for _ in range(15):
            await pool.render(large, DEFAULT_RENDITIONS)
        assert pool.process_ids == before


class Pipe:
    """The worker's end of a render process that the test itself plays."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def send(self, said: object) -> None:
        self.said.append(said)


def test_until_its_header_is_read_a_photo_has_the_cpu_time_of_the_largest_and_then_what_is_left_of_its_own(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    monkeypatch.setattr(render_process, "_limit_cpu_time", given.append)
    order, limits, pipe = Order(photo, DEFAULT_RENDITIONS, MAX_PIXELS, {}, None), TimeLimits(), Pipe()
    render_process._answer(order, pipe, limits)  # type: ignore[arg-type]
    assert pipe.said == [HeaderRead(pixels_of(400, 300))]
    before_header, after_header = given
    assert before_header == limits.cpu_seconds(MAX_PIXELS)
    assert 0 < after_header < limits.cpu_seconds(pixels_of(400, 300)) < before_header


async def test_a_photo_that_gets_no_turn_on_a_busy_machine_uses_no_cpu_time_and_becomes_ready(tmp_path: Path) -> None:
    path = tmp_path / "slow"
    path.write_bytes(slow_jpeg(2500))
    cpu_seconds = 5 * cpu_seconds_of(path)
    limits = TimeLimits(cpu_base_seconds=cpu_seconds, cpu_seconds_per_megapixel=0.0, clock_base_seconds=1000)
    async with running_pool(processes=1, limits=limits, max_pixels=10_000_000) as pool:
        (pid,) = pool.process_ids
        rendering = asyncio.ensure_future(pool.render(path, DEFAULT_RENDITIONS))
        await is_stuck(rendering)
        os.kill(pid, signal.SIGSTOP)
        stopped_at = time.monotonic()
        await poll_async(lambda: time.monotonic() > stopped_at + 1.5 * cpu_seconds)
        os.kill(pid, signal.SIGCONT)
        assert (await rendering).header.width == 2500


async def test_a_photo_that_hangs_is_given_up_by_the_clock_may_be_tried_again_and_holds_up_nobody(
    photo: Path, endless: Path
) -> None:
    asked: list[int] = []

    def seconds_of(pixels: int) -> float:
        asked.append(pixels)
        return UNLIMITED.clock_base_seconds if pixels else 0.3

    async with running_pool(limits=ClockOf(seconds_of)) as pool:
        before = pool.process_ids
        hanging = asyncio.ensure_future(pool.render(endless, DEFAULT_RENDITIONS))
        with pytest.raises(RenderStalled, match=r"0\.3 seconds by the clock") as caught:
            await hanging
        assert (caught.value.code, caught.value.attempts) == ("render_timeout", 3)
        assert set(asked) == {0}
        await poll_async(lambda: one_is_replaced(before, pool.process_ids), what="the hanging process is replaced")


async def test_a_photo_that_hangs_after_its_header_has_the_time_of_its_own_pixels(
    small_that_sticks: Path, large_that_sticks: Path
) -> None:
    small_pixels, large_pixels = pixels_of(40, 30), pixels_of(400, 300)
    asked: list[int] = []

    def seconds_of(pixels: int) -> float:
        asked.append(pixels)
        return 0.05 if pixels == small_pixels else UNLIMITED.clock_base_seconds

    async with running_pool(limits=ClockOf(seconds_of)) as pool:
        large = asyncio.ensure_future(pool.render(large_that_sticks, DEFAULT_RENDITIONS))
        with pytest.raises(RenderStalled):
            await pool.render(small_that_sticks, DEFAULT_RENDITIONS)
        await poll_async(lambda: large_pixels in asked, what="both headers are read")
        assert set(asked) == {0, small_pixels, large_pixels}
        assert not large.done()


async def test_while_one_photo_is_stuck_all_other_processes_go_on_rendering(photo: Path, endless: Path) -> None:
    async with running_pool(processes=3, limits=UNLIMITED) as pool:
        before = pool.process_ids
        stuck = asyncio.ensure_future(pool.render(endless, DEFAULT_RENDITIONS))
        await asyncio.gather(*(pool.render(photo, DEFAULT_RENDITIONS) for _ in range(30)))
        assert not stuck.done()
        assert pool.process_ids == before


@given(some.integers(0, 10**9), some.integers(0, 10**9))
def test_time_limits_grow_with_the_pixels_and_a_small_share_of_a_core_meets_that_of_cpu_time_first(
    one: int, other: int
) -> None:
    limits = TimeLimits()
    fewer, more = sorted((one, other))
    assert 0 < limits.cpu_seconds(0) <= limits.cpu_seconds(fewer) <= limits.cpu_seconds(more)
    assert limits.clock_seconds(fewer) > 8 * limits.cpu_seconds(fewer)


def test_by_default_a_slow_machine_has_the_time_for_the_slowest_format() -> None:
    """0.35 s a megapixel here, and four times that elsewhere; what is small has much less than the largest."""
    limits = TimeLimits()
    for megapixels in (0, 1, 12, 48, 100, 1000):
        assert limits.cpu_seconds(megapixels * 1_000_000) >= 4 * 0.35 * megapixels
    assert limits.cpu_seconds(1_000_000) < 12 < 150 < limits.cpu_seconds(100_000_000)


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


async def test_a_process_makes_way_for_a_fresh_one_after_its_photos(photo: Path) -> None:
    async with running_pool(processes=1, photos_per_process=3) as pool:
        first = pool.process_ids
        for _ in range(8):
            await pool.render(photo, DEFAULT_RENDITIONS)
        await poll_async(lambda: len(pool.process_ids) == 1)
        assert pool.process_ids != first


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
    replaced: list[str] = []
    pool = RenderPool(processes=1, max_pixels=MAX_PIXELS, on_replace=replaced.append)
    await pool.start()
    (pid,) = pool.process_ids
    limit = address_space_bytes(pid) + 1024 * 1024
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
    (tmp_path / "large.png").write_bytes(encoded(picture(1000, 1000), "PNG"))
    with pytest.raises(RenderCrashed, match="memory"):
        await pool.render(tmp_path / "large.png", DEFAULT_RENDITIONS)
    await pool.render(photo, DEFAULT_RENDITIONS)
    assert pid not in pool.process_ids
    assert replaced == ["out_of_memory"]
    await pool.close()


async def test_a_process_that_has_had_its_photos_is_recycled(photo: Path) -> None:
    replaced: list[str] = []
    async with running_pool(processes=1, photos_per_process=1, on_replace=replaced.append) as pool:
        for _ in range(2):
            await pool.render(photo, DEFAULT_RENDITIONS)
    assert replaced == ["recycled", "recycled"]


@pytest.fixture
def owner(endless: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that owns a pool and works in a folder whose packages are named like ours."""
    for name in ("schemas", "pipeline"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a stranger was imported')\n")
    root = Path(pool_module.__file__).parents[2]
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


RENDER_IN_A_POOL = """
import asyncio, contextlib, sys
from pathlib import Path
from pipeline.render_pool.pool import RenderPool
from schemas.faults import Unreadable
from schemas.renditions import DEFAULT_RENDITIONS

async def main():
    pool = RenderPool(processes=1, max_pixels=1_000_000)
    await pool.start()
    with contextlib.suppress(Unreadable):
        await pool.render(Path(sys.argv[1]), DEFAULT_RENDITIONS)
    print("rendered")
    await pool.close()

asyncio.run(main())
"""


def test_what_a_decoder_prints_by_itself_does_not_come_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = bytearray(encoded(picture(), "TIFF", compression="tiff_lzw"))
    content[60:300:7] = b"\x55" * len(content[60:300:7])
    broken = written(tmp_path, bytes(content))
    with suppress(Unreadable):
        render(broken, DEFAULT_RENDITIONS, max_pixels=MAX_PIXELS)
    assert capfd.readouterr().err, "libtiff says something here, or this test tests nothing"
    done = subprocess.run(
        [sys.executable, "-P", "-c", RENDER_IN_A_POOL, str(broken)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("rendered\n", "")
