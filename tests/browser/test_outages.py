"""The dashboard while the server, the network or a component of the pipeline does not work."""

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from deployment import Deployment
from photos import photo
from server_process import ServerProcess
from tcp_proxy import TcpProxy

pytestmark = pytest.mark.browser

Open = Callable[..., Awaitable[Any]]

CONNECTION_ERRORS = (
    "WebSocket connection to|status of 50[0-9]"
    "|ERR_CONNECTION|ERR_SOCKET|ERR_EMPTY_RESPONSE|ERR_TIMED_OUT|ERR_CONTENT_LENGTH_MISMATCH"
)


def port_of(deployment: Deployment) -> int:
    return int(deployment.api.url.rpartition(":")[2])


async def icon_of(page: Page) -> str:
    return (await page.locator("#icon").get_attribute("href") or "").rpartition("/")[2]


def photo_files(count: int) -> dict[str, bytes]:
    return {f"{number:02}_jpg": photo(600, 400, seed=number) for number in range(count)}


async def test_40_files_dropped_over_an_api_restart_give_40_photos(
    open_dashboard: Open, deployment: Deployment, workspace: str, tmp_path: Path
) -> None:
    names = sorted(f"{number:02}.jpg" for number in range(40))
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(photo(600, 400, seed=number))
    dashboard = await open_dashboard()
    dashboard.expect_error(CONNECTION_ERRORS)
    page = dashboard.page
    await dashboard.drop(*(tmp_path / name for name in names))
    await expect(page.locator("#uploads-title")).to_contain_text(re.compile(r"[1-9]\d* of 40 photos done"))
    deployment.api.kill()
    try:
        await expect(page.locator("#uploads-title")).to_contain_text("Waiting for the server")
        await expect(page.get_by_role("button", name="Cancel the rest")).to_be_visible()
    finally:
        deployment.api.start()
    await expect(page.locator('.filter[data-status="ready"] .value')).to_have_text("40", timeout=120_000)
    await expect(page.locator("#uploads")).to_be_hidden()
    await expect(page.locator(".filter .value").first).to_have_text("40")
    async with (
        deployment.client() as client,
        client.session.get(f"/v1/workspaces/{workspace}/photos?limit=100") as answer,
    ):
        assert sorted(item["filename"] for item in (await answer.json())["items"]) == names


async def test_uploads_that_wait_for_the_server_can_be_cancelled(open_dashboard: Open, deployment: Deployment) -> None:
    dashboard = await open_dashboard()
    dashboard.expect_error(CONNECTION_ERRORS)
    page = dashboard.page
    await page.route("**/photos", lambda route: route.abort("connectionrefused"))
    await dashboard.choose(**photo_files(3))
    await expect(page.locator("#uploads-title")).to_contain_text("0 of 3 photos done")
    await expect(page.locator(".upload").first).to_be_hidden()
    await page.get_by_role("button", name="Show files").press("Enter")
    await expect(page.get_by_role("button", name="Hide files", expanded=True)).to_be_focused()
    await page.locator(".upload").filter(has_text="01.jpg").get_by_role("button").click()
    await expect(page.locator("#uploads-title")).to_contain_text("0 of 2 photos done")
    await page.get_by_role("button", name="Cancel the rest").click()
    await expect(page.locator("#uploads")).to_be_hidden()
    await page.unroute("**/photos")
    await dashboard.choose(last_jpg=photo())
    await dashboard.card("last.jpg", "ready").wait_for()
    await expect(dashboard.cards).to_have_count(1)


