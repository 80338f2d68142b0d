"""axe-core finds nothing in any place of the dashboard, in any colours or on a phone."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from playwright.async_api import expect

from deployment import ADMIN_KEY, Deployment
from photos import photo, truncated_photo
from schemas import topics

pytestmark = pytest.mark.browser

Open = Callable[..., Awaitable[Any]]

#: How somebody sees the page; without animations, since a card that is half faded in has too little contrast.
VIEWS: Final = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced colours": {"color_scheme": "dark", "forced_colors": "active"},
    "phone": {"viewport": {"width": 390, "height": 844}},
}


@pytest.mark.parametrize("view", VIEWS)
async def test_axe_core_finds_nothing_in_any_place(
    open_dashboard: Open, deployment: Deployment, workspace: str, view: str
) -> None:
    async with deployment.producer() as producer:
        value = json.dumps({"workspace_id": workspace, "photo_id": "no UUID"}).encode()
        await producer.send_and_wait(topics.UPLOADED, value, key=b"key")
    dashboard = await open_dashboard(reduced_motion="reduce", **VIEWS[view])
    page = dashboard.page
    dashboard.expect_error("status of 415")
    await expect(page.locator("#empty")).to_be_visible()
    await dashboard.assert_accessible()

    await dashboard.choose(notes_txt=b"not an image", cat_jpg=photo(), torn_jpg=truncated_photo())
    await dashboard.card("cat.jpg", "ready").wait_for()
    await dashboard.card("torn.jpg", "failed").wait_for()
    await expect(page.locator(".upload.refused")).to_be_visible()
    await dashboard.assert_accessible()

    await page.get_by_role("button", name="Select", exact=True).click()
    await dashboard.card("cat.jpg").get_by_role("button").click()
    await expect(page.locator("#selection-note")).to_have_text("1 photo selected.")
    await dashboard.assert_accessible()
    await page.keyboard.press("Escape")

    for name in ("cat.jpg", "torn.jpg"):
        await dashboard.card(name).get_by_role("button").click()
        await expect(page.locator("#detail-name")).to_have_text(name)
        await dashboard.assert_accessible()
        await page.get_by_role("button", name="Delete…").click()
        await dashboard.assert_accessible()
        await page.keyboard.press("Escape")

    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
    await dashboard.assert_accessible()
    await page.keyboard.press("Escape")

    await page.keyboard.type("gf")
    await expect(page.get_by_role("article", name="unreadable").locator(".sample")).to_be_visible()
    await dashboard.assert_accessible()

    await page.keyboard.type("gl")
    await expect(page.locator("#flow-results .result")).to_have_count(2)
    await page.get_by_text("All values as a table").click()
    await expect(page.locator("#flow-marks li")).not_to_have_count(0)
    await dashboard.assert_accessible()

    await page.keyboard.type("gd")
    await page.get_by_label("Workspace", exact=True).fill(workspace)
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(page.locator("#dead-title")).to_be_focused()
    async with asyncio.timeout(60):  # until the worker has sent it to the dead topic
        while not await page.locator(".dead-row").count():
            await page.keyboard.press("r")
            await expect(page.locator("#dead-note")).not_to_contain_text("Reading")
    await page.locator("#dead-actions").get_by_role("button", name="Replay these").click()
    await expect(page.locator("#dead-actions")).to_contain_text("Would replay")
    await dashboard.assert_accessible()
    await page.locator(".dead-row").first.click()
    await expect(page.get_by_role("dialog", name="Dead letter")).to_be_visible()
    await dashboard.assert_accessible()
    await page.keyboard.press("Escape")

    await page.locator("#dead-title").focus()
    await page.keyboard.type("gw")
    await expect(page.locator("#workspaces").get_by_role("link", name=f"{workspace} (here)")).to_be_visible()
    await dashboard.assert_accessible()

    await page.keyboard.type("gk")
    await expect(page.locator("#workers-slots .slot")).to_have_count(2)
    await expect(page.locator(".recipes li").first).to_be_visible()
    await dashboard.assert_accessible()


@pytest.mark.parametrize("view", VIEWS)
async def test_axe_core_finds_nothing_in_the_sign_in_page_and_dialog(open_dashboard: Open, view: str) -> None:
    dashboard = await open_dashboard(reduced_motion="reduce", **VIEWS[view])
    dashboard.expect_error("status of 401|HTTP Authentication failed")
    page = dashboard.page
    await dashboard.context.clear_cookies()
    # No click by the pointer: a request of the page's own may have brought the dialog already.
    await page.locator('.filter[data-status="ready"]').dispatch_event("click")
    await expect(page.locator("#signed-out")).to_be_visible()
    await dashboard.assert_accessible()
    await page.goto(f"{dashboard.url}/")
    for key in ("wrong", ADMIN_KEY):
        await expect(page.get_by_role("heading", name="Thumbstream")).to_be_visible()
        await dashboard.assert_accessible()
        await page.get_by_label("Key").fill(key)
        await page.get_by_role("button", name="Sign in").click()
    await dashboard.wait_until_live()
