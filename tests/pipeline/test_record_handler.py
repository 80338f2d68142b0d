"""What comes of one record, with a thumbnailer and a Kafka of the test."""

import asyncio
import json
from datetime import UTC, datetime
from time import time
from uuid import UUID

import pytest

from infra.kafka.dead_letters import RecordTooLarge
from infra.metrics import WORKER
from infra.storage.faults import KeyRefused
from infra.worker_account import MAX_RETRIES
from pipeline.breaker import StorageBreaker
from pipeline.record_handler import RecordHandler
from pipeline.retries import Backoff, Retry, retry_headers, retry_of
from polling import poll_async
from schemas import topics
from schemas.dead_letters import read_dead_letter
from schemas.events import (
    MAX_CAPTION,
    PhotoDeleted,
    PhotoUploaded,
    ThumbnailsDeleted,
    ThumbnailsReady,
    ThumbnailsStarted,
)
from schemas.faults import (
    Fault,
    Internal,
    OriginalMissing,
    RenderCrashed,
    RenderStalled,
    RenderTimeout,
    StorageUnavailable,
    TooManyPixels,
    Unreadable,
)
from schemas.records import API_SOURCE, Record, read_event, value_of

PHOTO = UUID("0198f0c2-2222-7000-8000-000000000000")
UPLOAD = PhotoUploaded(
    event_id="upload-1", occurred_at=datetime.now(UTC), photo_id=PHOTO, workspace_id="acme", storage_key="a/b"
)
DELETION = PhotoDeleted(event_id="deletion-1", occurred_at=datetime.now(UTC), photo_id=PHOTO, workspace_id="acme")
QUICK = Backoff(attempts=4, first_seconds=0.001, longest_seconds=0.002)


class ScriptedThumbnailer:
    """Answers with what the script says, one entry an attempt; the last one for ever."""

    def __init__(self, *script: Exception | None) -> None:
        self.script = list(script) or [None]
        self.attempts: list[int] = []
        self.gets_its_slot = True
        self.erased: list[PhotoDeleted] = []

    def _next(self) -> None:
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if step is not None:
            raise step

    async def process(self, upload: PhotoUploaded, attempt: int, on_rendering) -> ThumbnailsReady:
        self.attempts.append(attempt)
        if self.gets_its_slot:
            on_rendering()
        self._next()
        return ThumbnailsReady.model_validate(
            {
                "event_id": "ready-1",
                "occurred_at": datetime.now(UTC),
                "caused_by": upload.event_id,
                "photo_id": upload.photo_id,
                "workspace_id": upload.workspace_id,
                "attempt": attempt,
                "width": 1,
                "height": 1,
                "content_type": "image/jpeg",
                "file_size": 1,
                "checksum": "sha256:" + "0" * 64,
                "recipe": "r",
                "thumbhash": "",
                "perceptual_hash": "0" * 16,
                "render_seconds": 0.1,
                "thumbnails": {},
            }
        )

    async def erase(self, deletion: PhotoDeleted) -> ThumbnailsDeleted:
        self.erased.append(deletion)
        self._next()
        return ThumbnailsDeleted(
            event_id="erased-1",
            occurred_at=datetime.now(UTC),
            caused_by=deletion.event_id,
            photo_id=deletion.photo_id,
            workspace_id=deletion.workspace_id,
        )


class Handled:
    """A ``RecordHandler`` and all that it sent; ``deliver`` plays the retry topic."""

    def __init__(self, *script: Exception | None, backoff: Backoff = QUICK) -> None:
        self.sent: list[Record] = []
        self.send_faults: list[Exception] = []
        self.has_one_broker = True
        self.probes = 0
        self.storage_is_back = asyncio.Event()
        self.thumbnailer = ScriptedThumbnailer(*script)
        self.breaker = StorageBreaker(self._probe, probe_seconds=0.001)
        self.attempts = RecordHandler(
            self.thumbnailer, self._send, self._send, breaker=self.breaker, backoff=backoff, at_once=2, worker="host-1",
            has_one_broker=lambda: self.has_one_broker,
        )  # fmt: skip

    async def _probe(self) -> None:
        self.probes += 1
        if not self.storage_is_back.is_set():
            raise StorageUnavailable("still away")

    async def _send(self, topic, key, value, headers):
        if self.send_faults:
            raise self.send_faults.pop(0)
        self.sent.append(Record(topic, 0, len(self.sent), 0, key, value, tuple(headers)))

    async def deliver(self, record: Record) -> None:
        """Make the attempt that ``record`` asks for and all that follow from it."""
        seen = len(self.sent)
        await (self.attempts.retry if record.topic == topics.RETRY else self.attempts.upload)(record)
        for follower in [sent for sent in self.sent[seen:] if sent.topic == topics.RETRY]:
            await self.deliver(follower)

    def topics(self) -> list[str]:
        return [record.topic for record in self.sent if record.topic != topics.STARTED]

    def last(self) -> dict:
        return json.loads(self.sent[-1].value)


