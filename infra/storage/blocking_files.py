"""Blocking calls on files by their key under one root. On a local disk no link leads out of the root."""

import errno
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fsspec.implementations.local import LocalFileSystem

from infra.storage import local_files
from infra.storage.faults import Scope, scope_of
from infra.storage.listing import Entry, list_files
from schemas.storage_keys import check_storage_key

#: Files that a listing asks S3 for at once.
_LISTED_AT_ONCE: Final = 1000


#: The smallest that S3 allows for a part that is not the last.
PART_BYTES: Final = 5 * 1024 * 1024


class BlockingFiles:
    """Files under ``root`` of an fsspec file system. Raises whatever that raises."""

    def __init__(self, filesystem: Any, root: str) -> None:
        """``root`` is a path as ``filesystem`` understands it."""
        self.filesystem = filesystem
        self.root = root.rstrip("/")
        self.is_local = isinstance(filesystem, LocalFileSystem)
        self.is_s3 = hasattr(filesystem, "call_s3")

    def path_of(self, key: str) -> str:
        """Where the file system has ``key``; ``ValueError`` where it is no storage key."""
        return f"{self.root}/{check_storage_key(key)}"

    def reach(self, key: str, *, follow: bool = True) -> str:
        """The path at ``key``. On a local disk, raises where a link on the way leads out of the root.

        ``follow``: the file itself may be a link too. Whoever erases or replaces it reaches the link, not its end.
        """
        path = self.path_of(key)
        if self.is_local and self._has_link(path, follow=follow):
            root = os.path.realpath(self.root or "/")
            end = os.path.realpath(path if follow else Path(path).parent)
            if os.path.commonpath((root, end)) != root:
                raise FileNotFoundError(errno.ELOOP, "a link leads out of the storage root")
        return path

    def _has_link(self, path: str, *, follow: bool) -> bool:
        """Whether a part of the way below the root is a link: to look is a quarter of the cost of resolving all."""
        ends = [end for end, character in enumerate(path) if character == "/" and end > len(self.root)]
        ends += [len(path)] if follow else []
        return any(os.path.islink(path[:end]) for end in ends)  # noqa: PTH114  # a Path for each costs more than to look

    def _reach_file(self, key: str) -> str:
        path = self.reach(key)
        if self.is_local:
            self._local_size(path)
        return path

    def _local_size(self, path: str) -> int:
        try:
            found = Path(path).stat()
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError(errno.EINVAL, "it is no file")
        except OSError:
            self._must_have_root()
            raise
        return found.st_size

    def _must_have_root(self) -> None:
        if self.is_local and not Path(self.root or "/").is_dir():
            # All files are gone at once: a disk that is not mounted, which says nothing about one photo.
            raise OSError("the storage root is not there")

    def size(self, key: str) -> int:
        """Bytes of the file."""
        path = self.reach(key)
        if self.is_local:
            return self._local_size(path)
        found = self.filesystem.info(path)
        if found["type"] != "file":
            raise FileNotFoundError(errno.EINVAL, "it is no file")
        return int(found["size"])

    def look(self, key: str, folder: str) -> tuple[int, list[Entry] | None]:
        """Bytes of the file at ``key``, and all files below ``folder``; None where we may not list it."""
        size = self.size(key)
        try:
            return size, self.find(folder)
        except OSError as error:
            scope = scope_of(error)
            if scope is Scope.STORAGE:
                raise
            return size, [] if scope is Scope.ABSENT else None

    def read(self, key: str, byte_count: int | None = None) -> Any:
        """All of the file, or its first bytes."""
        path = self._reach_file(key)
        if byte_count is None:
            return self.filesystem.cat_file(path)
        return self.filesystem.cat_file(path, start=0, end=byte_count)

    def open(self, key: str) -> Any:
        """The file, opened to be read."""
        return self.filesystem.open(self._reach_file(key), "rb")

    def presigned_url(self, key: str, seconds: int, content_type: str, disposition: str | None) -> str:
        """A URL of S3 by which anyone may read the file."""
        overrides = {"ResponseContentType": content_type}
        if disposition is not None:
            overrides["ResponseContentDisposition"] = disposition
        return str(self.filesystem.url(self.path_of(key), expires=seconds, **overrides))

    def put_file(self, source: Path, key: str) -> None:
        """Move a local file to ``key``."""
        if self.is_local:
            local_files.move(source, Path(self.reach(key, follow=False)))
        else:
            # s3fs holds a file whole in memory, by default up to 100 MB.
            by_parts = {"chunksize": PART_BYTES, "max_concurrency": 1} if self.is_s3 else {}
            self.filesystem.put_file(str(source), self.path_of(key), **by_parts)
            source.unlink()

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write files of one folder by key, each whole or not at all."""
        if self.is_local:
            self.reach(next(iter(contents)), follow=False)  # the others lie beside it
            local_files.write({Path(self.path_of(key)): content for key, content in contents.items()})
        else:
            for key, content in contents.items():
                self.filesystem.pipe_file(self.path_of(key), content)

    def write_and_recheck(self, contents: Mapping[str, bytes], key: str) -> bool:
        """As ``write``; then whether a file lies at ``key``."""
        if contents:
            self.write(contents)
        try:
            self.size(key)
        except OSError as error:
            if scope_of(error) is Scope.ABSENT:
                return False
            raise
        return True

    def download(self, key: str, copy: Path) -> None:
        """Copy the file at ``key`` to a local path."""
        self.filesystem.get_file(self.path_of(key), str(copy))
        if not copy.is_file():
            raise FileNotFoundError(errno.EINVAL, "it is no file")

    def erase(self, key: str) -> bool:
        """Erase the file; False if there is none, or can be none."""
        try:
            path = self.reach(key, follow=False)
            if self.is_local:
                Path(path).unlink()
            else:
                self.filesystem.rm_file(path)
        except Exception as error:  # each fsspec backend has errors of its own
            if scope_of(error) is not Scope.ABSENT and not self._is_no_file(key):
                raise  # of a folder macOS says EPERM, and some S3 servers have an internal error
            self._must_have_root()
            return False
        return True

    def _is_no_file(self, key: str) -> bool:
        try:
            self.size(key)
        except Exception as error:  # each fsspec backend has errors of its own
            return scope_of(error) is Scope.ABSENT
        return False

    def remove_folder(self, prefix: str) -> None:
        """Remove a local folder with all that is left in it."""
        self._must_have_root()
        try:
            shutil.rmtree(self.reach(prefix), ignore_errors=True)
        except OSError as error:
            if scope_of(error) is not Scope.ABSENT:
                raise

    def find(self, prefix: str) -> list[Entry]:
        """All files below a folder."""
        return list(list_files(self.filesystem, self.reach(prefix) + "/", _LISTED_AT_ONCE))

    def prune_folders(self, keys: list[str]) -> None:
        """Remove the local folders of ``keys`` that are empty, but never a top one."""
        root = Path(self.root)
        for folder in {Path(self.path_of(key)).parent for key in keys}:
            while len(folder.relative_to(root).parts) > 1:
                try:
                    folder.rmdir()
                except OSError:
                    break
                folder = folder.parent
