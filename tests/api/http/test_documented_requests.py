"""The api takes what its document allows and refuses what it does not; each was found by schemathesis once."""

from typing import Any

import pytest

from running_api import Running


async def status_of(api: Running, method: str, path: str, **options: Any) -> int:
    async with api.client.request(method, path, **options) as response:
        return response.status


@pytest.mark.parametrize("word", ["retry", "bulk-delete", "bulk-caption"])
async def test_a_word_that_is_a_route_is_no_photo_whatever_the_method(lonely_api: Running, word: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        async with lonely_api.client.request(method, f"{lonely_api.photos}/{word}", json={}) as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST"), method


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"dry_run": True}, 202),
        ({"dry_run": 1}, 400),
        ({"limit": 5}, 202),
        ({"limit": 5.0}, 202),
        ({"limit": "5"}, 400),
        ({"limit": 5.5}, 400),
        ({"created_after": "2026-01-01T00:00:00Z"}, 202),
        ({"created_after": "1764403400"}, 400),
        ({"created_after": 1764403400}, 400),
        ({"max_unfinished": 2**31 - 1}, 202),
        ({"max_unfinished": 2**63}, 400),
        ({"status": None}, 400),
    ],
)
async def test_a_body_has_the_types_that_are_documented(lonely_api: Running, body: dict[str, Any], status: int) -> None:
    found = await status_of(lonely_api, "POST", f"{lonely_api.photos}/retry", json={"status": "failed", **body})
    assert found == status


async def test_a_time_in_a_query_is_no_number(lonely_api: Running) -> None:
    assert await status_of(lonely_api, "GET", "/v1/dead", params={"until": "0.5"}) == 400


async def test_a_form_without_a_boundary_is_a_bad_request(lonely_api: Running) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    assert await status_of(lonely_api, "POST", "/session", data=b"key=x", headers=headers) == 400