def upload_record(value: bytes | None = None) -> Record:
    return Record(topics.UPLOADED, 1, 7, 1000, b"k", value_of(UPLOAD) if value is None else value)


async def test_a_good_photo_is_started_and_then_ready():
    handled = Handled()
    await handled.deliver(upload_record())
    assert [record.topic for record in handled.sent] == [topics.STARTED, topics.READY]


async def test_of_several_brokers_one_has_the_start_before_another_gets_the_result():
    handled = Handled()
    handled.has_one_broker = False
    handled.send_faults = [ConnectionError("the broker of the starts is away")] * 3
    await handled.deliver(upload_record())
    assert [record.topic for record in handled.sent] == [topics.STARTED, topics.READY]


async def test_a_photo_that_fails_before_it_has_its_slot_was_never_started():
    handled = Handled(OriginalMissing("x"))
    handled.thumbnailer.gets_its_slot = False
    await handled.deliver(upload_record())
    assert [record.topic for record in handled.sent] == [topics.FAILED]


@pytest.mark.parametrize("fault", [OriginalMissing("x"), TooManyPixels("x"), Unreadable("x"), RenderTimeout("x")])
async def test_a_fault_that_would_repeat_fails_the_photo_at_once_and_once(fault):
    handled = Handled(fault)
    await handled.deliver(upload_record())
    assert handled.topics() == [topics.FAILED]
    assert (handled.last()["error"]["code"], handled.last()["attempt"]) == (fault.code, 1)


@pytest.mark.parametrize("fault", [Internal("x"), ValueError("a bug")])
async def test_a_fault_that_may_pass_is_tried_again_and_failed_after_the_last_attempt_only(fault):
    handled = Handled(fault)
    await handled.deliver(upload_record())
    assert handled.topics() == [topics.RETRY] * 3 + [topics.FAILED]
    assert handled.thumbnailer.attempts == [1, 2, 3, 4]
    assert (handled.last()["error"]["code"], handled.last()["attempt"]) == ("internal", 4)
    assert "a bug" not in handled.last()["error"]["message"]


async def test_a_photo_whose_third_attempt_succeeds_is_ready_and_never_failed():
    handled = Handled(Internal("x"), Internal("x"), None)
    await handled.deliver(upload_record())
    assert handled.topics() == [topics.RETRY, topics.RETRY, topics.READY]
    assert handled.last()["attempt"] == 3


async def test_a_photo_that_killed_its_process_twice_is_not_tried_a_third_time():
    handled = Handled(RenderCrashed("x"))
    await handled.deliver(upload_record())
    assert handled.thumbnailer.attempts == [1, 2]
    assert handled.last()["error"]["code"] == "render_crashed"


async def test_a_photo_that_stalls_is_tried_again_later_and_is_final_the_third_time():
    handled = Handled(RenderStalled("x"))
    await handled.deliver(upload_record())
    assert handled.topics() == [topics.RETRY, topics.RETRY, topics.FAILED]
    assert (handled.last()["error"]["code"], handled.last()["attempt"]) == ("render_timeout", 3)


async def test_while_storage_is_away_attempts_wait_and_none_is_used_up():
    handled = Handled(*[StorageUnavailable("away")] * 6, None, backoff=Backoff(8, 0.001, 0.002))
    answering = asyncio.ensure_future(handled.deliver(upload_record()))
    await poll_async(lambda: handled.probes >= 3)
    assert handled.breaker.is_open
    assert max(handled.thumbnailer.attempts) == 5
    before = len(handled.thumbnailer.attempts)
    assert not answering.done()
    handled.storage_is_back.set()
    await answering
    assert handled.thumbnailer.attempts[before:] == [5, 6]
    assert handled.topics()[-1] == topics.READY
    await handled.breaker.close()


