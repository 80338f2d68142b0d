"""Receives a multipart upload: streams it to a temporary file, hashes and counts it on the way."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import uuid4

from aiohttp import BodyPartReader, hdrs, web

from api.http.content_disposition import parse_content_disposition
from api.http.form_reader import FormPart, FormReader
from api.http.params import parse_text, send_continue
from api.http.problems import Problem, bad_field, problem_of_fault
from api.http.usage_limits import counted_upload
from api.photos.filenames import plain_filename
from imaging.formats import SNIFF_BYTES, Header, format_of, read_header, unsupported
from infra.settings import Settings
from infra.storage.client import Storage
from schemas.events import MAX_CAPTION, MAX_ITEM_ID, MAX_UPLOADED_BY
from schemas.faults import OriginalTooLarge, StorageUnavailable, TooManyPixels, Unreadable, UnsupportedFormat
from schemas.storage_keys import TEMPORARY_PREFIX

#: Written at once: each write is a visit to a thread, and each upload on its way holds so much in memory.
_WRITE_BYTES: Final = 128 * 1024
#: What the parts around the photo may take: boundaries, headers, caption.
_ENVELOPE_BYTES: Final = 64 * 1024
_MAX_PARTS: Final = 16
#: Longer than UTF-8 needs for the longest field.
_MAX_FIELD_BYTES: Final = 4 * MAX_CAPTION

_TEXT_FIELDS: Final = {"item_id": MAX_ITEM_ID, "caption": MAX_CAPTION, "uploaded_by": MAX_UPLOADED_BY}


@dataclass
class Received:
    """What an upload brought; while it has no checksum, the photo has not come yet."""

    path: Path
    filename: str | None = None
    #: Bytes.
    file_size: int = 0
    checksum: str = ""
    fields: dict[str, str] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def receive_upload(request: web.Request, settings: Settings, storage: Storage) -> AsyncIterator[Received]:
    """The upload in a temporary file, which is gone when the context ends.

    Raises:
        Problem: 400 without a photo, 413 over the limit (as soon as it shows), 415 when it is no image, 429 with too
            many uploads at once.
    """
    limit = settings.max_upload_bytes
    if (request.content_length or 0) > limit + _ENVELOPE_BYTES:
        raise _too_large(limit)
    if request.content_type != "multipart/form-data":
        raise bad_field("photo", "must be sent as multipart/form-data")
    with counted_upload(request):
        await send_continue(request)
        upload = Received(await storage.incoming_folder() / f"{TEMPORARY_PREFIX}{uuid4().hex}")
        try:
            await _read_parts(request, upload, limit, storage)
            yield upload
        finally:
            with contextlib.suppress(StorageUnavailable):  # housekeeping erases it later
                await storage.in_thread(upload.path.unlink, True, what="erasing a temporary file")


async def read_upload_header(upload: Received, settings: Settings, storage: Storage) -> Header:
    """What the photo says about itself.

    Raises:
        Problem: 415 when it is no image, 422 when it is broken or has too many pixels.
    """
    try:
        read = partial(read_header, upload.path, max_pixels=settings.max_pixels)
        return await storage.in_thread(read, what="reading the header of an upload")
    except UnsupportedFormat as fault:
        raise problem_of_fault(415, fault) from fault
    except (Unreadable, TooManyPixels) as fault:
        raise problem_of_fault(422, fault) from fault


async def _read_parts(request: web.Request, upload: Received, limit: int, storage: Storage) -> None:
    try:
        reader = FormReader(request.headers, request.content)
        count = 0
        while (part := await reader.next()) is not None:
            count += 1
            if not isinstance(part, FormPart) or count > _MAX_PARTS:
                raise Problem(400, "the multipart body has parts that are not expected")
            name, filename = parse_content_disposition(part.headers.get(hdrs.CONTENT_DISPOSITION, ""))
            if name == "photo" and not upload.checksum:
                upload.filename = plain_filename(filename)
                await _read_photo(part, upload, limit, storage)
            elif name in _TEXT_FIELDS:
                await _read_field(part, name, upload)
            else:
                await _skip(part, name or "")
    except (ValueError, AssertionError) as error:
        raise Problem(400, "the multipart body is malformed") from error
    if not upload.checksum:
        raise bad_field("photo", "is missing")
    if upload.file_size == 0:
        raise bad_field("photo", "is empty")


async def _read_photo(part: FormPart, upload: Received, limit: int, storage: Storage) -> None:
    digest = sha256()
    file = await storage.in_thread(upload.path.open, "wb", what="opening a temporary file")
    pieces, held, first_bytes = list[memoryview](), 0, b""
    try:
        async for piece in part.pieces():
            upload.file_size += len(piece)
            if upload.file_size > limit:
                raise _too_large(limit)
            if len(first_bytes) < SNIFF_BYTES:
                first_bytes += piece[:SNIFF_BYTES]
                _refuse_what_is_no_image(first_bytes)
            pieces.append(piece)
            held += len(piece)
            if held >= _WRITE_BYTES:
                await storage.in_thread(_take, digest, file, pieces, what="writing a temporary file")
                pieces, held = [], 0
        await storage.in_thread(_take, digest, file, pieces, what="writing a temporary file")
    finally:
        await storage.in_thread(file.close, what="closing a temporary file")
    _refuse_what_is_no_image(first_bytes, whole=True)
    upload.checksum = f"sha256:{digest.hexdigest()}"


async def _read_field(part: BodyPartReader, name: str, upload: Received) -> None:
    content = bytearray()
    while chunk := await part.read_chunk(8192):
        content += chunk
        if len(content) > _MAX_FIELD_BYTES:
            raise bad_field(name, f"must not be over {_TEXT_FIELDS[name]} characters")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise bad_field(name, "must be UTF-8") from error
    if text:
        upload.fields[name] = parse_text(name, text, _TEXT_FIELDS[name])


async def _skip(part: BodyPartReader, name: str) -> None:
    passed = 0
    while chunk := await part.read_chunk(8192):
        passed += len(chunk)
        if passed > _ENVELOPE_BYTES:
            raise bad_field(name, "is no field of an upload")


def _take(digest: Any, file: BinaryIO, pieces: list[memoryview]) -> None:
    for piece in pieces:
        digest.update(piece)
        file.write(piece)


def _refuse_what_is_no_image(first_bytes: bytes, *, whole: bool = False) -> None:
    if (whole or len(first_bytes) >= SNIFF_BYTES) and first_bytes and format_of(first_bytes) is None:
        raise problem_of_fault(415, unsupported())


def _too_large(limit: int) -> Problem:
    return problem_of_fault(413, OriginalTooLarge(f"the photo is over the limit of {limit} bytes"))
