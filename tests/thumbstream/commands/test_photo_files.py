import os
import sys
from pathlib import Path

import pytest

from thumbstream.commands.upload.photo_files import NothingThere, check_paths, find_files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b/2.jpg", "b/10.jpg", "a/x/deep.jpg", ".hidden/secret.jpg", "a/.hidden.jpg", "c.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return tmp_path


def _names(root: Path, *paths: Path) -> list[str]:
    return [str(file.relative_to(root)) for file in find_files(paths)]


def test_everything_that_is_not_hidden_is_found_in_order(tree: Path) -> None:
    assert _names(tree, tree) == ["a/x/deep.jpg", "b/10.jpg", "b/2.jpg", "c.txt"]


def test_what_is_named_is_taken_though_hidden_and_in_the_order_given(tree: Path) -> None:
    assert _names(tree, tree / "c.txt", tree / "a" / ".hidden.jpg") == ["c.txt", "a/.hidden.jpg"]


def test_links_that_lead_in_circles_end(tree: Path) -> None:
    (tree / "a" / "loop").symlink_to(tree)
    (tree / "b" / "other").symlink_to(tree / "a")
    (tree / "dangling.jpg").symlink_to(tree / "nowhere")
    assert sorted(Path(name).name for name in _names(tree, tree)) == ["10.jpg", "2.jpg", "c.txt", "deep.jpg"]


def test_a_link_to_a_file_is_a_file(tree: Path) -> None:
    (tree / "z.jpg").symlink_to(tree / "c.txt")
    assert "z.jpg" in _names(tree, tree)


def test_pipes_and_sockets_are_left_out(tree: Path) -> None:
    os.mkfifo(tree / "b" / "pipe.jpg")
    assert "b/pipe.jpg" not in _names(tree, tree)


def test_a_folder_that_goes_away_is_told_and_holds_up_nothing(tree: Path) -> None:
    troubles: list[Path] = []
    files = find_files([tree], on_unreadable=lambda path, error: troubles.append(path))
    assert next(files).name == "deep.jpg"
    for file in (tree / "b").iterdir():
        file.unlink()
    (tree / "b").rmdir()
    assert [file.name for file in files] == ["c.txt"]
    assert troubles == [tree / "b"]


def test_folders_nested_deeper_than_python_recurses_are_walked(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*["d"] * 400)
    deepest.mkdir(parents=True)
    (deepest / "deep.jpg").write_bytes(b"")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    try:
        found = list(find_files([tmp_path]))
    finally:
        sys.setrecursionlimit(limit)
    assert found == [deepest / "deep.jpg"]


def test_every_missing_path_is_named(tree: Path) -> None:
    with pytest.raises(NothingThere, match=r"one: no such file\n.*two: no such file"):
        check_paths([tree, tree / "one", tree / "two"])
