"""A real S3 server: ``rclone serve s3`` over a folder."""

import shutil
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server_process import ServerProcess

_KEY_ID: Final = "thumbstream-tests"
_SECRET: Final = "no-secret-at-all"
_BUCKET: Final = "photos"


@dataclass(frozen=True)
class S3Location:
    """A place in a bucket, and how to get there."""

    #: ``s3://bucket/prefix``
    url: str
    endpoint_url: str
    access_key_id: str
    secret_access_key: str

    @property
    def settings(self) -> dict[str, str]:
        """As keyword arguments of ``Settings`` and ``load_settings``."""
        return {
            "storage_url": self.url,
            "s3_endpoint_url": self.endpoint_url,
            "s3_access_key_id": self.access_key_id,
            "s3_secret_access_key": self.secret_access_key,
        }

    @property
    def variables(self) -> dict[str, str]:
        """As environment variables of a child process."""
        return {f"THUMBSTREAM_{name.upper()}": value for name, value in self.settings.items()}


def rclone() -> str | None:
    """The rclone of this environment, else the machine's, else None."""
    return shutil.which("rclone", path=sysconfig.get_path("scripts")) or shutil.which("rclone")


class S3Server(ServerProcess):
    """One bucket, ``photos``, kept as a folder."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        """The bucket lies below ``folder``."""
        super().__init__("s3", folder, port)
        #: What is in the bucket, as files.
        self.bucket_folder = folder / "buckets" / _BUCKET
        self.bucket_folder.mkdir(parents=True)

    def command(self) -> Sequence[str]:
        """Serve the folder."""
        program = rclone()
        assert program is not None, "rclone is not installed"
        return [
            program,
            "serve",
            "s3",
            f"--auth-key={_KEY_ID},{_SECRET}",
            f"--addr=127.0.0.1:{self.port}",
            "--config=",
            "--dir-cache-time=1s",
            str(self.bucket_folder.parent),
        ]

    def location(self, prefix: str) -> S3Location:
        """The folder ``prefix`` of the bucket."""
        return S3Location(f"s3://{_BUCKET}/{prefix}", f"http://127.0.0.1:{self.port}", _KEY_ID, _SECRET)
