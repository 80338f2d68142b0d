"""A photo's way in the detail dialog: what the server keeps of it, and its place in the queue."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Route, expect

from deployment import Deployment
from photos import photo

pytestmark = pytest.mark.browser

Open = Callable[..., Awaitable[Any]]

HOSTILE = '<img src=x onerror="document.title=1">\u202egpj.exe'


async def test_a_waiting_photo_shows_its_place_and_then_each_step_to_ready(
    open_dashboard: Open, deployment: Deployment
) -> None:
    dashboard = await open_dashboard()
    worker = deployment.workers[0]
    worker.stop()
    try:
        await dashboard.choose(cat_jpg=photo(1200, 900))
        await dashboard.card("cat.jpg", "pending").get_by_role("button").press("Enter")
        way = dashboard.page.locator("#detail .way")
        await expect(way.locator("li").nth(0)).to_contain_text("Stored")
        await expect(way.locator("li").nth(1)).to_contain_text("photos.uploaded, partition")
        await expect(way.locator(".place")).to_contain_text("Waiting: next in the queue of its partition")
        await expect(way.locator(".place")).to_contain_text("not known")
    finally:
        worker.start()
    await expect(way.locator("li")).to_have_count(4)
    await expect(way.locator("li").nth(2)).to_contain_text("Attempt 1: rendered")
    await expect(way.locator("li").nth(2)).to_contain_text("worker ")
    await expect(way.locator("li").nth(3)).to_contain_text("after it was stored")
    await expect(way.locator(".place")).to_have_count(0)
    assert await dashboard.was_not_reloaded()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_names_are_text_and_a_range_is_told_in_words(open_dashboard: Open, scheme: str) -> None:
    async def answer(route: Route) -> None:
        told = await (await route.fetch()).json()
        upload = told["uploads"][0]
        start = upload["attempts"][0]
        upload["attempts"] = [
            {**start, "worker": HOSTILE, "outcome": "retried", "code": "storage_unavailable", "rendered_seconds": 3.2},
            {**start, "attempt": 2, "worker": "host-2", "waited_seconds": 75.4},
        ]
        again = {**upload, "event_id": "again", "attempts": [], "result": None}
        told |= {
            "uploads": [upload, again], "thumbnail_status": "pending", "position": 1234, "has_older": True,
            "expected_seconds": {"min": 20, "max": 40}, "unknown_reason": None,
        }  # fmt: skip
        await route.fulfill(body=json.dumps(told), content_type="application/json")

    dashboard = await open_dashboard(prepare=lambda page: page.route("**/timeline", answer), color_scheme=scheme)
    await dashboard.choose(cat_jpg=photo())
    await dashboard.card("cat.jpg", "ready").get_by_role("button").click()
    way = dashboard.page.locator("#detail .way")
    await expect(way.locator(".place")).to_have_text(
        "Waiting: at most 1,234 in the queue of its partition, this one included, about 20 to 40 s."
    )
    attempt = way.locator("li", has_text="Attempt 1: failed, to be tried again")
    await expect(attempt).to_contain_text("storage_unavailable")
    await expect(attempt).to_contain_text("rendered for 3 s")
    await expect(attempt.locator("bdi").last).to_have_text(HOSTILE.replace("\u202e", "[U+202E]"))
    await expect(way.locator("li", has_text="Attempt 2")).to_contain_text("waited 1 min")
    await expect(way.locator("img")).to_have_count(0)
    await expect(way).to_contain_text("Earlier steps are not kept.")
    await expect(way.get_by_role("heading")).to_have_count(2)
    assert await way.get_by_role("list").count() == 2
