"""Parses and checks path, query, body and headers of a request; a problem names the field that is wrong."""

import json
import re
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

from aiohttp import HttpVersion11, hdrs, web
from pydantic import AfterValidator, BaseModel, BeforeValidator, StringConstraints, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails

from api.http.auth import CALLER
from api.http.problems import Problem, bad_field, not_found, problem_of_validation
from api.store.photo_json import etag_of
from schemas.events import MAX_ITEM_ID
from schemas.statuses import Status, StatusWord
from schemas.storage_keys import WORKSPACE_PATTERN

Model = TypeVar("Model", bound=BaseModel)


#: The 36-character form; other ways to write a UUID are refused.
UUID_PATTERN: Final = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_UUID_TEXT: Final = re.compile(UUID_PATTERN)
_STATUS_WORDS: Final = tuple(status.word for status in Status)
_A_STATUS: Final = f"({'|'.join(_STATUS_WORDS)})"


def _plain_text(text: str) -> str:
    if not _is_plain(text):
        raise ValueError("must be plain text")
    return text


def _photo_ids(text: object) -> object:
    parts = text.split(",") if isinstance(text, str) else []
    for part in parts:
        if not _UUID_TEXT.fullmatch(part):
            raise ValueError("must be UUIDs with commas between")
    return parts


def _status_words(text: object) -> object:
    parts = text.split(",") if isinstance(text, str) else []
    for part in parts:
        if part not in _STATUS_WORDS:
            raise ValueError(f"must be {', '.join(_STATUS_WORDS)}, or several with commas between: not {part[:40]!r}")
    return list(dict.fromkeys(parts))


ItemIdParam = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ITEM_ID), AfterValidator(_plain_text)]
SearchText = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_plain_text)]
PhotoIds = Annotated[list[UUID], BeforeValidator(_photo_ids)]
#: Described as the text that it is: with an array, clients that were generated when it was one word would not compile.
StatusWords = Annotated[
    list[StatusWord],
    BeforeValidator(_status_words),
    WithJsonSchema({"type": "string", "pattern": f"^{_A_STATUS}(,{_A_STATUS})*$"}),
]

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def workspace_of(request: web.Request) -> str:
    """The workspace in the path, if the caller may see it."""
    workspace_id = request.match_info["workspace"]
    if not re.fullmatch(WORKSPACE_PATTERN, workspace_id):
        raise bad_field("workspace_id", "must begin with a letter or digit and have only letters, digits and . _ @ + -")
    if not request[CALLER].reaches(workspace_id):
        raise not_found("workspace")
    return workspace_id


def photo_id_of(request: web.Request) -> UUID:
    """The photo id in the path."""
    return parse_uuid("id", request.match_info["photo"])


def key_id_of(request: web.Request) -> UUID:
    """The id of an API key in the path."""
    return parse_uuid("id", request.match_info["key"])


def item_id_of(request: web.Request) -> str:
    """The item id in the path."""
    return parse_text("item_id", request.match_info["item"], MAX_ITEM_ID)


def parse_uuid(field: str, text: str) -> UUID:
    """A UUID in its 36-character form."""
    if not _UUID_TEXT.fullmatch(text):
        raise bad_field(field, "must be a UUID")
    return UUID(text)


def parse_text(field: str, text: str, max_length: int) -> str:
    """Text that is there and can be kept."""
    if not text:
        raise bad_field(field, "must not be empty")
    if len(text) > max_length:
        raise bad_field(field, f"must not be over {max_length} characters")
    if not _is_plain(text):
        raise bad_field(field, "must be plain text")
    return text


async def send_continue(request: web.Request) -> None:
    """Let a client that has asked (``Expect: 100-continue``) send the body: key, address and size have been checked."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # of the answer nothing has been sent


def parse_query(request: web.Request, model: type[Model]) -> Model:
    """The query as ``model``; of a name that comes twice the first value counts."""
    try:
        return model.model_validate({name: request.query[name] for name in request.query})
    except ValidationError as error:
        raise problem_of_validation(error) from error


async def parse_body(request: web.Request, model: type[Model]) -> Model:
    """The JSON body as ``model``; a value of another type, such as a number in quotes, is refused as documented."""
    content = await request.read()
    try:
        return model.model_validate_json(content, strict=True)
    except ValidationError as error:
        if not any(_is_whole_float(fault) for fault in error.errors()):
            raise problem_of_validation(error) from error
    try:
        return model.model_validate_json(json.dumps(json.loads(content, parse_float=_number)), strict=True)
    except ValidationError as error:
        raise problem_of_validation(error) from error


def check_if_match(request: web.Request, etag: str) -> None:
    """Refuse a change that was decided on the sight of another state. Source: RFC 9110, section 13.1.1.

    Raises:
        Problem: 412.
    """
    wanted = request.if_match
    if wanted is not None and not any(
        each.value == "*" or (each.value == etag and not each.is_weak) for each in wanted
    ):
        raise Problem(412, "it has changed since: fetch it again", headers={hdrs.ETAG: f'"{etag}"'})


def has_already(request: web.Request, etag: str | None) -> bool:
    """Whether the caller of a GET says that it has what ``etag`` names, so that a 304 is enough."""
    return any(each.value in (etag, "*") for each in request.if_none_match or ())


def json_with_etag(request: web.Request, shown: Any, etag: str | None = None) -> web.Response:
    """What is shown, with its ETag; 304 where the caller has it already."""
    etag = etag or etag_of(shown)
    headers = {hdrs.ETAG: f'"{etag}"', hdrs.CACHE_CONTROL: "private, no-cache"}
    if request.method in ("GET", "HEAD") and has_already(request, etag):
        return web.Response(status=304, headers=headers)
    return web.json_response(shown, headers=headers)


def trace_of(request: web.Request) -> list[tuple[str, bytes]]:
    """The trace that the request is part of, for the events that it causes. Source: W3C Trace Context."""
    parent = request.headers.get("traceparent", "")
    if not _TRACEPARENT.fullmatch(parent):
        return []
    state = request.headers.get("tracestate")
    trace = [("traceparent", parent.encode("ascii"))]
    return [*trace, ("tracestate", state.encode("latin-1", "replace"))] if state else trace


def idempotency_key_of(request: web.Request) -> str | None:
    """The Idempotency-Key header."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not key.isascii():
        raise Problem(400, "Idempotency-Key must be ASCII", fields={"Idempotency-Key": "must be ASCII"})
    return parse_text("Idempotency-Key", key, 255)


def _is_whole_float(fault: ErrorDetails) -> bool:
    """Whether an integer was written as 5.0, which is the same number in JSON."""
    return fault["type"] == "int_type" and isinstance(fault["input"], float) and fault["input"].is_integer()


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number


def _is_plain(text: str) -> bool:
    """Whether every database can keep it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
