import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import reaper
from infra.kafka.clients import create_topics
from infra.settings import Settings
from polling import poll
from schemas import topics
from server_process import free_port
from thumbstream.supervisor.embedded_broker import (
    BrokerFailed,
    PortTaken,
    broker_command,
    check_port_is_free,
    wait_until_broker_answers,
)
from thumbstream.supervisor.output import Output
from thumbstream.supervisor.processes import Child, own_environment


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.embedded
async def test_it_answers_as_kafka_does() -> None:
    settings = Settings(embedded_kafka_port=free_port(), partitions=3)
    child = await Child.start(
        "broker", broker_command(settings.embedded_kafka_port), own_environment(), Output(io.StringIO())
    )
    try:
        await wait_until_broker_answers(child, settings.embedded_kafka_port)
        assert await create_topics(settings) == sorted(topics.ALL)
    finally:
        child.terminate()
        await child.wait()


@pytest.mark.embedded
async def test_a_port_that_another_answers_on_is_no_start(taken_port: int) -> None:
    child = await Child.start("broker", broker_command(taken_port), own_environment(), Output(io.StringIO()))
    with pytest.raises(BrokerFailed, match=f"ended at once on 127.0.0.1:{taken_port}"):
        await wait_until_broker_answers(child, taken_port)
    await child.wait()


def test_a_taken_port_is_told_with_the_setting_that_chooses_another(taken_port: int) -> None:
    with pytest.raises(PortTaken, match=rf"127.0.0.1:{taken_port} .* THUMBSTREAM_X"):
        check_port_is_free("127.0.0.1", taken_port, setting="THUMBSTREAM_X")
    check_port_is_free("127.0.0.1", free_port(), setting="THUMBSTREAM_X")


@pytest.mark.embedded
def test_it_ends_with_whoever_started_it_though_killed(tmp_path: Path) -> None:
    port = free_port()
    program = (
        "import subprocess, sys, time\n"
        "quiet = dict(stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)\n"
        "child = subprocess.Popen(sys.argv[1:], **quiet, start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    command = [sys.executable, "-S", "-c", program, *broker_command(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        broker = int(parent.stdout.readline())
        reaper.started(broker)
        poll(lambda: _answers(port), what="the broker answers")
        parent.kill()
    poll(lambda: not _answers(port), what="the broker is gone")
    reaper.ended(broker)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
