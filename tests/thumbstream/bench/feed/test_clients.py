"""The bench's clients, against an api in this process: the whole command takes too long for a test."""

from array import array
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlmodel import col

from api.access.admin_key import admin_key
from api.http.app_keys import DATABASE
from api.store.tables import JournalRow
from infra.settings import Settings
from polling import poll_async
from running_api import WORKSPACE, running_api
from server_process import free_port
from thumbstream.bench.feed.clients import open_clients
from thumbstream.bench.service import CannotMeasure

PATH = f"/v1/workspaces/{WORKSPACE}/feed"


@pytest.mark.database
async def test_each_client_notes_every_change_and_a_wrong_key_is_told(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, embedded_kafka_port=free_port(), _env_file=None)
    async with running_api(settings) as api:
        port = api.runner.addresses[0][1]
        clients = await open_clients(port, PATH, admin_key(settings), 8)
        for _ in range(5):
            await api.post()
        async with api.app[DATABASE].reading() as session:
            numbers = array("q", [number or 0 for number in await session.scalars(select(col(JournalRow.seq)))])
        assert len(numbers) == 5

        def is_complete() -> bool:
            return all(len(client.numbers) == len(client.times) == 5 for client in clients)

        await poll_async(is_complete, 20, what="every client has five changes")
        assert [client.numbers for client in clients] == [numbers] * 8
        for client in clients:
            client.transport.close()
        with pytest.raises(CannotMeasure, match="401"):
            await open_clients(port, PATH, "wrong", 1)
