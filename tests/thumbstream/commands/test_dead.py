"""``thumbstream dead`` as a process of its own, on the embedded broker."""

import asyncio
import json
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from infra.kafka import clients
from infra.settings import Settings
from kafka_servers import EmbeddedBroker
from schemas import topics
from schemas.dead_letters import bare_dead_letter
from schemas.records import Record, dead_headers
from server_process import free_port

#: A command with its arguments, run to its end.
Dead = Callable[..., CompletedProcess[str]]

GOOD = b'{"workspace_id": "acme"}'


@pytest.fixture
def dead(run: Dead, embedded_broker: EmbeddedBroker) -> Dead:
    """Run ``thumbstream dead …`` with two letters of the worker, one of them no text, and one of the projector."""
    settings = Settings(partitions=1, _env_file=None, **embedded_broker.settings)

    async def send_dead_letter() -> None:
        await clients.wait_for_topics(settings)
        producer = clients.new_producer(settings)
        await producer.start()
        for offset, (value, reason) in enumerate([(GOOD, "photo_id: Field required"), (b"\x1b[2J\xff", "no JSON")]):
            record = Record(topics.UPLOADED, 0, offset, 0, b"key", value)
            await producer.send_and_wait(topics.DEAD, value, b"key", headers=dead_headers(record, reason))
        large = Record(topics.READY, 0, 41, 0, b"key", b"x" * 1_048_000)
        key, value, headers = bare_dead_letter(large, "no JSON")
        await producer.send_and_wait(topics.PROJECTED_DEAD, value, key, headers=headers)
        await producer.stop()

    asyncio.run(send_dead_letter())

    def run_dead(*arguments: str) -> CompletedProcess[str]:
        return run("dead", *arguments, **embedded_broker.variables)

    return run_dead


def test_letters_are_listed_replayed_and_dropped(dead: Dead) -> None:
    listed = dead("list")
    assert listed.returncode == 0
    assert "photo_id: Field required" in listed.stdout
    assert "photos.uploaded/0/1" in listed.stdout
    assert "\x1b[2J" not in listed.stdout
    assert listed.stdout.endswith("2 dead letters\n")
    dry = dead("replay", "--workspace", "acme", "--dry-run")
    assert dry.stdout == "1 letter would be replayed to photos.uploaded\n"
    assert dead("replay", "--workspace", "acme").stdout == "replayed 1 of 1 dead letters\n"
    assert dead("drop", "--reason", "no json").stdout == "dropped 1 of 1 dead letters\n"
    assert dead("list").stdout == "0 dead letters; 2 more were settled (--all)\n"
    settled = [json.loads(line) for line in dead("list", "--all", "--json").stdout.splitlines()]
    assert [each["settled"] for each in settled] == ["replayed", "dropped"]


def test_one_letter_is_shown_whole_and_harmless(dead: Dead) -> None:
    first = dead("show", "0", "0").stdout
    assert json.loads(first[first.index("{") :]) == json.loads(GOOD)
    assert "thumbstream_source_offset: 0" in first
    second = dead("show", "0", "1").stdout
    assert "1b 5b 32 4a ff" in second
    assert "\x1b" not in second
    missing = dead("show", "0", "7")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no dead letter" in missing.stderr


def test_the_projectors_letters_are_asked_for_by_name_and_one_without_its_value_is_not_replayed(dead: Dead) -> None:
    listed = dead("list", "--of", "projector")
    assert "thumbnails.ready/0/41" in listed.stdout
    assert "left out (1048000 bytes)" in listed.stdout
    assert listed.stdout.endswith("1 dead letter\n")
    shown = dead("show", "--of", "projector", "0", "0").stdout
    assert "value, 1048000 bytes" in shown
    refused = dead("replay", "--of", "projector")
    assert refused.returncode == 1
    assert "topic thumbnails.ready, partition 0, offset 41" in refused.stderr
    assert refused.stdout == "replayed 0 of 1 dead letters\n"
    assert dead("drop", "--of", "projector", "--all").stdout == "dropped 1 of 1 dead letters\n"
    assert dead("list").stdout.endswith("2 dead letters\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "--from", "3"), "--partition"),
        (("drop", "--since", "yesterday"), "is no time"),
        (("replay", "--until", "9" * 30 + "w"), "is no duration"),
    ],
)
def test_a_wish_that_means_nothing_is_refused_before_anything_is_done(
    run: Dead, arguments: tuple[str, ...], said: str
) -> None:
    refused = run("dead", *arguments)
    assert refused.returncode == 2
    assert said in refused.stderr


def test_kafka_away_is_told_in_one_line(run: Dead) -> None:
    told = run("dead", "list", THUMBSTREAM_KAFKA_BOOTSTRAP=f"127.0.0.1:{free_port()}")
    assert told.returncode == 2
    assert "Traceback" not in told.stderr
    assert told.stderr.splitlines()[-1].startswith("thumbstream: Kafka: ")
