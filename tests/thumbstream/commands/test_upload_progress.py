from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from thumbstream.client.models import Photo
from thumbstream.commands.upload.upload_progress import FEW, UploadProgress

_STEPS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["accepted", "processing", "ready", "again"])))


def _photo(number: int, status: str) -> Photo:
    error = {"error": {"code": "unreadable", "message": "cut short"}} if status == "failed" else {}
    return Photo.from_json({"id": str(number), "thumbnail_status": status, **error})


@given(_STEPS, st.frozensets(st.integers(0, 5)))
def test_each_photo_counts_once_whatever_comes_first_and_however_often(
    steps: list[tuple[int, str]], bad: frozenset[int]
) -> None:
    counts = UploadProgress()
    accepted, finished = set(), set()
    for number, step in steps:
        if step == "accepted":
            if number not in accepted:
                counts.accepted(Path(str(number)), _photo(number, "pending"), began_at=0.0)
                accepted.add(number)
        elif step == "processing":
            counts.seen(_photo(number, "processing"))
        else:
            counts.seen(_photo(number, "failed" if number in bad else "ready"))
            finished.add(number)
    done = accepted & finished
    assert counts.uploaded == len(accepted)
    assert counts.ready == len(done - bad)
    assert {failed.path for failed in counts.failed} == {Path(str(number)) for number in done & bad}
    assert set(counts.waiting_ids()) == {str(number) for number in accepted - finished}


def test_a_photo_deleted_before_its_result_has_failed() -> None:
    counts = UploadProgress()
    counts.accepted(Path("cat.jpg"), _photo(1, "pending"), began_at=0.0)
    counts.vanished("1")
    counts.vanished("2")
    assert [failed.reason for failed in counts.failed] == ["deleted before it was ready"]
    assert counts.waiting == 0


def test_a_photo_that_was_ready_all_along_counts() -> None:
    counts = UploadProgress()
    counts.accepted(Path("cat.jpg"), _photo(1, "ready"), began_at=0.0)
    assert (counts.ready, counts.waiting) == (1, 0)


def test_of_very_many_only_a_few_are_remembered() -> None:
    counts = UploadProgress()
    for number in range(FEW * 10):
        counts.accepted(Path("cat.jpg"), _photo(number, "ready"), began_at=0.0)
    assert counts.ready == FEW * 10
    assert len(counts.listed_ready) == FEW


def test_other_peoples_results_are_not_remembered_for_ever() -> None:
    counts = UploadProgress()
    for number in range(10_001):
        counts.seen(_photo(number, "ready"))
    counts.accepted(Path("cat.jpg"), _photo(0, "pending"), began_at=0.0)
    counts.accepted(Path("dog.jpg"), _photo(10_000, "pending"), began_at=0.0)
    assert counts.waiting_ids() == ["0"]
