"""Many photos at once, and the order of the list while the pointer rests on it."""

import io
import json
import zipfile
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import expect

from deployment import Deployment
from photos import photo, truncated_photo
from schemas import topics

pytestmark = pytest.mark.browser

Open = Callable[..., Awaitable[Any]]


async def upload(dashboard: Any, *names: str) -> None:
    """One after the other, so that the last is the first of the list."""
    for seed, name in enumerate(names):
        await dashboard.choose(**{f"{name}_jpg": photo(40, 40, seed=seed)})
        await dashboard.card(f"{name}.jpg", "ready").wait_for()


async def test_the_keyboard_selects_a_range_and_downloads_it(open_dashboard: Open) -> None:
    dashboard = await open_dashboard(reduced_motion="reduce")
    page = dashboard.page
    await upload(dashboard, "a", "b", "c", "d")
    await dashboard.card("d.jpg").get_by_role("button").focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("x")
    await expect(dashboard.card("c.jpg").get_by_role("button", pressed=True)).to_be_visible()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("X")
    await expect(page.locator("#selection-note")).to_have_text("3 photos selected.")
    await expect(page.locator("#announcer")).to_contain_text("3 photos selected")
    await dashboard.assert_accessible()
    await page.keyboard.press("Space")
    await expect(page.locator("#selection-note")).to_have_text("2 photos selected.")
    await expect(page.locator("#detail")).to_be_hidden()
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Download").click()
    content = (await (await downloading.value).path()).read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert sorted(archive.namelist()) == ["b.jpg", "c.jpg"]
    await expect(page.locator("#selection")).to_be_hidden()
    await page.keyboard.press("Escape")
    await expect(dashboard.card("c.jpg").get_by_role("button")).not_to_have_attribute("aria-pressed", "true")


async def test_escape_ends_the_selection(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    await upload(dashboard, "a", "b")
    await dashboard.card("a.jpg").get_by_role("button").click(modifiers=["Shift"])
    await dashboard.card("b.jpg").get_by_role("button").click()
    await expect(dashboard.page.locator("#selection-note")).to_have_text("2 photos selected.")
    await dashboard.page.keyboard.press("Escape")
    await expect(dashboard.page.locator("#selection")).to_be_hidden()
    await dashboard.card("b.jpg").get_by_role("button").click()
    await expect(dashboard.page.locator("#detail")).to_be_visible()


async def test_a_deletion_can_be_undone_and_is_sent_at_once_when_the_page_is_left(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    page = dashboard.page
    await upload(dashboard, "a", "b", "c")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "bulk-delete" in request.url else None)
    await page.get_by_role("button", name="Select", exact=True).click()
    for name in ("a.jpg", "b.jpg"):
        await dashboard.card(name).get_by_role("button").click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(dashboard.cards).to_have_count(1)
    await expect(page.locator("#selection-deleting")).to_have_text("2 photos will be deleted.")
    await expect(page.get_by_role("button", name="Undo")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dashboard.cards).to_have_count(3)
    assert sent == []

    await dashboard.card("a.jpg").get_by_role("button").click(modifiers=["Control"])
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(dashboard.cards).to_have_count(2)
    await page.goto("about:blank")
    other = await open_dashboard()
    await expect(other.cards).to_have_count(2)
    await expect(other.card("a.jpg")).to_have_count(0)


async def test_only_what_may_succeed_is_offered_to_be_tried_again(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    await dashboard.choose(torn_jpg=truncated_photo())
    await dashboard.card("torn.jpg", "failed").wait_for()
    await dashboard.card("torn.jpg").get_by_role("button").click(modifiers=["Control"])
    await expect(dashboard.page.get_by_role("button", name="Delete", exact=True)).to_be_visible()
    await expect(dashboard.page.locator("#selection-retry")).to_be_hidden()


async def test_selected_photos_are_tried_again_and_become_ready(
    open_dashboard: Open, deployment: Deployment, workspace: str
) -> None:
    keys = [f"imports/{workspace}/{name}.jpg" for name in ("a", "b")]
    async with deployment.producer() as producer:
        for key in keys:
            event = {
                "photo_id": str(uuid4()), "workspace_id": workspace, "storage_key": key, "filename": key[-5:],
            }  # fmt: skip
            await producer.send_and_wait(topics.UPLOADED, json.dumps(event).encode(), event["photo_id"].encode())
    dashboard = await open_dashboard()
    page = dashboard.page
    for name in ("a.jpg", "b.jpg"):
        await dashboard.card(name, "failed").wait_for()
    for seed, key in enumerate(keys):
        await deployment.storage.write(key, photo(seed=seed))
    await page.get_by_role("button", name="Select", exact=True).click()
    for name in ("a.jpg", "b.jpg"):
        await dashboard.card(name).get_by_role("button").click()
    await page.locator("#selection-retry").click()
    for name in ("a.jpg", "b.jpg"):
        await dashboard.card(name, "ready").wait_for()
    await expect(page.locator("#selection")).to_be_hidden()


async def test_while_the_pointer_is_on_the_list_new_photos_are_counted_and_shown_ones_go_on(
    open_dashboard: Open,
) -> None:
    dashboard, other = await open_dashboard(), await open_dashboard()
    page = dashboard.page
    await upload(other, "a")
    await dashboard.card("a.jpg", "ready").wait_for()
    await dashboard.card("a.jpg").hover()
    await upload(other, "b", "c")
    await expect(page.locator("#newer")).to_have_text("\u2191 2 new")
    await expect(dashboard.cards).to_have_count(1)
    await page.locator("#newer").focus()
    await page.keyboard.press("Enter")
    await expect(dashboard.cards).to_have_count(3)
    await expect(page.locator("#newer")).to_be_hidden()
    await expect(dashboard.card("c.jpg").get_by_role("button")).to_be_focused()
    await upload(other, "d")
    await expect(page.locator("#newer")).to_have_text("\u2191 1 new")
    await page.mouse.move(2, 2)
    await expect(dashboard.cards).to_have_count(4)
