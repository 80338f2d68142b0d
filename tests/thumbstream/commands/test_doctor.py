import os
from pathlib import Path
from typing import Any

import pytest

from api.store.database import open_database
from infra.kafka.clients import create_topics
from infra.settings import Settings
from kafka_servers import Broker, EmbeddedBroker
from polling import poll_async
from postgres_server import PostgreSQL
from schemas import topics
from server_process import free_port
from thumbstream.commands.doctor.command import (
    Finding,
    Verdict,
    examine,
    examine_api,
    examine_data_dir,
    examine_database,
    examine_storage,
)
from thumbstream.commands.doctor.kafka_checks import examine_kafka, examine_topics


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


def _settings(data_dir: Path, **more: Any) -> Settings:
    return Settings(data_dir=data_dir, http_port=free_port(), **more)


async def _kafka(settings: Settings) -> list[Finding]:
    return [finding async for finding in examine_kafka(settings)]


async def _knows_all_topics(settings: Settings) -> bool:
    return len([finding for finding in await _kafka(settings) if finding.about == "topics"]) == 1


def _about(findings: list[Finding], about: str) -> Finding:
    (found,) = [finding for finding in findings if finding.about == about]
    return found


async def test_with_a_broker_and_its_topics_only_the_worker_is_missing(broker: Broker, data_dir: Path) -> None:
    settings = _settings(data_dir, partitions=3, **broker.settings)
    await create_topics(settings)
    # Apache Kafka tells of new topics a moment after it has made them.
    await poll_async(lambda: _knows_all_topics(settings), 30)
    findings = [finding async for finding in examine(settings)]
    assert _about(findings, "kafka").verdict is Verdict.OK
    shapes = "; ".join(
        f"{partitions} partitions, 1 replicas" for partitions in sorted({*map(settings.partitions_of, topics.ALL)})
    )
    assert _about(findings, "topics").text == f"{len(topics.ALL)} of {len(topics.ALL)} are as set ({shapes})"
    assert "no worker lives" in _about(findings, "workers").text
    assert [finding.about for finding in findings if finding.verdict is Verdict.BAD] == ["workers"]


async def test_missing_topics_are_named_and_no_fault(embedded_broker: EmbeddedBroker, data_dir: Path) -> None:
    findings = await _kafka(_settings(data_dir, **embedded_broker.settings))
    missing = [finding for finding in findings if "is missing" in finding.text]
    assert len(missing) == len(topics.ALL)
    assert {finding.verdict for finding in missing} == {Verdict.NOTE}


async def test_fewer_partitions_than_set_are_told(embedded_broker: EmbeddedBroker, data_dir: Path) -> None:
    await create_topics(_settings(data_dir, partitions=2, **embedded_broker.settings))
    findings = await _kafka(_settings(data_dir, partitions=4, **embedded_broker.settings))
    assert any("photos.uploaded has 2 partitions" in finding.text for finding in findings)


@pytest.mark.parametrize(
    ("setting", "advice"),
    [("embedded_kafka_port", "thumbstream up"), ("kafka_bootstrap", "THUMBSTREAM_KAFKA_BOOTSTRAP")],
)
async def test_a_broker_that_is_away_is_bad_with_what_to_do(data_dir: Path, setting: str, advice: str) -> None:
    port = free_port()
    given = port if setting == "embedded_kafka_port" else f"127.0.0.1:{port}"
    (finding,) = await _kafka(_settings(data_dir, **{setting: given}))
    assert finding.verdict is Verdict.BAD
    assert advice in finding.text


def test_partitions_without_a_leader_and_too_few_copies_are_bad(data_dir: Path) -> None:
    settings = _settings(data_dir, partitions=1, replication_factor=3)
    described = {
        "photos.uploaded": {"partitions": [{"leader": -1, "replicas": [1, 2, 3]}]},
        "photos.deleted": {"partitions": [{"leader": 1, "replicas": [1]}]},
    }
    told = {finding.text for finding in examine_topics(settings, described, brokers=1) if finding.verdict == "BAD"}
    assert len(told) == 3
    assert any("no leader" in text for text in told)
    assert any("fewer copies" in text for text in told)
    assert any("only 1 broker" in text for text in told)


@pytest.mark.database
async def test_the_database_is_ok_once_migrated(data_dir: Path) -> None:
    settings = _settings(data_dir)
    assert (await examine_database(settings)).verdict is Verdict.NOTE
    assert os.listdir(data_dir) == [], "to look makes no file"  # noqa: PTH208
    database = open_database(settings)
    await database.migrate()
    await database.close()
    assert (await examine_database(settings)).verdict is Verdict.OK


@pytest.mark.database
async def test_tables_of_another_version_are_bad(data_dir: Path) -> None:
    from sqlalchemy import text

    settings = _settings(data_dir)
    database = open_database(settings)
    await database.migrate()
    await database.write(lambda session: session.execute(text("UPDATE alembic_version SET version_num = '0000'")))
    await database.close()
    finding = await examine_database(settings)
    assert finding.verdict is Verdict.BAD
    assert "0000" in finding.text


async def test_postgresql_is_examined_too_and_its_password_not_told(
    postgres: PostgreSQL, postgres_url: str, data_dir: Path
) -> None:
    finding = await examine_database(_settings(data_dir, database_url=postgres_url))
    assert finding.verdict is Verdict.NOTE
    away = _settings(data_dir, database_url=f"postgresql://someone:secret@127.0.0.1:{free_port()}/x")
    finding = await examine_database(away)
    assert finding.verdict is Verdict.BAD
    assert "secret" not in finding.text


async def test_storage_that_cannot_be_written_is_bad(data_dir: Path) -> None:
    (data_dir / "storage").write_text("in the way")
    assert (await examine_storage(_settings(data_dir))).verdict is Verdict.BAD


async def test_storage_that_processes_do_not_share_is_bad(data_dir: Path) -> None:
    assert (await examine_storage(_settings(data_dir, storage_url="memory://"))).verdict is Verdict.BAD


def test_a_data_directory_open_to_everyone_is_noted(data_dir: Path) -> None:
    assert examine_data_dir(_settings(data_dir)).verdict is Verdict.OK
    data_dir.chmod(0o755)
    assert "chmod 700" in examine_data_dir(_settings(data_dir)).text


async def test_looking_changes_nothing_before_the_first_start(tmp_path: Path) -> None:
    settings = _settings(tmp_path / "not" / "yet", embedded_kafka_port=free_port())
    findings = [finding async for finding in examine(settings)]
    assert not (tmp_path / "not").exists()
    for about in ("data dir", "database", "storage"):
        assert _about(findings, about).verdict is Verdict.NOTE


async def test_no_api_is_a_note(data_dir: Path) -> None:
    assert [finding.verdict for finding in await examine_api(_settings(data_dir))] == [Verdict.NOTE]
