"""Runs everything on this machine: broker, topics, workers and api as supervised processes."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from infra.settings import Settings
from thumbstream.supervisor.data_dir import DataDirBusy, DataDirUnusable, claim_data_dir
from thumbstream.supervisor.embedded_broker import (
    BrokerFailed,
    PortTaken,
    broker_command,
    check_port_is_free,
    wait_until_broker_answers,
)
from thumbstream.supervisor.output import Output
from thumbstream.supervisor.processes import Child, SupervisedProcess, own_command, own_environment

#: How long each may take to end in good order before it is killed.
_WORKER_GRACE_SECONDS: Final = 30.0
_API_GRACE_SECONDS: Final = 15.0
_BROKER_GRACE_SECONDS: Final = 3.0
#: A worker or api whose broker has lost everything has nothing to finish.
_RESTART_GRACE_SECONDS: Final = 3.0

_LAST_PORT: Final = 65_535

#: What an ``up`` that was killed left behind is gone after this.
_LEFTOVERS_SECONDS: Final = 5.0

_PORT_POLL_SECONDS: Final = 0.05


class Supervisor:
    """The children of one ``up``, in the order in which they are stopped."""

    def __init__(self, settings: Settings, output: Output) -> None:
        self._settings = settings
        self._output = output
        environment = own_environment() | {"THUMBSTREAM_LOG_FORMAT": settings.log_format or "console"}
        if output.is_terminal:
            environment.setdefault("FORCE_COLOR", "1")

        def ours(name: str, command: str, **more: str) -> SupervisedProcess:
            return SupervisedProcess(name, own_command(command, "--under-up"), environment | more, output)

        ports = [{"THUMBSTREAM_WORKER_HTTP_PORT": str(port)} for port in worker_http_ports(settings)]
        self._workers = [
            ours(f"worker-{number}", "worker", **port)
            for number, port in enumerate(ports or [{}] * settings.workers, start=1)
        ]
        # The embedded broker keeps nothing on disk, so each of its starts finds the topics empty.
        self._api = ours("api", "api")
        self._broker: SupervisedProcess | None = None
        if settings.kafka_is_embedded:
            self._broker = SupervisedProcess(
                "broker",
                broker_command(settings.embedded_kafka_port),
                own_environment(),
                output,
                after_start=self._broker_answers,
                after_restart=self._start_over,
            )
        self._keeping: list[asyncio.Task[None]] = []
        #: Whether the end was not waited for.
        self.was_killed = False

    async def start(self) -> None:
        """Start all: the broker first; the others wait for Kafka by themselves, and the api takes photos meanwhile."""
        if self._broker:
            await self._broker.start()
        await asyncio.gather(*(process.start() for process in [self._api, *self._workers]))
        self._keeping = [asyncio.create_task(process.keep()) for process in self._all()]

    async def run(self) -> None:
        """Keep all running; returns only by a fault of ours."""
        await asyncio.gather(*self._keeping)

    async def until_worker_ready(self) -> None:
        """Wait until a worker has joined its group: from then on a photo is taken at once."""
        joining = [asyncio.create_task(worker.ready.wait()) for worker in self._workers]
        try:
            await asyncio.wait(joining, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in joining:
                task.cancel()

    async def stop(self) -> None:
        """Stop all: the workers first, so that their results reach the topics; then the api, so that it folds them."""
        await asyncio.gather(*(worker.stop(_WORKER_GRACE_SECONDS) for worker in self._workers))
        await self._api.stop(_API_GRACE_SECONDS)
        if self._broker:
            await self._broker.stop(_BROKER_GRACE_SECONDS)
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)

    def kill(self) -> None:
        """Stop all at once and by force."""
        self.was_killed = True
        for process in self._all():
            process.kill()

    def _all(self) -> list[SupervisedProcess]:
        return [*self._workers, self._api, *([self._broker] if self._broker else [])]

    async def _broker_answers(self, child: Child) -> None:
        await wait_until_broker_answers(child, self._settings.embedded_kafka_port)

    async def _start_over(self) -> None:
        self._output.say("up", "the broker is back and remembers nothing: workers and api start anew")
        await asyncio.gather(*(process.restart(_RESTART_GRACE_SECONDS) for process in [self._api, *self._workers]))


def run_up(settings: Settings) -> int:
    """Run everything until SIGINT or SIGTERM, and return the exit code. A second signal kills at once."""
    if settings.resolved_storage_url.startswith("memory://"):
        print("thumbstream: memory:// is seen by one process only, and `up` runs several", file=sys.stderr)
        return 2
    if fault := _fault_of_worker_ports(settings):
        print(f"thumbstream: THUMBSTREAM_WORKER_HTTP_PORT: {fault}", file=sys.stderr)
        return 2
    output = Output(width=max(6, len(f"worker-{settings.workers}")))
    try:
        with claim_data_dir(settings.data_dir) as last_end_was_clean:
            _check_ports(settings, 0.0 if last_end_was_clean else _LEFTOVERS_SECONDS)
            return asyncio.run(_run(settings, output))
    except (DataDirBusy, DataDirUnusable, PortTaken, BrokerFailed) as error:
        print(f"thumbstream: {error}", file=sys.stderr)
        return 1


def worker_http_ports(settings: Settings) -> range:
    """The ports of the workers' metrics, one a worker from the one that is set; none where none is."""
    first = settings.worker_http_port
    return range(first, first + settings.workers) if first else range(0)


