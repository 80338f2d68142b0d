"""Writes files on a local disk so that each appears whole or not at all, and survives a power failure.

Source: fsync(2), which asks for the folder to be synced too.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from schemas.storage_keys import TEMPORARY_PREFIX

#: Each is lost only to an eraser that comes just between two system calls.
_FOLDER_ATTEMPTS: Final = 10


def write(contents: Mapping[Path, bytes]) -> None:
    """Write files of one folder, which is made. Each appears whole or not at all; raises ``OSError`` where one did not.

    Together, since the disk's answer is most of what a small file costs: the folder is synced once for all.
    """

    def act() -> None:
        with contextlib.ExitStack() as stack:
            temporaries = {target: stack.enter_context(_temporary_beside(target)) for target in contents}
            files = {target: stack.enter_context(temporaries[target].open("wb")) for target in contents}
            for target, file in files.items():
                file.write(contents[target])
                file.flush()
            for target, file in files.items():
                os.fsync(file.fileno())
                file.close()
                temporaries[target].replace(target)

    (folder,) = {target.parent for target in contents}
    _in_folder(folder, act)


def move(source: Path, target: Path) -> None:
    """Move ``source`` to ``target``, whose folders are made; from another disk too. Raises ``OSError``."""

    def act() -> None:
        _sync(source)
        try:
            source.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with _temporary_beside(target) as temporary:
                shutil.copyfile(source, temporary)
                _sync(temporary)
                temporary.replace(target)
            source.unlink()

    _in_folder(target.parent, act)


def _in_folder(folder: Path, act: Callable[[], None]) -> None:
    """Do ``act`` with ``folder`` there, though others may just be erasing and making it."""
    for attempts_left in reversed(range(_FOLDER_ATTEMPTS)):
        try:
            parents = _make_folders(folder)
            act()
            break
        except (FileNotFoundError, FileExistsError):
            if not attempts_left:
                raise
    for changed in (folder, *parents):
        with contextlib.suppress(FileNotFoundError):  # it is erased again, and nothing is to be kept
            _sync_folder(changed)


def _make_folders(folder: Path) -> list[Path]:
    """Make ``folder`` and those above it. Returns the folders that have a new entry by that."""
    if folder.is_dir():
        return []
    parents = _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    return [folder.parent, *parents]


@contextmanager
def _temporary_beside(target: Path) -> Iterator[Path]:
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{uuid4().hex}")
    try:
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks cannot
            raise


def _sync(path: Path) -> None:
    """Return when the disk has what was written to the file, or which entries the folder has."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
