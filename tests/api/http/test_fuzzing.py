"""Schemathesis finds nothing: requests made from the OpenAPI document, valid and not, one by one and in sequences."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from deployment import ADMIN_KEY, ApiProcess, Deployment
from kafka_servers import EmbeddedBroker
from schemas import topics
from schemas.records import Record, dead_headers

_FOLDER: Final = Path(__file__).parents[2] / "support/api_fuzzing"

#: For a machine that does other things too.
_SECONDS: Final = 900


@pytest.fixture
def api(embedded_broker: EmbeddedBroker, fresh_folder: Path) -> Iterator[ApiProcess]:
    """An api with SQLite and the embedded broker, with one dead letter and without a worker."""
    deployment = Deployment(fresh_folder, embedded_broker, workers=0)
    try:
        deployment.start()
        asyncio.run(_send_dead_letter(deployment))
        yield deployment.api
    finally:
        deployment.stop()


async def _send_dead_letter(deployment: Deployment) -> None:
    # Beside being shown and settled: to find an empty topic empty takes a while, and some 500 requests do.
    value = b'{"workspace_id": "acme"}'
    headers = dead_headers(Record(topics.UPLOADED, 0, 0, 0, b"key", value), "photo_id: Field required")
    async with deployment.producer() as producer:
        await producer.send_and_wait(topics.DEAD, value, b"key", headers=headers)


@pytest.mark.servers  # not for want of a server: it takes minutes
@pytest.mark.timeout(_SECONDS + 60)
@pytest.mark.parametrize(
    ("phases", "examples"), [("examples,coverage", "10"), ("fuzzing", "10"), ("stateful", "30")], ids=str
)
def test_schemathesis_finds_nothing(api: ApiProcess, phases: str, examples: str, tmp_path: Path) -> None:
    """The same requests in every run: see ``[generation]`` in the configuration."""
    command = [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", str(_FOLDER / "schemathesis.toml")),
        *("run", f"{api.url}/openapi.json", "--header", f"Authorization: Bearer {ADMIN_KEY}"),
        *("--phases", phases, "--max-examples", examples),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(_FOLDER), str(_FOLDER.parent)))}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    assert "Tested" in done.stdout or "Scenarios" in done.stdout