async def test_a_single_fault_of_storage_is_a_retry_and_no_outage():
    handled = Handled(StorageUnavailable("throttled"), None)
    await handled.deliver(upload_record())
    assert handled.topics() == [topics.RETRY, topics.READY]
    assert not handled.breaker.is_open


async def test_a_record_that_is_no_event_is_buried_with_its_bytes():
    handled = Handled()
    await handled.deliver(upload_record(b"\xff"))
    assert [(record.topic, record.value, record.key) for record in handled.sent] == [(topics.DEAD, b"\xff", b"k")]


async def test_a_record_without_key_and_value_is_buried_as_one_that_kafka_takes():
    handled = Handled()
    await handled.deliver(Record(topics.UPLOADED, 1, 7, 1000, None, None))
    assert [(record.topic, record.key, record.value) for record in handled.sent] == [(topics.DEAD, b"", None)]


async def test_a_record_of_the_retry_topic_that_is_none_is_buried_too():
    handled = Handled()
    await handled.attempts.retry(Record(topics.RETRY, 0, 0, 0, b"k", b"{}"))
    broken = Record(topics.RETRY, 0, 1, 0, b"k", value_of(UPLOAD), (("thumbstream_attempt", b"many"),))
    await handled.attempts.retry(broken)
    assert handled.topics() == [topics.DEAD, topics.DEAD]


async def test_a_record_that_is_too_large_for_a_letter_is_buried_without_its_value_after_whatever_outage():
    handled = Handled()
    handled.send_faults = [ConnectionError("away"), RecordTooLarge("1 MB"), ConnectionError("away")]
    await handled.deliver(upload_record(b"\xff" * 100))
    (dead_letter,) = handled.sent
    assert (dead_letter.topic, dead_letter.key, dead_letter.value) == (topics.DEAD, b"k", None)
    assert (read_dead_letter(dead_letter).left_out_bytes, read_dead_letter(dead_letter).source) == (
        100,
        (topics.UPLOADED, 1, 7),
    )


async def test_a_retry_is_no_larger_than_the_upload_however_long_its_caption():
    handled = Handled(Internal("x"), None)
    upload = upload_record(value_of(UPLOAD.model_copy(update={"caption": "x" * MAX_CAPTION})))
    await handled.deliver(upload)
    (retry,) = [record for record in handled.sent if record.topic == topics.RETRY]
    assert len(retry.value) + sum(len(name) + len(value) for name, value in retry.headers) < len(upload.value)
    assert handled.topics() == [topics.RETRY, topics.READY]


async def test_a_result_is_sent_until_kafka_has_it():
    handled = Handled()
    handled.send_faults = [ConnectionError("away")] * 5
    await handled.deliver(upload_record())
    assert sorted(record.topic for record in handled.sent) == sorted([topics.STARTED, topics.READY])


async def test_a_photo_that_was_deleted_does_not_fail_afterwards():
    handled = Handled(None, OriginalMissing("gone"), None)
    await handled.attempts.deletion(Record(topics.DELETED, 0, 0, 0, b"k", value_of(DELETION)))
    await handled.deliver(upload_record())
    assert handled.topics() == [topics.FILES_DELETED]


async def test_an_original_that_came_after_its_photos_deletion_is_erased_when_the_photo_fails():
    handled = Handled(None, None, Unreadable("broken"), None)
    allowed = DELETION.model_copy(update={"erase_original": True})
    by_the_api = [("ce_source", API_SOURCE.encode())]
    await handled.attempts.deletion(Record(topics.DELETED, 0, 0, 0, b"k", value_of(allowed), tuple(by_the_api)))
    await handled.attempts.deletion(Record(topics.DELETED, 0, 1, 0, b"k", value_of(DELETION)))
    await handled.deliver(upload_record())
    assert handled.topics() == [topics.FILES_DELETED, topics.FILES_DELETED]
    assert [deletion.erase_original for deletion in handled.thumbnailer.erased] == [True, False, True]


