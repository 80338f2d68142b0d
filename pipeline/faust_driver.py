"""Options of Faust's Kafka driver for which Faust has no setting.

- The fetch wait (Faust has 1500 ms written in: on the embedded broker that is half a second for each photo).
- Our own options for security and idempotence, the same as of every other client.
- A producer that soon gives up on silent connections.
- Acks are committed when partitions are revoked: Faust drops them, and finished work would be done again.
- What is committed is what was acked last, for our acks come in the order of their partition. Faust looks for a row of
  offsets without a gap and makes a list of every offset that is missing: those of aborted transactions, millions of
  them, or as many as a batch claims to have.
- Offsets that could not be committed count as not committed. Faust takes them for committed, also when a rebalance came
  first: it drops the acks of the records when they come again, and the group's lag stays until a newer record comes.
- A partition of which nothing is committed is read from its start after a rebalance. aiokafka's ``seek_to_committed``
  leaves it where it is, which is behind records that Faust has fetched and dropped: they would be lost.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

import aiokafka
import structlog
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT

from infra.kafka.aiokafka_patches import with_short_timeouts
from infra.kafka.clients import client_options, new_consumer, producer_options
from infra.settings import Settings

log = structlog.get_logger(__name__)

#: The coordinator answers in milliseconds or is away; a rebalance must not wait for it.
_COMMIT_ON_REVOKE_SECONDS = 2.0


def transport_for(app: AppT, settings: Settings) -> driver.Transport:
    """The transport that a worker's ``app`` is to use, for consumer and producer."""

    class ConsumerThread(driver.AIOKafkaConsumerThread):
        def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
            self._assignor = RoundRobinPartitionAssignor
            return new_consumer(
                settings,
                group=self.app.conf.id,
                client_id=self.app.conf.broker_client_id,
                partition_assignment_strategy=[RoundRobinPartitionAssignor],
                max_poll_records=self.app.conf.broker_max_poll_records,
                max_poll_interval_ms=int(self.app.conf.broker_max_poll_interval * 1000),
                rebalance_timeout_ms=int(self.app.conf.broker_rebalance_timeout * 1000),
            )

        async def seek_to_committed(self) -> Mapping[TP, int]:
            found: Mapping[TP, int] = await self.call_thread(_seek_to_committed, self._ensure_consumer())
            return found

    class Consumer(driver.Consumer):
        def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
            return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

        def _new_offset(self, tp: TP) -> int | None:
            acked = self._acked[tp]
            if not acked:
                return None
            last: int = max(acked)
            acked.clear()
            self._acked_index[tp].clear()
            return last + 1

        async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
            """Nothing is to be remembered: see ``_new_offset``."""

        async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
            did_commit: bool = await super()._commit_offsets(offsets, start_new_transaction)
            if not did_commit:
                for partition in offsets:
                    self._committed_offset.pop(partition, None)
            return did_commit

        async def on_partitions_revoked(self, revoked: set[TP]) -> None:
            self._buffered_partitions.clear()
            try:
                await asyncio.wait_for(self.force_commit(), _COMMIT_ON_REVOKE_SECONDS)
            except Exception as error:
                log.warning("could not commit before a rebalance: finished work may be repeated", reason=repr(error))
            await super().on_partitions_revoked(revoked)

    class Producer(driver.Producer):
        @property
        def has_one_broker(self) -> bool:
            """Whether the cluster is known to be one broker."""
            return self._producer is not None and len(self._producer.client.cluster.brokers()) == 1

        def _settings_auth(self) -> dict[str, Any]:
            return client_options(settings)

        def _settings_extra(self) -> dict[str, Any]:
            return producer_options(settings)

        def _new_producer(self, transactional_id: str | None = None) -> aiokafka.AIOKafkaProducer:
            return with_short_timeouts(super()._new_producer(transactional_id))

    class Transport(driver.Transport):
        Consumer: ClassVar[type[driver.Consumer]]
        Producer: ClassVar[type[driver.Producer]]

    Transport.Consumer = Consumer
    Transport.Producer = Producer
    return Transport(app.conf.broker_consumer, app)


async def _seek_to_committed(consumer: aiokafka.AIOKafkaConsumer) -> Mapping[TP, int]:
    committed: Mapping[TP, int] = await consumer.seek_to_committed()
    untouched = [partition for partition, offset in committed.items() if not offset]
    if untouched:
        for partition, start in (await consumer.beginning_offsets(untouched)).items():
            consumer.seek(partition, start)
    return committed
