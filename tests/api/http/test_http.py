"""HTTP as it comes from the wire: old, half sent, slow, malformed and hostile requests."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from api.access.admin_key import admin_key
from api.http.server import Limits
from infra.settings import Settings
from photos import photo
from polling import poll_async
from raw_http import Connection, connected, head_of
from running_api import WORKSPACE, Running, running_api

MULTIPART = "Content-Type: multipart/form-data; boundary=B"
PHOTO_HEAD = '--B\r\nContent-Disposition: form-data; name="photo"; filename="x"\r\n\r\n'


def key_of(api: Running) -> str:
    return admin_key(api.settings)


def routes_of(api: Running, photo_id: str) -> list[tuple[str, str]]:
    """Method and address of every route, the photo's own where it names one."""
    values = {
        "workspace": WORKSPACE,
        "photo": photo_id,
        "item": "box",
        "rendition": "small",
        "file": "main.js",
        "key": photo_id,
    }
    found = []
    for route in api.app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical.format(**values)
        found.append((route.method, path + (f"?ids={photo_id}" if path.endswith("/download") else "")))
    return found


async def test_head_of_every_route_is_answered_without_a_body(lonely_api: Running) -> None:
    posted = await lonely_api.post(item_id="box")
    paths = [path for method, path in routes_of(lonely_api, posted["id"]) if method == "GET"]
    assert any("download" in path for path in paths)
    async with connected(lonely_api.origin) as connection:
        for path in paths:
            await connection.send(head_of(f"HEAD {path}", key=key_of(lonely_api)))
            answer = await connection.answer(to_head=True)
            assert answer is not None
            assert answer.status < 500 or path in ("/readyz", "/v1/dead"), path
            await connection.send(head_of("GET /healthz"))  # a body would be taken for its answer
            answer = await connection.answer()
            assert (answer and answer.status, answer and answer.body) == (200, b'{"alive": true}'), path


async def test_where_an_http_1_0_body_ends_is_always_told(lonely_api: Running) -> None:
    posted = await lonely_api.post(item_id="box")
    for method, path in routes_of(lonely_api, posted["id"]):
        if method != "GET" or path.endswith("/feed/events"):  # which has no end
            continue
        async with connected(lonely_api.origin) as connection:
            request = head_of(f"GET {path} HTTP/1.0", "Connection: keep-alive", key=key_of(lonely_api))
            await connection.send(request)
            answer = await connection.answer()
            assert answer is not None
            assert answer.headers.get("transfer-encoding") is None
            if "content-length" in answer.headers and answer.headers.get("connection") == "keep-alive":
                await connection.send(head_of("GET /healthz HTTP/1.0"))
                answer = await connection.answer()
                assert (answer and answer.status) == 200
            assert await connection.is_closed(), path


UPLOAD = f"POST /v1/workspaces/{WORKSPACE}/photos"
FORM = "Content-Type: application/x-www-form-urlencoded"
HALF_SENT = {
    "nothing": "",
    "half a first line": "GET /v1/work",
    "half a head": "GET /healthz HTTP/1.1\r\nHost: here\r\nX: ",
    "half a photo": head_of(UPLOAD, MULTIPART, "Content-Length: 90000", key="{key}") + PHOTO_HEAD,
    "half a chunk": head_of(UPLOAD, MULTIPART, "Transfer-Encoding: chunked", key="{key}") + "ff\r\n--B",
    "half a JSON body": head_of("POST /v1/photos/retry", "Content-Length: 100", key="{key}") + '{"status":',
    "half a form": head_of("POST /session", FORM, "Content-Length: 100") + "k",
    "half a body that nobody reads": head_of("POST /nothing", "Content-Length: 100", key="{key}") + "x",
    "a second head that stays half": head_of("GET /healthz") + "GET /healthz HTTP/1.1\r\nHo",
    "a request and then nothing": head_of("GET /healthz"),
}


@pytest.fixture
async def hurried_api(no_kafka: Settings) -> AsyncIterator[Running]:
    """An api that waits for clients a moment only."""
    limits = Limits(head=0.5, idle=0.5, body_window=0.5, body_bytes_per_second=1000, unwanted_body=0.2)
    async with running_api(no_kafka, limits=limits) as running:
        yield running


