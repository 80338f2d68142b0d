"""Fixtures: a deployment with a worker, and its dashboard in a real Chromium, whose errors fail the test."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Route, async_playwright, expect
from pytest_asyncio import is_async_test

from api.http.documents.dashboard import FOLDER
from deployment import ADMIN_KEY, Deployment
from kafka_servers import EmbeddedBroker

_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: Long enough for a photo to pass through the whole pipeline.
SLOW_MS: Final = 60_000
expect.set_options(timeout=SLOW_MS)

#: All rules of axe-core, and one that it does not check by default. Source: WCAG 2.2, 2.5.8 Target Size.
_AXE_OPTIONS: Final = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}


@pytest.fixture(scope="package")
def deployment(server_folder: Path) -> Iterator[Deployment]:
    """A broker, a worker and an api, shared by the tests of this folder; each test has its own workspace."""
    folder = server_folder / f"browser-{uuid4().hex[:8]}"
    folder.mkdir()
    with EmbeddedBroker(folder) as broker:
        running = Deployment(folder, broker)
        try:
            yield running.start()
        finally:
            running.stop()


@pytest.fixture
def workspace() -> str:
    return f"w-{uuid4().hex[:8]}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the tests of this folder run in the event loop that their browser lives in."""
    for item in items:
        if Path(__file__).parent in item.path.parents and is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_browser(chromium_path: str) -> AsyncIterator[Browser]:
    """The browser that all tests share, since it takes seconds to start."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium_path, args=list(_ARGUMENTS))
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(shared_browser: Browser) -> AsyncIterator[Browser]:
    """A browser without pages, in which the test opens contexts of its own."""
    yield shared_browser
    for context in shared_browser.contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def modules(browser: Browser) -> AsyncIterator[Page]:
    """A page that can import the dashboard's modules and nothing else."""
    page = await browser.new_page()

    async def answer(route: Route) -> None:
        path = route.request.url.removeprefix("http://dashboard.test/dashboard/")
        if path == "blank":
            await route.fulfill(body="<!doctype html><title>x</title>", content_type="text/html")
        elif path.startswith("v1/"):
            await route.fulfill(status=404)
        else:
            await route.fulfill(path=FOLDER / path)

    await page.route("**/*", answer)
    await page.goto("http://dashboard.test/dashboard/blank")
    yield page
    await page.close()


class Dashboard:
    """The dashboard in a browser context of its own."""

    def __init__(self, context: BrowserContext, page: Page, url: str, workspace: str) -> None:
        self.context = context
        self.page = page
        self.url = url
        self.workspace = workspace
        self.cards = page.locator(".card")
        self._errors: list[str] = []
        self._expected: list[str] = []
        page.set_default_timeout(SLOW_MS)
        page.on("console", self._record)
        page.on("pageerror", lambda error: self._errors.append(f"uncaught: {error}"))

    async def open(self, query: str = "") -> None:
        """Sign in as the link of ``thumbstream up`` does, and open the workspace."""
        await self.page.goto(f"{self.url}/?key={ADMIN_KEY}")
        await self.page.goto(f"{self.url}/?workspace={self.workspace}{query}")
        # A reload would remove this.
        await self.page.evaluate("window.openedOnce = true")
        await self.wait_until_live()

    async def wait_until_live(self) -> None:
        """Wait until the feed says hello."""
        await self.page.locator('#connection[data-state="live"]').wait_for()

    async def was_not_reloaded(self) -> bool:
        return bool(await self.page.evaluate("window.openedOnce === true"))

    async def assert_accessible(self) -> None:
        """axe-core finds nothing. Playwright evaluates it as debuggers do, which the page's strict policy allows."""
        results = await Axe().run(self.page, options=_AXE_OPTIONS)
        assert results.violations_count == 0, results.generate_report()

    def card(self, filename: str, status: str = "") -> Locator:
        """The card of the photo with this name, in this status."""
        status = f'[data-status="{status}"]' if status else ""
        return self.page.locator(f".card{status}").filter(has=self.page.get_by_text(filename, exact=True))

    async def choose(self, **files: bytes) -> None:
        """Upload by the file button; ``cat_jpg=…`` is ``cat.jpg``."""
        chosen = [
            {"name": name.replace("_", "."), "mimeType": "image/jpeg", "buffer": content}
            for name, content in files.items()
        ]
        await self.page.set_input_files("#files", chosen)  # type: ignore[arg-type]

    async def drop(self, *paths: Path) -> None:
        """Drag files or folders onto the page and drop them."""
        browser = await self.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            await browser.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
        await browser.detach()

    def expect_error(self, pattern: str) -> None:
        """Ignore errors in the console that match ``pattern``."""
        self._expected.append(pattern)

    def errors(self) -> list[str]:
        """Unexpected errors and warnings in the console, such as violations of the content security policy."""
        return [text for text in self._errors if not any(re.search(pattern, text) for pattern in self._expected)]

    def _record(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            self._errors.append(f"{message.type}: {message.text} {message.location.get('url', '')}")


@pytest_asyncio.fixture(loop_scope="session")
async def open_dashboard(browser: Browser, deployment: Deployment, workspace: str) -> AsyncIterator[Any]:
    """Opens dashboards of the test's workspace; fails the test if one has had an error."""
    opened: list[Dashboard] = []
    async with AsyncExitStack() as stack:

        async def open_page(query: str = "", *, url: str = "", prepare: Any = None, **options: Any) -> Dashboard:
            """``url``: of a proxy, instead of the api's; ``prepare(page)`` is awaited before the page is opened."""
            context = await browser.new_context(**options)
            stack.push_async_callback(context.close)
            dashboard = Dashboard(context, await context.new_page(), url or deployment.api.url, workspace)
            opened.append(dashboard)
            if prepare:
                await prepare(dashboard.page)
            await dashboard.open(query)
            return dashboard

        yield open_page
    assert [error for dashboard in opened for error in dashboard.errors()] == []
