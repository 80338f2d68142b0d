"""What comes of one record, with an answerer and a Kafka that the test holds in its hand."""

import asyncio
import json
from datetime import UTC, datetime
from time import time
from uuid import UUID

import pytest

from infra.kafka.dead_letters import RecordTooLarge
from infra.storage.faults import KeyRefused
from pipeline.breaker import StorageBreaker
from pipeline.record_handler import RecordHandler
from pipeline.retries import Backoff, Retry, retry_headers, retry_of
from polling import poll_async
from schemas import topics
from schemas.dead_letters import read_dead_letter
from schemas.events import MAX_CAPTION, PhotoDeleted, PhotoUploaded, ThumbnailsDeleted, ThumbnailsReady
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
from schemas.records import API_SOURCE, Record, value_of

PHOTO = UUID("0198f0c2-2222-7000-8000-000000000000")
UPLOAD = PhotoUploaded(
    event_id="upload-1", occurred_at=datetime.now(UTC), photo_id=PHOTO, workspace_id="acme", storage_key="a/b"
)
DELETION = PhotoDeleted(event_id="deletion-1", occurred_at=datetime.now(UTC), photo_id=PHOTO, workspace_id="acme")
QUICK = Backoff(attempts=4, first_seconds=0.001, longest_seconds=0.002)


class ScriptedAnswerer:
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

    async def answer(self, upload: PhotoUploaded, attempt: int, on_rendering) -> ThumbnailsReady:
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


class Desk:
    """An ``RecordHandler`` and all that it sent; ``deliver`` plays the retry topic."""

    def __init__(self, *script: Exception | None, backoff: Backoff = QUICK) -> None:
        self.sent: list[Record] = []
        self.send_faults: list[Exception] = []
        self.probes = 0
        self.storage_is_back = asyncio.Event()
        self.thumbnailer = ScriptedAnswerer(*script)
        self.breaker = StorageBreaker(self._probe, probe_seconds=0.001)
        self.attempts = RecordHandler(self.thumbnailer, self._send, breaker=self.breaker, backoff=backoff, at_once=2)

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
    desk = Desk()
    await desk.deliver(upload_record())
    assert [record.topic for record in desk.sent] == [topics.STARTED, topics.READY]


async def test_a_photo_that_fails_before_it_has_its_slot_was_never_started():
    desk = Desk(OriginalMissing("x"))
    desk.thumbnailer.gets_its_slot = False
    await desk.deliver(upload_record())
    assert [record.topic for record in desk.sent] == [topics.FAILED]


@pytest.mark.parametrize("fault", [OriginalMissing("x"), TooManyPixels("x"), Unreadable("x"), RenderTimeout("x")])
async def test_a_fault_that_would_repeat_fails_the_photo_at_once_and_once(fault):
    desk = Desk(fault)
    await desk.deliver(upload_record())
    assert desk.topics() == [topics.FAILED]
    assert (desk.last()["error"]["code"], desk.last()["attempt"]) == (fault.code, 1)


@pytest.mark.parametrize("fault", [Internal("x"), ValueError("a bug")])
async def test_a_fault_that_may_pass_is_tried_again_and_failed_after_the_last_attempt_only(fault):
    desk = Desk(fault)
    await desk.deliver(upload_record())
    assert desk.topics() == [topics.RETRY] * 3 + [topics.FAILED]
    assert desk.thumbnailer.attempts == [1, 2, 3, 4]
    assert (desk.last()["error"]["code"], desk.last()["attempt"]) == ("internal", 4)
    assert "a bug" not in desk.last()["error"]["message"]


async def test_a_photo_whose_third_attempt_succeeds_is_ready_and_never_failed():
    desk = Desk(Internal("x"), Internal("x"), None)
    await desk.deliver(upload_record())
    assert desk.topics() == [topics.RETRY, topics.RETRY, topics.READY]
    assert desk.last()["attempt"] == 3


async def test_a_photo_that_killed_its_process_twice_is_not_tried_a_third_time():
    desk = Desk(RenderCrashed("x"))
    await desk.deliver(upload_record())
    assert desk.thumbnailer.attempts == [1, 2]
    assert desk.last()["error"]["code"] == "render_crashed"


