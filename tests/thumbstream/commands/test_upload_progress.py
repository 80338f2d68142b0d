from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from thumbstream.client.models import Photo
from thumbstream.commands.upload.upload_progress import FEW, Tally

_STEPS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["accepted", "processing", "ready", "again"])))


def _photo(number: int, status: str) -> Photo:
    error = {"error": {"code": "unreadable", "message": "cut short"}} if status == "failed" else {}
    return Photo.from_json({"id": str(number), "thumbnail_status": status, **error})


@given(_STEPS, st.frozensets(st.integers(0, 5)))
def test_each_photo_counts_once_whatever_comes_first_and_however_often(
    steps: list[tuple[int, str]], bad: frozenset[int]
) -> None:
    tally = Tally()
    accepted, finished = set(), set()
    for number, step in steps:
        if step == "accepted":
            if number not in accepted:
                tally.accepted(Path(str(number)), _photo(number, "pending"), began_at=0.0)
                accepted.add(number)
        elif step == "processing":
            tally.seen(_photo(number, "processing"))
        else:
            tally.seen(_photo(number, "failed" if number in bad else "ready"))
            finished.add(number)
    done = accepted & finished
    assert tally.uploaded == len(accepted)
    assert tally.ready == len(done - bad)
    assert {failed.path for failed in tally.failed} == {Path(str(number)) for number in done & bad}
    assert set(tally.waiting_ids()) == {str(number) for number in accepted - finished}


def test_a_photo_deleted_before_its_result_has_failed() -> None:
    tally = Tally()
    tally.accepted(Path("cat.jpg"), _photo(1, "pending"), began_at=0.0)
    tally.vanished("1")
    tally.vanished("2")
    assert [failed.reason for failed in tally.failed] == ["deleted before it was ready"]
    assert tally.waiting == 0


def test_a_photo_that_was_ready_all_along_counts() -> None:
    tally = Tally()
    tally.accepted(Path("cat.jpg"), _photo(1, "ready"), began_at=0.0)
    assert (tally.ready, tally.waiting) == (1, 0)


def test_of_very_many_only_a_few_are_remembered() -> None:
    tally = Tally()
    for number in range(FEW * 10):
        tally.accepted(Path("cat.jpg"), _photo(number, "ready"), began_at=0.0)
    assert tally.ready == FEW * 10
    assert len(tally.listed_ready) == FEW


def test_other_peoples_results_are_not_remembered_for_ever() -> None:
    tally = Tally()
    for number in range(10_001):
        tally.seen(_photo(number, "ready"))
    tally.accepted(Path("cat.jpg"), _photo(0, "pending"), began_at=0.0)
    tally.accepted(Path("dog.jpg"), _photo(10_000, "pending"), began_at=0.0)
    assert tally.waiting_ids() == ["0"]
