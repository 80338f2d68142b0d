"""A disk that is full under SQLite: posts are refused, the projector waits, and all goes on when there is room."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployment import Deployment
from fault_run import FAULT_MARKS, FaultRun, run_fault
from proxied_servers import Servers, servers_of

pytestmark = [pytest.mark.faults, *FAULT_MARKS]

DISK_BYTES = 24 * 1024 * 1024


@pytest.fixture
def small_disk(fresh_folder: Path) -> Iterator[Path]:
    """A disk of its own that is soon full."""
    disk = fresh_folder / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_every_photo_is_accounted_for_when_the_database_has_no_room(apache_kafka, fresh_folder, small_disk):
    deployment = Deployment(
        fresh_folder,
        apache_kafka,
        workers=1,
        database_url=f"sqlite+aiosqlite:///{small_disk}/thumbstream.sqlite",
        reconcile_after_seconds="86400",
        store_within_seconds="10",
        log_format="logfmt",
    )

    async def disk_full(run: FaultRun[Servers]) -> None:
        filler = small_disk / "filler"
        await run.do(_fill, filler)
        await asyncio.sleep(15)
        assert await run.do(_is_full, small_disk)
        await run.do(filler.unlink)

    deployment.start()
    try:
        servers = servers_of(deployment, fresh_folder / "data" / "storage")
        findings = await run_fault("disk full for SQLite", disk_full, servers, seconds=10, photos=60)
    finally:
        deployment.stop()
    assert "waits for the database" in deployment.api.log_file.read_text()
    findings.check()


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        for piece in (64 * 1024, 4096):
            try:
                while True:
                    file.write(b"\0" * piece)
            except OSError:
                continue


def _is_full(disk: Path) -> bool:
    room = os.statvfs(disk)
    return room.f_bavail * room.f_frsize < 64 * 1024
