"""CPU time of the processes of a running system, by the part that each belongs to. Linux only: read from ``/proc``."""

import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from thumbstream.bench.service import CannotMeasure

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")

#: What the command line of a part holds; a process that holds none belongs to its parent's part.
_PARTS: Final = {"thumbstream worker": "worker", "thumbstream api": "api", "tansu": "broker", "kafka.Kafka": "broker"}


def cpu_seconds(root: int, *also: int) -> Mapping[str, float]:
    """CPU seconds so far, user and system, of ``root``'s descendants and of the processes ``also``.

    By part: ``render`` (the processes that a worker has started), ``worker``, ``api``, ``broker``, ``rest``. Of
    children that have ended, only what their parent has waited for is counted, with the parent.
    """
    total: dict[str, float] = defaultdict(float)
    for pid, part in _parts(root, *also).items():
        fields = _stat(pid)
        if fields is not None:
            total[part] += _seconds(fields)
    return total


def cpu_seconds_of(pid: int) -> float:
    """CPU seconds so far, user and system, of one process.

    Raises:
        CannotMeasure: it has ended.
    """
    fields = _stat(pid)
    if fields is None:
        raise CannotMeasure(f"process {pid} has ended")
    return _seconds(fields)


def memory_bytes(root: int, *also: int) -> Mapping[str, int]:
    """Resident memory of the same processes by the same parts; what they share is counted with each."""
    total: Counter[str] = Counter()
    for pid, part in _parts(root, *also).items():
        try:
            total[part] += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        except OSError:
            continue
    return total


def listener_of(port: int) -> int | None:
    """The id of the process of this machine that listens on ``port``, where it can be told."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    return None


def _parts(root: int, *also: int) -> dict[int, str]:
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(process.name))
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(int(process.name))
    parts = {pid: _part_of(pid, "rest") for pid in also}
    todo = [(root, "rest")]
    while todo:
        pid, parents = todo.pop()
        part = _part_of(pid, "render" if parents == "worker" else parents)
        parts[pid] = part
        todo += [(child, part) for child in children.get(pid, ())]
    return parts


def _part_of(pid: int, otherwise: str) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return otherwise
    return next((part for mark, part in _PARTS.items() if mark in command), otherwise)


def _seconds(fields: list[str]) -> float:
    return sum(int(field) for field in fields[11:13]) / _TICKS_PER_SECOND


def _stat(pid: int) -> list[str] | None:
    """The fields after the name: state, parent, …"""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
