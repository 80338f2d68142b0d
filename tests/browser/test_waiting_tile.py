"""In a burst the photos that wait are one tile of the list."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import expect

from deployment import Deployment
from photos import photo

pytestmark = pytest.mark.browser

Open = Callable[..., Awaitable[Any]]


async def choose(dashboard: Any, numbers: range) -> None:
    await dashboard.choose(**{f"p{number}_jpg": photo(40, 40, seed=number) for number in numbers})


# High enough for all cards: others are not in the document.
@pytest.mark.parametrize("view", [{"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 3000}}])
async def test_photos_that_wait_are_one_tile_until_they_are_rendered(
    open_dashboard: Open, deployment: Deployment, view: dict[str, Any]
) -> None:
    dashboard = await open_dashboard(reduced_motion="reduce", **view)
    page = dashboard.page
    await choose(dashboard, range(1))
    await dashboard.card("p0.jpg", "ready").wait_for()
    tile = page.get_by_role("button", name="waiting")
    worker = deployment.workers[0]
    worker.stop()
    try:
        await choose(dashboard, range(1, 13))
        await expect(dashboard.cards).to_have_count(13)
        await expect(tile).to_be_hidden()
        await page.locator(".photos").hover()
        await choose(dashboard, range(13, 15))
        await expect(page.locator('.filter[data-status="pending"] .value')).to_have_text("14")
        await expect(page.locator("#newer")).to_have_text("↑ 2 new")
        await expect(tile).to_be_hidden()
        await page.mouse.move(1, 1)
        await expect(tile).to_contain_text("14 waiting, ")
        await expect(dashboard.cards).to_have_count(1)
        await dashboard.assert_accessible()
        await page.emulate_media(forced_colors="active")
        await dashboard.assert_accessible()
        await page.emulate_media(forced_colors="none", color_scheme="light")
        await dashboard.assert_accessible()
        await choose(dashboard, range(15, 16))
        await expect(tile).to_contain_text("15 waiting, for how long is not known")
        await expect(dashboard.cards).to_have_count(1)

        await tile.focus()
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{dashboard.url}/?workspace={dashboard.workspace}&status=pending")
        await expect(dashboard.cards).to_have_count(15)
        await expect(tile).to_be_hidden()
        await page.locator('.filter[data-status=""]').click()
        await expect(tile).to_be_visible()
        await expect(dashboard.cards).to_have_count(1)
        await page.locator("#q").fill("p3")
        await expect(dashboard.cards).to_have_count(1)
        await expect(dashboard.card("p3.jpg", "pending")).to_be_visible()
        await expect(tile).to_be_hidden()
        await page.locator("#q").fill("")
        await expect(tile).to_be_visible()
        await page.reload()
        await expect(tile).to_contain_text("15 waiting, ")
        await expect(dashboard.cards).to_have_count(1)
    finally:
        worker.start()
    await expect(tile).to_be_hidden()
    await expect(dashboard.cards).to_have_count(16)
    await expect(page.locator('.card[data-status="ready"]')).to_have_count(16)
