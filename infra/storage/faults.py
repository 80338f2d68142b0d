"""Classifies errors of file systems: the key is missing, the key is at fault, or storage is unavailable."""

import errno
from enum import Enum, auto
from typing import Any, Final

from schemas.faults import OriginalMissing, StorageUnavailable


class Missing(OriginalMissing):
    """Nothing lies at the key, nothing can, or nothing that we may read."""


class KeyRefused(StorageUnavailable):
    """Storage works, and refuses this one key: another attempt would end the same."""

    attempts = 1


class RightMissing(StorageUnavailable):
    """Storage answers and does not let us do it; the text names the right that is missing."""


class Right(Enum):
    """What storage must let us do; the value is the name of the right on S3."""

    WRITE = "s3:PutObject"
    READ = "s3:GetObject"
    LIST = "s3:ListBucket"
    ERASE = "s3:DeleteObject"


class Scope(Enum):
    """Whom an error concerns."""

    #: No file is there, and perhaps none can be.
    ABSENT = auto()
    #: One key or all of storage: only another call can tell.
    UNCLEAR = auto()
    #: Every key.
    STORAGE = auto()


#: Errors of a local disk about one path.
_OF_ONE_PATH: Final = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ,
    errno.EEXIST, errno.ENOTEMPTY,
}  # fmt: skip
#: A permission may lack on one file or on the whole disk.
_UNCLEAR: Final = {errno.EACCES, errno.EPERM}

#: S3's codes for a key at which nothing lies or can lie. Source: Amazon's list of S3 error codes, and MinIO's.
_CODES_OF_ONE_KEY: Final = {
    "404", "NoSuchKey", "NoSuchVersion", "KeyTooLongError", "KeyTooLong", "InvalidObjectName",
    "XMinioInvalidObjectName", "InvalidURI",
}  # fmt: skip
#: Answers below 500 that concern every key.
_CODES_OF_STORAGE: Final = {
    "NoSuchBucket", "InvalidBucketName", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "TokenRefreshRequired", "RequestTimeTooSkewed", "AuthorizationHeaderMalformed", "AccountProblem",
    "AllAccessDisabled", "NotSignedUp", "RequestTimeout", "SlowDown", "OperationAborted",
}  # fmt: skip
_STATUSES_OF_STORAGE: Final = {401, 407, 408, 425, 429}

_REASON_CHARACTERS: Final = 300


def scope_of(error: BaseException) -> Scope:
    """Whom ``error`` of an fsspec file system concerns."""
    if answer := _answer_of(error):
        return _scope_of_answer(*answer)
    if type(error).__name__ == "ParamValidationError":  # botocore's, which refuses the key before it asks
        return Scope.ABSENT
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError | ValueError):
        return Scope.ABSENT
    if isinstance(error, OSError) and error.errno in _OF_ONE_PATH:
        return Scope.ABSENT
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno in _UNCLEAR):
        return Scope.UNCLEAR
    return Scope.STORAGE


def is_refusal(error: BaseException) -> bool:
    """Whether storage knows us and does not let us do it."""
    if answer := _answer_of(error):
        status, code = answer
        return status == 403 and code not in _CODES_OF_STORAGE
    return isinstance(error, PermissionError)


def reason_of(error: BaseException, root: str) -> str:
    """Why, in one line and without the path of ``root``."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        said = str(error.strerror)
    else:
        said = str(error) or type(error).__name__
    if answer := _answer_of(error):
        said = f"{said} ({answer[1]})"
    if root:
        said = said.replace(root, "")
    return " ".join(said.split())[:_REASON_CHARACTERS]


def _answer_of(error: BaseException) -> tuple[int, str] | None:
    """Status and code of the S3 answer that an error was made of."""
    seen: BaseException | None = error
    while seen is not None:
        response: Any = getattr(seen, "response", None)
        if isinstance(response, dict) and "Error" in response:
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return int(status), str(response["Error"].get("Code", ""))
        seen = seen.__cause__
    return None


def _scope_of_answer(status: int, code: str) -> Scope:
    if code in _CODES_OF_STORAGE or status in _STATUSES_OF_STORAGE:
        return Scope.STORAGE
    if code in _CODES_OF_ONE_KEY:
        return Scope.ABSENT
    return Scope.UNCLEAR if 400 <= status < 500 else Scope.STORAGE
