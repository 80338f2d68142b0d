"""URLs that need no key: good for one file until they expire, and for nothing else."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from aiohttp import ClientSession
from hypothesis import given, settings
from hypothesis import strategies as st

from api.http.app_keys import DATABASE, STORAGE
from api.http.links.signing import URL_SIGNER, BadSignature, Expired, UrlSigner, signing_keys
from api.projection.apply import project
from infra.settings import Settings
from photos import photo
from result_events import ready
from running_api import Running, running_api
from s3_server import S3Location
from server_process import free_port

OLD, NEW = b"old-key-of-thirty-two-characters!", b"new-key-of-thirty-two-characters!"
PATH = "/v1/workspaces/acme/photos/1/thumbnails/small"
texts = st.text(max_size=20)


@pytest.fixture
async def stranger(lonely_api: Running) -> AsyncIterator[ClientSession]:
    """A client without a key."""
    async with ClientSession(lonely_api.origin) as session:
        yield session


async def post_ready(api: Running) -> dict[str, Any]:
    """A ready photo whose thumbnails are the bytes of their names."""
    posted = await api.post(photo(kind="PNG"))
    event = ready(await api.upload_of(posted["id"]))
    for name, thumbnail in event.thumbnails.items():
        await api.app[STORAGE].write(thumbnail.storage_key, name.encode())
    await api.app[DATABASE].write(lambda session: project(session, [event]))
    return await api.status_becomes(posted["id"], "ready")


async def sign(api: Running, photo_id: str, **wanted: Any) -> dict[str, Any]:
    async with api.client.post(f"{api.photos}/{photo_id}/signed-urls", json=wanted) as response:
        body: dict[str, Any] = await response.json()
        assert response.status == 200, body
        return body


async def status_of(session: ClientSession, url: str, method: str = "GET") -> int:
    async with session.request(method, url, allow_redirects=False) as response:
        return response.status


async def test_a_signed_url_gives_its_file_without_a_key_to_caches_too(
    lonely_api: Running, stranger: ClientSession
) -> None:
    shown = await post_ready(lonely_api)
    signed = await sign(lonely_api, shown["id"], original=True, expires_in=600)
    assert list(signed["thumbnails"]) == ["small", "medium", "large"]
    for name, found in signed["thumbnails"].items():
        async with stranger.get(found["url"]) as response:
            assert (response.status, await response.read()) == (200, name.encode())
            assert response.content_type == "image/webp"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            kept, seconds, immutable = response.headers["Cache-Control"].split(", ")
            assert (kept, immutable) == ("public", "immutable")
            assert 0 < int(seconds.removeprefix("max-age=")) <= 600
    async with stranger.get(signed["original_url"]) as response:
        assert (response.status, await response.read()) == (200, photo(kind="PNG"))
    assert await status_of(stranger, signed["original_url"], "HEAD") == 200
    async with stranger.get(signed["original_url"] + "&download") as response:
        assert response.headers["Content-Disposition"].startswith("attachment")


async def test_a_signed_url_is_good_for_nothing_else(lonely_api: Running, stranger: ClientSession) -> None:
    first, second = await post_ready(lonely_api), await post_ready(lonely_api)
    signed = await sign(lonely_api, first["id"])
    path, _, query = signed["thumbnails"]["small"]["url"].partition("?")
    assert await status_of(stranger, f"{path}?{query}") == 200
    others = [
        path.replace("small", "large"),
        path.replace("/thumbnails/small", "/original"),
        path.replace(first["id"], second["id"]),
        path.replace("acme", "other"),
    ]
    assert {await status_of(stranger, f"{other}?{query}") for other in others} == {403}
    no_files = [path.replace("/thumbnails/small", ""), lonely_api.photos, "/v1/workspaces/acme/feed"]
    assert {await status_of(stranger, f"{other}?{query}") for other in no_files} == {401}
    values = dict(parse_qsl(query))
    for changed in (
        values | {"expires": str(int(values["expires"]) + 1)},
        values | {"signature": values["signature"][:-2] + "AA"},
        values | {"signature": "ä\ud800".encode(errors="replace").decode()},
        values | {"v": "another"},
        {name: value for name, value in values.items() if name != "expires"},
    ):
        assert await status_of(stranger, f"{path}?{urlencode(changed)}") == 403
    photo_path = f"{lonely_api.photos}/{first['id']}"
    assert await status_of(stranger, f"{photo_path}?{query}", "DELETE") == 401
    assert await status_of(stranger, f"{photo_path}/signed-urls?{query}", "POST") == 401


async def test_an_expired_url_and_one_by_a_key_that_is_gone_are_refused(
    lonely_api: Running, stranger: ClientSession
) -> None:
    shown = await post_ready(lonely_api)
    url = urlsplit((await sign(lonely_api, shown["id"]))["thumbnails"]["small"]["url"])
    signer = lonely_api.app[URL_SIGNER]
    for query, reason in (
        (signer.sign(url.path, None, signer.expiry_after(-1)), "expired"),
        (UrlSigner([OLD]).sign(url.path, None, signer.expiry_after(60)), "not valid"),
    ):
        async with stranger.get(f"{url.path}?{query}") as response:
            assert (response.status, response.content_type) == (403, "application/problem+json")
            assert response.headers["Cache-Control"] == "no-store"
            assert reason in (await response.json())["detail"]


async def test_the_url_of_a_deleted_photo_ends_with_the_photo(lonely_api: Running, stranger: ClientSession) -> None:
    shown = await post_ready(lonely_api)
    url = (await sign(lonely_api, shown["id"]))["thumbnails"]["small"]["url"]
    async with lonely_api.client.delete(f"{lonely_api.photos}/{shown['id']}") as response:
        assert response.status == 204
    assert await status_of(stranger, url) == 404


async def test_a_url_may_be_signed_before_the_photo_is_ready_and_after_it_was_rendered_anew(
    lonely_api: Running, stranger: ClientSession
) -> None:
    posted = await lonely_api.post()
    early = (await sign(lonely_api, posted["id"], renditions=["small"]))["thumbnails"]["small"]["url"]
    async with stranger.get(early) as response:
        assert response.status == 404
        assert "Retry-After" in response.headers
    event = ready(await lonely_api.upload_of(posted["id"]))
    await lonely_api.app[STORAGE].write(event.thumbnails["small"].storage_key, b"pixels")
    await lonely_api.app[DATABASE].write(lambda session: project(session, [event]))
    async with stranger.get(early) as response:
        assert (response.status, await response.read()) == (200, b"pixels")
        assert response.headers["Cache-Control"] == "public, no-cache"


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"renditions": ["huge"]}, "renditions"),
        ({"renditions": []}, "renditions"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": 10**9}, "expires_in"),
        ({"expires_at": 5}, "expires_at"),
    ],
)
async def test_what_cannot_be_signed_is_named(lonely_api: Running, wanted: dict[str, Any], named: str) -> None:
    posted = await lonely_api.post()
    async with lonely_api.client.post(f"{lonely_api.photos}/{posted['id']}/signed-urls", json=wanted) as response:
        assert response.status == 400
        assert [error["field"] for error in (await response.json())["errors"]] == [named]


async def test_signed_urls_redirect_to_s3_where_the_setting_says_so(tmp_path: Path, s3_storage: S3Location) -> None:
    settings = Settings(
        data_dir=tmp_path, embedded_kafka_port=free_port(), signed_url_redirect=True, _env_file=None,
        **s3_storage.settings,
    )  # fmt: skip
    async with running_api(settings) as api, ClientSession(api.origin) as stranger:
        posted = await api.post(photo(kind="PNG"))
        signed = (await sign(api, posted["id"], renditions=[], original=True))["original_url"]
        async with stranger.get(signed + "&download", allow_redirects=False) as response:
            assert response.status == 302
            assert response.headers["Cache-Control"] == "no-store"
            there = response.headers["Location"]
        assert there.startswith(s3_storage.endpoint_url)
        asked = dict(parse_qsl(urlsplit(there).query))
        assert asked["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
        assert 0 < int(asked["X-Amz-Expires"]) <= 300
        assert asked["response-content-type"] == "image/png"
        assert asked["response-content-disposition"].startswith("attachment; filename=")
        async with ClientSession() as elsewhere, elsewhere.get(there) as response:
            assert (response.status, await response.read()) == (200, photo(kind="PNG"))
        async with api.client.get(f"{api.photos}/{posted['id']}/original", allow_redirects=False) as response:
            assert response.status == 200, "only signed URLs redirect"


def test_keys_rotate_the_newest_signs_and_all_verify() -> None:
    before, between, after = UrlSigner([OLD]), UrlSigner([NEW, OLD]), UrlSigner([NEW])
    expires = before.expiry_after(60)
    old, new = (dict(parse_qsl(signer.sign(PATH, "v", expires))) for signer in (before, between))
    assert old["signature"] != new["signature"]
    assert 0 < between.verify(PATH, old) <= 60
    assert 0 < after.verify(PATH, new) <= 60
    with pytest.raises(BadSignature):
        after.verify(PATH, old)


def test_a_url_is_good_until_its_last_second() -> None:
    now = 1000.0
    signer = UrlSigner([NEW], now=lambda: now)
    query = dict(parse_qsl(signer.sign(PATH, None, signer.expiry_after(60))))
    now = 1059.9
    assert signer.verify(PATH, query) == 1
    now = 1060.0
    with pytest.raises(Expired):
        signer.verify(PATH, query)


@settings(deadline=None)
@given(texts, texts, texts, texts)
def test_no_other_path_or_query_fits_a_signature(path: str, version: str, expires: str, signature: str) -> None:
    signer = UrlSigner([NEW, OLD], now=lambda: 0.0)
    good = dict(parse_qsl(signer.sign(PATH, "v", 60)))
    for asked, query in (
        (path, good),
        (PATH, good | {"v": version}),
        (PATH, good | {"expires": expires}),
        (PATH, good | {"signature": signature}),
        (PATH, {"v": version, "expires": expires, "signature": signature}),
    ):
        if (asked, query) != (PATH, good):
            with pytest.raises(BadSignature):
                signer.verify(asked, query)


def test_a_key_is_made_once_and_kept_for_this_account_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", _env_file=None)
    made = signing_keys(settings)
    assert (len(made), made) == (1, signing_keys(settings))
    file = tmp_path / "data" / "url_signing.keys"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text(f"{NEW.decode()}\n{file.read_text()}")
    assert signing_keys(settings) == (NEW, *made)
    chosen = Settings(data_dir=tmp_path, url_signing_keys=f"{NEW.decode()}, {OLD.decode()}", _env_file=None)
    assert signing_keys(chosen) == (NEW, OLD)
