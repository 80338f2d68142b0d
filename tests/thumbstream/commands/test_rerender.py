"""``thumbstream rerender`` against a real api without Kafka: the photos that it sends stay pending."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from deployment import ADMIN_KEY, ApiProcess
from photos import photo
from server_process import free_port

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def api(fresh_folder: Path) -> Iterator[ApiProcess]:
    variables = {
        "THUMBSTREAM_DATA_DIR": str(fresh_folder / "data"),
        "THUMBSTREAM_ADMIN_KEY": ADMIN_KEY,
        "THUMBSTREAM_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
    }
    with started(ApiProcess("api", fresh_folder, variables)) as process:
        yield process


@contextmanager
def started(process: ApiProcess) -> Iterator[ApiProcess]:
    process.start()
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
def rerender(run: Command, api: ApiProcess, tmp_path: Path) -> Command:
    """Run ``thumbstream rerender …`` where three photos are pending, one of them of item ``box``."""
    reach = {"THUMBSTREAM_URL": api.url, "THUMBSTREAM_KEY": ADMIN_KEY}
    file = tmp_path / "cat.jpg"
    file.write_bytes(photo())
    for more in ((), (), ("--item", "box")):
        done = run("upload", str(file), "--no-wait", *more, **reach)
        assert done.returncode == 0, done.stderr

    def run_rerender(*arguments: str) -> CompletedProcess[str]:
        return run("rerender", *arguments, **reach)

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
