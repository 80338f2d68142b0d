"""The dashboard while something is away: the server, the network, a part of the pipeline."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from deployment import Deployment
from photos import photo
from tcp_proxy import TcpProxy

pytestmark = pytest.mark.browser

Open = Callable[..., Awaitable[Any]]

CONNECTION_FAULTS = "WebSocket connection to|ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_TIMED_OUT|status of 50[0-9]"


def port_of(deployment: Deployment) -> int:
    return int(deployment.api.url.rpartition(":")[2])


def many(count: int) -> dict[str, bytes]:
    return {f"{number:02}_jpg": photo(600, 400, seed=number) for number in range(count)}


async def test_uploads_outlive_a_restart_of_the_api_and_each_becomes_one_photo(
    open_dashboard: Open, deployment: Deployment
) -> None:
    dashboard = await open_dashboard()
    dashboard.expect_complaint(CONNECTION_FAULTS)
    page = dashboard.page
    await dashboard.choose(**many(16))
    await expect(dashboard.page.locator("#uploads-title")).to_contain_text("of 16 photos done")
    deployment.api.kill()
    try:
        await expect(page.locator("#uploads-title")).to_contain_text("Waiting for the server")
        await expect(page.get_by_role("button", name="Cancel the rest")).to_be_visible()
    finally:
        deployment.api.start()
    await expect(page.locator('.filter[data-status="ready"] .figure')).to_have_text("16", timeout=60_000)
    await expect(page.locator("#uploads")).to_be_hidden()
    await expect(page.locator(".filter .figure").first).to_have_text("16")


async def test_uploads_that_wait_for_the_server_can_be_cancelled_one_or_all(
    open_dashboard: Open, deployment: Deployment
) -> None:
    dashboard = await open_dashboard()
    dashboard.expect_complaint(CONNECTION_FAULTS)
    page = dashboard.page
    await page.route("**/photos", lambda route: route.abort("connectionrefused"))
    await dashboard.choose(**many(3))
    await expect(page.locator("#uploads-title")).to_contain_text("0 of 3 photos done")
    await page.locator(".upload").filter(has_text="01.jpg").get_by_role("button").click()
    await expect(page.locator("#uploads-title")).to_contain_text("0 of 2 photos done")
    await page.get_by_role("button", name="Cancel the rest").click()
    await expect(page.locator("#uploads")).to_be_hidden()
    await page.unroute("**/photos")
    await dashboard.choose(last_jpg=photo())
    await dashboard.card("last.jpg", "ready").wait_for()
    await expect(dashboard.cards).to_have_count(1)


async def test_one_file_that_never_gets_through_holds_up_no_other(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    dashboard.expect_complaint(CONNECTION_FAULTS)
    page = dashboard.page

    keys: list[str] = []

    async def refuse_the_first(route: Any) -> None:
        keys.append(route.request.headers["idempotency-key"])
        await (route.abort("connectionreset") if keys[-1] == keys[0] else route.continue_())

    await page.route("**/photos", refuse_the_first)
    await dashboard.choose(bad_jpg=photo(), **many(6))
    await expect(page.locator('.filter[data-status="ready"] .figure')).to_have_text("6", timeout=60_000)
    await expect(page.locator(".upload")).to_have_count(1)
    await expect(page.locator(".upload")).to_contain_text("bad.jpg")
    await page.get_by_role("button", name="Cancel the rest").click()


async def test_a_fault_of_the_server_for_one_file_is_not_sent_for_ever(open_dashboard: Open) -> None:
    dashboard = await open_dashboard(prepare=lambda page: page.clock.install())
    dashboard.expect_complaint(CONNECTION_FAULTS)
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


async def test_a_silent_network_is_noticed_and_nothing_is_missed_when_it_speaks_again(
    open_dashboard: Open, deployment: Deployment
) -> None:
    async def with_clock(page: Page) -> None:
        await page.clock.install()

    with TcpProxy(port_of(deployment)) as proxy:
        dashboard = await open_dashboard(url=f"http://127.0.0.1:{proxy.port}", prepare=with_clock)
        dashboard.expect_complaint(CONNECTION_FAULTS)
        page, other = dashboard.page, await open_dashboard()
        proxy.freeze()
        await page.clock.fast_forward(12_000)
        await expect(page.locator("#connection")).to_have_attribute("data-state", "waiting")
        await expect(page.locator("#connection")).to_contain_text("no answer from the server for 1")
        await expect(page.locator("#connection")).to_contain_text("trying again")
        await expect(page.locator("#panel")).to_have_class("panel is-old")
        await other.choose(cat_jpg=photo())
        await other.card("cat.jpg", "ready").wait_for()
        proxy.reopen()
        await page.clock.fast_forward(11_000)
        await dashboard.is_live()
        await dashboard.card("cat.jpg", "ready").wait_for()
        assert await dashboard.was_never_reloaded()


async def test_a_worker_that_does_nothing_is_told_and_so_is_its_return(
    open_dashboard: Open, deployment: Deployment
) -> None:
    dashboard = await open_dashboard()
    page, worker = dashboard.page, deployment.workers[0]
    await expect(page.locator("#lag")).to_have_text("0")
    worker.freeze()
    try:
        await expect(page.locator("#health")).to_contain_text("worker", timeout=30_000)
        await expect(page.locator("#connection")).to_contain_text("not working: worker")
    finally:
        worker.thaw()
    await expect(page.locator("#health")).to_be_hidden(timeout=30_000)
    await expect(page.locator("#connection-text")).to_have_text("live")


async def test_a_link_to_a_photo_that_is_gone_says_so(open_dashboard: Open) -> None:
    dashboard = await open_dashboard("&photo=0198f0c2-6f3e-7b1a-9c55-3d2f8e4a1b07")
    dashboard.expect_complaint("status of 404")
    notice = dashboard.page.locator("#notice")
    await expect(notice).to_contain_text("it was deleted")
    assert "photo=" not in dashboard.page.url
    await notice.get_by_role("button", name="Dismiss").click()
    await expect(notice).to_be_hidden()


async def test_a_link_that_cannot_be_opened_now_may_be_tried_again(open_dashboard: Open, workspace: str) -> None:
    first = await open_dashboard()
    await first.choose(cat_jpg=photo())
    await first.card("cat.jpg", "ready").get_by_role("button").click()
    photo_id = first.page.url.rpartition("photo=")[2]
    body = '{"title": "Service Unavailable", "status": 503, "detail": "the database does not answer; try again"}'
    dashboard = await open_dashboard(
        f"&photo={photo_id}",
        prepare=lambda page: page.route(f"**/photos/{photo_id}", lambda route: route.fulfill(status=503, body=body)),
    )
    dashboard.expect_complaint("status of 503")
    notice = dashboard.page.locator("#notice")
    await expect(notice).to_contain_text("the database does not answer")
    await dashboard.page.unroute(f"**/photos/{photo_id}")
    await notice.get_by_role("button", name="Try again").click()
    await expect(dashboard.page.locator("#detail-name")).to_have_text("cat.jpg")
