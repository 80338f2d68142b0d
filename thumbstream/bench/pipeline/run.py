"""Measures the whole pipeline: rounds of every contestant in turn, and the CPU of a photo in each part."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from infra.settings import Settings
from schemas.faults import StorageUnavailable
from schemas.renditions import DEFAULT_RENDITIONS
from thumbstream.bench.latency import percentile
from thumbstream.bench.pipeline.peers import FIRST, Lacking, bare_loop_rate, bullmq_rate
from thumbstream.bench.pipeline.raw_rate import raw_rate
from thumbstream.bench.pipeline.system import Seen, System, observed, running_system, store_originals
from thumbstream.bench.sample_photos import encoded, photo_like
from thumbstream.bench.service import CannotMeasure
from thumbstream.terminal.messages import say

#: px and JPEG quality: of a phone's photo of some 3.5 MB, and of a picture on the web.
_SIZES: Final = {"12mp": ((4032, 3024), 90), "small": ((320, 240), 85)}
_DIFFERENT_PHOTOS: Final = 8
_IDLE_PHOTOS: Final = 50
_IDLE_INTERVAL_SECONDS: Final = 0.4
_LOADED: Final = 0.7

PARTS: Final = ("render", "worker", "api", "broker", "rest")


@dataclass
class Figures:
    """What all rounds gave."""

    setting: str
    photos: int
    #: Photos a second, by contestant, a value a round.
    rates: dict[str, list[float]] = field(default_factory=dict)
    #: CPU milliseconds a photo by part of the system, a value a round.
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)
    #: Milliseconds from event to result, to feed, and of that the render: idle, and at 70 % of the rate.
    times_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Medians and times, for JSON."""
        raw = median(self.rates["raw"])
        return {
            "setting": self.setting,
            "photos": self.photos,
            "photos_per_second": {name: round(median(rates), 2) for name, rates in self.rates.items()},
            "of_raw": {
                name: round(median(one / of for one, of in zip(rates, self.rates["raw"], strict=False)), 3)
                for name, rates in self.rates.items()
            },
            "raw": round(raw, 2),
            "cpu_ms_a_photo": {part: round(median(values), 1) for part, values in self.cpu_ms.items()},
            "times_ms": self.times_ms,
            "memory_mb": self.memory_mb,
            "lacking": self.lacking,
        }


def run_pipeline(settings: Settings, photos: int, rounds: int, size: str, *, peers: bool, as_json: bool) -> int:
    """Measure and print. Returns the exit code: 1 where nothing could be measured."""
    if sys.platform != "linux":
        say("CPU time of other processes is read from /proc, which only Linux has")
        return 1
    try:
        figures = asyncio.run(_measure(settings, photos, rounds, size, peers=peers))
    except (CannotMeasure, KafkaError, StorageUnavailable, OSError) as error:
        say(str(error))
        return 1
    except BaseExceptionGroup as group:  # of the observers, whose task group stops when one fails
        say(repr(group.exceptions[0]))
        return 1
    if as_json:
        print(json.dumps(figures.as_dict(), indent=2))
    else:
        _print(figures)
    return 0


async def _measure(settings: Settings, photos: int, rounds: int, size: str, *, peers: bool) -> Figures:
    (width, height), quality = _SIZES[size]
    say(f"making {_DIFFERENT_PHOTOS} photos of {width}x{height} px")
    contents = await asyncio.to_thread(
        lambda: [encoded(photo_like(width, height, seed), "JPEG", quality=quality) for seed in range(_DIFFERENT_PHOTOS)]
    )
    with tempfile.TemporaryDirectory(prefix="thumbstream-bench-") as folder:
        files = [Path(folder, f"{number}.jpg") for number in range(_DIFFERENT_PHOTOS)]
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)
        async with running_system(settings) as system:
            keys = await store_originals(system.settings, contents)
            figures = _figures_of(system.settings, photos)
            events = [keys[number % len(keys)] for number in range(photos)]
            async with observed(system, promptly=False) as producer:
                await _rates(figures, system, producer, events, files, rounds, peers=peers)
            async with observed(system, promptly=True) as producer:
                await _times_at_loads(figures, system, producer, events)
    return figures


def _figures_of(settings: Settings, photos: int) -> Figures:
    kafka = "embedded broker" if settings.kafka_is_embedded else "Kafka"
    database = "sqlite" if settings.database_url is None else settings.database_url.partition("+")[0]
    storage = settings.resolved_storage_url.partition(":")[0]
    return Figures(f"{kafka}, {database}, {storage}, concurrency {settings.concurrency}", photos)