async def test_a_photo_that_stalls_is_tried_again_later_and_is_final_the_third_time():
    desk = Desk(RenderStalled("x"))
    await desk.deliver(upload_record())
    assert desk.topics() == [topics.RETRY, topics.RETRY, topics.FAILED]
    assert (desk.last()["error"]["code"], desk.last()["attempt"]) == ("render_timeout", 3)


async def test_while_storage_is_away_attempts_wait_and_none_is_used_up():
    desk = Desk(*[StorageUnavailable("away")] * 6, None, backoff=Backoff(8, 0.001, 0.002))
    answering = asyncio.ensure_future(desk.deliver(upload_record()))
    await poll_async(lambda: desk.probes >= 3)
    assert desk.breaker.is_open
    assert max(desk.thumbnailer.attempts) == 5
    before = len(desk.thumbnailer.attempts)
    assert not answering.done()
    desk.storage_is_back.set()
    await answering
    assert desk.thumbnailer.attempts[before:] == [5, 6]
    assert desk.topics()[-1] == topics.READY
    await desk.breaker.close()


async def test_a_single_fault_of_storage_is_a_retry_and_no_outage():
    desk = Desk(StorageUnavailable("throttled"), None)
    await desk.deliver(upload_record())
    assert desk.topics() == [topics.RETRY, topics.READY]
    assert not desk.breaker.is_open


async def test_a_record_that_is_no_event_is_buried_with_its_bytes():
    desk = Desk()
    await desk.deliver(upload_record(b"\xff"))
    assert [(record.topic, record.value, record.key) for record in desk.sent] == [(topics.DEAD, b"\xff", b"k")]


async def test_a_record_without_key_and_value_is_buried_as_one_that_kafka_takes():
    desk = Desk()
    await desk.deliver(Record(topics.UPLOADED, 1, 7, 1000, None, None))
    assert [(record.topic, record.key, record.value) for record in desk.sent] == [(topics.DEAD, b"", None)]


async def test_a_record_of_the_retry_topic_that_is_none_is_buried_too():
    desk = Desk()
    await desk.attempts.retry(Record(topics.RETRY, 0, 0, 0, b"k", b"{}"))
    broken = Record(topics.RETRY, 0, 1, 0, b"k", value_of(UPLOAD), (("thumbstream_attempt", b"many"),))
    await desk.attempts.retry(broken)
    assert desk.topics() == [topics.DEAD, topics.DEAD]


async def test_a_record_that_is_too_large_for_a_letter_is_buried_without_its_value_after_whatever_outage():
    desk = Desk()
    desk.send_faults = [ConnectionError("away"), RecordTooLarge("1 MB"), ConnectionError("away")]
    await desk.deliver(upload_record(b"\xff" * 100))
    (dead_letter,) = desk.sent
    assert (dead_letter.topic, dead_letter.key, dead_letter.value) == (topics.DEAD, b"k", None)
    assert (read_dead_letter(dead_letter).left_out_bytes, read_dead_letter(dead_letter).source) == (
        100,
        (topics.UPLOADED, 1, 7),
    )


async def test_a_retry_is_no_larger_than_the_upload_however_long_its_caption():
    desk = Desk(Internal("x"), None)
    upload = upload_record(value_of(UPLOAD.model_copy(update={"caption": "x" * MAX_CAPTION})))
    await desk.deliver(upload)
    (retry,) = [record for record in desk.sent if record.topic == topics.RETRY]
    assert len(retry.value) + sum(len(name) + len(value) for name, value in retry.headers) < len(upload.value)
    assert desk.topics() == [topics.RETRY, topics.READY]


async def test_a_result_is_sent_until_kafka_has_it():
    desk = Desk()
    desk.send_faults = [ConnectionError("away")] * 5
    await desk.deliver(upload_record())
    assert [record.topic for record in desk.sent] == [topics.STARTED, topics.READY]


async def test_a_photo_that_was_deleted_does_not_fail_afterwards():
    desk = Desk(None, OriginalMissing("gone"), None)
    await desk.attempts.deletion(Record(topics.DELETED, 0, 0, 0, b"k", value_of(DELETION)))
    await desk.deliver(upload_record())
    assert desk.topics() == [topics.FILES_DELETED]


