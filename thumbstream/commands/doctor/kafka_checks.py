"""Kafka checks of the doctor: brokers, topics, workers and projectors."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from infra.kafka.clients import client_options, describe_group_when_placed
from infra.settings import Settings
from schemas import topics
from thumbstream.commands.doctor.command import Finding, bad, first_line, note, ok, within


async def examine_kafka(settings: Settings) -> AsyncIterator[Finding]:
    """Brokers, then topics, then the worker group; no more than what can be asked."""
    servers = ", ".join(settings.bootstrap_servers)
    try:
        admin = AIOKafkaAdminClient(**client_options(settings))
        await within(admin.start())
    except (KafkaError, TimeoutError, OSError) as error:
        advice = (
            "the embedded broker runs only while `thumbstream up` does"
            if settings.kafka_is_embedded
            else "check THUMBSTREAM_KAFKA_BOOTSTRAP, and the security settings if it runs"
        )
        yield bad("kafka", f"{servers}: {first_line(error)}; {advice}")
        return
    try:
        cluster = await within(admin.describe_cluster())
        brokers = len(cluster["brokers"])
        yield ok("kafka", f"{servers} answers, {brokers} broker{'s' if brokers > 1 else ''}")
        described = {topic["topic"]: topic for topic in await within(admin.describe_topics())}
        for finding in examine_topics(settings, described, brokers):
            yield finding
        yield await examine_workers(admin)
    except (KafkaError, TimeoutError, OSError) as error:
        yield bad("kafka", f"{servers}: {first_line(error)}")
    finally:
        with suppress(Exception):
            await admin.close()


def examine_topics(settings: Settings, described: Mapping[str, Any], brokers: int) -> Iterator[Finding]:
    """A line for all the topics that are as the settings say, and one for each that is not."""
    if settings.replication_factor > brokers:
        yield bad(
            "topics",
            f"THUMBSTREAM_REPLICATION_FACTOR is {settings.replication_factor} but there are only {brokers} brokers",
        )
    as_set = []
    for name in topics.ALL:
        topic = described.get(name)
        if topic is None:
            yield note("topics", f"{name} is missing: the worker and the api make it when they start")
            continue
        partitions = topic["partitions"]
        replicas = min((len(partition["replicas"]) for partition in partitions), default=0)
        leaderless = sum(1 for partition in partitions if partition["leader"] < 0)
        shape = f"{name} has {len(partitions)} partitions, {replicas} replicas"
        if leaderless:
            yield bad("topics", f"{name}: {leaderless} partitions have no leader: a broker is away")
        elif len(partitions) < settings.partitions_of(name):
            yield note("topics", f"{shape}: THUMBSTREAM_PARTITIONS is {settings.partitions}, of new topics only")
        elif replicas < settings.replication_factor:
            yield bad("topics", f"{shape}: fewer copies than THUMBSTREAM_REPLICATION_FACTOR")
        else:
            as_set.append(shape.removeprefix(f"{name} has "))
    if as_set:
        yield ok("topics", f"{len(as_set)} of {len(topics.ALL)} are as set ({'; '.join(sorted(set(as_set)))})")


async def examine_workers(admin: AIOKafkaAdminClient) -> Finding:
    """Whether anybody is in the workers' consumer group."""

    try:
        state, members = await within(describe_group_when_placed(admin, topics.WORKER_GROUP))
    except Exception as error:  # the embedded broker answers less than Kafka does
        return note("workers", f"cannot be told here: {first_line(error)}")
    if not members:
        return bad("workers", "no worker lives: `thumbstream up` or `thumbstream worker` starts one")
    return ok("workers", f"{len(members)} in group {topics.WORKER_GROUP} ({state})")
