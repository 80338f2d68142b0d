"""Who uses too much is told so, how much that is, and when to come back; nobody else is refused."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from api.access.admin_key import admin_key
from infra.settings import Settings
from photos import photo
from polling import poll_async
from raw_http import Connection, connected, head_of
from running_api import WORKSPACE, Running, form, running_api

Limited = Callable[..., AbstractAsyncContextManager[Running]]

UPLOAD = f"POST /v1/workspaces/{WORKSPACE}/photos"
MULTIPART = "Content-Type: multipart/form-data; boundary=B"
EXPECT = "Expect: 100-continue"
HALF_A_PHOTO = '--B\r\nContent-Disposition: form-data; name="photo"; filename="x"\r\n\r\n'


@pytest.fixture
def limited(no_kafka: Settings) -> Limited:
    """An api with these limits."""

    @asynccontextmanager
    async def start(**limits: Any) -> AsyncIterator[Running]:
        async with running_api(no_kafka.model_copy(update=limits)) as running:
            yield running

    return start


async def make_key(api: Running, workspace: str) -> dict[str, str]:
    wanted = {"name": "camera", "role": "editor", "workspace_id": workspace}
    async with api.client.post("/v1/keys", json=wanted) as response:
        return {"Authorization": f"Bearer {(await response.json())['key']}"}


@pytest.mark.parametrize("name", ["key", "workspace"])
async def test_too_many_requests_are_429_with_the_fields_of_the_ietf(limited: Limited, name: str) -> None:
    async with limited(**{f"{name}_requests_per_second": 0.5}) as api:
        acme, other = await make_key(api, "acme"), await make_key(api, "other")
        statuses = []
        for _ in range(7):
            async with api.client.get(api.photos, headers=acme) as response:
                statuses.append(response.status)
                assert response.headers["RateLimit-Policy"] == f'"{name}";q=5;w=10'
                left = max(0, 5 - len(statuses))
                assert response.headers["RateLimit"].startswith(f'"{name}";r={left};t=')
                body = await response.json()
        assert statuses == [200] * 5 + [429] * 2
        assert 1 <= int(response.headers["Retry-After"]) <= 2
        assert f"the {name} may send 0.5 requests a second" in body["detail"]
        async with api.client.get("/v1/workspaces/other/photos", headers=other) as response:
            assert response.status == 200
        async with api.client.get("/healthz") as response:
            assert "RateLimit" not in response.headers


async def test_without_limits_no_answer_speaks_of_them(lonely_api: Running) -> None:
    async with lonely_api.client.get(lonely_api.photos) as response:
        assert not {"RateLimit", "RateLimit-Policy"} & set(response.headers)


async def test_too_many_uploads_at_once_are_429_and_those_on_their_way_are_taken(limited: Limited) -> None:
    async with limited(workspace_uploads_at_once=2) as api, connected(api.origin) as one, connected(api.origin) as two:
        for connection in (one, two):
            await connection.send(head_of(UPLOAD, MULTIPART, "Content-Length: 90000", key=admin_key(api.settings)))
            await connection.send(HALF_A_PHOTO)

        async def status() -> int:
            async with api.client.post(api.photos, data=form(photo())) as response:
                if response.status == 429:
                    assert response.headers["Retry-After"] == "1"
                return response.status

        async def is_refused() -> bool:
            return await status() == 429

        await poll_async(is_refused, what="a third upload is refused")
        one.writer.close()
        await poll_async(lambda: _is(status(), 201), what="there is room again")


async def first_line(connection: Connection) -> str:
    """Of the next answer, ``100 Continue`` too."""
    async with asyncio.timeout(20):
        head = await connection.reader.readuntil(b"\r\n\r\n")
    return head.decode("latin-1").partition("\r\n")[0]


async def _is(coming: Any, wanted: int) -> bool:
    return bool(await coming == wanted)


async def test_a_workspace_that_has_all_it_may_is_told_the_figure(limited: Limited) -> None:
    size = len(photo())
    async with limited(workspace_max_photos=2, workspace_max_bytes=3 * size) as api:
        for key in ("a", "b"):
            async with api.client.post(api.photos, data=form(photo()), headers={"Idempotency-Key": key}) as response:
                assert response.status == 201
        async with api.client.post(api.photos, data=form(photo())) as response:
            assert response.status == 507
            assert "the workspace has 2 photos, of 2 that it may" in (await response.json())["detail"]
        for key, status in (("a", 201), ("c", 507)):  # what was stored is told, however full it is
            async with api.client.post(api.photos, data=form(photo()), headers={"Idempotency-Key": key}) as response:
                assert response.status == status
        assert len((await api.get())["items"]) == 2
    async with limited(workspace_max_bytes=3 * size) as api:
        async with api.client.post(api.photos, data=form(photo() + b"\0" * (size + 1))) as response:
            assert response.status == 507
            detail = (await response.json())["detail"]
            assert f"has {2 * size} bytes, of {3 * size} that it may: {2 * size + 1} more" in detail
        async with api.client.post(api.photos, data=form(photo())) as response:
            assert response.status == 201


async def test_a_key_that_has_uploaded_all_it_may_is_told_and_others_go_on(limited: Limited) -> None:
    size = len(photo())
    async with limited(key_max_photos=2, key_max_bytes=10 * size) as api:
        first, second = await make_key(api, "acme"), await make_key(api, "acme")
        statuses = []
        for key in (first, first, first, second):
            async with api.client.post(api.photos, data=form(photo()), headers=key) as response:
                statuses.append(response.status)
                body = await response.json()
            if response.status == 507:
                assert "the key has uploaded 2 photos, of 2 that it may" in body["detail"]
            else:
                await api.client.delete(f"{api.photos}/{body['id']}")  # gives nothing back
        assert statuses == [201, 201, 507, 201]
        async with api.client.get("/v1/keys") as response:
            listed = [(key["photos"], key["bytes"]) for key in (await response.json())["items"]]
        assert listed == [(2, 2 * size), (1, size)]
        async with api.client.post(api.photos, data=form(photo() + b"\0" * 9 * size), headers=second) as response:
            assert response.status == 507


@pytest.mark.parametrize(
    ("status", "key", "length"),
    [(401, "ts_wrong", 90_000), (413, None, 10**9), (404, None, 90_000)],
    ids=["wrong key", "too large", "another's workspace"],
)
async def test_a_client_that_asks_first_sends_no_body_in_vain(
    lonely_api: Running, status: int, key: str | None, length: int
) -> None:
    key = key or admin_key(lonely_api.settings)
    if status == 404:
        key = (await make_key(lonely_api, "other"))["Authorization"].split()[1]
    async with connected(lonely_api.origin) as connection:
        await connection.send(head_of(UPLOAD, MULTIPART, EXPECT, f"Content-Length: {length}", key=key))
        assert (await first_line(connection)).split()[1] == str(status)


async def test_a_client_that_asks_first_is_told_to_go_on(lonely_api: Running) -> None:
    key = admin_key(lonely_api.settings)
    body = HALF_A_PHOTO.encode() + photo() + b"\r\n--B--\r\n"
    requests = [
        (head_of(UPLOAD, MULTIPART, EXPECT, f"Content-Length: {len(body)}", key=key), body, 201),
        (head_of("POST /v1/photos/retry", EXPECT, "Content-Length: 17", key=key), b'{"item_id":"box"}', 202),
    ]
    for head, content, status in requests:
        async with connected(lonely_api.origin) as connection:
            await connection.send(head)
            assert await first_line(connection) == "HTTP/1.1 100 Continue"
            await connection.send(content)
            answer = await connection.answer()
            assert answer is not None
            assert answer.status == status, answer.body
