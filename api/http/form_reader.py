"""Splits a form into its parts. A file in it comes as it does from the socket, without copies of it."""

import re
import warnings
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import BodyPartReader, MultipartReader, StreamReader, hdrs


class FormPart(BodyPartReader):
    """A part of a form, which may not say its own length: RFC 7578, section 4.8."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "subtype": "form-data"})

    async def pieces(self) -> AsyncIterator[memoryview]:
        """The content as it comes from the socket: ``read_chunk`` copies it four times.

        Raises:
            ValueError: the body ends within the part.
        """
        delimiter = b"\r\n" + self._boundary
        kept, skipped = b"\r\n", 2  # the end of the headers, with which the delimiter of an empty part begins
        while not self._at_eof:
            received = await self._content.readany()
            if not received:
                raise ValueError("the body ends within a part")
            data = kept + received
            end = data.find(delimiter)
            if end >= 0:
                self._at_eof = True
                with warnings.catch_warnings():  # as aiohttp's own reader does it
                    warnings.simplefilter("ignore", DeprecationWarning)
                    self._content.unread_data(data[end + 2 :])
            else:
                end = len(data) - len(delimiter) + 1
                kept = data[max(end, 0) :]
            if end > skipped:
                yield memoryview(data)[skipped:end]
            skipped -= min(skipped, max(end, 0))


class FormReader(MultipartReader):
    """Splits a form into its parts and leaves their names to us: aiohttp's parser refuses names with two ``;``."""

    part_reader_cls = FormPart
    multipart_reader_cls = MultipartReader

    def __init__(self, headers: Mapping[str, str], content: StreamReader) -> None:
        # By another subtype, under which aiohttp does not look into the names of its parts.
        kind = re.sub("(?i)^multipart/form-data", "multipart/mixed", headers[hdrs.CONTENT_TYPE].strip())
        super().__init__({hdrs.CONTENT_TYPE: kind}, content)
