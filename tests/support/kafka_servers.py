"""Real Kafka brokers: the embedded one, and Apache Kafka with one broker or several."""

import asyncio
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from polling import poll
from server_process import ServerProcess, free_port
from tcp_proxy import TcpProxy
from thumbstream.supervisor.embedded_broker import broker_command

T = TypeVar("T")

_CLUSTER_ID: Final = "VGh1bWJzdHJlYW1UZXN0cw"
_CALL_SECONDS: Final = 5.0


def kafka_libraries() -> Path | None:
    """The folder of Apache Kafka's jars, as ``make kafka`` fetches them, or None."""
    default = Path("~/.cache/thumbstream-tests/kafka").expanduser()
    folder = Path(os.environ.get("TEST_KAFKA_LIBS") or default)
    return folder if any(folder.glob("kafka_2.13-*.jar")) else None


def apart(work: Coroutine[Any, Any, T], deadline_seconds: float = _CALL_SECONDS) -> T:
    """The answer of a coroutine that runs in a thread and loop of its own, so that any caller may wait for it."""
    with ThreadPoolExecutor(1, thread_name_prefix="apart") as thread:
        return thread.submit(asyncio.run, asyncio.wait_for(work, deadline_seconds)).result()


class Broker:
    """What the tests ask of a running Kafka of either kind."""

    #: Whether it is the embedded broker, which lacks some of Kafka.
    is_embedded: bool
    #: Copies that a topic can have.
    broker_count = 1

    @property
    def bootstrap(self) -> str:
        """``host:port``, several with commas."""
        raise AssertionError("each broker says where it is")

    @property
    def settings(self) -> dict[str, Any]:
        """As keyword arguments of ``Settings`` and ``load_settings``."""
        raise AssertionError("each broker says how it is reached")

    @property
    def variables(self) -> dict[str, str]:
        """As environment variables of a child process."""
        return {f"THUMBSTREAM_{name.upper()}": str(value) for name, value in self.settings.items()}

    def create_topic(self, name: str, partitions: int = 4) -> None:
        """Create one topic. Apache Kafka creates none by itself here."""

        async def create(admin: AIOKafkaAdminClient) -> None:
            await admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=self.broker_count)])

        self.administer(create)

    def topics(self) -> list[str]:
        """The names of all topics but Kafka's own."""

        async def names(admin: AIOKafkaAdminClient) -> list[str]:
            return [name for name in await admin.list_topics() if not name.startswith("__")]

        found: list[str] = self.administer(names)
        return found

    def clear(self) -> None:
        """Delete all topics, and by that what their consumer groups have committed."""
        names = self.topics()
        if not names:
            return

        async def delete(admin: AIOKafkaAdminClient) -> None:
            await admin.delete_topics(names)

        self.administer(delete)
        poll(lambda: not self.topics(), what="all topics are deleted")

    def administer(self, work: Any) -> Any:
        """The answer of ``work``, a coroutine function of one started admin client."""

        async def call() -> Any:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=3000)
            try:
                await admin.start()
                return await work(admin)
            finally:
                await admin.close()

        return apart(call())


class EmbeddedBroker(ServerProcess, Broker):
    """The broker that ``thumbstream up`` embeds. It keeps all in memory: a restart forgets everything."""

    is_embedded = True

    def __init__(self, folder: Path, port: int | None = None, *, behind: TcpProxy | None = None) -> None:
        """``behind``: clients are told to come through this proxy."""
        super().__init__("embedded-broker", folder, port)
        self._advertised_port = self.port
        if behind is not None:
            behind.target_port = self.port
            self._advertised_port = behind.port

    def command(self) -> Sequence[str]:
        """Listen on 127.0.0.1 only."""
        return broker_command(self.port, advertised_port=self._advertised_port)

    @property
    def bootstrap(self) -> str:
        """Its address, or its proxy's."""
        return f"127.0.0.1:{self._advertised_port}"

    @property
    def settings(self) -> dict[str, Any]:
        """Reached as ``up`` reaches it: the settings know that it is the embedded one."""
        return {"embedded_kafka_port": self._advertised_port}


