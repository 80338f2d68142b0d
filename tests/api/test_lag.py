"""How far the workers lag behind, as a watcher is told it."""

from pathlib import Path

from groundwork import kafka
from groundwork.settings import Settings
from kafka_servers import Broker
from polling import poll_async
from running_api import WORKSPACE, running_api


async def test_a_watcher_is_told_how_many_uploads_no_worker_has_finished(tmp_path: Path, broker: Broker) -> None:
    settings = Settings(data_dir=tmp_path, partitions=3, _env_file=None, **broker.settings)
    await kafka.wait_for_topics(settings)
    async with running_api(settings) as running:
        for _ in range(5):
            await running.post()
        async with running.client.ws_connect(f"/v1/workspaces/{WORKSPACE}/feed") as socket:

            async def lag_is_told() -> bool:
                message = await socket.receive_json(timeout=20)
                return message["type"] == "stats" and message["lag"] is not None and message["lag"] > 0

            await poll_async(lag_is_told, 30, what="the lag is told")
