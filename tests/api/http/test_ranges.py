"""Parts of a file, and what a saved file is called."""

import re
from contextlib import suppress
from urllib.parse import unquote

import pytest
from aiohttp import hdrs
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st

from api.http.app_keys import STORAGE
from api.http.byte_ranges import requested_range
from api.http.content_disposition import format_content_disposition, parse_content_disposition
from api.http.problems import Problem
from api.photos.filenames import download_name
from api.store.tables import PhotoRow
from photos import photo
from running_api import Running, form
from schemas import ids

CONTENT = bytes(range(256)) * 4

numbers = st.integers(0, 2000)


@settings(deadline=None)
@given(numbers, st.none() | numbers, st.none() | numbers)
def test_a_range_is_what_rfc_9110_says(size: int, first: int | None, last: int | None) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    positions = range(size)
    if first is None and last is None:
        wanted = None  # not a range: the whole file
    elif first is None:
        wanted = positions[size - min(last or 0, size) :]
    elif last is not None and last < first:
        wanted = None
    else:
        wanted = positions[first : None if last is None else last + 1]
    request = make_mocked_request("GET", "/", {"Range": header})
    if wanted is None:
        assert requested_range(request, size, '"e"') is None
    elif not wanted:
        with pytest.raises(Problem) as caught:
            requested_range(request, size, '"e"')
        assert caught.value.status == 416
        assert caught.value.headers[hdrs.CONTENT_RANGE] == f"bytes */{size}"
    else:
        assert requested_range(request, size, '"e"') == wanted


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=120))
def test_no_range_is_too_odd_to_be_answered(header: str) -> None:
    request = make_mocked_request("GET", "/", {"Range": header})
    with suppress(Problem):  # 416
        found = requested_range(request, 100, '"e"')
        assert found is None or 0 <= found.start < found.stop <= 100


@pytest.mark.parametrize(
    ("headers", "status", "start", "end"),
    [
        ({"Range": "bytes=0-9"}, 206, 0, 10),
        ({"Range": "bytes=10-"}, 206, 10, None),
        ({"Range": "bytes=-7"}, 206, -7, None),
        ({"Range": "bytes=0-1,5-6"}, 200, 0, None),
        ({"Range": "lines=1-2"}, 200, 0, None),
        ({"Range": "bytes=0-9", "If-Range": "{etag}"}, 206, 0, 10),
        ({"Range": "bytes=0-9", "If-Range": '"other"'}, 200, 0, None),
        ({"Range": "bytes=0-9", "If-Range": "W/{etag}"}, 200, 0, None),
        ({"Range": "bytes=0-9", "If-Range": "Sun, 29 Nov 2026 05:46:46 GMT"}, 200, 0, None),
        ({"Range": "bytes=99999999-"}, 416, None, None),
        ({"Range": "bytes=0-9", "If-None-Match": "{etag}"}, 304, None, None),
    ],
)
async def test_a_part_of_an_original(
    lonely_api: Running, headers: dict[str, str], status: int, start: int | None, end: int | None
) -> None:
    content = photo()
    url = f"{lonely_api.photos}/{(await lonely_api.post(content))['id']}/original"
    async with lonely_api.client.get(url) as response:
        assert response.headers["Accept-Ranges"] == "bytes"
        etag = response.headers["ETag"]
    given_headers = {name: value.format(etag=etag) for name, value in headers.items()}
    async with lonely_api.client.get(url, headers=given_headers) as response:
        body = await response.read()
        assert response.status == status
        if status == 416:
            assert response.headers["Content-Range"] == f"bytes */{len(content)}"
        if status in (200, 206):
            assert body == content[start:end]
            assert int(response.headers["Content-Length"]) == len(body)
            assert response.content_type == "image/jpeg"
        if status == 206:
            first = content.index(body)
            assert response.headers["Content-Range"] == f"bytes {first}-{first + len(body) - 1}/{len(content)}"
    async with lonely_api.client.head(url, headers={"Range": "bytes=0-9"}) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(content)))


@pytest.mark.parametrize(("start", "byte_count"), [(0, None), (0, 0), (5, 10), (1000, None), (1000, 500), (2000, 5)])
async def test_storage_gives_a_part_of_a_file(lonely_api: Running, start: int, byte_count: int | None) -> None:
    storage = lonely_api.app[STORAGE]
    await storage.write("incoming/file", CONTENT)
    found = [chunk async for chunk in storage.chunks("incoming/file", start, byte_count)]
    assert b"".join(found) == CONTENT[start:][:byte_count]


async def test_an_original_is_shown_or_saved_under_its_name(lonely_api: Running) -> None:
    async with lonely_api.client.post(lonely_api.photos, data=form(photo(), "Grüße: 100%.jpg")) as response:
        url = f"{lonely_api.photos}/{(await response.json())['id']}/original"
    for query, kind in (("", "inline"), ("?download", "attachment"), ("?download=1", "attachment"),
                        ("?download=false", "inline"), ("?v=x&download=", "attachment")):  # fmt: skip
        async with lonely_api.client.get(url + query) as response:
            assert response.status == 200
            header = response.headers["Content-Disposition"]
        assert header.partition(";")[0] == kind
        assert parse_content_disposition(header)[1] == "Grüße_ 100%.jpg"
    async with lonely_api.client.get(url + "?download=perhaps") as response:
        assert response.status == 400


@settings(deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_a_header_names_the_file_in_ascii_and_whole(name: str) -> None:
    header = format_content_disposition("attachment", name)
    assert header.isascii()
    assert header.isprintable()
    assert parse_content_disposition(header)[1] == name.encode("utf-8", "replace").decode()
    plain = re.search(r'filename="([^"]*)"', header)
    assert plain
    assert not re.search(r'["\\%]', plain[1]) or "filename*" not in header
    if encoded := re.search(r"filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]*)$", header):
        assert unquote(encoded[1]) == name.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    ("filename", "content_type", "saved"),
    [
        ("cat.jpg", "image/jpeg", "cat.jpg"),
        ("CAT.JPEG", "image/jpeg", "CAT.JPEG"),
        ("cat.exe", "image/jpeg", "cat.exe.jpg"),
        ("cat", "image/png", "cat.png"),
        ("IMG_1.DNG", "image/tiff", "IMG_1.DNG"),
        ("IMG_1.CR3", "image/x-raw", "IMG_1.CR3"),
        ('a<b>c:d"e|f?g*h.png', "image/png", "a_b_c_d_e_f_g_h.png"),
        ("con.jpg", "image/jpeg", "_con.jpg"),
        ("LPT1", "image/jpeg", "_LPT1.jpg"),
        ("console.jpg", "image/jpeg", "console.jpg"),
        ("trailing. . .", "image/gif", "trailing.gif"),
        ("..\\..\\evil.png", "image/png", "evil.png"),
        ("a\u202egnp.exe", "image/png", "agnp.exe.png"),
    ],
)
def test_a_saved_name_is_safe_on_windows_and_ends_as_its_type_does(
    filename: str, content_type: str, saved: str
) -> None:
    row = PhotoRow(id=ids.new_id(), workspace_id="acme", filename=filename)
    assert download_name(row, content_type) == saved