@pytest.mark.parametrize(("source", "is_believed"), [("/thumbstream/api", True), ("/shop", False), (None, False)])
async def test_that_an_original_may_go_is_believed_of_the_api_alone(source, is_believed):
    handled, seen = Handled(), []
    erase = handled.thumbnailer.erase
    handled.thumbnailer.erase = lambda deletion: seen.append(deletion.erase_original) or erase(deletion)
    value = value_of(DELETION.model_copy(update={"erase_original": True}))
    headers = (("ce_source", source.encode()),) if source else ()
    await handled.attempts.deletion(Record(topics.DELETED, 0, 0, 0, b"k", value, headers))
    assert seen == [is_believed]


async def test_a_file_that_storage_keeps_makes_a_dead_letter_of_its_deletion_and_holds_up_no_other():
    handled = Handled(KeyRefused("storage refuses the storage key a/b: Permission denied"))
    await handled.attempts.deletion(Record(topics.DELETED, 0, 0, 0, b"k", value_of(DELETION)))
    (dead_letter,) = handled.sent
    assert dead_letter.topic == topics.DEAD
    assert read_dead_letter(dead_letter).reason == "storage refuses the storage key a/b: Permission denied"


async def test_keys_that_storage_refuses_fail_at_once_and_open_no_breaker():
    handled = Handled(KeyRefused("refused"))
    for _ in range(20):
        await handled.attempts.upload(upload_record())
    assert handled.topics() == [topics.FAILED] * 20
    assert handled.probes == 0


async def test_faults_that_the_probe_does_not_see_are_tried_again_and_fail_by_themselves():
    handled = Handled(StorageUnavailable("one bad sector"))
    handled.storage_is_back.set()
    for _ in range(6):
        await handled.deliver(upload_record())
    assert handled.topics().count(topics.FAILED) == 6
    assert len(handled.thumbnailer.attempts) == 6 * QUICK.attempts
    assert handled.probes > 0
    await handled.breaker.close()


async def test_who_waits_for_a_suspicion_goes_on_when_the_probe_succeeds():
    handled = Handled(*[StorageUnavailable("away")] * 5, None)
    handled.storage_is_back.set()
    await asyncio.gather(*(handled.attempts.upload(upload_record()) for _ in range(8)))
    assert (handled.topics().count(topics.RETRY), handled.topics().count(topics.READY)) == (5, 3)
    assert handled.probes > 0
    assert not handled.breaker.is_open
    await handled.breaker.close()


async def test_a_deletion_waits_until_storage_is_back():
    handled = Handled(*[StorageUnavailable("away")] * 3, None)
    await handled.attempts.deletion(Record(topics.DELETED, 0, 0, 0, b"k", value_of(DELETION)))
    assert handled.topics() == [topics.FILES_DELETED]


async def test_a_stop_gives_up_what_waits_for_its_time_and_sends_nothing():
    handled = Handled(backoff=Backoff(8, 1.0, 300.0))
    waiting = asyncio.ensure_future(handled.attempts.retry(_retry(due_at=time() + 200)))
    for _ in range(5):
        await asyncio.sleep(0)
    handled.attempts.stop_waiting()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert handled.sent == []


async def test_it_is_known_which_retries_wait_and_which_are_due_next():
    handled = Handled(backoff=Backoff(8, 1.0, 300.0))
    now = time()
    dues = [200 - number for number in range(MAX_RETRIES + 3)] + [1_000_000]
    waiting = [
        asyncio.ensure_future(handled.attempts.retry(_retry(due_at=now + seconds, reason="internal")))
        for seconds in dues
    ]
    for _ in range(5):
        await asyncio.sleep(0)
    held = handled.attempts.waiting_retries
    assert len(held) == len(dues)
    told = held.due_next()
    # Not to the second, on a machine that is busy with other work.
    assert [each.due_seconds for each in told] == pytest.approx(sorted(dues)[:MAX_RETRIES], abs=60)
    assert [each.due_seconds for each in told] == sorted(each.due_seconds for each in told)
    assert {each[:3] + each[4:] for each in told} == {(UPLOAD.photo_id, "acme", 2, "internal")}
    handled.attempts.stop_waiting()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (len(held), held.due_next()) == (0, ())


