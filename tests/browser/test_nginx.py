"""The dashboard behind nginx with TLS and a path prefix, configured as docs/nginx.conf says."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from deployment import ADMIN_KEY, Deployment
from kafka_servers import EmbeddedBroker
from nginx_server import NginxServer
from photos import photo

pytestmark = pytest.mark.browser

Open = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def proxied(server_folder: Path, nginx_path: str) -> Iterator[tuple[Deployment, NginxServer]]:
    """A deployment with nginx before its api, set up as the configuration's comment says."""
    folder = server_folder / f"nginx-{uuid4().hex[:8]}"
    folder.mkdir()
    with EmbeddedBroker(folder) as broker:
        deployment = Deployment(folder, broker)
        nginx = NginxServer(folder, nginx_path, deployment.api.port)
        deployment.api.extra_variables = {
            "THUMBSTREAM_PUBLIC_URL": nginx.url,
            "THUMBSTREAM_TRUSTED_PROXIES": "127.0.0.1",
            "THUMBSTREAM_ALLOWED_HOSTS": "photos.example.com",
        }
        try:
            with nginx:
                yield deployment.start(), nginx
        finally:
            deployment.stop()


@pytest.fixture(scope="module")
def deployment(proxied: tuple[Deployment, NginxServer]) -> Deployment:
    return proxied[0]


@pytest.fixture(scope="module")
def nginx(proxied: tuple[Deployment, NginxServer]) -> NginxServer:
    return proxied[1]


async def test_sign_in_and_sign_out_below_a_path_prefix(nginx: NginxServer, browser: Browser) -> None:
    context = await browser.new_context(ignore_https_errors=True)
    page = await context.new_page()
    await page.goto(f"{nginx.url}?workspace=acme")  # nginx adds the slash
    await page.get_by_label("Key").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("This key is not valid.")
    await page.get_by_label("Key").fill(ADMIN_KEY)
    await page.get_by_role("button", name="Sign in").click()
    await page.locator('#connection[data-state="live"]').wait_for()
    assert page.url.startswith(f"{nginx.url}/?workspace=acme")
    (cookie,) = await context.cookies()
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    assert cookie["path"] == "/thumbs"
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Key")).to_be_visible()
    assert await context.cookies() == []
    await context.close()


async def test_an_uploaded_photo_appears_through_the_feed_with_its_thumbnail(
    nginx: NginxServer, open_dashboard: Open
) -> None:
    dashboard = await open_dashboard(url=nginx.url, ignore_https_errors=True)
    await dashboard.choose(cat_jpg=photo(600, 400))
    card = dashboard.card("cat.jpg", "ready")
    await card.wait_for()
    image = card.locator("img.thumb")
    await expect(image).to_have_attribute("src", re.compile(r"^/thumbs/v1/workspaces/.+\?v="))
    await expect(image).to_have_js_property("complete", True)
    assert await image.evaluate("image => image.naturalWidth") > 0
    assert await dashboard.was_not_reloaded()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {ADMIN_KEY}"}) as session:
        photos = f"{nginx.url}/v1/workspaces/{dashboard.workspace}/photos"
        async with session.get(photos, ssl=nginx.client_context()) as response:
            (shown,) = (await response.json())["items"]
        async with session.post(f"{photos}/{shown['id']}/signed-urls", json={}, ssl=nginx.client_context()) as response:
            signed = (await response.json())["thumbnails"]["small"]["url"]
    async with aiohttp.ClientSession() as stranger:
        for url, status in ((signed, 200), (shown["thumbnails"]["small"]["url"], 401)):
            assert url.startswith(f"{nginx.url}/v1/")
            async with stranger.get(url, ssl=nginx.client_context()) as response:
                assert response.status == status
    log = nginx.access_log.read_text()
    assert '"GET /thumbs/" 200' in log
    assert ADMIN_KEY not in log
    assert "signature" not in log


async def test_an_upload_is_passed_on_as_it_comes(nginx: NginxServer) -> None:
    """The api refuses a key before the body is there; were the upload buffered, it would hear of it afterwards."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", nginx.port, ssl=nginx.client_context(), server_hostname="localhost"
    )
    head = (
        f"POST /thumbs/v1/workspaces/acme/photos HTTP/1.1\r\nHost: localhost:{nginx.port}\r\n"
        "Authorization: Bearer wrong\r\nContent-Length: 9000000\r\n"
        "Content-Type: multipart/form-data; boundary=B\r\n\r\n"
    )
    writer.write(head.encode() + b"--B\r\n")
    async with asyncio.timeout(60):
        assert b" 401 " in await reader.readline()
    writer.transport.abort()
