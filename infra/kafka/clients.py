"""Kafka clients: the options of each, and the topics that must exist."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.helpers import create_ssl_context

from infra.kafka.aiokafka_patches import patch_aiokafka, with_short_timeouts
from infra.settings import Settings
from schemas import topics
from schemas.records import Record

log = structlog.get_logger(__name__)

patch_aiokafka()

#: How soon a dead member's partitions move. 6 s is the least that Apache Kafka allows by default. The embedded broker
#: makes who joins wait for half of it, in whole seconds.
_SESSION_TIMEOUT_SECONDS: Final = 6.0
_EMBEDDED_SESSION_TIMEOUT_SECONDS: Final = 4.0
HEARTBEAT_SECONDS: Final = 1.0

_FETCH_WAIT_MS: Final = 500

#: While many records come, a fetch waits for so long or for so many bytes, so that they come together.
_GATHER_MS: Final = 100
_GATHER_BYTES: Final = 65_536

#: A connection that is silent for so long is made anew. A group's join may rightly take twice the session timeout.
_ANSWER_MS: Final = 15_000

_CONNECT_AGAIN_SECONDS: Final = 0.5
_COORDINATOR_POLL_SECONDS: Final = 0.2


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context where the security protocol asks for one."""
    if "SSL" not in settings.kafka_security_protocol:
        return None
    context: ssl.SSLContext = create_ssl_context(
        cafile=_text(settings.kafka_ssl_ca_file),
        certfile=_text(settings.kafka_ssl_cert_file),
        keyfile=_text(settings.kafka_ssl_key_file),
    )
    return context


def client_options(settings: Settings) -> dict[str, Any]:
    """The options of every aiokafka client: where the brokers are and how to sign in."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": ssl_context(settings),
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        assert settings.kafka_sasl_password is not None
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    return options


def producer_options(settings: Settings) -> dict[str, Any]:
    """Durability before speed: a record is delivered when every in-sync replica has it, and written once."""
    return {"acks": "all", "enable_idempotence": not settings.kafka_is_embedded}


def new_producer(settings: Settings, **options: Any) -> AIOKafkaProducer:
    """A producer that is not yet started."""
    return with_short_timeouts(AIOKafkaProducer(**client_options(settings), **(producer_options(settings) | options)))


async def started(producer: AIOKafkaProducer) -> AIOKafkaProducer:
    """``producer``, started; where it cannot be, it is closed.

    Raises:
        KafkaError: the brokers are away.
    """
    try:
        await producer.start()
    except BaseException:
        await producer.stop()
        raise
    return producer


def session_timeout_seconds(settings: Settings) -> float:
    """How long a member of a consumer group may be silent before its partitions move to others, in seconds."""
    return _EMBEDDED_SESSION_TIMEOUT_SECONDS if settings.kafka_is_embedded else _SESSION_TIMEOUT_SECONDS


def new_consumer(settings: Settings, *names: str, group: str | None, **options: Any) -> AIOKafkaConsumer:
    """A consumer of the topics ``names`` that is not yet started and never commits by itself.

    It reads what is committed only: the records of transactions that were aborted, or are still open, are not events.
    """
    chosen = {
        "group_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "session_timeout_ms": int(session_timeout_seconds(settings) * 1000),
        "heartbeat_interval_ms": int(HEARTBEAT_SECONDS * 1000),
        "fetch_max_wait_ms": _FETCH_WAIT_MS,
        "metadata_max_age_ms": 30_000,
        "request_timeout_ms": _ANSWER_MS,
    }
    return AIOKafkaConsumer(*names, **client_options(settings), **(chosen | options))


class Gathering:
    """Chooses how the fetches of one consumer wait: for the first record, or for many at once.

    A record that comes alone is there at once; when many come, an answer for each would cost more than the records do.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._alone = (consumer._fetch_min_bytes, consumer._fetch_max_wait_ms)

    def choose(self, *, is_busy: bool) -> None:
        """Have the next fetches wait for company, or not."""
        fetcher = self._consumer._fetcher
        if fetcher is not None:
            fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = (
                (_GATHER_BYTES, _GATHER_MS) if is_busy else self._alone
            )


def readable_end(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """Where what can be read of a partition ends, as the last answer said; None before the first.

    Behind it there may be transactions that are still open.
    """
    end: int | None = consumer.highwater(partition)
    stable: int | None = consumer.last_stable_offset(partition)
    return end if end is None or stable is None or stable < 0 else min(end, stable)


def as_record(record: ConsumerRecord) -> Record:
    """aiokafka's record as ours."""
    return Record(
        record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers)
    )


async def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing, and return their names.

    Raises:
        KafkaError: the brokers cannot be reached, or refuse.
    """
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        missing = sorted(set(topics.ALL) - set(await admin.list_topics()))
        wanted = [
            NewTopic(name, num_partitions=settings.partitions_of(name), replication_factor=settings.replication_factor)
            for name in missing
        ]
        if wanted:
            answer = await admin.create_topics(wanted)
            for name, code, *_ in answer.topic_errors:
                if code not in (0, TopicAlreadyExistsError.errno):
                    raise for_code(code)(f"could not create topic {name}")
        return missing
    finally:
        await admin.close()


async def wait_for_topics(settings: Settings) -> None:
    """Create the missing topics as soon as the brokers answer, however long that takes."""
    said = ""
    while True:
        try:
            if made := await create_topics(settings):
                log.info("made topics", topics=made)
            return
        except (KafkaError, KafkaConnectionError, OSError) as error:
            if str(error) != said:
                said = str(error)
                log.warning("waiting for kafka", brokers=settings.bootstrap_servers, reason=said)
            await asyncio.sleep(_CONNECT_AGAIN_SECONDS)


async def partitions_of(settings: Settings, *names: str) -> list[TopicPartition]:
    """Every partition of the topics ``names``; none of a topic that is not there, and none is made by asking.

    A consumer cannot be asked: one that has subscribed to nothing is told of no topic by Apache Kafka.

    Raises:
        KafkaError: the brokers do not answer.
    """
    client = AIOKafkaClient(**client_options(settings))
    try:
        await client.bootstrap()
        cluster = await client.fetch_all_metadata()
        return [
            TopicPartition(name, number)
            for name in names
            for number in sorted(cluster.partitions_for_topic(name) or ())
        ]
    finally:
        await client.close()


async def describe_group(admin: AIOKafkaAdminClient, group: str) -> tuple[str, Sequence[Any]]:
    """The state of a consumer group and its members, as the brokers tell the started ``admin``.

    Raises:
        KafkaError: the brokers do not answer, or have no place for their groups yet.
        IndexError, ValueError: the answer has another shape; the embedded broker answers less than Kafka does.
    """
    answers = await admin.describe_consumer_groups([group])
    _, _, state, _, _, members, *_ = answers[0].groups[0]
    return state, members


async def describe_group_when_placed(admin: AIOKafkaAdminClient, group: str) -> tuple[str, Sequence[Any]]:
    """As :func:`describe_group`; waits for a cluster that makes the place for its groups when it is first asked."""
    while True:
        try:
            return await describe_group(admin, group)
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(_COORDINATOR_POLL_SECONDS)


def _text(path: object) -> str | None:
    return None if path is None else str(path)
