"""Who may ask: keys, sessions, and pages of other sites."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import ClientSession, CookieJar

from api.auth import COOKIE, Gate, admin_key
from groundwork.settings import Settings
from photos import photo
from running_api import Running, form

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
        assert (response.status, response.headers["Location"]) == (303, "/")
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
        assert 'action="/session"' in await response.text()
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


@pytest.mark.parametrize("token", ["", ".", "9999999999.", "9999999999.00", "x.y", "é.é", "1.1.1"])
def test_a_token_that_we_have_not_signed_is_no_session(token: str) -> None:
    assert not Gate("key").is_session(token)


def test_a_session_ends_with_its_time_and_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    token = Gate("key").new_session()
    assert Gate("key").is_session(token)
    assert not Gate("other").is_session(token)
    ends_at, _, signature = token.partition(".")
    assert not Gate("key").is_session(f"{int(ends_at) + 1}.{signature}")
    monkeypatch.setattr("time.time", lambda: int(ends_at) + 1)
    assert not Gate("key").is_session(token)


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
    monkeypatch.setattr("api.handlers.photos.photo_json", broken)
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
