"""Kafka and worker for a measurement: those of the settings, or temporary ones."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient

from infra.kafka.clients import client_options, create_topics, describe_group_when_placed
from infra.settings import Settings, load_settings
from schemas.topics import WORKER_GROUP
from thumbstream.supervisor.embedded_broker import BrokerFailed, broker_command, free_port, wait_until_broker_answers
from thumbstream.supervisor.output import Output
from thumbstream.supervisor.processes import Child, own_command, own_environment

_END_SECONDS: Final = 10.0
_LAST_LINES: Final = 3


class CannotMeasure(Exception):
    """There is nothing to measure; the text says why."""


@dataclass(frozen=True)
class Service:
    """A Kafka with at least one worker on it."""

    #: How this process reaches Kafka and storage.
    settings: Settings
    #: For a person.
    name: str
    #: What its processes print; None where they were running before.
    log_file: Path | None

    def last_words(self) -> str:
        """What the processes printed last."""
        if self.log_file is None:
            return "do the running workers use the storage of these settings?"
        lines = self.log_file.read_text(errors="replace").strip().splitlines()
        return "the worker said last: " + " / ".join(lines[-_LAST_LINES:])


@asynccontextmanager
async def running_service(settings: Settings) -> AsyncIterator[Service]:
    """The Kafka of the settings with its workers, or an embedded broker of its own; a worker where there is none.

    What it starts ends with it, and with this process, however that ends.

    Raises:
        CannotMeasure: it cannot be started.
        KafkaError: the brokers cannot be reached.
    """
    if not settings.kafka_is_embedded and settings.resolved_storage_url.startswith("memory://"):
        raise CannotMeasure("memory:// is seen by one process only, and the worker is another")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="thumbstream-bench-")))
        log_file = folder / "log"
        output = Output(stack.enter_context(log_file.open("w")))
        if settings.kafka_is_embedded:
            own = {"DATA_DIR": str(folder / "data"), "STORAGE_URL": f"file://{folder / 'storage'}"}
            own["EMBEDDED_KAFKA_PORT"] = str(await _start_broker(stack, output))
            settings = load_settings(**{name.lower(): value for name, value in own.items()})
            await create_topics(settings)
            await _start_worker(stack, output, own)
            yield Service(settings, "embedded broker", log_file)
            return
        name = ", ".join(settings.bootstrap_servers)
        await create_topics(settings)
        if await _has_workers(settings):
            yield Service(settings, f"{name}, its running workers", None)
        else:
            await _start_worker(stack, output, {})
            yield Service(settings, f"{name}, a worker of the bench's own", log_file)


async def own_broker(stack: AsyncExitStack, log_file: Path) -> int:
    """Start an embedded broker that ends with ``stack``. Returns its port.

    Raises:
        CannotMeasure: it cannot be started.
    """
    return await _start_broker(stack, Output(stack.enter_context(log_file.open("w"))))


async def _start_broker(stack: AsyncExitStack, output: Output) -> int:
    port = free_port()
    try:
        broker = await start_child(stack, "broker", broker_command(port), own_environment(), output)
        await wait_until_broker_answers(broker, port)
    except BrokerFailed as error:
        raise CannotMeasure(str(error)) from error
    return port


async def _start_worker(stack: AsyncExitStack, output: Output, own: Mapping[str, str]) -> None:
    environment = own_environment() | {f"THUMBSTREAM_{name}": value for name, value in own.items()}
    command = own_command("worker", "--under-up")
    await start_child(stack, "worker", command, environment | {"THUMBSTREAM_LOG_FORMAT": "logfmt"}, output)


async def start_child(
    stack: AsyncExitStack, name: str, command: Sequence[str], environment: Mapping[str, str], output: Output
) -> Child:
    """Start a process that ends with ``stack``."""
    child = await Child.start(name, command, environment, output)
    stack.push_async_callback(_end, child)
    return child


async def _end(child: Child) -> None:
    child.terminate()
    try:
        await asyncio.wait_for(child.wait(), _END_SECONDS)
    except TimeoutError:
        child.signal_group(signal.SIGKILL)
        await child.wait()


async def _has_workers(settings: Settings) -> bool:

    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        _, members = await describe_group_when_placed(admin, WORKER_GROUP)
        return bool(members)
    finally:
        await admin.close()
