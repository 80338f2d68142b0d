"""The fold holds in any order and any number."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.projection.photo_state import Deleted, Photo, State, fold
from result_events import erased, failed, ready, started
from schemas.events import Event, PhotoDeleted, PhotoUploaded
from schemas.faults import FaultCode
from schemas.statuses import Status

PHOTO = UUID("0198f0c2-0000-7000-8000-000000000001")
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def upload(event_id: str, minute: int, caption: str | None = None) -> PhotoUploaded:
    return PhotoUploaded(
        event_id=event_id,
        occurred_at=NOON + timedelta(minutes=minute),
        photo_id=PHOTO,
        workspace_id="acme",
        storage_key=f"originals/acme/{event_id}",
        caption=caption,
    )


FIRST, SECOND = upload("up-1", 0, "first"), upload("up-2", 1, "second")
SAME_MOMENT = upload("up-3", 1, "of the same moment as the second")
DELETION = PhotoDeleted(
    event_id="del-1", occurred_at=NOON, photo_id=PHOTO, workspace_id="acme", storage_key="originals/acme/up-2"
)
LIVING: list[Event] = [
    FIRST, started(FIRST), started(FIRST, 2), failed(FIRST, 2), ready(FIRST), failed(FIRST, 2, FaultCode.INTERNAL),
    SECOND, started(SECOND), failed(SECOND), ready(SECOND, 3, width=640), SAME_MOMENT, ready(SAME_MOMENT),
]  # fmt: skip


def folded(events: list[Event]) -> State:
    state: State = None
    for event in events:
        state = fold(state, event)
    return state


def living(events: list[Event]) -> Photo:
    state = folded(events)
    assert isinstance(state, Photo)
    return state


@pytest.mark.parametrize("history", list(permutations([FIRST, started(FIRST), failed(FIRST), ready(FIRST)])))
def test_ready_wins_in_any_order_and_any_number(history: tuple[Event, ...]) -> None:
    photo = living([*history, *history])
    assert photo.progress.status is Status.READY
    assert photo.progress.error is None
    assert photo == living([FIRST, started(FIRST), failed(FIRST), ready(FIRST)])


@given(st.permutations([FIRST, started(FIRST), failed(FIRST), ready(FIRST), SECOND, started(SECOND), ready(SECOND)]))
def test_the_second_upload_wins_in_any_order(history: list[Event]) -> None:
    photo = living(history)
    assert photo.progress.version == (SECOND.occurred_at, "up-2")
    assert photo.upload is not None
    assert photo.upload.caption == "second"
    assert photo.thumbnails is not None
    assert photo.thumbnails.version == (SECOND.occurred_at, "up-2")
    assert photo.created_at == NOON


@given(st.lists(st.sampled_from(LIVING), min_size=1), st.data())
def test_order_and_number_of_events_change_nothing(events: list[Event], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events)))))
    assert folded(shuffled) == folded(events)


@given(st.permutations([*LIVING, DELETION, erased(DELETION)]))
def test_deleted_is_deleted_in_any_order(history: list[Event]) -> None:
    state = folded(history)
    assert state == folded([DELETION, erased(DELETION)])
    assert isinstance(state, Deleted)
    assert state.files_deleted_at == erased(DELETION).occurred_at


def test_old_thumbnails_stay_while_a_new_upload_renders() -> None:
    photo = living([FIRST, ready(FIRST), SECOND, started(SECOND)])
    assert photo.progress.status is Status.PROCESSING
    assert photo.thumbnails is not None
    assert photo.thumbnails.version == (FIRST.occurred_at, "up-1")


def test_a_late_result_of_an_old_upload_does_not_touch_the_status_of_the_new_one() -> None:
    photo = living([FIRST, SECOND, ready(SECOND), failed(FIRST)])
    assert photo.progress.status is Status.READY


def test_results_that_come_before_their_upload_make_the_photo() -> None:
    photo = living([failed(FIRST)])
    assert photo.upload is None
    assert photo.progress.error == ("unreadable", "the file is truncated")
    assert photo.created_at == FIRST.occurred_at


def test_the_same_generation_again_does_not_undo_what_was_changed_since() -> None:
    photo = living([FIRST])
    again = fold(photo, FIRST.model_copy(update={"caption": "as it was sent"}))
    assert again == photo


def test_an_event_of_another_workspace_changes_nothing() -> None:
    photo = living([FIRST])
    for event in (SECOND, ready(FIRST), DELETION):
        assert fold(photo, event.model_copy(update={"workspace_id": "other"})) == photo


@given(st.permutations([FIRST, started(FIRST), ready(FIRST)]), st.tuples(*[st.integers(-90, 90)] * 3))
def test_an_upload_to_which_each_reader_gave_another_time_is_one_upload(
    history: list[Event], minutes: tuple[int, int, int]
) -> None:
    field_of = {True: "occurred_at", False: "uploaded_at"}
    times = [NOON + timedelta(minutes=minute) for minute in minutes]
    photo = living(
        [
            event.model_copy(update={field_of[event.event_id == "up-1"]: time})
            for event, time in zip(history, times, strict=True)
        ]
    )
    assert photo.progress.status is Status.READY
    assert photo.progress.version == (max(times), "up-1")


def test_text_that_no_database_keeps_is_cleaned() -> None:
    event = FIRST.model_copy(update={"caption": "a\0b", "item_id": "\0"})
    upload_facts = living([event]).upload
    assert upload_facts is not None
    assert (upload_facts.caption, upload_facts.item_id) == ("ab", None)


@given(st.data())
def test_the_age_of_a_status_counts_from_the_first_event_that_brought_it(data: st.DataObject) -> None:
    again = started(FIRST, 2).model_copy(update={"occurred_at": NOON + timedelta(minutes=40)})
    history = [FIRST, started(FIRST), again]
    end = data.draw(st.sampled_from([None, failed(FIRST), ready(FIRST)]))
    events = [*history, *([end] if end else [])]
    photo = living(data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events))))))
    assert photo.progress.since == (end or started(FIRST)).occurred_at
