"""File names of uploads, as clients really write them."""

import asyncio
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access.admin_key import admin_key
from api.http.content_disposition import parse_content_disposition
from api.photos.filenames import plain_filename
from photos import photo
from raw_http import connected, head_of
from running_api import WORKSPACE, Running
from thumbstream.client.access import Access
from thumbstream.client.client import open_client

NAMES = [
    "cat.jpg", "a;b;c.jpg", ";;;", 'say "hi".jpg', "100%.jpg", "a=b; filename=c.jpg", "Käse 猫 🐈.heic", "שלום.jpg",
    "a\u202egpj.png", "it's.jpg", "(1) [2] {3}.jpg", "a,b.jpg", "x" * 184 + ".jpg", " ", "a'b''c.jpg",
]  # fmt: skip


def as_a_browser(name: str) -> str:
    """Source: "multipart/form-data" in the HTML standard."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


def as_older_clients(name: str) -> str:
    """curl before 7.81, aiohttp, and others that quote as mail does."""
    return name.replace("\\", "\\\\").replace('"', '\\"')


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('form-data; name="photo"; filename="a;b;c.jpg"', ("photo", "a;b;c.jpg")),
        ('form-data; filename="a.jpg"; name="photo"', ("photo", "a.jpg")),
        ("form-data; name=photo; filename=a.jpg", ("photo", "a.jpg")),
        ('FORM-DATA;NAME="photo";FileName="a.jpg";', ("photo", "a.jpg")),
        ('form-data; name="photo"; filename="C:\\photos\\cat.jpg"', ("photo", "C:\\photos\\cat.jpg")),
        ('form-data; name="photo"; filename="a\\"b.jpg"', ("photo", 'a"b.jpg')),
        ('form-data; name="photo"; filename="a%22b.jpg"', ("photo", 'a"b.jpg')),
        ('form-data; name="photo"; filename="a"b;c.jpg"', ("photo", 'a"b;c.jpg')),
        ('form-data; name="photo"; filename="ends\\"', ("photo", "ends\\")),
        ("form-data; name=\"photo\"; filename=\"x\"; filename*=UTF-8''%e7%8c%ab%3b.jpg", ("photo", "猫;.jpg")),
        ("form-data; name=\"photo\"; filename*=iso-8859-1'en'%A3.jpg", ("photo", "£.jpg")),
        ("form-data; name=\"photo\"; filename=\"x\"; filename*=koi8''%e7", ("photo", "x")),
        ('form-data; name="photo"; filename="\udcff.jpg"', ("photo", "\ufffd.jpg")),
        ('form-data; name="photo"; filename=""', ("photo", "")),
        ('form-data; name="photo"', ("photo", None)),
        ("form-data", (None, None)),
        ("", (None, None)),
        ("; ;=;\"; name", (None, None)),
    ],
)  # fmt: skip
def test_a_header_is_read_as_its_client_meant_it(header: str, found: tuple[str | None, str | None]) -> None:
    assert parse_content_disposition(header) == found


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60).filter(lambda name: "%" not in name))
def test_every_name_comes_back_from_what_a_browser_or_an_older_client_writes(name: str) -> None:
    mail = f'form-data; name="photo"; filename="{as_older_clients(name)}"'
    assert parse_content_disposition(mail) == ("photo", name)
    if "\\" not in name:
        browser = f'form-data; name="photo"; filename="{as_a_browser(name)}"'
        assert parse_content_disposition(browser) == ("photo", name)


@given(st.text(max_size=200))
def test_no_header_is_too_odd_to_be_read(header: str) -> None:
    for found in parse_content_disposition(header):
        assert found is None or isinstance(found.encode(), bytes)


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_is_kept_as_it_was_given_by_our_client_by_curl_and_by_a_browser(
    lonely_api: Running, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_bytes(photo())
    key = admin_key(lonely_api.settings)
    async with open_client(Access(lonely_api.origin, WORKSPACE, key)) as client:
        await client.post_photo(file, idempotency_key="ours")
    body = b"\r\n".join(
        [f'--B\r\nContent-Disposition: form-data; name="photo"; filename="{as_a_browser(name)}"\r\n'.encode(),
         photo(), b"--B--\r\n"]
    )  # fmt: skip
    head = head_of(
        f"POST {lonely_api.photos}", "Content-Type: multipart/form-data; boundary=B", f"Content-Length: {len(body)}",
        key=key,
    )  # fmt: skip
    async with connected(lonely_api.origin) as connection:
        await connection.send(head, body)
        answer = await connection.answer()
        assert (answer and answer.status) == 201
    if curl := shutil.which("curl"):
        quoted = str(file).replace("\\", "\\\\").replace('"', '\\"')
        arguments = ("-sS", "-H", f"Authorization: Bearer {key}", "-F", f'photo=@"{quoted}"')
        process = await asyncio.create_subprocess_exec(curl, *arguments, lonely_api.origin + lonely_api.photos)
        assert await process.wait() == 0
    names = [shown["filename"] for shown in (await lonely_api.get())["items"]]
    assert set(names) == {plain_filename(name)}
    assert len(names) == 3 if curl else 2
