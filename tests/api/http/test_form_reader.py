"""However a body is cut into pieces on its way, each part of the form is read as it was written."""

import asyncio
import itertools
from unittest import mock

import pytest
from aiohttp import StreamReader
from hypothesis import given, settings
from hypothesis import strategies as st

from api.http.form_reader import FormPart, FormReader

_BOUNDARY = b"-x-"
#: Also what looks like the end of a part, whole or cut off.
_CONTENT = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"\r", b"\n", b"\r\n", b"--", b"\r\n--", b"\r\n---x", b"---x-", b"\r\n\r\n", b"-" * 9]),
    ),
    max_size=8,
).map(b"".join)


def body_of(contents: list[bytes]) -> bytes:
    head = b'Content-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
    return b"".join(b"--" + _BOUNDARY + b"\r\n" + head + content + b"\r\n" for content in contents) + (
        b"--" + _BOUNDARY + b"--\r\n"
    )


async def read(body: bytes, cuts: list[int], *, ends: bool = True) -> list[bytes]:
    """What the reader gives for ``body``, of which a piece comes only once the ones before it were read."""
    stream = StreamReader(mock.Mock(_reading_paused=False), 2**16, loop=asyncio.get_running_loop())
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})

    async def feed() -> None:
        for start, end in itertools.pairwise(places):
            stream.feed_data(body[start:end])
            for _ in range(3):
                await asyncio.sleep(0)
        if ends:
            stream.feed_eof()

    feeding = asyncio.create_task(feed())
    reader = FormReader({"Content-Type": f"multipart/form-data; boundary={_BOUNDARY.decode()}"}, stream)
    found = []
    try:
        while (part := await reader.next()) is not None:
            assert isinstance(part, FormPart)
            found.append(b"".join([bytes(piece) async for piece in part.pieces()]))
    finally:
        await feeding
    return found


@settings(deadline=None)
@given(st.lists(_CONTENT, min_size=1, max_size=3), st.lists(st.integers(0, 600), max_size=40))
def test_every_part_is_read_as_it_was_written(contents: list[bytes], cuts: list[int]) -> None:
    contents = [content for content in contents if b"\r\n--" + _BOUNDARY not in b"\r\n" + content] or [b""]
    assert asyncio.run(read(body_of(contents), cuts)) == contents


@settings(deadline=None)
@given(_CONTENT, st.integers(1, 30))
def test_a_body_that_ends_within_a_part_is_refused(content: bytes, missing: int) -> None:
    content = content.replace(b"--" + _BOUNDARY, b"")
    body = body_of([content])[: -len(_BOUNDARY) - 6 - min(missing, len(content))]
    with pytest.raises(ValueError, match="ends within a part"):
        asyncio.run(read(body, [len(body) // 2]))


def test_a_part_without_content_may_share_its_line_break_with_the_boundary() -> None:
    body = body_of([b""]).replace(b"\r\n\r\n\r\n--", b"\r\n\r\n--")
    assert asyncio.run(read(body, [])) == [b""]