def _fault_of_worker_ports(settings: Settings) -> str:
    """Why the workers cannot have the ports that the settings give them; "" where they can."""
    ports = worker_http_ports(settings)
    asked = f"{settings.workers} workers take the ports {ports.start} to {ports.stop - 1}"
    if ports and ports[-1] > _LAST_PORT:
        return f"{asked}, and the last port is {_LAST_PORT}"
    if settings.http_port in ports:
        return f"{asked}, and {settings.http_port} is THUMBSTREAM_HTTP_PORT"
    if settings.kafka_is_embedded and settings.embedded_kafka_port in ports:
        return f"{asked}, and {settings.embedded_kafka_port} is THUMBSTREAM_EMBEDDED_KAFKA_PORT"
    return ""


def _check_ports(settings: Settings, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            check_port_is_free(settings.http_host, settings.http_port, setting="THUMBSTREAM_HTTP_PORT")
            for port in worker_http_ports(settings):
                check_port_is_free(settings.http_host, port, setting="THUMBSTREAM_WORKER_HTTP_PORT")
            if settings.kafka_is_embedded:
                port = settings.embedded_kafka_port
                check_port_is_free("127.0.0.1", port, setting="THUMBSTREAM_EMBEDDED_KAFKA_PORT")
            return
        except PortTaken:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PORT_POLL_SECONDS)


async def _run(settings: Settings, output: Output) -> int:
    started_at = time.monotonic()
    supervisor = Supervisor(settings, output)
    asked_to_stop = asyncio.Event()

    def on_signal() -> None:
        if asked_to_stop.is_set():
            output.say("up", "killed")
            supervisor.kill()
        else:
            output.say("up", "stopping: photos in hand are finished first (Ctrl-C again to kill)")
            asked_to_stop.set()

    with _signals(on_signal, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)):
        try:
            await _until_stopped(settings, supervisor, output, asked_to_stop, started_at)
        finally:
            await supervisor.stop()
    output.say("up", "stopped")
    return 1 if supervisor.was_killed else 0


async def _until_stopped(
    settings: Settings, supervisor: Supervisor, output: Output, asked_to_stop: asyncio.Event, started_at: float
) -> None:
    async def work() -> None:
        await supervisor.start()
        from thumbstream.supervisor.greeting import greet_when_ready  # the children start while this loads

        greeting = asyncio.create_task(greet_when_ready(settings, output, started_at, supervisor.until_worker_ready()))
        try:
            await supervisor.run()
        finally:
            greeting.cancel()

    working = asyncio.create_task(work())
    waiting = asyncio.create_task(asked_to_stop.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if working.done() and not asked_to_stop.is_set():
            working.result()
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


@contextlib.contextmanager
def _signals(handle: Callable[[], None], numbers: Sequence[signal.Signals]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    # `nohup` has the hang-up ignored, and means it; an ignored Ctrl-C is but a shell's habit with what runs behind.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers = [number for number in numbers if number is not signal.SIGHUP]
    for number in numbers:
        loop.add_signal_handler(number, handle)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
