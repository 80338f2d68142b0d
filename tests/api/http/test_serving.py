"""The api as a process: how it starts, stops and dies."""

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import structlog
from aiohttp import ClientSession

from api.app import run_api
from infra.settings import Settings
from kafka_servers import EmbeddedBroker
from photos import photo
from polling import poll, poll_async
from raw_http import connected, head_of
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


def test_a_taken_port_is_one_clear_line_and_exit_code_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, structlog.testing.capture_logs() as said:
        port = taken.getsockname()[1]
        assert run_api(Settings(data_dir=tmp_path / "data", http_port=port, _env_file=None)) == 1
    assert said == [{"event": f"cannot listen on 127.0.0.1:{port}: the port is taken", "log_level": "error"}]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("form_of_log", ["json", "logfmt", "console"])
async def test_no_request_gets_a_control_character_into_the_log(fresh_folder: Path, form_of_log: str) -> None:
    class Logging(ApiProcess):
        def command(self) -> Sequence[str]:
            *python, code = super().command()
            return [*python, f"from infra.logs import configure_logs; configure_logs({form_of_log!r}); {code}"]

    hostile = "%1b%5b31m%0d%0a%00%c2%9b%e2%80%ae%ff"
    with Logging(fresh_folder, embedded_kafka_port=free_port()) as api:
        for path in (f"/{hostile}", f"/v1/workspaces/{hostile}/photos", f"{PHOTOS}/{hostile}", f"/healthz?{hostile}"):
            async with connected(f"http://127.0.0.1:{api.port}") as connection:
                await connection.send(
                    head_of(f"GET {path}", "X-Request-ID: \x9b31m", "User-Agent: \x9b31m", "Cookie: \x9b=1", key=KEY)
                )
                assert await connection.answer() is not None
        async with connected(f"http://127.0.0.1:{api.port}") as connection:
            await connection.send("GET /\x1b[31m HTTP/1.1\r\nHost: \x1b[31m\r\n\x1b: \x07\r\n\r\n")
            assert await connection.answer() is not None
        poll(lambda: api.log_file.read_bytes().count(b"31m") >= 3, 20, what="the requests are logged")
        log = api.log_file.read_bytes().decode()
    assert [line for line in log.split("\n") if not line.isprintable()] == []
    if form_of_log == "json":
        assert all(json.loads(line)["event"] for line in log.splitlines())
