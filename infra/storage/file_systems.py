"""Opens the file system of a storage URL. URLs and keys are taken literally: no character is a parameter."""

from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from infra.settings import Settings


def open_filesystem(settings: Settings) -> tuple[Any, str]:
    """The fsspec file system of the settings' storage URL, and the root as it understands it. Connects to nothing.

    fsspec's own parsing of URLs is not asked: it splits at ``::`` and takes ``?`` for the start of parameters.
    """
    scheme, _, rest = settings.resolved_storage_url.partition("://")
    if scheme == "file":
        return LocalFileSystem(), str(Path(rest).expanduser().absolute())
    if scheme == "s3":
        return _literal_s3()(**_s3_options(settings)), rest.strip("/")
    return fsspec.filesystem(scheme), f"/{rest.strip('/')}"


def _literal_s3() -> Any:
    from s3fs import S3FileSystem  # slow to import, and only S3 needs it

    class LiteralS3(S3FileSystem):  # type: ignore[misc]  # s3fs has no types
        """S3 whose keys may hold anything, ``?versionId=`` too, which s3fs would take for another version's name."""

        def split_path(self, path: str) -> tuple[str, str, str | None]:
            bucket, _, key = path.removeprefix("s3://").partition("/")
            return bucket, key, None

    return LiteralS3


def _s3_options(settings: Settings) -> dict[str, Any]:
    secret = settings.s3_secret_access_key
    options: dict[str, Any] = {
        "session": _session_without_expect(),
        "use_listings_cache": False,
        "config_kwargs": {
            "retries": {"max_attempts": 2},
            "signature_version": "s3v4",  # else presigned URLs have the old one, which newer regions refuse
            "connect_timeout": 5,
            "read_timeout": 30,
            # Some servers send the checksum of the whole file with a part of it, which the client would refuse.
            "response_checksum_validation": "when_required",
        },
    }
    if settings.s3_endpoint_url:
        options["endpoint_url"] = settings.s3_endpoint_url
    if settings.s3_access_key_id and secret:
        options |= {"key": settings.s3_access_key_id, "secret": secret.get_secret_value()}
    return options


def _session_without_expect() -> Any:
    """A session that sends bodies at once, without asking by ``Expect: 100-continue`` whether they are welcome.

    aiohttp waits for that answer without limit, so a server that refuses at once (503 SlowDown) or loses the question
    would hold the write for ever.
    """
    from aiobotocore.session import AioSession  # these two are slow to import, and only S3 needs them
    from botocore.handlers import add_expect_header

    session = AioSession()
    session.unregister("before-call.s3", add_expect_header)
    return session
