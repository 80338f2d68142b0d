"""Errors as problem documents. Source: RFC 9457."""

import http
from typing import Any, Final

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from pydantic import ValidationError
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError, StatementError

from api.photos.errors import Conflict, InvalidField, KeyReused, NotFound, OverQuota, Refused, Unavailable
from infra.metrics import REJECTED_REQUESTS
from schemas.faults import Fault, StorageUnavailable

log = structlog.get_logger(__name__)

CONTENT_TYPE: Final = "application/problem+json"

_STATUS_OF: Final[dict[type[Refused], int]] = {
    NotFound: 404,
    InvalidField: 400,
    Conflict: 409,
    KeyReused: 422,
    Unavailable: 503,
    OverQuota: 507,
}
#: Reasons of the metric, for problems without a code of their own.
_REASON_OF_STATUS: Final = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    415: "unsupported_type",
    422: "unprocessable",
    426: "upgrade_required",
    429: "rate_limited",
    500: "internal",
    503: "unavailable",
    507: "quota",
}
#: The name of the request's id, in problem documents and in every line that is logged meanwhile.
REQUEST_ID_FIELD: Final = "request_id"
_RETRY: Final[dict[str, str]] = {hdrs.RETRY_AFTER: "2"}


class Problem(Exception):
    """An answer that is no success: its status, a sentence for a person, and what each field has wrong."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        fields: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.fields = fields or {}
        self.headers = headers or {}


class SlowBody(Exception):
    """The client sends the body of its request too slowly; reading it raises this."""


def bad_field(field: str, message: str) -> Problem:
    """A 400 about one field."""
    return problem_of(InvalidField(field, message))


def not_found(what: str = "photo") -> Problem:
    """The one answer for what is unknown and for what belongs to another workspace."""
    return problem_of(NotFound(what))


def problem_of(refused: Refused) -> Problem:
    """What a command has refused."""
    status = _STATUS_OF[type(refused)]
    return Problem(status, str(refused), fields=refused.fields, headers=_RETRY if status == 503 else None)


def problem_of_fault(status: int, fault: Fault) -> Problem:
    """A fault that is known at once, in the same words as ``thumbnails.failed`` would have."""
    return Problem(status, str(fault), code=fault.code.value)


def problem_of_validation(error: ValidationError) -> Problem:
    """A 400 that names each field of a body that is wrong."""
    fields = {".".join(map(str, fault["loc"])) or "body": fault["msg"] for fault in error.errors()}
    return Problem(400, "; ".join(f"{field}: {message}" for field, message in fields.items()), fields=fields)


def response_of(problem: Problem) -> web.Response:
    """The problem document, which is counted, with the id of the request that is being answered if there is one."""
    REJECTED_REQUESTS.labels(problem.code or _REASON_OF_STATUS.get(problem.status, "other")).inc()
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": http.HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    if request_id := structlog.contextvars.get_contextvars().get(REQUEST_ID_FIELD):
        body["request_id"] = request_id
    if problem.code:
        body["code"] = problem.code
    if problem.fields:
        body["errors"] = [{"field": field, "message": message} for field, message in problem.fields.items()]
    headers = {hdrs.CACHE_CONTROL: "no-store", **problem.headers}
    return web.json_response(body, status=problem.status, content_type=CONTENT_TYPE, headers=headers)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem document; unexpected ones are logged and shown without details."""
    try:
        return await handler(request)
    except Problem as problem:
        return response_of(problem)
    except Refused as refused:
        return response_of(problem_of(refused))
    except ValidationError as error:
        return response_of(problem_of_validation(error))
    except StorageUnavailable as error:
        log.warning("storage is unavailable", method=request.method, path=request.path, reason=str(error))
        return response_of(away("storage"))
    except SlowBody:
        return response_of(Problem(408, "the body of the request comes too slowly", headers={hdrs.CONNECTION: "close"}))
    except (HttpProcessingError, web.RequestPayloadError) as error:
        return response_of(Problem(400, f"the body of the request is malformed: {_first_words(error)}"))
    except SQLAlchemyError as error:
        if _is_about_a_value(error):
            log.warning("a value cannot be kept", method=request.method, path=request.path, reason=str(error)[:500])
            return response_of(Problem(400, "a value of the request is out of range"))
        log.warning("the database is unavailable", method=request.method, path=request.path, reason=str(error)[:500])
        return response_of(away("the database"))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kept = {str(name): error.headers[name] for name in (hdrs.ALLOW,) if name in error.headers}
        return response_of(Problem(error.status, _sentence_for(error, request), headers=kept))
    except OSError as error:
        if is_client_gone(request):
            return response_of(Problem(400, "the connection was lost"))  # said to nobody
        log.exception("a part of the system does not answer", method=request.method, path=request.path)
        return response_of(away(f"a part of the system ({type(error).__name__})"))
    except Exception:
        log.exception("unexpected error", method=request.method, path=request.path)  # the line has the request's id
        return response_of(Problem(500, "something went wrong here; it is logged with the id of this request"))


def is_client_gone(request: web.Request) -> bool:
    """Whether the connection is lost, of which aiohttp tells only those who write."""
    return request.transport is None or request.transport.is_closing()


def away(what: str) -> Problem:
    """A 503 that names the part of the system which does not answer."""
    return Problem(503, f"{what} does not answer; try again", headers=_RETRY)


def _is_about_a_value(error: SQLAlchemyError) -> bool:
    # A statement that failed before it got to the driver had a parameter that no column can keep.
    return isinstance(error, DataError) or (isinstance(error, StatementError) and not isinstance(error, DBAPIError))


def _first_words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _sentence_for(error: web.HTTPException, request: web.Request) -> str:
    match error.status:
        case 404:
            return f"there is nothing at {request.path}"
        case 405:
            return f"{request.method} is not possible at {request.path}"
        case 413:
            return "the body is too large"
        case _:
            return error.reason
