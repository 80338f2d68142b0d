"""Other systems that do the same job on the same files, where installed: BullMQ with sharp, a bare aiokafka loop."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from thumbstream.supervisor.embedded_broker import free_port
from thumbstream.supervisor.processes import own_environment

_HERE: Final = Path(__file__).parent
_START_SECONDS: Final = 30.0
_ROUND_SECONDS: Final = 600.0
#: The first ones warm up, as in every round.
FIRST: Final = 8
#: How results are read where each tells when it was sent: twice a second, to take little from what is measured.
SELDOM: Final[Mapping[str, Any]] = {"fetch_min_bytes": 1_000_000, "fetch_max_wait_ms": 500}


class Lacking(Exception):
    """A peer is not installed; the text says what is missing."""


async def bullmq_rate(photos: Sequence[Path], *, best: bool, workers: int) -> float:
    """Photos a second of BullMQ with sharp: ``workers`` processes of one thread each, Redis beside them.

    Raises:
        Lacking: Redis, Node.js, bullmq or sharp is not installed (the two in the folder where this is run).
    """
    for program in ("redis-server", "node"):
        if shutil.which(program) is None:
            raise Lacking(f"{program} is not installed")
    port, queue, how = str(free_port()), f"bench-{os.getpid()}-{perf_counter():.0f}", "best" if best else "plain"
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="thumbstream-bench-"))
        redis = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        await stack.enter_async_context(_running(redis, until="Ready to accept connections"))
        for _ in range(workers):
            command = ["node", str(_HERE / "bullmq_worker.cjs"), port, queue, folder, how]
            await stack.enter_async_context(_running(command, until="ready"))
        producer = await asyncio.create_subprocess_exec(
            "node", str(_HERE / "bullmq_producer.cjs"), port, queue,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(producer.communicate("\n".join(map(str, photos)).encode()), _ROUND_SECONDS)
        if producer.returncode:
            raise Lacking("BullMQ did not finish its jobs")
        return (len(photos) - FIRST) / float(said)


async def bare_loop_rate(bootstrap: str, photos: Sequence[Path], *, processes: int) -> float:
    """Photos a second of an aiokafka consumer with the product's renderer and no more, on the Kafka ``bootstrap``."""
    topic = f"thumbstream-bench-{os.getpid()}-{perf_counter():.0f}"
    results = f"{topic}-results"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1) for name in (topic, results)])
    async with AsyncExitStack() as stack:
        stack.push_async_callback(admin.close)
        stack.push_async_callback(admin.delete_topics, [topic, results])
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="thumbstream-bench-"))
        module = "thumbstream.bench.pipeline.bare_loop"
        command = [sys.executable, "-P", "-m", module, bootstrap, topic, results, folder, str(processes)]
        await stack.enter_async_context(_running(command, until="ready", environment=own_environment()))
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", **SELDOM)
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
        for client in (consumer, producer):
            await client.start()
            stack.push_async_callback(client.stop)
        consumer.assign([TopicPartition(results, 0)])
        for photo in photos:
            await producer.send(topic, str(photo).encode())
        async with asyncio.timeout(_ROUND_SECONDS):
            times: list[int] = sorted([(await consumer.getone()).timestamp for _ in photos])
        return 1000 * (len(photos) - FIRST) / (times[-1] - times[FIRST - 1])


@asynccontextmanager
async def _running(
    command: Sequence[str], *, until: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """``command`` as a process that has printed ``until``; ended at the end.

    Raises:
        Lacking: it ended before.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=environment
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_SECONDS):  # one that never becomes ready lacks something too
            while until not in (line := (await process.stdout.readline()).decode(errors="replace")):
                if not line or "lacking" in line:
                    raise Lacking(f"{Path(command[0]).name}: npm install bullmq ioredis sharp")
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()