async def test_what_is_sent_by_half_is_gone_within_the_limits_and_leaves_nothing(hurried_api: Running) -> None:
    async with AsyncExitStack() as stack:
        halves: list[tuple[str, Connection]] = []
        for name, sent in list(HALF_SENT.items()) * 30:
            connection = await stack.enter_async_context(connected(hurried_api.origin))
            await connection.send(sent.replace("{key}", key_of(hurried_api)))
            halves.append((name, connection))
        for name, connection in halves:
            if "body" in name or "photo" in name or "chunk" in name or "form" in name:
                answer = await connection.answer()
                # Of 300 at once some are closed before their head was looked at.
                assert answer is None or answer.status in (404, 408), name
            assert await connection.is_closed(), name
    assert hurried_api.runner.server is not None
    await poll_async(lambda: not hurried_api.runner.server.connections, what="no connection is left")  # type: ignore[union-attr]
    incoming = hurried_api.settings.data_dir / "storage" / ".incoming-uploads"
    await poll_async(lambda: not list(incoming.glob("*")), what="no temporary file is left")


async def test_a_head_that_comes_byte_by_byte_is_told_so_and_closed(hurried_api: Running) -> None:
    async with connected(hurried_api.origin) as connection:
        answering = asyncio.create_task(connection.answer())
        await connection.send("GET /healthz HTTP/1.1\r\n")
        while not answering.done():
            await connection.send("X")
            await asyncio.wait({answering}, timeout=0.02)
        answer = answering.result()
        assert answer is None or answer.problem()["status"] == 408


@pytest.mark.parametrize(("seconds_per_piece", "status"), [(1, 201), (4, 408)])
async def test_a_slow_upload_goes_on_as_long_as_it_brings_the_least_rate(
    no_kafka: Settings, seconds_per_piece: int, status: int
) -> None:
    """The clock is the test's own; at the least rate of 100 bytes a second a piece of 200 may take 2."""
    body = PHOTO_HEAD.encode() + photo() + b"\r\n--B--\r\n"
    limits = Limits(head=3600, body_window=len(body) / 200 / 10, body_bytes_per_second=100)
    async with running_api(no_kafka, limits=limits) as api, connected(api.origin) as connection:
        await connection.send(head_of(UPLOAD, MULTIPART, f"Content-Length: {len(body)}", key=key_of(api)))
        now = asyncio.get_running_loop().time()
        (served,) = await poll_async(lambda: api.runner.server.connections, what="it is connected")  # type: ignore[union-attr]
        answering = asyncio.create_task(connection.answer())
        for at in range(0, len(body), 200):
            before = served._received_bytes
            await connection.send(body[at : at + 200])
            await poll_async(lambda: served._received_bytes > before or answering.done(), what="it has come")  # noqa: B023
            now += seconds_per_piece
            served.check(now)
        answer = await answering
        assert (answer and answer.status) == status


async def test_over_the_cap_the_oldest_without_a_request_makes_room_and_who_works_keeps_its_place(
    no_kafka: Settings,
) -> None:
    async with running_api(no_kafka, limits=Limits(connections=3)) as api, AsyncExitStack() as stack:

        async def another() -> Connection:
            return await stack.enter_async_context(connected(api.origin))

        begun = head_of(f"POST {api.photos}", MULTIPART, "Content-Length: 90000", key=key_of(api)) + PHOTO_HEAD
        busy = [await another(), await another()]
        for connection in busy:
            await connection.send(begun, photo()[:2000])
        incoming = api.settings.data_dir / "storage" / ".incoming-uploads"
        await poll_async(lambda: len(list(incoming.glob("*"))) == 2, what="both uploads have begun")
        idle = await another()
        await idle.send(head_of("GET /healthz"))
        assert (await idle.answer() or pytest.fail("closed")).status == 200
        for _ in range(5):
            newest = await another()
            await newest.send(head_of("GET /healthz"))
            assert (await newest.answer() or pytest.fail("closed")).status == 200
        assert await idle.is_closed()
        await newest.send(begun, photo()[:2000])
        await poll_async(lambda: len(list(incoming.glob("*"))) == 3, what="the third upload has begun")
        refused = await (await another()).answer()
        assert refused is not None
        assert refused.problem()["status"] == 503
        assert [connection.reader.at_eof() for connection in busy] == [False, False]


