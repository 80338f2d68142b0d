"""Each fault happens while photos come in; after it every photo is accounted for."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import pytest

import reaper
from ailing_s3 import AilingS3
from deployment import descendants_of
from fault_run import FAULT_MARKS, SHORT_FORM_PHOTOS, FaultRun, photos_per_fault, run_fault
from infra.kafka import clients
from load import Sent
from pictures import black_interlaced_png
from polling import poll_async
from proxied_servers import ProxiedServers
from schemas import topics
from topic_reader import ends_of, records_since

pytestmark = [pytest.mark.faults, *FAULT_MARKS]

S = FaultRun[ProxiedServers]


async def nothing(run: S) -> None:
    await run.until_middle_is_sent()


async def workers_killed(run: S) -> None:
    for kill, worker in enumerate(cycle(run.servers.deployment.workers)):
        if kill >= 4 and run.load.middle_is_out.is_set():
            return
        await asyncio.sleep(run.chance.uniform(0.5, 4))
        await run.do(worker.kill)
        await run.do(worker.start)


async def apis_killed(run: S) -> None:
    for kill, api in enumerate(cycle(run.servers.deployment.apis)):
        if kill >= 4 and run.load.middle_is_out.is_set():
            return
        await asyncio.sleep(run.chance.uniform(0.5, 4))
        await run.do(api.kill)
        await run.do(api.start)


async def brokers_killed_in_turn(run: S) -> None:
    for index, broker in enumerate(run.servers.kafka.brokers):
        await run.do(run.servers.kafka.kill, index)
        await asyncio.sleep(run.chance.uniform(5, 12))
        await run.do(broker.start)
        await asyncio.sleep(3)
    await run.until_middle_is_sent()


async def all_brokers_away_15_s(run: S) -> None:
    await run.do(run.servers.kafka.stop)
    await asyncio.sleep(15)
    await run.do(run.servers.kafka.start)


async def all_brokers_away_60_s(run: S) -> None:
    await run.do(run.servers.kafka.stop)
    await asyncio.sleep(60)
    await run.do(run.servers.kafka.start)


async def network_to_brokers_cut(run: S) -> None:
    for proxy in run.servers.broker_proxies:
        proxy.cut()
    await asyncio.sleep(15)
    for proxy in run.servers.broker_proxies:
        proxy.reopen()


async def network_to_brokers_frozen(run: S) -> None:
    for proxy in run.servers.broker_proxies:
        proxy.freeze()
    await asyncio.sleep(20)
    for proxy in run.servers.broker_proxies:
        proxy.reopen()


async def connections_to_brokers_silent(run: S) -> None:
    for _ in range(2):
        for proxy in run.servers.broker_proxies:
            proxy.strand()
        await asyncio.sleep(10)
    await run.until_middle_is_sent()


async def rolling_restart(run: S) -> None:
    deployment = run.servers.deployment
    for process in (*deployment.workers, *deployment.apis):
        await asyncio.sleep(run.chance.uniform(0.5, 2))
        await run.do(process.stop)
        await run.do(process.start)
    await run.until_middle_is_sent()


async def storage_stopped(run: S) -> None:
    await run.do(run.servers.s3.stop)
    await asyncio.sleep(20)
    await run.do(run.servers.s3.start)


async def storage_slow(run: S) -> None:
    run.servers.storage_proxy.delay_seconds = 0.5
    await asyncio.sleep(20)
    run.servers.storage_proxy.delay_seconds = 0.0


@asynccontextmanager
async def ailing_storage(run: S, statuses: list[int], methods: frozenset[str] | None = None) -> AsyncIterator[None]:
    servers = run.servers
    ailing = await run.do(AilingS3(servers.s3.port).__enter__)
    ailing.statuses, ailing.methods = statuses, methods or ailing.methods
    await _redirect(run, ailing.port)
    try:
        yield
        assert ailing.error_count > 0
    finally:
        await _redirect(run, servers.s3.port)
        await run.do(ailing.__exit__)


async def _redirect(run: S, port: int) -> None:
    proxy = run.servers.storage_proxy
    proxy.cut()
    proxy.target_port = port
    proxy.reopen()


async def storage_answers_errors(run: S) -> None:
    async with ailing_storage(run, [503, 500, 503]):
        await asyncio.sleep(20)


async def storage_full(run: S) -> None:
    async with ailing_storage(run, [507], frozenset({"PUT"})):
        await asyncio.sleep(20)


async def postgres_killed(run: S) -> None:
    await run.do(run.servers.postgres.kill)
    await asyncio.sleep(5)
    await run.do(run.servers.postgres.start)
    await asyncio.sleep(3)
    await run.do(run.servers.postgres.restart)
    await run.until_middle_is_sent()


async def network_to_postgres_cut(run: S) -> None:
    run.servers.database_proxy.cut()
    await asyncio.sleep(15)
    run.servers.database_proxy.reopen()


@contextmanager
def cpu_burners(count: int) -> Iterator[None]:
    burners = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    for burner in burners:
        reaper.started(burner.pid)
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
            reaper.ended(burner.pid)


async def machine_at_load_10(run: S) -> None:
    """With one photo that is slow to decode: it is to become ready although it has a sixth of a core."""
    load, servers = run.load, run.servers
    large = Sent(-1, is_good=True, photo_id=str(uuid4()), storage_key=f"incoming/{load.workspace}/large.png")
    await servers.storage.write(large.storage_key, black_interlaced_png(7000, 7000))
    event = {"photo_id": large.photo_id, "workspace_id": load.workspace, "storage_key": large.storage_key}

    async def is_settled() -> bool:
        row = (await servers.rows(load.workspace)).get(large.photo_id)
        return row is not None and row.thumbnail_status in {"ready", "failed"}

    with cpu_burners(max(10, 5 * (os.cpu_count() or 1))):
        await load.produce(topics.UPLOADED, event)
        load.accepted[large.photo_id] = large
        await run.until_middle_is_sent()
        await poll_async(is_settled, 300, what="the large photo is ready or failed under load")


async def postgres_frozen(run: S) -> None:
    server = run.servers.postgres.pid
    processes = [server, *descendants_of(server)]
    try:
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(15)
    finally:
        for pid in reversed(processes):
            os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(2)
    run.servers.database_proxy.freeze()
    await asyncio.sleep(15)
    run.servers.database_proxy.reopen()


async def poison_among_the_good(run: S) -> None:
    since = await ends_of(run.servers.settings, *topics.DEAD_LETTERS)
    poison = [b"", b"\xff\x00", b"[]", b'{"photo_id": "x"}', b'{"photo_id": 1, "storage_key": "../passwd"}', None]
    producer = clients.new_producer(run.servers.settings)
    await producer.start()
    count = 0
    while not run.load.middle_is_out.is_set() or count < 10:
        for topic in topics.ALL:
            if topic not in topics.DEAD_LETTERS:
                value = run.chance.choice(poison)
                await producer.send_and_wait(topic, value, key=b"no photo")
        count += 1
        await asyncio.sleep(0.1)
    await producer.stop()

    async def all_are_dead_letters() -> bool:
        return len(await records_since(run.servers.settings, since)) >= count * (len(topics.ALL) - 2)

    await poll_async(
        all_are_dead_letters, 120, what="every poison record is a dead letter of the worker or the projector"
    )


def _outages(servers: ProxiedServers) -> int:
    return sum(worker.log_file.read_text().count("storage is away") for worker in servers.deployment.workers)


#: Keys that a producer may send by mistake or in malice; ``None``: the folder of another workspace.
_BAD_KEYS = (
    "n" * 260 + ".jpg", "a/" + "n" * 300 + "/b", "x" * 1000, "gone/{}.jpg", "gone/{}?versionId=1", "incoming", None,
)  # fmt: skip


async def hostile_tenant_with_bad_keys(run: S) -> None:
    """5,000 events of one tenant whose keys are bad, beside the good uploads; in the short form fewer."""
    servers, count = run.servers, min(5000, 10 * photos_per_fault())
    outages = _outages(servers)
    workspace, since = f"hostile-{uuid4().hex[:8]}", await ends_of(servers.settings, topics.DEAD)
    sent: dict[str, str | None] = {str(uuid4()): _BAD_KEYS[n % len(_BAD_KEYS)] for n in range(count)}
    producer = clients.new_producer(servers.settings)
    await producer.start()
    for number, (photo_id, key) in enumerate(sent.items()):
        named = f"originals/{run.load.workspace}/{number}" if key is None else key.format(number)
        event = {"photo_id": photo_id, "workspace_id": workspace, "storage_key": named}
        await producer.send(topics.UPLOADED, json.dumps(event).encode(), key=photo_id.encode())
        if number % 5 == 0:
            await producer.send(topics.DELETED, json.dumps({**event, "photo_id": str(uuid4())}).encode(), key=b"gone")
    await producer.flush()
    await producer.stop()
    wanted = {photo_id for photo_id, key in sent.items() if key is not None}

    async def all_failed() -> bool:
        rows = await servers.rows(workspace)
        return rows.keys() >= wanted and all(row.thumbnail_status == "failed" for row in rows.values())

    await poll_async(all_failed, 240, what="every photo of the hostile tenant has failed")
    rows = await servers.rows(workspace)
    assert {row.error_code for row in rows.values()} == {"original_missing"}
    assert all((row.storage_key or "")[:400] in (row.error_message or "") for row in rows.values())
    assert rows.keys() == wanted

    async def all_refused() -> bool:
        return len(await records_since(servers.settings, since)) >= count - len(wanted)

    await poll_async(all_refused, 60, what="every event that names another workspace's file is a dead letter")
    assert _outages(servers) == outages, "keys of one tenant were taken for an outage"


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (nothing, 8),
        (workers_killed, 12),
        (apis_killed, 12),
        (brokers_killed_in_turn, 30),
        (all_brokers_away_15_s, 12),
        # The short form has the same with a shorter pause.
        *([(all_brokers_away_60_s, 40)] if photos_per_fault() > SHORT_FORM_PHOTOS else []),
        (network_to_brokers_cut, 12),
        (network_to_brokers_frozen, 12),
        (connections_to_brokers_silent, 20),
        (rolling_restart, 15),
        (storage_stopped, 15),
        (storage_slow, 15),
        (storage_answers_errors, 15),
        (storage_full, 15),
        (postgres_killed, 12),
        (network_to_postgres_cut, 12),
        (postgres_frozen, 20),
        (poison_among_the_good, 8),
        (machine_at_load_10, 8),
        (hostile_tenant_with_bad_keys, 8),
    ],
    ids=lambda value: value.__name__ if callable(value) else f"{value}s",
)
async def test_every_photo_is_accounted_for(servers, fault, seconds):
    name = fault.__name__.replace("_", " ")
    (await run_fault(name, fault, servers, seconds=seconds)).check()


async def test_clocks_that_are_stepped_lose_nothing(servers, libfaketime, tmp_path):
    clock = tmp_path / "clock"
    variables = {
        "LD_PRELOAD": libfaketime,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",
    }
    stepped = [servers.deployment.workers[0], servers.deployment.apis[0]]

    async def clocks_stepped(run: S) -> None:
        for offset in ("+3600", "-1800", "+0"):
            await run.do(_set, clock, offset)
            await asyncio.sleep(8)
        await run.until_middle_is_sent()

    _set(clock, "+0")
    try:
        for process in stepped:
            process.extra_variables = variables
            process.restart()
        findings = await run_fault("clocks stepped", clocks_stepped, servers, seconds=24)
    finally:
        for process in stepped:
            process.extra_variables = {}
            process.restart()
    findings.check()


def _set(clock: Path, offset: str) -> None:
    fresh = clock.with_suffix(".new")
    fresh.write_text(f"{offset}\n")
    fresh.replace(clock)


async def test_events_that_come_again_and_in_any_order_change_nothing(servers):
    since = await ends_of(servers.settings, topics.UPLOADED, *topics.RESULTS)

    async def everything_sent_thrice(run: S) -> None:
        await run.until_middle_is_sent()
        again = 2 * await records_since(run.servers.settings, since)
        run.chance.shuffle(again)
        producer = clients.new_producer(run.servers.settings)
        await producer.start()
        await asyncio.gather(
            *(
                producer.send_and_wait(each.topic, each.value, key=each.key, headers=list(each.headers))
                for each in again
            )
        )
        await producer.stop()

    findings = await run_fault("all events thrice, shuffled", everything_sent_thrice, servers, with_ids=True)
    assert findings.row.repeats > 0
    findings.check()


async def test_a_photo_deleted_before_while_or_after_it_renders_leaves_no_file_and_no_row(servers):
    async def some_deleted(run: S) -> None:
        load = run.load
        early = [sent for sent in load.photos if sent.is_event and sent.number % 8 == 1]
        for sent in early:
            event = {"photo_id": sent.photo_id, "workspace_id": load.workspace, "storage_key": sent.storage_key}
            await load.produce(topics.DELETED, event)
            run.deleted.add(sent.photo_id)
        while not load.middle_is_out.is_set():
            # Of the posted ones, mostly such as have just been taken.
            for photo_id, sent in [*load.accepted.items()][-8:]:
                if not sent.is_event and sent.number % 4 == 0 and photo_id not in run.deleted:
                    run.deleted.add(photo_id)
                    await load.delete(photo_id)
            await asyncio.sleep(run.chance.uniform(0, 0.1))
        for photo_id, sent in [*load.accepted.items()]:
            if not sent.is_event and sent.number % 10 == 2 and photo_id not in run.deleted:
                run.deleted.add(photo_id)
                await load.delete(photo_id)

    (await run_fault("photos deleted", some_deleted, servers)).check()


async def test_what_transactions_take_back_makes_no_photo_whatever_it_is_compressed_with(servers):
    since = await ends_of(servers.settings, *topics.RESULTS)
    taken_back: set[str] = set()

    async def compressed_and_transactional_producers(run: S) -> None:
        codecs = ("gzip", "snappy", "lz4", "zstd", None)
        producers = [
            clients.new_producer(run.servers.settings, compression_type=codec, transactional_id=f"tests-{n}")
            for n, codec in enumerate(codecs)
        ]
        for producer in producers:
            await producer.start()
        turns_of = [(producer, asyncio.Lock()) for producer in producers]
        turns = cycle(turns_of)

        async def deliver(topic: str, value: bytes, key: bytes) -> None:
            producer, turn = next(turns)
            async with turn:
                taken_back.add(other := str(uuid4()))
                await producer.begin_transaction()
                await producer.send_and_wait(topic, value.replace(key, other.encode()), other.encode())
                await producer.abort_transaction()
                async with producer.transaction():
                    await producer.send_and_wait(topic, value, key)

        run.load.deliver = deliver
        await run.until_middle_is_sent()
        run.load.deliver = None
        for producer, turn in turns_of:
            async with turn:
                await producer.stop()

    findings = await run_fault(
        "compressed and transactional producers", compressed_and_transactional_producers, servers
    )
    findings.check()
    answered = {record.key.decode() for record in await records_since(servers.settings, since)}
    assert taken_back
    assert not taken_back & answered
