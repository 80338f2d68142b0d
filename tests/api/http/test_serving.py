"""The api as a process: how it starts, stops and dies."""

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from aiohttp import ClientSession

from kafka_servers import EmbeddedBroker
from photos import photo
from polling import poll, poll_async
from running_api import WORKSPACE, form
from server_process import ServerProcess, free_port

KEY = "a-key-of-the-tests"
PHOTOS = f"/v1/workspaces/{WORKSPACE}/photos"


class ApiProcess(ServerProcess):
    """``run_api`` in a process of its own."""

    def __init__(self, folder: Path, port: int | None = None, **settings: object) -> None:
        super().__init__("api", folder, port)
        self._settings = {"data_dir": folder / "data", "admin_key": KEY, "http_port": self.port, **settings}

    def command(self) -> Sequence[str]:
        code = "import sys; from api.app import run_api; from infra.settings import load_settings as load"
        return [sys.executable, "-c", f"{code}; sys.exit(run_api(load()))"]

    def environment(self) -> Mapping[str, str]:
        root = str(Path(__file__).parents[3])
        return {"PYTHONPATH": root} | {f"THUMBSTREAM_{name.upper()}": str(v) for name, v in self._settings.items()}

    def ended_with(self) -> int | None:
        """The exit code once it has ended."""
        assert self._process is not None
        return self._process.poll()

    def client(self) -> ClientSession:
        """With the key."""
        return ClientSession(f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {KEY}"})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stopping_api_ends_with_0_and_leaves_nothing_unpublished(
    fresh_folder: Path, embedded_broker: EmbeddedBroker, number: signal.Signals
) -> None:
    with ApiProcess(fresh_folder, **embedded_broker.settings) as api:
        async with api.client() as client:
            for _ in range(5):
                async with client.post(PHOTOS, data=form(photo())) as response:
                    assert response.status == 201
        os.kill(api.pid, number)
        assert poll(lambda: api.ended_with() is not None, 20)
        assert api.ended_with() == 0, api.log_tail()
        assert "Traceback" not in api.log_tail(200)


async def test_a_stop_while_kafka_is_away_does_not_wait_for_it(fresh_folder: Path) -> None:
    with ApiProcess(fresh_folder, embedded_kafka_port=free_port()) as api:
        async with api.client() as client, client.post(PHOTOS, data=form(photo())) as response:
            assert response.status == 201
        os.kill(api.pid, signal.SIGTERM)
        assert poll(lambda: api.ended_with() is not None, 15)
        assert api.ended_with() == 0, api.log_tail()


async def test_a_killed_api_publishes_what_it_had_accepted_when_it_is_back(
    fresh_folder: Path, embedded_broker: EmbeddedBroker
) -> None:
    port = free_port()
    settings = {**embedded_broker.settings, "partitions": 2}
    with ApiProcess(fresh_folder, **{**settings, "embedded_kafka_port": port}) as api:
        async with api.client() as client, client.post(PHOTOS, data=form(photo())) as response:
            posted = await response.json()
        api.kill()
    with ApiProcess(fresh_folder, api.port, **settings) as api:
        async with api.client() as client:
            async with client.get(f"{PHOTOS}/{posted['id']}") as response:
                assert (await response.json()) == posted

            async def nothing_waits() -> bool:
                async with client.get("/metrics") as response:
                    return "thumbstream_outbox_rows 0.0" in await response.text()

            await poll_async(nothing_waits, 20, what="the outbox is empty")


def test_a_taken_port_is_one_clear_line_and_exit_code_1(fresh_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        api = ApiProcess(fresh_folder, taken.getsockname()[1], embedded_kafka_port=free_port())
        api.spawn()
        poll(lambda: api.ended_with() is not None, 20)
        assert api.ended_with() == 1
        assert f"cannot listen on 127.0.0.1:{api.port}: the port is taken" in api.log_tail()
        assert "Traceback" not in api.log_tail()
        assert not (fresh_folder / "data").exists()
        api.stop()


def test_an_api_whose_background_dies_ends_with_an_error(fresh_folder: Path) -> None:
    class Doomed(ApiProcess):
        def command(self) -> Sequence[str]:
            *python, code = super().command()
            broken = "import api.feed.subscribers; api.feed.subscribers.Feed.catch_up = None; "
            return [*python, broken + code]

    api = Doomed(fresh_folder, embedded_kafka_port=free_port())
    api.spawn()
    poll(lambda: api.ended_with() is not None, 30)
    assert api.ended_with() == 1
    assert "feed failed: TypeError" in api.log_tail(400)
    api.stop()
