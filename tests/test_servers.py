"""The servers that the other tests stand on: each serves a real client, survives what it should, and leaves nothing."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
import s3fs
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import LeaderNotAvailableError

from kafka_servers import ApacheKafka, Broker, EmbeddedBroker
from polling import DeadlinePassed, poll, poll_async
from postgres_server import PostgreSQL
from s3_server import S3Location
from server_process import ServerDied, free_port, listens
from tcp_proxy import TcpProxy


async def _send(bootstrap: str, topic: str, value: bytes) -> None:
    async def is_sent() -> bool:
        try:
            async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
                await producer.send_and_wait(topic, value)
        except LeaderNotAvailableError:  # it is just being chosen
            return False
        return True

    await poll_async(is_sent, 60)


async def _first_value(bootstrap: str, topic: str) -> bytes | None:
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=20
    ) as consumer:
        record = await asyncio.wait_for(consumer.getone(), 20)
        value: bytes | None = record.value
        return value


async def test_a_broker_gives_back_what_was_produced(broker: Broker) -> None:
    broker.create_topic("greetings")
    await _send(broker.bootstrap, "greetings", b"hello")
    assert await _first_value(broker.bootstrap, "greetings") == b"hello"


@pytest.mark.parametrize("run", [1, 2])
async def test_each_test_finds_a_broker_without_topics(broker: Broker, run: int) -> None:
    assert broker.topics() == []
    broker.create_topic("left-behind")
    assert broker.topics() == ["left-behind"]


def test_the_embedded_broker_is_not_mistaken_for_another_on_its_port(
    embedded_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    with pytest.raises(ServerDied):
        EmbeddedBroker(tmp_path, port=embedded_broker.port).start()


def test_a_stopped_server_leaves_neither_process_nor_listener(embedded_broker: EmbeddedBroker) -> None:
    pid, port = embedded_broker.pid, embedded_broker.port
    assert listens(pid, port)
    embedded_broker.stop()
    assert not Path(f"/proc/{pid}").exists()
    assert not listens(os.getpid(), port)


@pytest.mark.embedded
def test_servers_end_with_the_tests_even_when_those_are_killed(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; from kafka_servers import EmbeddedBroker;"
        "print(EmbeddedBroker(pathlib.Path(sys.argv[1])).start().pid, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent / "support")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        assert Path(f"/proc/{pid}/cmdline").read_bytes()
        child.send_signal(signal.SIGKILL)
    poll(lambda: not _lives(pid), what="the broker ends")


def _lives(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except FileNotFoundError:
        return False


@pytest.mark.faults
async def test_apache_kafka_keeps_its_records_when_killed(apache_kafka: ApacheKafka) -> None:
    apache_kafka.create_topic("kept")
    await _send(apache_kafka.bootstrap, "kept", b"still here")
    apache_kafka.kill()
    apache_kafka.start()
    assert await _first_value(apache_kafka.bootstrap, "kept") == b"still here"


@pytest.mark.faults
async def test_a_cluster_serves_on_without_one_of_its_brokers(kafka_cluster: ApacheKafka) -> None:
    kafka_cluster.create_topic("kept")
    await _send(kafka_cluster.bootstrap, "kept", b"before")
    for index in range(3):
        kafka_cluster.kill(index)
        await _send(kafka_cluster.bootstrap, "kept", b"meanwhile")
        kafka_cluster.brokers[index].start()
    assert await _first_value(kafka_cluster.bootstrap, "kept") in (b"before", b"meanwhile")


async def test_each_test_has_an_empty_database(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    try:
        tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        assert await connection.fetchval(tables) == 0
    finally:
        await connection.close()


@pytest.mark.faults
async def test_postgres_keeps_what_was_committed_when_killed(postgres: PostgreSQL, postgres_url: str) -> None:
    address = postgres_url.replace("+asyncpg", "")
    connection = await asyncpg.connect(address)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    postgres.kill()
    connection.terminate()
    postgres.start()
    connection = await asyncpg.connect(address)
    try:
        assert await connection.fetchval("SELECT number FROM kept") == 7
    finally:
        await connection.close()


def test_the_s3_server_keeps_files_by_their_key(s3_storage: S3Location) -> None:
    s3 = s3fs.S3FileSystem(
        key=s3_storage.access_key_id, secret=s3_storage.secret_access_key, endpoint_url=s3_storage.endpoint_url
    )
    key = f"{s3_storage.url}/a/b.jpg"
    s3.pipe_file(key, b"pixels")
    assert s3.cat_file(key) == b"pixels"
    with pytest.raises(FileNotFoundError):
        s3.cat_file(f"{s3_storage.url}/nothing")


async def test_a_proxy_can_be_cut_frozen_and_opened_again() -> None:
    echoes = 0

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal echoes
        echoes += 1
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()
        echoes -= 1

    echoing = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with echoing:
        with TcpProxy(echoing.sockets[0].getsockname()[1]) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"one")
            assert await reader.read(100) == b"one"

            proxy.freeze()
            writer.write(b"two")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(100), 0.2)
            proxy.reopen()
            assert await asyncio.wait_for(reader.read(100), 5) == b"two"

            await asyncio.to_thread(proxy.cut)
            assert await asyncio.wait_for(reader.read(100), 5) == b""
            writer.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", proxy.port)

            await asyncio.to_thread(proxy.reopen)
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"three")
            assert await reader.read(100) == b"three"
            writer.close()
            assert proxy.connection_count == 2
        await poll_async(lambda: echoes == 0)


async def test_clients_of_a_broker_behind_a_proxy_are_cut_off_with_it(fresh_folder: Path) -> None:
    with TcpProxy() as proxy, EmbeddedBroker(fresh_folder, behind=proxy) as broker:
        broker.create_topic("greetings")
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, request_timeout_ms=2000) as producer:
            await producer.send_and_wait("greetings", b"one")
            proxy.cut()
            sending = asyncio.create_task(producer.send_and_wait("greetings", b"two"))
            done, _ = await asyncio.wait([sending], timeout=0.5)
            assert not done
            proxy.reopen()
            await asyncio.wait_for(sending, 20)
        assert proxy.connection_count > 1


def test_a_free_port_is_not_offered_twice() -> None:
    assert len({free_port() for _ in range(50)}) == 50


async def test_polling_gives_the_answer_or_the_reason() -> None:
    answers = iter([0, 0, 7])
    assert poll(lambda: next(answers)) == 7
    with pytest.raises(DeadlinePassed, match="rain; the last answer was 0"):
        await poll_async(lambda: 0, 0.1, what="rain")
