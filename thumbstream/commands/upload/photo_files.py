"""Finds the files for ``upload``: named ones, and those below directories."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


class NothingThere(Exception):
    """A path is neither a file nor a directory; the text names every such path."""


def check_paths(paths: Iterable[Path]) -> None:
    """Raise ``NothingThere`` unless every path is a file or a directory."""
    bad = [path for path in paths if not (path.is_file() or path.is_dir())]
    if bad:
        raise NothingThere("\n".join(f"{path}: {'no file' if path.exists() else 'no such file'}" for path in bad))


def find_files(
    paths: Iterable[Path], *, on_unreadable: Callable[[Path, OSError], None] = lambda path, error: None
) -> Iterator[Path]:
    """The files named, and every regular file below the directories named, each directory in order of its names.

    What begins with a dot is left out unless it is named itself. Links are followed, and a directory is entered once,
    however many ways lead to it; one that cannot be listed goes to ``on_unreadable``. Holds the names of one directory
    a level at a time.
    """
    entered: set[tuple[int, int]] = set()

    def entries_of(folder: Path) -> Iterator[tuple[Path, bool]]:
        try:
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            if here in entered:
                return iter(())
            entered.add(here)
            with os.scandir(folder) as listing:
                found = [
                    (entry.name, entry.is_dir())
                    for entry in listing
                    if not entry.name.startswith(".") and (entry.is_dir() or entry.is_file())
                ]
        except OSError as error:
            on_unreadable(folder, error)
            return iter(())
        return ((folder / name, is_folder) for name, is_folder in sorted(found))

    for path in paths:
        ways = [iter([(path, path.is_dir())])]
        while ways:
            step = next(ways[-1], None)
            if step is None:
                ways.pop()
            elif step[1]:
                ways.append(entries_of(step[0]))
            else:
                yield step[0]
