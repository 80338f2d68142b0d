"""How far the workers lag behind, as a watcher is told it."""

from pathlib import Path

from aiokafka import TopicPartition

from infra.kafka import clients
from infra.kafka.group_backlog import GroupBacklog
from infra.settings import Settings
from kafka_servers import ApacheKafka, Broker
from polling import poll_async
from running_api import WORKSPACE, running_api
from schemas import topics


async def test_a_watcher_is_told_how_many_uploads_no_worker_has_finished(tmp_path: Path, broker: Broker) -> None:
    settings = Settings(data_dir=tmp_path, partitions=3, _env_file=None, **broker.settings)
    await clients.wait_for_topics(settings)
    async with running_api(settings) as running:
        for _ in range(5):
            await running.post()
        async with running.client.ws_connect(f"/v1/workspaces/{WORKSPACE}/feed") as socket:

            async def lag_is_told() -> bool:
                message = await socket.receive_json(timeout=20)
                return message["type"] == "stats" and message["lag"] is not None and message["lag"] > 0

            await poll_async(lag_is_told, 30, what="the lag is told")


async def test_what_a_transaction_leaves_behind_is_no_lag_and_what_it_took_back_is_no_record(
    tmp_path: Path, apache_kafka: ApacheKafka
) -> None:
    settings = Settings(data_dir=tmp_path, partitions=1, _env_file=None, **apache_kafka.settings)
    await clients.wait_for_topics(settings)
    only = TopicPartition(topics.UPLOADED, 0)
    producer = clients.new_producer(settings, transactional_id="tests-of-lag")
    async with producer, GroupBacklog(settings, "lag", counted=10) as asking:
        for is_committed in (False, True, True, False, False):
            await producer.begin_transaction()
            await producer.send_and_wait(topics.UPLOADED, b"x", partition=0)
            await (producer.commit_transaction() if is_committed else producer.abort_transaction())
        found = {}
        for offset in (0, 3, 4, 5, 6, 10):
            await commit(settings, "lag", only, offset)
            found[offset] = (await asking.read(topics.UPLOADED))[only].records
        assert found == {0: 2, 3: 1, 4: 1, 5: 0, 6: 0, 10: 0}
        await commit(settings, "lag", only, 5)
        await producer.begin_transaction()
        await producer.send_and_wait(topics.UPLOADED, b"still open", partition=0)
        await producer.send_and_wait(topics.UPLOADED, b"still open", partition=0)
        open_lag = (await asking.read(topics.UPLOADED))[only].records
        await producer.commit_transaction()
        assert (await asking.read(topics.UPLOADED))[only].records == open_lag + 2


async def commit(settings: Settings, group: str, partition: TopicPartition, offset: int) -> None:
    consumer = clients.new_consumer(settings, group=group)
    await consumer.start()
    consumer.assign([partition])
    await consumer.commit({partition: offset})
    await consumer.stop()
