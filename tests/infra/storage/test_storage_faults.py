"""A fault of one key is that key's alone; a fault of storage concerns every key. No message names a path."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st
from s3fs.errors import ERROR_CODE_TO_EXCEPTION, translate_boto_error

from ailing_s3 import AilingS3
from infra.settings import Settings
from infra.storage.client import Storage, open_storage
from infra.storage.faults import KeyRefused, Missing, RightMissing, Scope, reason_of, scope_of
from s3_server import S3Location, S3Server
from schemas.faults import StorageUnavailable

RIGHTS = ("s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:DeleteObject")


def answer(status: int, code: str) -> Exception:
    """What s3fs makes of an answer."""
    parsed: Any = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    made: Exception = translate_boto_error(ClientError(parsed, "GetObject"))
    return made


@pytest.mark.parametrize(
    ("error", "scope"),
    [
        *((OSError(getattr(errno, name), "said", "/srv/x"), Scope.ABSENT) for name in (
            "ENOENT", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP", "EINVAL", "EILSEQ",
        )),
        (ValueError("embedded null byte"), Scope.ABSENT),
        *((OSError(getattr(errno, name), "said", "/srv/x"), Scope.UNCLEAR) for name in ("EACCES", "EPERM")),
        *((OSError(getattr(errno, name), "said", "/srv/x"), Scope.STORAGE) for name in (
            "ENOSPC", "EROFS", "EDQUOT", "EIO", "ESTALE", "ETIMEDOUT", "ECONNREFUSED",
        )),
        (TimeoutError("timed out"), Scope.STORAGE),
        (ConnectionError("refused"), Scope.STORAGE),
        *((answer(404, code), Scope.ABSENT) for code in ("NoSuchKey", "404")),
        *((answer(400, code), Scope.ABSENT) for code in ("KeyTooLongError", "InvalidURI", "XMinioInvalidObjectName")),
        *((answer(403, code), Scope.UNCLEAR) for code in ("AccessDenied", "403")),
        *((answer(400, code), Scope.UNCLEAR) for code in ("400", "InvalidArgument")),
        (answer(404, "NoSuchBucket"), Scope.STORAGE),
        *((answer(403, code), Scope.STORAGE) for code in (
            "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed",
        )),
        *((answer(400, code), Scope.STORAGE) for code in ("ExpiredToken", "InvalidToken", "RequestTimeout")),
        *((answer(status, "SlowDown"), Scope.STORAGE) for status in (429, 503)),
    ],
    ids=lambda value: f"{type(value).__name__}:{value}"[:60] if isinstance(value, Exception) else value.name,
)  # fmt: skip
def test_each_error_concerns_one_key_or_all_or_cannot_tell(error: Exception, scope: Scope) -> None:
    assert scope_of(error) is scope


@given(status=st.integers(500, 599), code=st.sampled_from(sorted(ERROR_CODE_TO_EXCEPTION.keys() - {"404"})))
def test_no_answer_of_a_server_in_trouble_is_ever_a_fault_of_one_key(status: int, code: str) -> None:
    assert scope_of(answer(status, code)) is Scope.STORAGE or code in {
        "NoSuchKey", "NoSuchVersion", "KeyTooLongError", "InvalidURI",
    }  # fmt: skip


@given(st.sampled_from([errno.EACCES, errno.ENOSPC, errno.ENAMETOOLONG]), st.text(max_size=20))
def test_no_reason_names_the_root(number: int, name: str) -> None:
    for error in (OSError(number, os.strerror(number), f"/srv/storage/{name}"), RuntimeError(f"/srv/storage/{name}")):
        assert "/srv/storage" not in reason_of(error, "/srv/storage")


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Storage]:
    opened = open_storage(Settings(storage_url=f"file://{tmp_path}/root"))
    await opened.check()
    await opened.write("file", b"x")
    await opened.write("folder/file", b"x")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root" / "loop")
    os.mkfifo(tmp_path / "root" / "pipe")
    yield opened
    await opened.close()


NOTHING_CAN_LIE_AT = [
    "n" * 256,
    "a/" + "n" * 260 + ".jpg",
    "file/below",
    "file/a/b",
    "folder",
    "loop",
    "loop/x",
    "gone",
]


@pytest.mark.parametrize("key", [*NOTHING_CAN_LIE_AT, "pipe"])
async def test_what_is_no_file_is_missing_and_the_message_names_the_key_alone(
    local: Storage, tmp_path: Path, key: str
) -> None:
    for call in (local.info(key), local.read(key), anext(local.chunks(key))):
        with pytest.raises(Missing) as raised:
            await call
        assert key in str(raised.value)
        assert str(tmp_path) not in str(raised.value)


@pytest.mark.parametrize("key", NOTHING_CAN_LIE_AT)
async def test_what_cannot_exist_is_erased_already(local: Storage, key: str) -> None:
    assert await local.erase([key]) == (1 if key == "loop" else 0)
    assert await local.erase_under(key if key != "folder" else "gone") == 0
    assert await local.read("folder/file") == b"x"


@pytest.mark.parametrize("key", ["n" * 256, "file/below", "folder"])
async def test_a_key_that_cannot_be_written_is_refused_while_storage_works(
    local: Storage, tmp_path: Path, key: str
) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(b"pixels")
    for call in (local.write(key, b"x"), local.put_file(upload, key)):
        with pytest.raises(KeyRefused) as raised:
            await call
        assert str(tmp_path) not in str(raised.value)
    assert upload.read_bytes() == b"pixels"
    assert [file.key for file in await local.list_under("folder")] == ["folder/file"]


class Unpermitted(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Lets nobody touch a key with one of ``words`` in it."""

    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012  # as fsspec's own: one for all instances
    words: tuple[str, ...] = ()

    def _guard(self, path: str) -> None:
        if any(word in path for word in self.words):
            raise PermissionError(errno.EACCES, "Permission denied", path)

    def info(self, path: str, **options: Any) -> Any:
        self._guard(path)
        return super().info(path, **options)

    def cat_file(self, path: str, *arguments: Any, **options: Any) -> Any:
        self._guard(path)
        return super().cat_file(path, *arguments, **options)

    def pipe_file(self, path: str, value: bytes, **options: Any) -> Any:
        self._guard(path)
        return super().pipe_file(path, value, **options)

    def rm_file(self, path: str) -> Any:
        self._guard(path)
        return super().rm_file(path)