def form_with(*headers: str, boundary: str = "B") -> tuple[list[str], bytes]:
    body = "\r\n".join([f"--{boundary}", *headers, "", ""]).encode() + photo() + f"\r\n--{boundary}--\r\n".encode()
    return [f"Content-Type: multipart/form-data; boundary={boundary}", f"Content-Length: {len(body)}"], body


DISPOSITION = 'Content-Disposition: form-data; name="photo"; filename="x"'
MALFORMED = {
    "a part header of 9 kB": ("POST", "/photos", *form_with(DISPOSITION, "X: " + "a" * 9000)),
    "a part header name of 9 kB": ("POST", "/photos", *form_with(DISPOSITION, "X" * 9000 + ": a")),
    "200 part headers": ("POST", "/photos", *form_with(DISPOSITION, *["X: a"] * 200)),
    "a part header without a colon": ("POST", "/photos", *form_with(DISPOSITION, "nonsense")),
    "a part of parts": ("POST", "/photos", *form_with(DISPOSITION, "Content-Type: multipart/mixed; boundary=B")),
    "a part of parts without boundary": ("POST", "/photos", *form_with(DISPOSITION, "Content-Type: multipart/mixed")),
    "a part without a name": ("POST", "/photos", *form_with("Content-Disposition: form-data")),
    "a charset that is none": ("POST", "/photos", *form_with('Content-Disposition: form-data; name="_charset_"')),
    "no boundary": ("POST", "/photos", ["Content-Type: multipart/form-data", "Content-Length: 1"], b"x"),
    "a boundary of 100": ("POST", "/photos", *form_with(DISPOSITION, boundary="b" * 100)),
    "another boundary": ("POST", "/photos", [MULTIPART, "Content-Length: 5"], b"--C\r\n"),
    "gzip that is none": ("POST", "/photos", [MULTIPART, "Content-Encoding: gzip", "Content-Length: 5"], b"aaaaa"),
    "JSON in gzip that is none": ("POST", "/photos/retry", ["Content-Encoding: gzip", "Content-Length: 5"], b"aaaaa"),
    "chunks that are none": ("POST", "/photos/retry", ["Transfer-Encoding: chunked"], b"zz\r\naa\r\n0\r\n\r\n"),
    "an unknown Expect": ("POST", "/photos/retry", ["Expect: \xc0\xff", "Content-Length: 0"], b""),
    "two lengths": ("POST", "/photos/retry", ["Content-Length: 2", "Content-Length: 3"], b"{}x"),
    "a time before all times": (
        "POST", "/photos/retry", ["Content-Length: 60"],
        b'{"status":"failed","created_after":"0001-01-01T00:00+14:00"}',
    ),
    "a time after all times": (
        "POST", "/photos/retry", ["Content-Length: 61"],
        b'{"status":"failed","created_before":"9999-12-31T23:59-14:00"}',
    ),
    "text with half a character": ("POST", "/photos/bulk-caption", ["Content-Length: 19"], b'{"caption":"\\ud800"'),
    "a NUL in the workspace": ("GET", "/../%00/photos", [], b""),
    "a query of bytes": ("GET", "/photos?item_id=%00", [], b""),
    "a query of half a character": ("GET", "/photos?item_id=%ED%A0%80&limit=%ff", [], b""),
    "an escape in the path": ("GET", "/\x1b[31m", [], b""),
    "a header with an escape": ("GET", "/photos", ["X: \x1b[31m"], b""),
    "a head of 100 kB": ("GET", "/photos", ["X: " + "a" * 100_000], b""),
}  # fmt: skip


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Any:
    """What the libraries log as an error, but for Kafka's absence."""

    def found() -> list[str]:
        records = [record for record in caplog.records if not record.name.startswith("aiokafka")]
        return [record.getMessage() for record in records if record.levelno >= logging.ERROR]

    return found


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_malformed_request_is_a_problem_and_no_fault_of_ours(
    lonely_api: Running, what: str, errors: Any
) -> None:
    method, path, headers, body = MALFORMED[what]
    root = f"/v1/workspaces/{WORKSPACE}"
    async with connected(lonely_api.origin) as connection:
        with capture_logs() as logs:
            head = head_of(f"{method} {root}{path}", *headers, key=key_of(lonely_api))
            await connection.send(head.encode("latin-1"), body)
            answer = await connection.answer()
            assert answer is not None
            assert 400 <= answer.problem()["status"] < 500
    assert [log for log in logs if log["log_level"] in ("error", "critical")] == []
    assert errors() == []


