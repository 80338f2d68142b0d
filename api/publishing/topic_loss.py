"""Detects that topics were lost. A missing sentinel offset shows that a topic was recreated.

The sentinel is an offset that a group of its own has committed on each topic that the outbox feeds. Kafka deletes it
together with the topic, and the embedded broker forgets it together with everything, whoever makes the topics anew.
"""

import asyncio
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from api.publishing.republish import mark_lost
from api.store.database import Database
from infra.kafka import clients
from infra.settings import Settings
from schemas import topics

log = structlog.get_logger(__name__)

_SENTINELS: Final = (TopicPartition(topics.UPLOADED, 0), TopicPartition(topics.DELETED, 0))
_ANSWER_SECONDS: Final = 10.0


class TopicLossDetector:
    """Asked before anything is published, and now and then: so nothing is lost with a topic, and nothing goes twice."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._turn = asyncio.Lock()

    async def check(self) -> int:
        """Create missing topics; where a sentinel is missing, mark what is unfinished as lost. Commits both sentinels.

        Returns how many that were.

        Raises:
            KafkaError, OSError: the brokers do not answer.
            SQLAlchemyError: the database is away.
        """
        async with self._turn:
            await clients.create_topics(self._settings)
            consumer = clients.new_consumer(self._settings, group=topics.TOPIC_LOSS_GROUP)
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await consumer.start()
                    known = [await consumer.committed(partition) for partition in _SENTINELS]
                lost = await mark_lost(self._database) if None in known else 0
                if lost:
                    log.warning("the topics were recreated: unfinished photos are published again", count=lost)
                # Also where they exist: committed offsets expire, by default after seven days.
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await _remember(consumer)
                return lost
            finally:
                await consumer.stop()


async def _remember(consumer: AIOKafkaConsumer) -> None:
    consumer.assign(_SENTINELS)
    consumer.pause(*_SENTINELS)
    await consumer.commit(dict.fromkeys(_SENTINELS, 1))
