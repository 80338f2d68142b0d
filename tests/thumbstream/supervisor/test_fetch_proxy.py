"""Fetches of the embedded broker wait for records, and only for those that they ask for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest

from kafka_servers import EmbeddedBroker

#: Far longer than a test may take: who waits for it fails.
FOR_EVER_MS = 600_000
DEADLINE_SECONDS = 30


@asynccontextmanager
async def consuming(
    broker: EmbeddedBroker, *topics: str, partitions: int = 3, **options: int
) -> AsyncIterator[AIOKafkaConsumer]:
    options = {"fetch_max_wait_ms": FOR_EVER_MS, "request_timeout_ms": FOR_EVER_MS + 1, **options}
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", **options)
    await consumer.start()
    consumer.assign([TopicPartition(topic, number) for topic in topics for number in range(partitions)])
    try:
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def producing(broker: EmbeddedBroker, *topics: str) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=False) as producer:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1) for topic in topics])
        await admin.close()
        yield producer


async def a_client(broker: EmbeddedBroker) -> tuple[AIOKafkaClient, int]:
    """A client for single requests, to be closed, and the number of the broker."""
    client = AIOKafkaClient(bootstrap_servers=broker.bootstrap, request_timeout_ms=FOR_EVER_MS)
    await client.bootstrap()
    (node,) = client.cluster.brokers()
    return client, node.nodeId


async def next_value(consumer: AIOKafkaConsumer) -> bytes | None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        record = await consumer.getone()
    value: bytes | None = record.value
    return value


async def test_a_waiting_fetch_is_answered_when_its_topic_gets_a_record(embedded_broker: EmbeddedBroker) -> None:
    async with producing(embedded_broker, "a") as producer, consuming(embedded_broker, "a") as consumer:
        for number in range(20):
            waiting = asyncio.create_task(next_value(consumer))
            await producer.send_and_wait("a", b"%d" % number, partition=number % 3)
            assert await waiting == b"%d" % number


async def test_a_fetch_that_wants_more_bytes_waits_for_them(embedded_broker: EmbeddedBroker) -> None:
    options = {"fetch_min_bytes": 50_000}
    async with producing(embedded_broker, "a") as producer, consuming(embedded_broker, "a", **options) as consumer:
        waiting = asyncio.create_task(next_value(consumer))
        await producer.send_and_wait("a", b"first", partition=0)
        await producer.send_and_wait("a", b"x" * 20_000, partition=1)
        assert not waiting.done()
        await producer.send_and_wait("a", b"x" * 50_000, partition=2)
        values = [await waiting, await next_value(consumer), await next_value(consumer)]
        assert sorted(map(len, filter(None, values))) == [5, 20_000, 50_000]


async def test_a_fetch_does_not_end_before_its_wait_for_another_topics_records(embedded_broker: EmbeddedBroker) -> None:
    async with producing(embedded_broker, "a", "b") as producer:
        client, node = await a_client(embedded_broker)
        wanted = FetchRequest(FOR_EVER_MS, 1, 1_000_000, 1, [("a", [(0, 0, 1_000_000)])])
        waiting = asyncio.create_task(client.send(node, wanted))
        for _ in range(10):
            await producer.send_and_wait("b", b"not this one")
        assert not waiting.done()
        await producer.send_and_wait("a", b"this one", partition=0)
        async with asyncio.timeout(DEADLINE_SECONDS):
            (((topic, ((_, error, end, *_, records),)),)) = (await waiting).topics
        assert (topic, error, end) == ("a", 0, 1)
        assert b"this one" in records
        await client.close()


async def test_an_answer_brings_what_lies_in_each_partition(embedded_broker: EmbeddedBroker) -> None:
    # A look of Tansu that is short ends before it has come to all of them; which ones are left out is chance.
    topics = [f"many-{number}" for number in range(8)]
    async with producing(embedded_broker, *topics) as producer:
        places = [(topic, number) for topic in topics for number in range(3)]
        client, node = await a_client(embedded_broker)
        for offset in range(10):
            for topic, number in places:
                await producer.send_and_wait(topic, b"x" * 1000, partition=number)
            wanted = [(topic, [(number, offset, 1_000_000) for number in range(3)]) for topic in topics]
            async with asyncio.timeout(DEADLINE_SECONDS):
                answer = await client.send(node, FetchRequest(FOR_EVER_MS, 1, 50_000_000, 1, wanted))
            brought = {(topic, number) for topic, parts in answer.topics for number, *_, records in parts if records}
            assert brought == set(places)
        await client.close()


async def test_a_wait_that_is_over_is_answered_with_nothing(embedded_broker: EmbeddedBroker) -> None:
    options = {"fetch_max_wait_ms": 20, "fetch_min_bytes": 1_000_000}
    async with producing(embedded_broker, "a") as producer, consuming(embedded_broker, "a", **options) as consumer:
        assert await consumer.getmany(timeout_ms=100) == {}
        await producer.send_and_wait("a", b"far fewer bytes")
        assert await next_value(consumer) == b"far fewer bytes"


async def test_a_partition_of_many_batches_is_read_to_its_end(embedded_broker: EmbeddedBroker) -> None:
    # Tansu lists all batches of a partition before it reads one, which takes longer than the moment of a look.
    async with producing(embedded_broker, "a") as producer, consuming(embedded_broker, "a", partitions=1) as consumer:
        for number in range(3000):
            await producer.send_and_wait("a", b"%d" % number, partition=0)
        assert [await next_value(consumer) for _ in range(3000)] == [b"%d" % number for number in range(3000)]
        waiting = asyncio.create_task(next_value(consumer))
        await producer.send_and_wait("a", b"the last", partition=0)
        assert await waiting == b"the last"


async def test_what_is_no_kafka_is_closed_and_harms_nobody(embedded_broker: EmbeddedBroker) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", embedded_broker.port)
    writer.write(b"\0\0\0\x01\xff" + b"GET / HTTP/1.1\r\n\r\n")
    writer.write_eof()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await reader.read()
    writer.close()
    async with producing(embedded_broker, "a") as producer, consuming(embedded_broker, "a") as consumer:
        await producer.send_and_wait("a", b"still there")
        assert await next_value(consumer) == b"still there"


async def test_a_consumer_that_leaves_while_its_fetch_waits_holds_up_nobody(embedded_broker: EmbeddedBroker) -> None:
    async with producing(embedded_broker, "a") as producer, consuming(embedded_broker, "a") as consumer:
        async with consuming(embedded_broker, "a") as leaving:
            assert await leaving.getmany(timeout_ms=50) == {}
        await producer.send_and_wait("a", b"for who stays")
        assert await next_value(consumer) == b"for who stays"