@pytest.mark.parametrize("line", ["GET /healthz HTTP/0.9", "GET /healthzHTTP/1.1", "GET /healthz", "GET / HTTP/2.0"])
async def test_another_version_of_http_is_refused_in_one_that_clients_know(
    lonely_api: Running, line: str, errors: Any
) -> None:
    async with connected(lonely_api.origin) as connection:
        await connection.send(f"{line}\r\nHost: here\r\n\r\n".encode())
        answer = await connection.answer()
        assert answer is None or answer.status == 400
        assert await connection.is_closed()
    assert errors() == []


@pytest.mark.parametrize(
    "path",
    ["%00", "a%00.js", "%1b[31m", "main.js%00", "a" * 5000, "..%2f..%2fapp.py", "%2e%2e/app.py", "%ff", "icons", "//"],
)
async def test_a_static_path_is_one_of_the_pages_files_or_nothing(lonely_api: Running, path: str) -> None:
    async with connected(lonely_api.origin) as connection:
        await connection.send(head_of(f"GET /dashboard/{path}"))
        answer = await connection.answer()
        assert answer is not None
        assert answer.problem()["status"] == 404


ODD = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b"%00",
            b"%ff",
            b"\xff",
            b"\x1b[31m",
            b"%ED%A0%80",
            b"..%2f",
            b'"',
            b"a" * 9000,
            b"-1",
            b"1" * 40,
            b"{}",
            b"[]",
        ]
    ),
)
PLACES = st.sampled_from(
    [b"", b"/download", b"/" + str(uuid4()).encode(), b"/retry", b"/bulk-delete", b"/bulk-caption", b"/x/thumbnails/y"]
)
HEADERS = st.sampled_from(
    [b"Content-Type", b"Range", b"If-None-Match", b"Idempotency-Key", b"traceparent", b"Origin", b"Cookie", b"Expect",
     b"Content-Encoding", b"Accept-Encoding", b"Upgrade", b"Sec-WebSocket-Key", b"X"]
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from([b"GET", b"HEAD", b"POST", b"PATCH", b"PUT", b"DELETE"]),
    place=PLACES,
    query=st.tuples(st.sampled_from([b"cursor", b"status", b"limit", b"item_id", b"ids", b"v"]), ODD),
    extra=st.lists(st.tuples(HEADERS, ODD), max_size=3),
    body=st.one_of(ODD, ODD.map(lambda odd: b"--B\r\nContent-Disposition: form-data; name=photo; filename=" + odd)),
    damage=st.one_of(st.none(), st.tuples(st.integers(0, 400), ODD)),
)
async def test_no_bytes_at_all_are_a_fault_of_ours(
    hurried_api: Running, errors: Any, method: bytes, place: bytes, query: tuple[bytes, bytes],
    extra: list[tuple[bytes, bytes]], body: bytes, damage: tuple[int, bytes] | None,
) -> None:  # fmt: skip
    address = hurried_api.photos.encode() + place + b"?" + b"=".join(query)
    key = key_of(hurried_api).encode()
    head = [b"%b %b HTTP/1.1" % (method, address), b"Host: here", b"Authorization: Bearer " + key, MULTIPART.encode()]
    lines = [*head, *(b": ".join(header) for header in extra), b"Content-Length: %d" % len(body), b"", body]
    request = b"\r\n".join(lines)
    if damage is not None:
        request = request[: damage[0]] + damage[1] + request[damage[0] + 1 :]
    with capture_logs() as logs:
        async with connected(hurried_api.origin) as connection:
            await connection.send(request)
            answer = await connection.answer(to_head=request.startswith(b"HEAD"))
    assert answer is None or answer.status < 500
    assert [log for log in logs if log["log_level"] in ("error", "critical")] == []
    assert errors() == []