async def _rates(
    figures: Figures,
    system: System,
    producer: AIOKafkaProducer,
    events: Sequence[str],
    files: Sequence[Path],
    rounds: int,
    *,
    peers: bool,
) -> None:
    settings = system.settings
    work = [files[number % len(files)] for number in range(figures.photos)]
    processes = settings.concurrency
    await system.run(producer, events[: 2 * FIRST])
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        raw = await asyncio.to_thread(raw_rate, work, DEFAULT_RENDITIONS, settings.max_pixels, processes=processes)
        _add(figures.rates, "raw", raw.photos_per_second)
        _add(figures.cpu_ms, "raw render", raw.cpu_ms["render"])
        before = system.cpu_seconds()
        seen = await system.run(producer, events)
        after = system.cpu_seconds()
        _add(figures.rates, "Thumbstream", _rate(seen.result))
        _add(figures.rates, "Thumbstream, to feed", _rate(seen.feed))
        for part in PARTS:
            _add(figures.cpu_ms, part, 1000 * (after.get(part, 0.0) - before.get(part, 0.0)) / figures.photos)
        if peers:
            await _peers(figures, settings, work, processes)
    figures.memory_mb = {part: round(value / 1e6) for part, value in system.memory_bytes().items()}


async def _times_at_loads(figures: Figures, system: System, producer: AIOKafkaProducer, events: Sequence[str]) -> None:
    await system.run(producer, events[:FIRST])
    say("one at a time")
    idle = await system.run(producer, events[:_IDLE_PHOTOS], interval=_IDLE_INTERVAL_SECONDS)
    figures.times_ms |= _times("idle", idle)
    say(f"at {_LOADED:.0%} of the rate")
    interval = 1 / (_LOADED * median(figures.rates["Thumbstream"]))
    figures.times_ms |= _times(f"{_LOADED:.0%} load", await system.run(producer, events, interval=interval))


async def _peers(figures: Figures, settings: Settings, work: Sequence[Path], processes: int) -> None:
    contestants: dict[str, Callable[[], Awaitable[float]]] = {
        "bare aiokafka loop": lambda: bare_loop_rate(settings.bootstrap_servers[0], work, processes=processes),
        "BullMQ + sharp, plain": lambda: bullmq_rate(work, best=False, workers=processes),
        "BullMQ + sharp, best": lambda: bullmq_rate(work, best=True, workers=processes),
    }
    for name, measure in contestants.items():
        if any(line.startswith(f"{name}:") for line in figures.lacking):
            continue
        try:
            _add(figures.rates, name, await measure())
        except Lacking as error:
            figures.lacking.append(f"{name}: {error}")


def _add(values: dict[str, list[float]], name: str, value: float) -> None:
    values.setdefault(name, []).append(value)


def _rate(times: dict[str, float]) -> float:
    """From the first few to the last: what starts up counts with nobody."""
    ordered = sorted(times.values())
    return (len(ordered) - FIRST) / (ordered[-1] - ordered[FIRST - 1])


def _times(name: str, seen: Seen) -> dict[str, dict[str, float]]:
    stages = {
        f"{name}: event to result": [seen.result[photo] - sent for photo, sent in seen.sent.items()],
        f"{name}: event to feed": [seen.feed[photo] - sent for photo, sent in seen.sent.items()],
        f"{name}: render": list(seen.render_seconds.values()),
        f"{name}: result less render": [
            seen.result[photo] - sent - seen.render_seconds[photo] for photo, sent in seen.sent.items()
        ],
    }
    return {
        stage: {f"p{percent}": round(1000 * percentile(values, percent), 1) for percent in (50, 95, 99)}
        for stage, values in stages.items()
    }


def _print(figures: Figures) -> None:
    said = figures.as_dict()
    console = Console()
    rates = Table(box=None, pad_edge=False, header_style="bold", title=f"{figures.photos} photos, {figures.setting}")
    for number, column in enumerate(("", "photos/s", "of raw")):
        rates.add_column(column, justify="right" if number else "left")
    for name, rate in said["photos_per_second"].items():
        rates.add_row(name, f"{rate:.1f}", f"{said['of_raw'][name]:.2f}")
    console.print(rates)
    parts = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(("", "CPU ms a photo", "MB")):
        parts.add_column(column, justify="right" if number else "left")
    for part, value in said["cpu_ms_a_photo"].items():
        parts.add_row(part, f"{value:.1f}", str(said["memory_mb"].get(part, "")))
    console.print(parts)
    times = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(("milliseconds", "p50", "p95", "p99")):
        times.add_column(column, justify="right" if number else "left")
    for stage, values in said["times_ms"].items():
        times.add_row(stage, *(f"{value:.1f}" for value in values.values()))
    console.print(times)
    for line in figures.lacking:
        console.print(line, style="dim", markup=False)