async def test_one_file_that_always_fails_does_not_block_the_others(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    dashboard.expect_error(CONNECTION_ERRORS)
    page = dashboard.page

    keys: list[str] = []

    async def refuse_the_first(route: Any) -> None:
        keys.append(route.request.headers["idempotency-key"])
        await (route.abort("connectionreset") if keys[-1] == keys[0] else route.continue_())

    await page.route("**/photos", refuse_the_first)
    await dashboard.choose(bad_jpg=photo(), **photo_files(6))
    await expect(page.locator('.filter[data-status="ready"] .value')).to_have_text("6", timeout=60_000)
    await expect(page.locator(".upload")).to_have_count(1)
    await expect(page.locator(".upload")).to_contain_text("bad.jpg")
    await page.get_by_role("button", name="Cancel the rest").click()


async def test_a_file_that_causes_server_errors_is_not_retried_forever(open_dashboard: Open) -> None:
    dashboard = await open_dashboard(prepare=lambda page: page.clock.install())
    dashboard.expect_error(CONNECTION_ERRORS)
    page = dashboard.page
    body = '{"title": "Internal Server Error", "status": 500, "detail": "it is logged as 17"}'
    await page.route("**/photos", lambda route: route.fulfill(status=500, body=body))
    await dashboard.choose(bad_jpg=photo())
    refused = page.locator(".upload.refused")
    async with asyncio.timeout(30):
        while not await refused.count():
            await page.clock.fast_forward(5_000)
    await expect(refused).to_contain_text("500 Internal Server Error")
    await page.unroute("**/photos")
    await refused.get_by_role("button", name="Try again").click()
    await dashboard.card("bad.jpg", "ready").wait_for()


async def test_all_refused_files_are_tried_again_at_once_and_the_bar_never_moves_the_sheet(
    open_dashboard: Open,
) -> None:
    dashboard = await open_dashboard(prepare=lambda page: page.clock.install())
    dashboard.expect_error(CONNECTION_ERRORS)
    page = dashboard.page
    await dashboard.choose(first_jpg=photo())
    await dashboard.card("first.jpg", "ready").wait_for()
    top = "document.querySelector('#photo-grid').getBoundingClientRect().top"
    before = await page.evaluate(top)
    body = '{"title": "Internal Server Error", "status": 500, "detail": "it is logged as 17"}'
    await page.route("**/photos", lambda route: route.fulfill(status=500, body=body))
    await dashboard.choose(**photo_files(2))
    refused = page.locator(".upload.refused")
    async with asyncio.timeout(60):
        while await refused.count() < 2:
            await page.clock.fast_forward(5_000)
    await expect(refused.first).to_be_in_viewport()
    assert await page.evaluate(top) == before
    await page.get_by_role("button", name="Select", exact=True).click()
    await dashboard.card("first.jpg").get_by_role("button").click()
    await page.get_by_role("button", name="Done").click()  # nothing lies over it
    await page.mouse.move(1, 1)  # while the pointer is on the list, it rests
    await page.unroute("**/photos")
    await page.get_by_role("button", name="Try all again").press("Enter")
    for name in ("00.jpg", "01.jpg"):
        await dashboard.card(name, "ready").wait_for()
    await expect(page.locator("#uploads")).to_be_hidden()


async def test_a_silent_network_is_detected_and_no_event_is_missed_when_it_recovers(
    open_dashboard: Open, deployment: Deployment
) -> None:
    async def with_clock(page: Page) -> None:
        await page.clock.install()

    with TcpProxy(port_of(deployment)) as proxy:
        dashboard = await open_dashboard(url=f"http://127.0.0.1:{proxy.port}", prepare=with_clock)
        dashboard.expect_error(CONNECTION_ERRORS)
        page, other = dashboard.page, await open_dashboard()
        proxy.freeze()
        await page.clock.fast_forward(12_000)
        await expect(page.locator("#connection")).to_have_attribute("data-state", "waiting")
        await expect(page.locator("#connection")).to_contain_text("no answer from the server for 1")
        await expect(page.locator("#connection")).to_contain_text("trying again")
        await expect(page.locator("#stats")).to_have_class("stats is-stale")
        await expect(page.locator("#verdict")).to_contain_text("The server has not answered for 1")
        await expect(page).to_have_title(re.compile("^No connection: "))
        await other.choose(cat_jpg=photo())
        await other.card("cat.jpg", "ready").wait_for()
        proxy.reopen()
        await page.clock.fast_forward(11_000)
        await dashboard.wait_until_live()
        await dashboard.card("cat.jpg", "ready").wait_for()
        assert await dashboard.was_not_reloaded()


@contextmanager
def stopped(part: str, deployment: Deployment) -> Iterator[None]:
    """A worker or a broker that does nothing, or a database that is locked."""
    if part == "database":
        with closing(sqlite3.connect(deployment.folder / "data" / "thumbstream.sqlite", timeout=60)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield
        return
    process = deployment.workers[0] if part == "worker" else deployment.broker
    assert isinstance(process, ServerProcess)
    process.freeze()
    try:
        yield
    finally:
        process.thaw()


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ("worker", r"No worker has been running for \d+ s\. Uploads are safe; no photo waits\."),
        ("Kafka", r"Kafka has not answered for \d+ s\. Uploads are safe; no photo waits\."),
        ("database", r"The database has not answered for \d+ s\. Uploads are refused\."),
    ],
)
async def test_a_part_that_stops_working_is_shown_and_so_is_its_recovery(
    open_dashboard: Open, deployment: Deployment, part: str, sentence: str
) -> None:
    dashboard = await open_dashboard()
    page = dashboard.page
    verdict = page.locator("#verdict")
    await expect(page.locator("#lag")).to_have_text("0", timeout=30_000)
    await expect(verdict).to_have_text("All well; no photo waits.", timeout=30_000)
    assert await icon_of(page) == "logo.svg"
    with stopped(part, deployment):
        await expect(page.locator("#health")).to_contain_text(f"{part}: ", timeout=30_000)
        await expect(verdict).to_contain_text(re.compile(sentence), timeout=30_000)
        await expect(page).to_have_title(re.compile("^Not working: "))
        assert await icon_of(page) == "logo_failing.svg"
        await expect(page.locator("#connection-text")).to_have_text("feed live")
        await dashboard.assert_accessible()
    await expect(verdict).to_have_text("All well; no photo waits.", timeout=30_000)
    await expect(page.locator("#health")).to_be_hidden()
    assert await icon_of(page) == "logo.svg"


async def test_a_link_to_a_deleted_photo_says_so(open_dashboard: Open) -> None:
    dashboard = await open_dashboard("&photo=0198f0c2-6f3e-7b1a-9c55-3d2f8e4a1b07")
    dashboard.expect_error("status of 404")
    notice = dashboard.page.locator("#notice")
    await expect(notice).to_contain_text("it was deleted")
    assert "photo=" not in dashboard.page.url
    await notice.get_by_role("button", name="Dismiss").click()
    await expect(notice).to_be_hidden()


async def test_a_link_that_could_not_be_loaded_can_be_retried(open_dashboard: Open, workspace: str) -> None:
    first = await open_dashboard()
    await first.choose(cat_jpg=photo())
    await first.card("cat.jpg", "ready").get_by_role("button").click()
    photo_id = first.page.url.rpartition("photo=")[2]
    body = '{"title": "Service Unavailable", "status": 503, "detail": "the database does not answer; try again"}'
    dashboard = await open_dashboard(
        f"&photo={photo_id}",
        prepare=lambda page: page.route(f"**/photos/{photo_id}", lambda route: route.fulfill(status=503, body=body)),
    )
    dashboard.expect_error("status of 503")
    notice = dashboard.page.locator("#notice")
    await expect(notice).to_contain_text("the database does not answer")
    await dashboard.page.unroute(f"**/photos/{photo_id}")
    await notice.get_by_role("button", name="Try again").click()
    await expect(dashboard.page.locator("#detail-name")).to_have_text("cat.jpg")
