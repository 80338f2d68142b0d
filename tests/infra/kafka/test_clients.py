"""How the fetches of a consumer wait."""

from infra.kafka.clients import Gathering, new_consumer
from infra.settings import Settings
from kafka_servers import EmbeddedBroker


async def test_fetches_wait_for_company_only_while_they_are_told_to(embedded_broker: EmbeddedBroker) -> None:
    consumer = new_consumer(Settings(_env_file=None, **embedded_broker.settings), group=None)
    gathering = Gathering(consumer)
    gathering.choose(is_busy=True)  # before it is started
    await consumer.start()
    try:
        fetcher = consumer._fetcher
        alone = fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms
        gathering.choose(is_busy=True)
        assert (fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms) > alone
        gathering.choose(is_busy=False)
        assert (fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms) == alone
    finally:
        await consumer.stop()
