"""The place of workers: what each renders, which is silent, and photos of other recipes that are rendered again."""

import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.async_api import expect

from deployment import Deployment, WorkerProcess
from photos import photo
from schemas.renditions import DEFAULT_RENDITIONS

pytestmark = pytest.mark.browser

#: For what workers, heartbeats and the machine take their time for.

Open = Callable[..., Awaitable[Any]]


@contextmanager
def held_renders(worker: WorkerProcess) -> Iterator[None]:
    """Its render processes do nothing meanwhile."""
    pids = worker.render_processes()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_each_render_slot_shows_its_photo_and_for_how_long(
    open_dashboard: Open, deployment: Deployment, workspace: str
) -> None:
    worker = deployment.workers[0]
    dashboard = await open_dashboard()
    page = dashboard.page
    with held_renders(worker):
        await dashboard.choose(cat_jpg=photo(seed=1), dog_jpg=photo(seed=2), owl_jpg=photo(seed=3))
        await expect(page.locator('.filter[data-status="processing"] .value')).to_have_text("2")
        await page.locator("#verdict").click()
        await page.keyboard.type("gk")
        await expect(page.locator("#workers-title")).to_be_focused()
        await expect(page).to_have_url(f"{dashboard.url}/?workspace={workspace}&place=workers")
        row = page.locator(".workers tbody tr").filter(has_text=f"-{worker.pid}")
        await expect(row.locator("td").nth(0)).to_contain_text("2 of 2 busy")
        await expect(row.locator(".slot-cells i.is-busy")).to_have_count(2)
        await expect(row.locator("td").nth(1)).to_have_text("1")
        await expect(row.locator("td").nth(2)).to_have_text("0, 1, 2, 3")
        await expect(row.locator("td").last).to_contain_text("ago")
        slots = page.get_by_role("region", name=f"-{worker.pid}").locator(".slot")
        await expect(slots).to_have_count(2)
        first = slots.nth(0)
        await expect(first).to_contain_text("attempt 1")
        await expect(first).to_contain_text("at most")
        before = float(await first.locator("progress").evaluate("bar => bar.value"))
        await page.wait_for_function("before => document.querySelector('.slot progress').value > before", arg=before)
        await dashboard.assert_accessible()
        button = first.get_by_role("button")
        name = await button.get_attribute("title")
        assert name in {"cat.jpg", "dog.jpg", "owl.jpg"}
        await button.click()
        await expect(page.locator("#detail-name")).to_have_text(str(name))
        await page.keyboard.press("Escape")
        await expect(button).to_be_focused()
        elsewhere = await open_dashboard("-b&place=workers")
        link = elsewhere.page.locator(".slot").get_by_role("link", name=str(name))
        await expect(link).to_have_attribute("href", f"?workspace={workspace}&photo={await photo_id_of(page, name)}")
        flow = await open_dashboard("&place=flow")
        await expect(flow.page.locator("#flow-slots .slot")).to_have_count(2)
        await expect(flow.page.locator("#flow-slots").get_by_role("button", name=str(name))).to_be_visible()
        await expect(flow.page.locator("#flow-slots-note")).to_contain_text("alive")
        await flow.assert_accessible()
    await expect(slots.nth(0)).to_contain_text("idle")
    await expect(slots.nth(1)).to_contain_text("idle")
    await expect(row.locator("td").nth(0)).to_contain_text("0 of 2 busy")


async def photo_id_of(page: Any, name: str | None) -> str:
    """The id of the photo of this name, as its detail has it in the address."""
    await page.locator(".slot").get_by_role("button", name=str(name)).click()
    await page.wait_for_url("**photo=*")
    found = str(await page.evaluate("new URL(location).searchParams.get('photo')"))
    await page.keyboard.press("Escape")
    return found


async def test_photos_of_another_recipe_are_rendered_again_and_a_missing_worker_is_told(
    open_dashboard: Open, deployment: Deployment
) -> None:
    worker = deployment.workers[0]
    smaller = DEFAULT_RENDITIONS[0].model_copy(update={"max_edge": 99})
    renditions = json.dumps([each.model_dump(mode="json") for each in (smaller, *DEFAULT_RENDITIONS[1:])])
    dashboard = await open_dashboard()
    page = dashboard.page
    worker.stop()
    try:
        worker.extra_variables = {"THUMBSTREAM_RENDITIONS": renditions}
        worker.start()
        await dashboard.choose(cat_jpg=photo())
        await dashboard.card("cat.jpg", "ready").wait_for()
        await page.locator("#verdict").click()
        await page.keyboard.type("gk")
        await expect(page.locator("#workers tr").filter(has_text=f"-{worker.pid}")).to_contain_text("not the api's")
        await deployment.until_committed()
        worker.kill()
        await expect(page.locator("#workers-note")).to_contain_text("No worker is running")
        await expect(page.locator("#workers tr.is-silent").last).to_contain_text("silent for")
        await dashboard.assert_accessible()
    finally:
        worker.stop()
        worker.extra_variables = {}
        worker.start()
    await expect(page.locator("#workers-note")).to_contain_text("1 worker is alive")
    await page.keyboard.press("r")
    stale = page.locator(".recipes .is-stale")
    await expect(stale).to_contain_text("1 photo")
    await page.get_by_role("button", name="Render 1 photo again…").click()
    confirm = page.get_by_role("button", name="Render 1 photo again", exact=True)
    await expect(confirm).to_be_focused()
    await expect(page.locator("#workers-stale")).to_contain_text("This renders 1 photo of all workspaces again.")
    await dashboard.assert_accessible()
    await confirm.click()
    await expect(page.locator("#workers-stale .retries-note")).to_have_text("1 photo sent.")
    await expect(stale).to_have_count(0)
    await expect(page.get_by_role("button", name="Render")).to_have_count(0)