@pytest.mark.parametrize(("words", "is_away"), [(("secret",), False), (("secret", ".incoming-check"), True)])
async def test_a_permission_that_lacks_is_one_keys_fault_unless_a_file_of_ours_lacks_it_too(
    tmp_path: Path, words: tuple[str, ...], is_away: bool
) -> None:
    filesystem = Unpermitted()
    storage = Storage(filesystem, f"/{tmp_path.name}")
    await storage.write("secret/a", b"x")
    filesystem.words = words
    outcomes = await asyncio.gather(
        storage.info("secret/a"), storage.read("secret/a"), storage.write("secret/a", b"y"),
        storage.erase(["secret/a"]),
        return_exceptions=True,
    )  # fmt: skip
    wanted = [StorageUnavailable] * 4 if is_away else [Missing, Missing, KeyRefused, KeyRefused]
    assert [type(outcome) for outcome in outcomes] == wanted
    await storage.close()


@pytest.fixture
def guarded(s3_server: S3Server) -> Iterator[AilingS3]:
    with AilingS3(s3_server.port) as guard:
        yield guard


@pytest.fixture
async def on_s3(guarded: AilingS3, s3_storage: S3Location) -> AsyncIterator[Storage]:
    chosen = s3_storage.settings | {"s3_endpoint_url": f"http://127.0.0.1:{guarded.port}"}
    opened = open_storage(Settings(**chosen))
    await opened.check_rights()
    yield opened
    guarded.denied = set()
    await opened.close()


async def test_a_missing_key_is_missing_also_where_s3_does_not_let_us_list(on_s3: Storage, guarded: AilingS3) -> None:
    await on_s3.write("a/there", b"x")
    guarded.denied = {"s3:ListBucket"}
    keys = [f"a/gone-{number}" for number in range(20)]
    outcomes = await asyncio.gather(*map(on_s3.info, keys), on_s3.read("a/gone"), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Missing}
    assert await on_s3.read("a/there") == b"x"
    await on_s3.check()
    with pytest.raises(RightMissing, match="s3:ListBucket"):
        await on_s3.list_under("a")
    stored, lying = await on_s3.look("a/there", "t")
    assert (stored.size, lying) == (1, None)


@pytest.mark.parametrize("denied", RIGHTS)
async def test_the_right_that_lacks_is_named_and_no_other(on_s3: Storage, guarded: AilingS3, denied: str) -> None:
    guarded.denied = {denied}
    with pytest.raises(RightMissing) as raised:
        await on_s3.check_rights()
    assert [right for right in RIGHTS if right in str(raised.value)] == [denied]


async def test_a_deletion_without_the_right_waits_and_is_no_fault_of_one_key(on_s3: Storage, guarded: AilingS3) -> None:
    await on_s3.write("a/there", b"x")
    guarded.denied = {"s3:DeleteObject"}
    with pytest.raises(StorageUnavailable) as raised:
        await on_s3.erase(["a/there"])
    assert not isinstance(raised.value, KeyRefused)


async def test_all_refused_is_an_outage_and_no_missing_key(on_s3: Storage, guarded: AilingS3) -> None:
    guarded.denied = set(RIGHTS)
    with pytest.raises(StorageUnavailable):
        await on_s3.info("a/there")
