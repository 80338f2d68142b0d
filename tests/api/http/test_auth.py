"""Who may ask: keys, sessions, and pages of other sites."""

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest
from aiohttp import ClientSession, CookieJar, web
from aiohttp.test_utils import make_mocked_request
from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from yarl import URL

from api.access.admin_key import admin_key
from api.http.app_keys import DATABASE, SETTINGS
from api.http.auth import COOKIE, is_same_origin
from api.photos.housekeeping import prune
from api.store.access_tables import SessionRow
from api.store.database import Database
from infra.settings import Settings
from photos import photo
from running_api import Running, form, running_api

OPEN = {"/healthz": 200, "/": 401}


@pytest.fixture
async def stranger(lonely_api: Running) -> ClientSession:  # type: ignore[misc]
    async with ClientSession(lonely_api.origin, cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


async def test_every_route_but_the_open_ones_wants_a_key(lonely_api: Running, stranger: ClientSession) -> None:
    for resource in lonely_api.app.router.resources():
        path = resource.canonical.replace("{", "").replace("}", "")
        if path in ("/healthz", "/readyz", "/", "/session") or path.startswith("/dashboard/"):
            continue
        async with stranger.get(path) as response:
            assert (path, response.status) == (path, 401)
            assert response.content_type == "application/problem+json"
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "Basic YTpi", "Bearer ä", "bearer"])
async def test_a_wrong_key_is_no_key(stranger: ClientSession, lonely_api: Running, header: str) -> None:
    async with stranger.get(lonely_api.photos, headers={"Authorization": header}) as response:
        assert response.status == 401


async def test_a_link_with_the_key_signs_in_and_loses_the_key(lonely_api: Running, stranger: ClientSession) -> None:
    key = admin_key(lonely_api.settings)
    async with stranger.get("/", params={"key": key}, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "./")
        cookie = response.cookies[COOKIE]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert key not in cookie.value
    async with stranger.get("/") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert "script-src" not in response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    async with stranger.get(lonely_api.photos) as response:
        assert response.status == 200
    async with stranger.get("/", params={"key": "wrong"}, allow_redirects=False) as response:
        assert response.status == 401


async def test_the_sign_in_page_takes_a_key(lonely_api: Running, stranger: ClientSession) -> None:
    async with stranger.get("/") as response:
        assert response.status == 401
        assert 'action="session"' in await response.text()
    async with stranger.post("/session", data={"key": "wrong"}, allow_redirects=False) as response:
        assert response.status == 401
    key = admin_key(lonely_api.settings)
    async with stranger.post("/session", data={"key": key}, allow_redirects=False) as response:
        assert response.status == 303
    async with stranger.get(lonely_api.photos) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "own"}, 201),
    ],
)
async def test_a_session_changes_things_for_our_own_page_only(
    lonely_api: Running, stranger: ClientSession, headers: dict[str, str], status: int
) -> None:
    async with stranger.get("/", params={"key": admin_key(lonely_api.settings)}):
        pass
    sent = {name: lonely_api.origin if value == "own" else value for name, value in headers.items()}
    async with stranger.post(lonely_api.photos, data=form(photo()), headers=sent) as response:
        assert response.status == status


async def sign_in(running: Running, stranger: ClientSession) -> str:
    """Trade the key for a cookie; returns its value."""
    key = admin_key(running.settings)
    async with stranger.post("/session", data={"key": key}, allow_redirects=False) as response:
        assert response.status == 303
        return response.cookies[COOKIE].value


async def status_with(running: Running, token: str, method: str = "GET", path: str = "", **headers: str) -> int:
    """What a browser is answered that sends this cookie."""
    async with (
        ClientSession(running.origin, headers={"Cookie": f"{COOKIE}={token}", **headers}) as browser,
        browser.request(method, path or running.photos) as response,
    ):
        return response.status


@pytest.mark.parametrize("token", ["", ".", "9999999999.00", "x.y", "é.é", "x" * 3000, "' OR 1=1 --"])
async def test_a_token_that_we_have_not_made_is_no_session(lonely_api: Running, token: str) -> None:
    assert await status_with(lonely_api, token) == 401


