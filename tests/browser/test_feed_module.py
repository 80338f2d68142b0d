"""The dashboard's feed.js in a page of another origin, against an api whose connections are cut."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, WebSocketRoute

from api.feed import subscribers
from infra.settings import Settings
from polling import poll_async
from running_api import WORKSPACE, Running, running_api
from server_process import free_port
from tcp_proxy import TcpProxy

pytestmark = pytest.mark.browser

SLOW_SECONDS: Final = 60.0

FOLLOW: Final = """async ([origin, workspace, cursor]) => {
    const { Feed } = await import(`${origin}/dashboard/feed.js`);
    window.heard = { photos: [], hellos: [], states: [] };
    window.feed = new Feed(`${origin}/v1/workspaces/${workspace}`, {
        cursor,
        getTicket: () => window.newTicket(),
        onHello: ({ resumed }) => heard.hellos.push(resumed),
        onPhoto: ({ photo }) => heard.photos.push(photo.id),
        onState: (state) => heard.states.push(state),
    });
    feed.connect();
}"""


class Shop:
    """A page of another origin that follows the feed through a proxy."""

    def __init__(self, page: Page, api: Running, proxy: TcpProxy) -> None:
        self.page = page
        self.api = api
        self.proxy = proxy
        self.tickets = 0
        self.requests: list[str] = []
        self.frame_count = 0
        page.on("websocket", lambda socket: socket.on("framereceived", self._count_frame))
        page.on("request", lambda request: self.requests.append(request.url))

    def _count_frame(self, _payload: object) -> None:
        self.frame_count += 1

    def has_more_frames_than(self, count: int) -> bool:
        return self.frame_count > count

    async def new_ticket(self) -> str:
        self.tickets += 1
        async with self.api.client.post(f"/v1/workspaces/{WORKSPACE}/feed/tickets") as answer:
            return str((await answer.json())["ticket"])

    async def follow(self, cursor: str | None = None) -> None:
        await self.page.expose_function("newTicket", self.new_ticket)
        await self.page.evaluate(FOLLOW, [f"http://127.0.0.1:{self.proxy.port}", WORKSPACE, cursor])

    async def heard(self, what: str) -> list[Any]:
        return list(await self.page.evaluate(f"heard.{what}"))

    async def hears(self, what: str, expected: list[Any]) -> None:
        """Wait until it has heard so much; it must be this."""

        async def is_complete() -> bool:
            return len(await self.heard(what)) >= len(expected)

        await poll_async(is_complete, SLOW_SECONDS, what=f"{len(expected)} {what}")
        assert await self.heard(what) == expected

    async def is_after_a_while(self, state: str) -> bool:
        await self.page.clock.fast_forward(9_900)
        return bool((await self.heard("states"))[-1] == state)

    async def is_cut_off_and_comes_back(self) -> list[str]:
        """The photos that are posted meanwhile, and one more after."""
        hellos = len(await self.heard("hellos"))
        self.proxy.cut()
        posted = [(await self.api.post())["id"] for _ in range(3)]
        self.proxy.reopen()
        await self.hears("hellos", [False] + [True] * hellos)
        return [*posted, (await self.api.post())["id"]]


async def _blank(_request: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>Shop</title>", content_type="text/html")


@pytest_asyncio.fixture(loop_scope="session")
async def shop(tmp_path: Path, browser: Browser) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        pages = web.Application()
        pages.router.add_get("/", _blank)
        runner = web.AppRunner(pages)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        origin = f"http://127.0.0.1:{port}"
        settings = Settings(data_dir=tmp_path, embedded_kafka_port=free_port(), cors_origins=(origin,), _env_file=None)
        api = await stack.enter_async_context(running_api(settings))
        proxy = stack.enter_context(TcpProxy(api.runner.addresses[0][1]))
        page = await browser.new_page()
        stack.push_async_callback(page.close)
        await page.goto(origin)
        yield Shop(page, api, proxy)


@pytest.mark.parametrize("has_web_socket", [True, False])
async def test_a_page_of_another_origin_hears_each_photo_once_though_it_is_cut_off(
    shop: Shop, has_web_socket: bool
) -> None:
    if not has_web_socket:

        async def refuse(socket: WebSocketRoute) -> None:
            await socket.close()

        await shop.page.route_web_socket("**/feed?*", refuse)
    await shop.follow()
    await shop.hears("hellos", [False])
    photos = [(await shop.api.post())["id"]]
    for _ in range(3):
        photos += await shop.is_cut_off_and_comes_back()
        await shop.hears("photos", photos)
    events = [url for url in shop.requests if "/feed/events" in url]
    assert bool(events) is not has_web_socket
    assert shop.tickets >= 4


async def test_a_cursor_that_is_too_old_is_told_so_that_the_list_is_loaded(shop: Shop) -> None:
    await shop.follow("j1-elsewhere")
    await shop.hears("hellos", [False])


async def test_an_idle_page_keeps_its_connection_and_a_silent_network_shows(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribers, "_HEARTBEAT_SECONDS", 0.05)
    await shop.page.clock.install()
    await shop.follow()
    await shop.hears("states", ["connecting", "live"])
    for _ in range(5):
        await poll_async(partial(shop.has_more_frames_than, shop.frame_count + 1), SLOW_SECONDS, what="a heartbeat")
        await shop.page.clock.fast_forward(5_000)
    assert await shop.heard("states") == ["connecting", "live"]
    shop.proxy.freeze()
    await poll_async(partial(shop.is_after_a_while, "waiting"), SLOW_SECONDS, what="the silence shows")
    shop.proxy.reopen()
    await poll_async(partial(shop.is_after_a_while, "live"), SLOW_SECONDS, what="the feed is live again")
