"""The data directory of one ``up``: created, private, and locked."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_LOCK_FILE: Final = "up.lock"


class DataDirBusy(Exception):
    """Another ``up`` holds the data directory."""


class DataDirUnusable(Exception):
    """The data directory cannot be made or written."""


def make_data_dir(folder: Path) -> None:
    """Make ``folder``, where it is not there, for this account alone (mode 700).

    Raises:
        DataDirUnusable: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error


@contextlib.contextmanager
def claim_data_dir(folder: Path) -> Iterator[bool]:
    """Make ``folder`` (mode 700 if it is new) and hold it; yields whether the last holder ended in good order.

    The lock is the kernel's and ends with us, however we end; the process id in the file is for people, and its
    absence tells of a clean end.

    Raises:
        DataDirBusy: another process holds it.
        DataDirUnusable: it cannot be made or written.
    """
    make_data_dir(folder)
    try:
        lock = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        left_behind = os.pread(lock, 64, 0).decode(errors="replace").strip()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataDirBusy(
                f"another `thumbstream up` (process {left_behind or 'unknown'}) uses {folder}: "
                "stop it, or set THUMBSTREAM_DATA_DIR (and the ports) for a second one"
            ) from error
        _write(lock, f"{os.getpid()}\n")
        yield not left_behind
        _write(lock, "")
    finally:
        os.close(lock)


def _unusable(folder: Path, error: OSError) -> DataDirUnusable:
    return DataDirUnusable(f"cannot use the data directory {folder} ({error.strerror}): set THUMBSTREAM_DATA_DIR")


def _write(lock: int, text: str) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, text.encode(), 0)
