"""One set of servers for all faults of a module, and the table of all faults at the end of the run.

``FAULTS_PHOTOS``: photos per fault. ``FAULTS_REPORT``: where the table goes, as ``….md`` and ``….json``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import fault_run
from ledger import table_of
from proxied_servers import ProxiedServers, proxied_servers


@pytest.fixture(scope="module")
def servers(cluster_programs: None, server_folder: Path) -> Iterator[ProxiedServers]:
    """Three brokers, PostgreSQL and S3 behind proxies; two workers and two apis."""
    folder = server_folder / f"faults-{uuid4().hex[:8]}"
    folder.mkdir()
    # Longer than any test, so that the reconciler cannot hide a loss.
    with proxied_servers(
        folder,
        reconcile_after_seconds="86400",
        store_within_seconds="10",
        log_format="logfmt",
        erase_foreign_originals="true",
    ) as found:
        yield found


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The whole table."""
    if fault_run.rows:
        terminalreporter.section("what came of every photo")
        terminalreporter.write_line(table_of(fault_run.rows))