async def test_signing_out_ends_the_session_wherever_its_cookie_is_and_no_other(
    lonely_api: Running, stranger: ClientSession
) -> None:
    gone, kept = await sign_in(lonely_api, stranger), await sign_in(lonely_api, stranger)
    assert await status_with(lonely_api, gone, "DELETE", "/session", Origin="http://evil.example") == 403
    assert await status_with(lonely_api, gone) == 200
    assert await status_with(lonely_api, gone, "DELETE", "/session", Origin=lonely_api.origin) == 204
    assert await status_with(lonely_api, gone) == 401
    assert await status_with(lonely_api, kept) == 200
    async with running_api(lonely_api.settings) as another:
        assert await status_with(another, gone) == 401
        assert await status_with(another, kept) == 200


async def test_a_session_ends_with_its_time_and_with_its_key(lonely_api: Running, stranger: ClientSession) -> None:
    token = await sign_in(lonely_api, stranger)
    with_another_key = lonely_api.settings.model_copy(update={"admin_key": SecretStr("another")})
    async with running_api(with_another_key) as other:
        assert await status_with(other, token) == 401
    assert await status_with(lonely_api, token) == 200
    past = update(SessionRow).values(expires_at=datetime.now(UTC))
    await lonely_api.app[DATABASE].write(lambda session: session.execute(past))
    assert await status_with(lonely_api, token) == 401
    await lonely_api.app[DATABASE].write(lambda session: prune(session, datetime.now(UTC)))
    async with lonely_api.app[DATABASE].reading() as session:
        assert (await session.scalars(select(SessionRow))).all() == []


async def test_the_database_keeps_no_token(lonely_api: Running, stranger: ClientSession) -> None:
    token = await sign_in(lonely_api, stranger)
    async with lonely_api.app[DATABASE].reading() as session:
        (row,) = (await session.scalars(select(SessionRow))).all()
    assert token not in str(row.model_dump())
    assert admin_key(lonely_api.settings) not in str(row.model_dump())


async def test_a_session_allows_what_its_key_allowed(lonely_api: Running) -> None:
    headers = await lonely_api.signed_in_as("viewer", "acme")
    for workspace, status in (("acme", 200), ("other", 404)):
        async with lonely_api.client.get(f"/v1/workspaces/{workspace}/photos", headers=headers) as response:
            assert response.status == status


@pytest.mark.parametrize("header", ["Basic YTpi", "Digest x", "Negotiate", "basic", ""])
async def test_a_header_of_another_scheme_beside_the_cookie_changes_nothing(lonely_api: Running, header: str) -> None:
    cookie = (await lonely_api.signed_in_as("admin"))["Cookie"].partition("=")[2]
    assert await status_with(lonely_api, cookie, Authorization=header) == 200
    assert await status_with(lonely_api, "none", Authorization=header) == 401
    assert await status_with(lonely_api, cookie, Authorization="Bearer wrong") == 401


@pytest.mark.parametrize(
    ("origin", "host", "is_ours"),
    [
        ("http://h", "h", True), ("http://h", "h:80", True), ("http://h:80", "h", True), ("https://h", "h:443", True),
        ("https://h", "h", True), ("HTTP://H", "h", True), ("http://[::1]:8080", "[::1]:8080", True),
        ("http://h", "h:443", False), ("https://h", "h:80", False), ("http://h:8080", "h", False),
        ("http://h", "h:8080", False), ("http://evil", "h", False), ("http://h.evil", "h", False), ("null", "h", False),
        ("", "h", False), ("http://", "h", False), ("http://", "", False), ("http://[", "h", False),
        ("http://h:x", "h", False), ("http://h:99999", "h", False), ("h", "h", False), ("http://h@evil", "h", False),
    ],
)  # fmt: skip
def test_an_origin_is_ours_if_it_names_the_host_that_was_asked(origin: str, host: str, is_ours: bool) -> None:
    app = web.Application()
    app[SETTINGS] = Settings(_env_file=None)
    assert is_same_origin(make_mocked_request("POST", "/", {"Origin": origin, "Host": host}, app=app)) is is_ours


