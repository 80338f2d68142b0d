"""A real PostgreSQL, from the machine's packages."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from polling import poll
from server_process import ServerDied, ServerProcess

_INSTALLED: Final = Path("/usr/lib/postgresql")
_ACCOUNT: Final = "postgres"


def postgres_programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs, or None."""
    found = sorted(_INSTALLED.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class PostgreSQL(ServerProcess):
    """A server of its own, with the superuser ``postgres`` and no password, on 127.0.0.1 only."""

    #: "Fast": ends the sessions and shuts down.
    stop_signal = signal.SIGINT

    def __init__(self, folder: Path, port: int | None = None) -> None:
        """Creates the cluster below ``folder``; takes a second."""
        super().__init__("postgres", folder, port)
        programs = postgres_programs()
        assert programs is not None, "PostgreSQL is not installed"
        self._programs = programs
        self._data = folder / "cluster"
        self._create_cluster()

    def account(self) -> str | None:
        """PostgreSQL refuses to run as root."""
        return _ACCOUNT if os.geteuid() == 0 else None

    def _create_cluster(self) -> None:
        self._data.mkdir(mode=0o700)
        account = self.account()
        if account:
            shutil.chown(self._data, account, account)
            for parent in self._data.parents:
                if parent.owner() == "root" and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        self._run(
            "initdb", f"--pgdata={self._data}", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"
        )

    def _run(self, program: str, *arguments: str) -> None:
        account = self.account()
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=account,
            group=account,
            extra_groups=[] if account else None,
        )
        assert done.returncode == 0, f"{program} ended with {done.returncode}: {done.stderr}{done.stdout}"

    def command(self) -> Sequence[str]:
        """Nothing is flushed to the disk: a killed server loses nothing by that, only a machine without power does."""
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        flags = [f"--{name}={value}" for name, value in options.items()]
        return [str(self._programs / "postgres"), "-D", str(self._data), *flags]

    def start(self) -> "PostgreSQL":
        """Start it; after a kill, once its orphans have let go of the shared memory."""

        def started() -> bool:
            try:
                super(PostgreSQL, self).start()
            except ServerDied:
                self._gone()
                if "still in use" in self.log_tail(3):
                    return False
                raise
            return True

        poll(started, self.start_seconds, what="postgres starts")
        return self

    def answers(self) -> bool:
        """Whether it has recovered and takes connections."""
        program = self._programs / "pg_isready"
        command = [str(program), "--quiet", "--username=postgres", "--host=127.0.0.1", f"--port={self.port}"]
        return subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode == 0

    def url(self, database: str = "postgres") -> str:
        """A SQLAlchemy async URL."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        """Run one SQL statement as the superuser."""
        self._run("psql", "-qX", "-h127.0.0.1", f"-p{self.port}", "-Upostgres", "-vON_ERROR_STOP=1", "-c", statement)

    @contextmanager
    def fresh_database(self, template: str = "template1") -> Iterator[str]:
        """An empty database, or a copy of the one named, for as long as asked: its URL."""
        name = f"test_{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            if self.is_running:
                self.execute(f"DROP DATABASE {name} WITH (FORCE)")
