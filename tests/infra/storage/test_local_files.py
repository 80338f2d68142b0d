import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.storage import local_files

Put = Callable[[bytes, Path], None]


def written(content: bytes, target: Path) -> None:
    local_files.write({target: content})


def moved(content: bytes, target: Path) -> None:
    source = target.parents[2] / "source"
    source.write_bytes(content)
    local_files.move(source, target)
    assert not source.exists()


def moved_from_another_disk(content: bytes, target: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "replace", _replace_within_one_folder)
        moved(content, target)


_replace = Path.replace


def _replace_within_one_folder(self: Path, target: Path) -> Path:
    if self.parent != target.parent:
        raise OSError(errno.EXDEV, "another disk")
    return _replace(self, target)


@pytest.fixture(params=[written, moved, moved_from_another_disk])
def put(request: pytest.FixtureRequest) -> Put:
    putting: Put = request.param
    return putting


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_folders_are_before_the_call_returns(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "thumbnails" / "photo" / "small.webp"
    before, after = set(), set()
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        (after if target.exists() else before).add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    put(b"pixels", target)
    assert target.read_bytes() == b"pixels"
    assert target.stat().st_ino in before
    assert {folder.stat().st_ino for folder in (target.parent, target.parents[1], tmp_path)} <= after


def test_a_file_that_cannot_be_written_leaves_what_was_there_and_nothing_else(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a" / "b" / "c"
    put(b"old", target)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        put(b"new", target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in target.parent.iterdir()] == ["c"]


def test_a_folder_that_cannot_be_synced_is_no_fault_on_a_disk_that_knows_no_such_thing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(descriptor: int) -> None:
        if os.path.isdir(descriptor):  # noqa: PTH112
            raise OSError(errno.EINVAL, "not for folders")

    monkeypatch.setattr(os, "fsync", refused)
    local_files.write({tmp_path / "a" / "b": b"pixels"})
    assert (tmp_path / "a" / "b").read_bytes() == b"pixels"