async def test_a_clock_that_is_wrong_delays_a_retry_by_no_more_than_the_longest_backoff():
    handled = Handled()
    await asyncio.wait_for(handled.attempts.retry(_retry(due_at=time() + 1_000_000)), 10)
    assert handled.topics() == [topics.READY]


def _retry(due_at: float, reason: str | None = None) -> Record:
    headers = tuple(retry_headers(Retry(UPLOAD, 2, due_at, reason)))
    return Record(topics.RETRY, 0, 0, 0, b"k", value_of(UPLOAD), headers)


def test_a_retry_survives_its_way_through_a_record():
    assert retry_of(_retry(due_at=1234.5)) == Retry(UPLOAD, 2, 1234.5)
    assert retry_of(_retry(1234.5, "internal")) == Retry(UPLOAD, 2, 1234.5, "internal")
    assert retry_of(_retry(1234.5, "no code of ours")) == Retry(UPLOAD, 2, 1234.5)


async def test_each_result_names_its_worker_and_an_attempt_says_since_when_it_waited_and_why_it_is_made():
    handled = Handled(StorageUnavailable("briefly"), None)
    handled.storage_is_back.set()
    written_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    upload = Record(topics.UPLOADED, 0, 0, int(written_at.timestamp() * 1000), b"k", value_of(UPLOAD))
    await handled.deliver(upload)
    results = [read_event(record) for record in handled.sent if record.topic != topics.RETRY]
    assert {result.worker for result in results} == {"host-1"}
    first, second = [each for each in results if isinstance(each, ThumbnailsStarted)]
    assert (first.waiting_since, first.retried_after) == (written_at, None)
    assert (second.attempt, second.retried_after) == (2, "storage_unavailable")


def test_the_backoff_doubles_up_to_its_longest_and_keeps_at_least_half_of_it():
    backoff = Backoff(attempts=20, first_seconds=1, longest_seconds=60)
    for attempt, longest in ((2, 1), (3, 2), (4, 4), (8, 60), (20, 60)):
        waits = [backoff.seconds_before(attempt) for _ in range(50)]
        assert all(longest / 2 <= wait <= longest for wait in waits)
        assert len(set(waits)) > 1


def test_every_fault_says_its_code_and_how_often_it_is_worth_an_attempt():
    kinds = [kind for kind in Fault.__subclasses__() if kind.__module__ == "schemas.faults"]
    assert len({kind.code for kind in kinds}) == len(kinds) == 10
    assert all(kind.attempts >= 1 for kind in kinds)


def sample(name: str, **labels: str) -> float:
    return WORKER.get_sample_value(f"thumbstream_{name}", labels) or 0


async def test_results_are_counted_once_kafka_has_them_with_their_codes():
    ready, failed = {"result": "ready", "code": ""}, {"result": "failed", "code": "unreadable"}
    before = sample("results_total", **ready), sample("results_total", **failed)
    timed = sample("upload_to_ready_seconds_count")
    handled = Handled()
    handled.send_faults = [OSError("Kafka is away")]
    await handled.deliver(upload_record())
    await Handled(Unreadable("it is cut off")).deliver(upload_record())
    assert (sample("results_total", **ready), sample("results_total", **failed)) == (before[0] + 1, before[1] + 1)
    assert sample("upload_to_ready_seconds_count") == timed + 1


async def test_retries_and_dead_letters_are_counted_and_nothing_stays_in_flight():
    retries, dead = {"code": "storage_unavailable"}, {"topic": topics.UPLOADED}
    before = sample("retries_total", **retries), sample("dead_letters_total", **dead)
    handled = Handled(StorageUnavailable("away"), None)
    await handled.deliver(upload_record())
    await handled.deliver(upload_record(b"no event"))
    assert (sample("retries_total", **retries), sample("dead_letters_total", **dead)) == (before[0] + 1, before[1] + 1)
    assert sample("photos_in_flight") == 0
    assert sample("retries_waiting") == 0


async def test_the_gauge_of_storage_follows_the_breaker():
    handled = Handled(*[StorageUnavailable("away")] * 5, None)
    work = [asyncio.create_task(handled.deliver(upload_record())) for _ in range(5)]
    await poll_async(lambda: asyncio.sleep(0, sample("storage_up") == 0), what="the gauge says that storage is away")
    handled.storage_is_back.set()
    await asyncio.gather(*work)
    assert sample("storage_up") == 1