async def test_an_original_that_came_after_its_photos_deletion_is_erased_when_the_photo_fails():
    desk = Desk(None, None, Unreadable("broken"), None)
    allowed = DELETION.model_copy(update={"erase_original": True})
    by_the_api = [("ce_source", API_SOURCE.encode())]
    await desk.attempts.deletion(Record(topics.DELETED, 0, 0, 0, b"k", value_of(allowed), tuple(by_the_api)))
    await desk.attempts.deletion(Record(topics.DELETED, 0, 1, 0, b"k", value_of(DELETION)))
    await desk.deliver(upload_record())
    assert desk.topics() == [topics.FILES_DELETED, topics.FILES_DELETED]
    assert [deletion.erase_original for deletion in desk.thumbnailer.erased] == [True, False, True]


@pytest.mark.parametrize(("source", "is_believed"), [("/thumbstream/api", True), ("/shop", False), (None, False)])
async def test_that_an_original_may_go_is_believed_of_the_api_alone(source, is_believed):
    desk, seen = Desk(), []
    erase = desk.thumbnailer.erase
    desk.thumbnailer.erase = lambda deletion: seen.append(deletion.erase_original) or erase(deletion)
    value = value_of(DELETION.model_copy(update={"erase_original": True}))
    headers = (("ce_source", source.encode()),) if source else ()
    await desk.attempts.deletion(Record(topics.DELETED, 0, 0, 0, b"k", value, headers))
    assert seen == [is_believed]


async def test_a_file_that_storage_keeps_makes_a_dead_letter_of_its_deletion_and_holds_up_no_other():
    desk = Desk(KeyRefused("storage refuses the storage key a/b: Permission denied"))
    await desk.attempts.deletion(Record(topics.DELETED, 0, 0, 0, b"k", value_of(DELETION)))
    (dead_letter,) = desk.sent
    assert dead_letter.topic == topics.DEAD
    assert read_dead_letter(dead_letter).reason == "storage refuses the storage key a/b: Permission denied"


async def test_keys_that_storage_refuses_fail_at_once_and_open_no_breaker():
    desk = Desk(KeyRefused("refused"))
    for _ in range(20):
        await desk.attempts.upload(upload_record())
    assert desk.topics() == [topics.FAILED] * 20
    assert desk.probes == 0


async def test_faults_that_the_probe_does_not_see_are_tried_again_and_fail_by_themselves():
    desk = Desk(StorageUnavailable("one bad sector"))
    desk.storage_is_back.set()
    for _ in range(6):
        await desk.deliver(upload_record())
    assert desk.topics().count(topics.FAILED) == 6
    assert len(desk.thumbnailer.attempts) == 6 * QUICK.attempts
    assert desk.probes > 0
    await desk.breaker.close()


async def test_who_waits_for_a_suspicion_goes_on_when_the_probe_succeeds():
    desk = Desk(*[StorageUnavailable("away")] * 5, None)
    desk.storage_is_back.set()
    await asyncio.gather(*(desk.attempts.upload(upload_record()) for _ in range(8)))
    assert (desk.topics().count(topics.RETRY), desk.topics().count(topics.READY)) == (5, 3)
    assert desk.probes > 0
    assert not desk.breaker.is_open
    await desk.breaker.close()


async def test_a_deletion_waits_until_storage_is_back():
    desk = Desk(*[StorageUnavailable("away")] * 3, None)
    await desk.attempts.deletion(Record(topics.DELETED, 0, 0, 0, b"k", value_of(DELETION)))
    assert desk.topics() == [topics.FILES_DELETED]


async def test_a_stop_gives_up_what_waits_for_its_time_and_sends_nothing():
    desk = Desk(backoff=Backoff(8, 1.0, 300.0))
    waiting = asyncio.ensure_future(desk.attempts.retry(_retry(due_at=time() + 200)))
    for _ in range(5):
        await asyncio.sleep(0)
    desk.attempts.stop_waiting()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert desk.sent == []


async def test_a_clock_that_is_wrong_delays_a_retry_by_no_more_than_the_longest_backoff():
    desk = Desk()
    await asyncio.wait_for(desk.attempts.retry(_retry(due_at=time() + 1_000_000)), 10)
    assert desk.topics() == [topics.READY]


def _retry(due_at: float) -> Record:
    headers = tuple(retry_headers(Retry(UPLOAD, 2, due_at)))
    return Record(topics.RETRY, 0, 0, 0, b"k", value_of(UPLOAD), headers)


def test_a_retry_survives_its_way_through_a_record():
    assert retry_of(_retry(due_at=1234.5)) == Retry(UPLOAD, 2, 1234.5)


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
