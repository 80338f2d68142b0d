"""Lists files in storage page by page: more than fit into memory."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from schemas.storage_keys import TEMPORARY_PREFIX


@dataclass(frozen=True)
class StoredFile:
    """What storage says about one file."""

    key: str
    #: Bytes.
    size: int
    #: Where storage says it.
    modified_at: datetime | None = None

    @property
    def is_temporary(self) -> bool:
        """Whether it is a write or an upload on its way, or what is left of one."""
        return any(part.startswith(TEMPORARY_PREFIX) for part in self.key.split("/"))


#: Path, bytes, and when it was last changed, where a local disk or S3 says it.
Entry = tuple[str, int, datetime | None]


def list_files(filesystem: Any, start: str, page_files: int) -> Iterator[Entry]:
    """The files whose path begins with ``start``, on an fsspec file system; ``page_files`` are asked for at once.

    Blocks. Local disks and S3 are listed bit by bit, any other file system in one go.
    """
    if isinstance(filesystem, LocalFileSystem):
        return _walk(start)
    if hasattr(filesystem, "call_s3"):
        return _listed_by_s3(filesystem, start, page_files)
    return _found(filesystem, start)


def _walk(start: str) -> Iterator[Entry]:
    """Links are not followed; what vanishes meanwhile is left out."""
    folder, _, beginning = start.rpartition("/")
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if not entry.name.startswith(beginning):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(f"{folder}/{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield f"{folder}/{entry.name}", found.st_size, datetime.fromtimestamp(found.st_mtime, UTC)


def _listed_by_s3(filesystem: Any, start: str, page_files: int) -> Iterator[Entry]:
    bucket, prefix, _ = filesystem.split_path(start)
    more: dict[str, Any] = {}
    while True:
        wanted = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": min(page_files, 1000), **more}
        answer = filesystem.call_s3("list_objects_v2", **wanted)
        for entry in answer.get("Contents", []):
            yield f"{bucket}/{entry['Key']}", int(entry["Size"]), entry.get("LastModified")
        if not answer.get("IsTruncated"):
            return
        more = {"ContinuationToken": answer["NextContinuationToken"]}


def _found(filesystem: Any, start: str) -> Iterator[Entry]:
    filesystem.invalidate_cache()
    for path, entry in filesystem.find(start.rpartition("/")[0], detail=True).items():
        if path.startswith(start):
            yield path, int(entry["size"]), None
