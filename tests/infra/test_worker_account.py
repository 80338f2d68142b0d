"""What a worker tells of itself fits into the bytes that there are, and whatever else is read does no harm."""

import json
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from infra.worker_account import MAX_NAME, MAX_PARTITIONS, MAX_RETRIES, BusySlot, WaitingRetry, WorkerAccount

#: As hosts and versions are named.
PLAIN_NAMES = st.text("abcXYZ019.-+", max_size=MAX_NAME)
COUNTS = st.integers(0, 2**31 - 1)
SECONDS = st.floats(0, 1e9)
SLOTS = st.builds(
    BusySlot,
    slot=COUNTS,
    photo_id=st.uuids(),
    workspace_id=st.text(max_size=128),
    attempt=COUNTS,
    busy_seconds=SECONDS,
    limit_seconds=st.none() | SECONDS,
)
RETRIES = st.builds(
    WaitingRetry,
    photo_id=st.uuids(),
    workspace_id=st.text(max_size=128),
    attempt=COUNTS,
    due_seconds=SECONDS,
    code=st.none() | st.text(max_size=MAX_NAME),
)


def accounts(names: st.SearchStrategy[str]) -> st.SearchStrategy[WorkerAccount]:
    return st.builds(
        WorkerAccount,
        worker=names,
        version=names,
        recipe=names,
        slots=COUNTS,
        up_seconds=SECONDS,
        partition_count=COUNTS,
        partitions=st.lists(st.integers(0, 10_000), max_size=MAX_PARTITIONS).map(tuple),
        queued=COUNTS,
        busy_count=COUNTS,
        busy=st.lists(SLOTS, max_size=40).map(tuple),
        retrying_count=COUNTS,
        retrying=st.lists(RETRIES, max_size=MAX_RETRIES).map(tuple),
    )


ACCOUNTS = accounts(st.text(max_size=MAX_NAME))


@given(ACCOUNTS, st.integers(0, 6000))
def test_the_text_fits_and_tells_of_retries_due_next_and_slots_held_longest(
    account: WorkerAccount, max_bytes: int
) -> None:
    text = account.text(max_bytes)
    assert len(text.encode()) <= max_bytes
    if text:
        told = WorkerAccount.read(text)
        assert told is not None
        retries, slots = len(told.retrying), len(told.busy)
        some = {"retrying": account.retrying[:retries], "busy": account.busy[:slots]}
        assert told == account.model_copy(update=some)
        if retries < len(account.retrying):
            assert not told.busy
            one_more = account.model_copy(update={"retrying": account.retrying[: retries + 1], "busy": ()})
        else:
            one_more = account.model_copy(update={"busy": account.busy[: slots + 1]})
        assert told == account or len(one_more.model_dump_json().encode()) > max_bytes


def test_a_worker_with_many_slots_and_retries_tells_of_some_of_both() -> None:
    workspace = "a-workspace-with-a-long-name" * 2
    account = WorkerAccount(
        worker="w" * 40, version="1.0.0", recipe="r" * 16, slots=64, up_seconds=1, partition_count=99,
        partitions=tuple(range(MAX_PARTITIONS)), queued=9, busy_count=64,
        busy=tuple(BusySlot(n, UUID(int=n), workspace, 1, 12.5, 332.0) for n in range(64)),
        retrying_count=500,
        retrying=tuple(WaitingRetry(UUID(int=n), workspace, 2, 1.5, "storage_unavailable") for n in range(MAX_RETRIES)),
    )  # fmt: skip
    told = WorkerAccount.read(account.text(3500))
    assert told is not None
    assert told.retrying == account.retrying
    assert len(told.busy) >= 8


@given(accounts(PLAIN_NAMES))
def test_whoever_and_however_busy_it_is_a_worker_is_told_of(account: WorkerAccount) -> None:
    assert account.text(3500)


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_a_text_that_is_no_account_is_none(text: str) -> None:
    assert WorkerAccount.read(text) is None


@given(ACCOUNTS, st.sampled_from(sorted(WorkerAccount.model_fields)), st.none() | st.just(-1) | st.just(float("nan")))
def test_an_account_with_an_odd_field_is_none(account: WorkerAccount, name: str, odd: object) -> None:
    assert WorkerAccount.read(json.dumps({**json.loads(account.model_dump_json()), name: odd})) is None


def test_what_a_newer_worker_adds_is_ignored() -> None:
    slot = [0, str(UUID(int=1)), "acme", 1, 0.5, None]
    account = {
        "worker": "w", "version": "9", "recipe": "r", "slots": 1, "up_seconds": 1, "partition_count": 1,
        "partitions": [0], "queued": 0, "busy_count": 1, "busy": [slot], "mood": "good",
    }  # fmt: skip
    read = WorkerAccount.read(json.dumps(account))
    assert read is not None
    assert read.busy[0] == BusySlot(0, UUID(int=1), "acme", 1, 0.5, None)
    assert read.retrying == ()  # of which older ones do not tell