async def test_signing_in_leads_to_where_the_link_led(lonely_api: Running, stranger: ClientSession) -> None:
    key = admin_key(lonely_api.settings)
    wanted = {"workspace": "acme", "status": "failed", "photo": 'a&b=\r\n"<'}
    there = str(URL("./").with_query(wanted))
    async with stranger.get("/", params={**wanted, "key": key, "next": "//evil"}, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, there)
    stranger.cookie_jar.clear()
    for failing in (stranger.get("/", params=wanted), stranger.get("/", params={**wanted, "key": "wrong"}),
                    stranger.post("/session", data={**wanted, "key": "wrong"})):  # fmt: skip
        async with failing as response:
            assert (response.status, response.content_type) == (401, "text/html")
            shown = await response.text()
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', shown))
        form = {name: unescape(value) for name, value in hidden.items()}
        assert form["workspace"] == "acme"
        async with stranger.post("/session", data={**form, "key": key}, allow_redirects=False) as response:
            assert URL(response.headers["Location"]).query["workspace"] == "acme"
        stranger.cookie_jar.clear()


async def test_a_link_on_another_site_shows_the_page_though_the_browser_keeps_the_cookie_back(
    lonely_api: Running, stranger: ClientSession
) -> None:
    async with stranger.get("/", headers={"Sec-Fetch-Site": "cross-site"}) as response:
        assert response.status == 200
    async with stranger.get(lonely_api.photos, headers={"Sec-Fetch-Site": "cross-site"}) as response:
        assert response.status == 401


async def test_a_sign_in_form_of_another_site_is_refused_with_a_page(
    lonely_api: Running, stranger: ClientSession
) -> None:
    data = {"key": admin_key(lonely_api.settings)}
    for origin in ("http://evil.example", "null"):
        async with stranger.post("/session", data=data, headers={"Origin": origin}) as response:
            assert (response.status, response.content_type) == (403, "text/html")
            assert COOKIE not in response.cookies


async def test_the_page_is_shown_and_signing_in_says_so_while_the_database_is_away(
    lonely_api: Running, stranger: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_in(lonely_api, stranger)

    async def away(*_: object) -> None:
        raise OperationalError("", {}, OSError("the database is away"))

    monkeypatch.setattr(Database, "insert", away)
    monkeypatch.setattr("api.access.sessions.Sessions.find", away)
    async with stranger.get("/") as response:
        assert response.status == 200
    async with stranger.post("/session", data={"key": admin_key(lonely_api.settings)}) as response:
        assert (response.status, response.content_type) == (503, "text/html")
        assert "The database does not answer" in await response.text()


def test_the_admin_key_is_made_once_even_by_many_at_once_and_is_ours_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", _env_file=None)
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: admin_key(settings), range(32)))
    assert len(keys) == 1
    (file,) = (tmp_path / "data").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert admin_key(settings.model_copy(update={"admin_key": None})) == keys.pop()
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["admin.key"]


async def test_errors_of_every_kind_are_problem_documents(lonely_api: Running) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404), ("PUT", "/healthz", 405), ("GET", "/dashboard/../app.py", 404),
        ("GET", "/dashboard/%2e%2e/app.py", 404), ("GET", "/v1/workspaces/a/photos/x/original", 400),
    ):  # fmt: skip
        async with lonely_api.client.request(method, path) as response:
            assert (path, response.status, response.content_type) == (path, status, "application/problem+json")
            body = await response.json()
            assert set(body) >= {"type", "title", "status", "detail"}
            if status == 405:
                assert response.headers["Allow"]


async def test_an_unexpected_error_tells_an_id_and_nothing_else(
    lonely_api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_row: object) -> None:
        raise RuntimeError("the secret of the house")

    posted = await lonely_api.post()
    monkeypatch.setattr("api.http.handlers.photos.public_photo", broken)
    async with lonely_api.client.get(f"{lonely_api.photos}/{posted['id']}") as response:
        assert (response.status, response.content_type) == (500, "application/problem+json")
        assert "secret" not in await response.text()


async def test_metrics_count_what_happens(lonely_api: Running) -> None:
    await lonely_api.post()
    async with lonely_api.client.get("/metrics") as response:
        text = await response.text()
    assert response.content_type == "text/plain"
    assert 'thumbstream_photos{status="pending"} 1.0' in text
    assert "thumbstream_outbox_rows 1.0" in text
    assert 'route="/v1/workspaces/{workspace}/photos"' in text


async def test_readiness_names_each_part(lonely_api: Running) -> None:
    async with lonely_api.client.get("/readyz") as response:
        body = await response.json()
    assert response.status == 503
    assert body["checks"]["database"] == {"ok": True}
    assert body["checks"]["storage"] == {"ok": True}
    assert body["checks"]["tasks"] == {"ok": True}
    assert not body["checks"]["kafka"]["ok"]
