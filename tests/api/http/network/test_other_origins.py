"""Host names that are ours, and pages of other origins."""

from typing import Any

import pytest
from aiohttp import ClientSession

from api.http.network.allowed_hosts import is_allowed
from infra.settings import Settings
from running_api import Running, running_api

APP, EVIL = "https://app.example", "https://evil.example"


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("photos.example", True), ("PHOTOS.example:8443", True), ("photos.example.", True), ("localhost:8080", True),
        ("127.0.0.1", True), ("[::1]:8080", True), ("public.example", True), ("a.b.wild.example", True),
        ("wild.example", False), ("evil.example", False), ("photos.example.evil", False), ("evilphotos.example", False),
        ("notwild.example", False), ("", False), ("[", False), ("photos.example@evil.example", False),
    ],
)  # fmt: skip
def test_a_host_is_ours_if_the_settings_name_it(host: str, is_ours: bool) -> None:
    hosts, public = "Photos.example, *.wild.example", "https://public.example/thumbs"
    assert is_allowed(host, Settings(allowed_hosts=hosts, public_url=public, _env_file=None)) is is_ours
    assert is_allowed(host, Settings(_env_file=None))


async def test_another_host_is_refused_but_for_probes(no_kafka: Settings) -> None:
    async with running_api(no_kafka.model_copy(update={"allowed_hosts": ("photos.example",)})) as api:
        for host, path, status in (
            ("photos.example", api.photos, 200),
            ("evil.example", api.photos, 421),
            ("evil.example", "/", 421),
            ("10.0.0.3:8080", "/healthz", 200),
        ):
            async with api.client.get(path, headers={"Host": host}) as response:
                assert (host, path, response.status) == (host, path, status)


async def preflight(api: Running, origin: str, path: str) -> Any:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization,if-match",
    }
    async with ClientSession(api.origin) as stranger, stranger.options(path, headers=headers) as response:
        return response.status, response.headers


async def test_pages_of_listed_origins_may_ask_and_read(no_kafka: Settings) -> None:
    async with running_api(no_kafka.model_copy(update={"cors_origins": (APP,)})) as api:
        status, headers = await preflight(api, APP, api.photos)
        assert status == 204
        assert headers["Access-Control-Allow-Origin"] == APP
        assert headers["Access-Control-Allow-Credentials"] == "true"
        assert headers["Access-Control-Allow-Headers"] == "authorization,if-match"
        assert "PUT" in headers["Access-Control-Allow-Methods"].split(", ")
        status, headers = await preflight(api, EVIL, api.photos)
        assert status == 401
        assert "Access-Control-Allow-Origin" not in headers
        for path, expected in ((api.photos, 200), (f"{api.photos}/x", 400), ("/nowhere", 404)):
            async with api.client.get(path, headers={"Origin": APP}) as response:
                assert response.status == expected, "errors can be read too"
                assert response.headers["Access-Control-Allow-Origin"] == APP
                assert {"ETag", "Location", "Retry-After"} <= set(
                    response.headers["Access-Control-Expose-Headers"].split(", ")
                )
                assert response.headers["Vary"] == "Origin"
        for headers in ({"Origin": EVIL}, {"Origin": "null"}, {}):
            async with api.client.get(api.photos, headers=headers) as response:
                assert "Access-Control-Allow-Origin" not in response.headers
                assert response.headers["Vary"] == "Origin"


async def test_any_origin_may_ask_with_a_key_but_never_with_a_cookie(no_kafka: Settings) -> None:
    async with running_api(no_kafka.model_copy(update={"cors_origins": ("*",)})) as api:
        status, headers = await preflight(api, EVIL, api.photos)
        assert (status, headers["Access-Control-Allow-Origin"]) == (204, "*")
        assert "Access-Control-Allow-Credentials" not in headers
        cookie = await api.signed_in_as("admin")
        for headers in ({"Origin": "*"}, {"Origin": EVIL}):
            async with api.client.post(f"{api.photos}/bulk-delete", json={}, headers=cookie | headers) as response:
                assert response.status == 403


async def test_a_session_is_good_for_pages_of_the_public_url_and_of_listed_origins(no_kafka: Settings) -> None:
    chosen = {"cors_origins": (APP,), "public_url": "https://photos.example:443/thumbs"}
    async with running_api(no_kafka.model_copy(update=chosen)) as api:
        cookie = await api.signed_in_as("admin")
        for origin, status in ((APP, 400), ("https://photos.example", 400), (EVIL, 403), ("*", 403)):
            async with api.client.post(
                f"{api.photos}/bulk-delete", json={}, headers=cookie | {"Origin": origin}
            ) as response:
                assert response.status == status


async def test_without_the_setting_nothing_is_said_of_origins(lonely_api: Running) -> None:
    status, headers = await preflight(lonely_api, APP, lonely_api.photos)
    assert status == 401
    assert not {"Vary", "Access-Control-Allow-Origin"} & set(headers)
