"""The worker's own HTTP."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from infra.listener import bound_socket
from infra.metrics import WORKER
from infra.readiness import Check, Readiness
from infra.settings import Settings
from pipeline.monitoring import checks_at_start, serving
from pipeline.run_worker import run_worker


@asynccontextmanager
async def monitored(checks: dict[str, Check]) -> AsyncIterator[ClientSession]:
    with bound_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        async with serving(listener, Readiness(checks)), ClientSession(f"http://127.0.0.1:{port}") as client:
            yield client


async def good() -> None:
    """A check of a part that works."""


async def bad() -> None:
    raise OSError("the disk is gone")


async def test_a_worker_that_starts_lives_and_is_not_ready() -> None:
    async with monitored(checks_at_start()) as client:
        async with client.get("/healthz") as response:
            assert response.status == 200
        async with client.get("/readyz") as response:
            assert response.status == 503
            checks = (await response.json())["checks"]
    assert checks == {
        name: {"ok": False, "reason": "it is starting"} for name in ("kafka", "group", "storage", "render_pool")
    }


async def test_it_is_ready_when_every_part_is() -> None:
    checks = checks_at_start()
    for name in ("kafka", "group", "storage", "render_pool"):
        checks[name] = good
    async with monitored(checks) as client, client.get("/readyz") as response:
        assert (response.status, (await response.json())["ready"]) == (200, True)


async def test_the_part_that_does_not_work_is_named() -> None:
    checks = checks_at_start()
    for name in ("kafka", "group", "render_pool"):
        checks[name] = good
    checks["storage"] = bad
    async with monitored(checks) as client, client.get("/readyz") as response:
        assert response.status == 503
        assert (await response.json())["checks"]["storage"]["reason"] == "OSError: the disk is gone"


async def test_its_metrics_are_those_of_a_worker() -> None:
    async with monitored(checks_at_start()) as client, client.get("/metrics") as response:
        text = await response.text()
    assert response.content_type == "text/plain"
    families = {family.name for family in WORKER.collect()}
    assert families <= {
        line.split()[2].removesuffix("_total") for line in text.splitlines() if line.startswith("# TYPE")
    }
    assert "thumbstream_uploads" not in text


def test_a_taken_port_is_one_clear_line_and_exit_code_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(data_dir=tmp_path, worker_http_port=port, _env_file=None)
        with capture_logs() as logs:
            assert run_worker(settings) == 1
    assert [line["event"] for line in logs] == [
        f"cannot listen on 127.0.0.1:{port}: the port is taken: set THUMBSTREAM_WORKER_HTTP_PORT to another one"
    ]


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_a_port_that_is_none_is_refused_at_the_start(port: int) -> None:
    with pytest.raises(ValueError, match="worker_http_port"):
        Settings(worker_http_port=port, _env_file=None)