class ApacheKafkaBroker(ServerProcess):
    """One broker, and controller, of an :class:`ApacheKafka`."""

    def __init__(self, cluster: "ApacheKafka", node: int, folder: Path, behind: TcpProxy | None) -> None:
        """``node`` counts from 0."""
        folder.mkdir()
        super().__init__(f"kafka-{node}", folder)
        self.node_id = node + 1
        self.controller_port = free_port()
        self.advertised_port = self.port
        if behind is not None:
            behind.target_port = self.port
            self.advertised_port = behind.port
        #: For other brokers, never behind a proxy.
        self.inner_port = free_port()
        self._cluster = cluster
        self._properties = folder / "server.properties"

    def _java(self, main: str, *arguments: str, heap: str) -> list[str]:
        java = shutil.which("java")
        assert java is not None, "Java is not installed"
        flags = [
            f"-Xmx{heap}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        ]
        return [java, *flags, "-cp", f"{self._cluster.libraries}/*", main, *arguments]

    def command(self) -> Sequence[str]:
        """Run it with the properties that ``configure`` wrote."""
        return self._java("kafka.Kafka", str(self._properties), heap="512m")

    def configure(self) -> "subprocess.Popen[bytes]":
        """Write the properties and begin to format the storage."""
        lines = [f"{name}={value}" for name, value in self._cluster.properties_of(self).items()]
        self._properties.write_text("\n".join(lines) + "\n")
        command = self._java(
            "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(self._properties), heap="128m"
        )
        with self.log_file.open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def answers(self) -> bool:
        """Whether the cluster counts it among its living brokers."""
        try:
            return self.node_id in living_brokers(self.port)
        except OSError:
            return False


def living_brokers(port: int) -> set[int]:
    """The ids of the brokers that are alive, as the one at 127.0.0.1:``port`` knows them.

    Source: Kafka's protocol guide, Metadata request and response, version 1. By hand, since a client that gives up on
    a broker that is not yet ready leaves its connection open.
    """
    client_id = b"tests"
    request = struct.pack(f">hhih{len(client_id)}si", 3, 1, 0, len(client_id), client_id, 0)
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection, connection.makefile("rb") as answer:
        connection.sendall(struct.pack(">i", len(request)) + request)

        def number(form: str) -> int:
            value: int = struct.unpack(form, _exactly(answer, struct.calcsize(form)))[0]
            return value

        number(">i")
        number(">i")
        found = set()
        for _ in range(number(">i")):
            found.add(number(">i"))
            _exactly(answer, number(">h"))
            number(">i")
            _exactly(answer, max(0, number(">h")))
        return found


def _exactly(stream: BinaryIO, byte_count: int) -> bytes:
    piece = stream.read(byte_count)
    if len(piece) < byte_count:
        raise ConnectionResetError("the broker closed the connection")
    return piece


class ApacheKafka(Broker):
    """Apache Kafka in KRaft mode, every node both broker and controller. Data outlive a kill and a stop.

    It forgets a dead broker after 3 s (Kafka's default: 9 s), so that tests of an outage need not wait long, and has
    no delay before a group's first rebalance. Topics get a copy on every broker; with three, writing needs two of them.
    """

    is_embedded = False

    def __init__(self, folder: Path, brokers: int = 1, *, behind: Sequence[TcpProxy] = ()) -> None:
        """Formats the storage. ``behind``: clients are told to come through these proxies, one a broker."""
        libraries = kafka_libraries()
        assert libraries is not None, "the jars of Apache Kafka are missing"
        self.libraries = libraries
        folder.mkdir(exist_ok=True)
        self.broker_count = brokers
        proxies: list[TcpProxy | None] = [*behind] or [None] * brokers
        self.brokers = [
            ApacheKafkaBroker(self, node, folder / f"kafka-{node}", proxy)
            for node, proxy in zip(range(brokers), proxies, strict=True)
        ]
        for broker, formatting in [(broker, broker.configure()) for broker in self.brokers]:
            assert formatting.wait(60) == 0, f"formatting failed:\n{broker.log_tail()}"

    def properties_of(self, broker: ApacheKafkaBroker) -> dict[str, object]:
        """The server properties of one broker."""
        voters = ",".join(f"{each.node_id}@127.0.0.1:{each.controller_port}" for each in self.brokers)
        copies = self.broker_count
        in_sync = max(1, copies - 1)
        listeners = {"CLIENT": broker.port, "INNER": broker.inner_port, "CONTROLLER": broker.controller_port}
        return {
            "process.roles": "broker,controller",
            "node.id": broker.node_id,
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "INNER",
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
            "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items()),
            "advertised.listeners": (
                f"CLIENT://127.0.0.1:{broker.advertised_port},INNER://127.0.0.1:{broker.inner_port}"
            ),
            "log.dirs": broker.folder / "data",
            "auto.create.topics.enable": "false",
            "num.partitions": 4,
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
            "group.initial.rebalance.delay.ms": 0,
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        }

    @property
    def bootstrap(self) -> str:
        """All brokers, or their proxies."""
        return ",".join(f"127.0.0.1:{broker.advertised_port}" for broker in self.brokers)

    @property
    def settings(self) -> dict[str, Any]:
        """As a user of a cluster sets them."""
        return {"kafka_bootstrap": self.bootstrap, "replication_factor": self.broker_count}

    def start(self) -> Self:
        """Start all brokers that do not run, at once, and wait until all take part."""
        for broker in self.brokers:
            if not broker.is_running:
                broker.spawn()
        for broker in self.brokers:
            broker.wait_until_ready()
        return self

    def stop(self) -> None:
        """Stop all brokers, at once: a controlled shutdown waits for a majority that is no longer there."""
        for broker in self.brokers:
            if len(self.brokers) > 1 and broker.is_running:
                broker.kill()
            broker.stop()

    def kill(self, index: int = 0) -> None:
        """kill -9 of one broker, counted from 0; ``brokers[index].start()`` brings it back."""
        self.brokers[index].kill()

    def restart(self) -> Self:
        """Stop all and start them with the same data."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
