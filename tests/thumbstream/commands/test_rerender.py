"""``thumbstream rerender`` against a real api without Kafka: the photos that it sends stay pending."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import aiohttp
import pytest

from deployment import ADMIN_KEY, ApiProcess
from photos import photo
from running_api import form
from server_process import free_port

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def api(server_folder: Path) -> Iterator[ApiProcess]:
    """With three photos that stay pending, one of them of item ``box``."""
    folder = Path(tempfile.mkdtemp(dir=server_folder))
    variables = {
        "THUMBSTREAM_DATA_DIR": str(folder / "data"),
        "THUMBSTREAM_ADMIN_KEY": ADMIN_KEY,
        "THUMBSTREAM_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
    }
    with ApiProcess("api", folder, variables) as process:
        asyncio.run(_post_photos(process))
        yield process


async def _post_photos(api: ApiProcess) -> None:
    async with aiohttp.ClientSession(api.url, headers={"Authorization": f"Bearer {ADMIN_KEY}"}) as client:
        for fields in ({}, {}, {"item_id": "box"}):
            async with client.post("/v1/workspaces/default/photos", data=form(photo(), **fields)) as response:
                assert response.status == 201


@pytest.fixture
def rerender(run: Command, api: ApiProcess) -> Command:
    """Run ``thumbstream rerender …``."""

    def run_rerender(*arguments: str) -> CompletedProcess[str]:
        return run("rerender", *arguments, THUMBSTREAM_URL=api.url, THUMBSTREAM_KEY=ADMIN_KEY)

    return run_rerender


def test_photos_are_counted_and_sent_by_their_conditions(rerender: Command) -> None:
    assert rerender("--status", "pending", "--dry-run").stdout == "3 photos would be rendered again\n"
    assert rerender("--item", "box", "-n").stdout == "1 photo would be rendered again\n"
    assert rerender("--since", "1h", "--all-workspaces", "-n").stdout == "3 photos would be rendered again\n"
    assert rerender("--until", "1h", "-n").stdout == "0 photos would be rendered again\n"
    done = rerender("--item", "box")
    assert (done.returncode, done.stdout) == (0, "1 photo sent to be rendered again\n")
    assert rerender("--stale").stdout == "0 photos sent to be rendered again\n"


def test_what_means_nothing_is_refused_with_a_reason(rerender: Command) -> None:
    for arguments, said in (((), "say which"), (("--since", "x"), "no time"), (("--code", "bored"), "code")):
        refused = rerender(*arguments)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
