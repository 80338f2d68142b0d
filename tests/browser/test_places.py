"""The places of the dashboard: their addresses and keys, and the failures."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Route, expect

from api.access.caller import Role
from deployment import ADMIN_KEY, Deployment
from photos import photo, truncated_photo
from schemas import topics

pytestmark = pytest.mark.browser

Open = Callable[..., Awaitable[Any]]


async def test_each_place_has_an_address_and_the_browser_goes_back_and_forth(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    page = dashboard.page
    await dashboard.choose(cat_jpg=photo(), torn_jpg=truncated_photo())
    await dashboard.card("torn.jpg", "failed").wait_for()
    link = page.get_by_role("navigation", name="Places").get_by_role("link", name="Failures")
    await expect(link).to_have_text("Failures1")
    await link.click()
    await expect(page).to_have_url(f"{dashboard.url}/?workspace={dashboard.workspace}&place=failures")
    await expect(link).to_have_attribute("aria-current", "page")
    await expect(page.locator("#failures-title")).to_be_focused()
    await expect(page.locator("#photo-grid")).to_be_hidden()
    await expect(page).to_have_title(f"Failures \u00b7 \u2068{dashboard.workspace}\u2069 \u00b7 Thumbstream")
    await page.go_back()
    await expect(page.locator("#failures")).to_be_hidden()
    await dashboard.card("cat.jpg", "ready").wait_for()
    await page.go_forward()
    await expect(page.locator(".failure-group")).to_have_count(1)
    assert await dashboard.was_not_reloaded()
    await page.reload()
    await expect(page.locator("#failures-note")).to_have_text("1 photo failed, for 1 reason.")


async def test_the_keyboard_leads_to_each_place_but_not_while_typing_or_turned_off(open_dashboard: Open) -> None:
    page = (await open_dashboard()).page
    await page.keyboard.press("g")
    await page.keyboard.press("f")
    await expect(page.locator("#failures-note")).to_have_text("No photo has failed.")
    await page.locator("#workspace").focus()
    await page.keyboard.type("gp")
    await expect(page.locator("#workspace")).to_have_value(re.compile("gp"))
    await expect(page.locator("#failures")).to_be_visible()
    await page.locator("#failures-title").focus()
    await page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Shortcuts")
    await expect(keys).to_contain_text("Go to the failures")
    await page.keyboard.type("gp")
    await keys.get_by_label("Use these shortcuts").uncheck()
    await page.keyboard.press("Escape")
    await expect(keys).to_be_hidden()
    await page.keyboard.type("gp?")
    await expect(keys).to_be_hidden()
    await expect(page.locator("#failures")).to_be_visible()
    await page.get_by_role("button", name="Shortcuts").click()
    await keys.get_by_label("Use these shortcuts").check()
    await keys.get_by_role("button", name="Close").click()
    await page.keyboard.type("gp")
    await expect(page.locator("#failures")).to_be_hidden()
    await page.keyboard.press("?")
    await expect(keys).to_contain_text("Go to the dead letters")
    await page.keyboard.press("Escape")
    await page.keyboard.press("g")
    await page.keyboard.press("d")
    await expect(page.locator("#dead-title")).to_be_focused()
    await expect(page).to_have_url(re.compile("&place=dead$"))


async def send_missing(deployment: Deployment, workspace: str, *content_types: str, source: str = "/import") -> None:
    """Uploads whose originals nobody has stored."""
    headers = [("ce_source", source.encode())]
    async with deployment.producer() as producer:
        for content_type in content_types:
            photo_id = str(uuid4())
            event = {
                "photo_id": photo_id, "workspace_id": workspace, "storage_key": f"imports/{photo_id}",
                "filename": f"{photo_id[:4]}.x", "content_type": content_type,
            }  # fmt: skip
            await producer.send_and_wait(
                topics.UPLOADED, json.dumps(event).encode(), photo_id.encode(), headers=headers
            )


async def test_failures_are_grouped_by_code_with_what_helps_and_no_useless_retry(
    open_dashboard: Open, deployment: Deployment, workspace: str
) -> None:
    await send_missing(deployment, workspace, "image/heic", "image/heic", "image/jpeg")
    dashboard = await open_dashboard("&place=failures")
    page = dashboard.page
    await dashboard.choose(torn_jpg=truncated_photo())
    missing = page.get_by_role("article", name="original_missing")
    torn = page.get_by_role("article", name="unreadable")
    await expect(missing.locator(".failure-count")).to_have_text("3")
    await expect(torn.locator(".failure-count")).to_have_text("1")
    await expect(page.locator("#failures-note")).to_have_text("4 photos failed, for 2 reasons.")
    await expect(missing.locator(".failure-since")).to_contain_text(re.compile("ago|now"))
    await expect(torn).to_contain_text("Export or copy it again")
    await expect(torn).to_contain_text("Trying the same file again does not help.")
    await expect(torn.get_by_role("button", name="again")).to_have_count(0)
    await expect(missing.locator(".sample")).to_have_count(3)
    sample = torn.get_by_role("button", name="torn.jpg")
    await sample.click()
    await expect(page.locator("#detail .photo-error")).to_contain_text("unreadable")
    await page.keyboard.press("Escape")
    await expect(sample).to_be_focused()
    await page.get_by_role("link", name="heic 2").click()
    await expect(missing.locator(".failure-count")).to_have_text("2")
    await expect(torn).to_have_count(0)
    await expect(page).to_have_url(f"{dashboard.url}/?workspace={workspace}&place=failures&type=image%2Fheic")
    await page.get_by_role("link", name="Show all failures").click()
    await expect(torn).to_be_visible()


async def test_a_sample_tells_whether_to_try_all_again(
    open_dashboard: Open, deployment: Deployment, workspace: str
) -> None:
    await send_missing(deployment, workspace, *["image/heic"] * 7, "image/jpeg")
    dashboard = await open_dashboard("&place=failures")
    page = dashboard.page
    group = page.get_by_role("article", name="original_missing")
    await expect(group.locator(".failure-count")).to_have_text("8")
    await group.get_by_role("button", name="Try a sample of 5 again").click()
    await expect(group.locator(".retries-note")).to_contain_text("Of 5 photos tried again: 5 failed again. Trying the")
    await expect(group.locator(".failure-count")).to_have_text("8")
    await page.get_by_role("link", name="heic 7").click()
    await expect(group.locator(".failure-count")).to_have_text("7")
    sent: list[dict[str, Any]] = []

    async def note(route: Route) -> None:
        sent.append(route.request.post_data_json)
        await route.continue_()

    await page.route("**/photos/retry", note)
    await group.get_by_role("button", name="Try all again").click()
    await expect(group.locator(".retries-note")).to_have_text("This renders 7 photos again.")
    await group.get_by_role("button", name="Cancel").click()
    assert [body.get("dry_run", False) for body in sent] == [True]
    await group.get_by_role("button", name="Try all again").click()
    confirm = group.get_by_role("button", name="Try 7 photos again")
    await expect(confirm).to_be_focused()
    deployment.workers[0].stop()
    try:
        await page.keyboard.press("Enter")
        await expect(page.locator("#failures-note")).to_contain_text("no failed photo")
        assert sent[-1]["content_type"] == "image/heic"
    finally:
        deployment.workers[0].start()
    await expect(group.locator(".failure-count")).to_have_text("7")


async def test_failures_of_one_producer_are_shown_and_tried_again_alone(
    open_dashboard: Open, deployment: Deployment, workspace: str
) -> None:
    await send_missing(deployment, workspace, "image/heic", "image/jpeg", source="/shop/<b>photos</b>")
    await send_missing(deployment, workspace, "image/heic", source="/import")
    dashboard = await open_dashboard("&place=failures")
    page = dashboard.page
    await dashboard.choose(torn_jpg=truncated_photo())
    missing = page.get_by_role("article", name="original_missing")
    torn = page.get_by_role("article", name="unreadable")
    producers = missing.locator(".failure-producers")
    await expect(producers).to_have_text("Produced by /shop/<b>photos</b> 2, /import 1")
    await expect(torn.locator(".failure-producers")).to_have_text("Produced by /thumbstream/api 1")
    await page.get_by_role("group", name="Show failures by format").get_by_role("link", name="heic 2").click()
    await expect(producers).to_have_text("Produced by /shop/<b>photos</b> 1, /import 1")
    await page.get_by_role("link", name="Show all failures").click()
    await producers.get_by_role("link", name="/shop/<b>photos</b>").click()
    await expect(torn).to_have_count(0)
    await expect(missing.locator(".failure-count")).to_have_text("2")
    await expect(missing.locator(".sample")).to_have_count(2)
    await expect(page.locator("#failures-note")).to_have_text("Only /shop/<b>photos</b>. Show all failures")
    sent: list[dict[str, Any]] = []

    async def note(route: Route) -> None:
        sent.append(route.request.post_data_json)
        await route.continue_()

    await page.route("**/photos/retry", note)
    await missing.get_by_role("button", name="Try all again").click()
    await expect(missing.locator(".retries-note")).to_have_text("This renders 2 photos again.")
    assert sent == [
        {"status": "failed", "code": "original_missing", "producer": "/shop/<b>photos</b>", "dry_run": True}
    ]
    choices = page.get_by_role("group", name="Show failures by producer")
    await expect(choices.locator('[aria-current="true"]')).to_have_text("/shop/<b>photos</b> 2")
    await choices.get_by_role("link", name="all producers").click()
    await expect(torn).to_be_visible()
    await expect(choices.get_by_role("link")).to_have_count(4)


async def key_of(deployment: Deployment, role: Role, workspace: str) -> str:
    """A new key of this workspace."""
    async with deployment.client() as client:
        wanted = {"name": "of a test", "role": role, "workspace_id": workspace}
        async with client.session.post("/v1/keys", json=wanted) as response:
            return str((await response.json())["key"])


async def test_a_viewer_sees_failures_and_no_way_to_change_them(
    open_dashboard: Open, deployment: Deployment, workspace: str
) -> None:
    await send_missing(deployment, workspace, "image/heic")
    page = (await open_dashboard()).page
    key = await key_of(deployment, "viewer", workspace)
    await page.goto(f"{deployment.api.url}/?key={key}&workspace={workspace}&place=failures")
    group = page.get_by_role("article", name="original_missing")
    await expect(group.locator(".failure-count")).to_have_text("1")
    await page.locator('#connection[data-state="live"]').wait_for()
    await expect(group.get_by_role("button", name="again")).to_have_count(0)
    await page.goto(f"{deployment.api.url}/?key={ADMIN_KEY}&workspace={workspace}&place=failures")
    await expect(group.get_by_role("button", name="Try one again")).to_be_visible()


async def send_dead(deployment: Deployment, workspace: str, count: int) -> None:
    """Records that are no uploads, and name this workspace."""
    async with deployment.producer() as producer:
        for number in range(count):
            value = json.dumps({"workspace_id": workspace, "photo_id": f"no UUID <b>{number}</b>"})
            await producer.send_and_wait(topics.UPLOADED, value.encode(), key=b"\xffkey")


async def test_dead_letters_are_shown_in_full_and_replayed_or_dropped_after_a_dry_run(
    open_dashboard: Open, deployment: Deployment, workspace: str
) -> None:
    await send_dead(deployment, workspace, 3)
    await send_dead(deployment, f"{workspace}-b", 1)
    dashboard = await open_dashboard()
    page = dashboard.page
    link = page.get_by_role("navigation", name="Places").get_by_role("link", name="Dead letters")
    await link.click()
    rows = page.locator(".dead-row")

    async def listed(number: int) -> None:
        async with asyncio.timeout(60):  # until the worker has sent them to the dead topic
            while await rows.count() != number:
                await page.keyboard.press("r")
                await expect(page.locator("#dead-note")).not_to_contain_text("Reading")

    await page.get_by_label("Workspace", exact=True).fill(workspace)
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(page).to_have_url(f"{dashboard.url}/?workspace={workspace}&place=dead&from={workspace}")
    await expect(page.locator("#dead-title")).to_be_focused()
    await listed(3)
    await rows.first.click()
    letter = page.get_by_role("dialog", name="Dead letter")
    await expect(letter.locator(".dead-letter-reason")).to_contain_text("photo_id")
    await expect(letter.get_by_label("Bytes")).to_contain_text("7b 22 77 6f 72 6b 73 70")
    await expect(letter.get_by_label("As JSON")).to_contain_text('"photo_id": "no UUID <b>')
    await expect(letter.get_by_label("Expected at least")).to_contain_text("storage_key")
    await letter.get_by_role("button", name="Close").click()
    await expect(rows.first).to_be_focused()
    actions = page.locator("#dead-actions")
    await actions.get_by_role("button", name="Replay these").click()
    await expect(actions).to_contain_text("Would replay 3 dead letters")
    await actions.get_by_role("button", name="Cancel").click()
    await actions.get_by_role("button", name="Drop these").click()
    await expect(actions).to_contain_text("Would drop 3 dead letters")
    confirm = actions.get_by_role("button", name="Drop 3 dead letters")
    await expect(confirm).to_be_focused()
    await confirm.click()
    await expect(actions.locator(".retries-note")).to_have_text("3 dead letters dropped.")
    await expect(page.locator("#dead-note")).to_have_text("No dead letter matches.")
    await page.get_by_label("Workspace", exact=True).fill(f"{workspace}-b")
    await page.get_by_role("button", name="Show", exact=True).click()
    await listed(1)
    await actions.get_by_role("button", name="Replay these").click()
    await actions.get_by_role("button", name="Replay 1 dead letter").click()
    await expect(actions.locator(".retries-note")).to_have_text("1 dead letter replayed.")
    await page.locator("#dead-title").focus()
    await listed(1)  # it is no better than before


async def test_only_admins_of_every_workspace_are_offered_dead_letters_and_workspaces(
    open_dashboard: Open, deployment: Deployment, workspace: str
) -> None:
    dashboard = await open_dashboard("&place=workspaces")
    page = dashboard.page
    await dashboard.choose(cat_jpg=photo(), torn_jpg=truncated_photo())
    row = page.locator("#workspaces tr").filter(has=page.get_by_role("link", name=f"{workspace} (here)"))
    places = page.get_by_role("navigation", name="Places")
    await expect(places.get_by_role("link", name="Failures")).to_have_text("Failures1")
    await page.locator("#workspaces-title").focus()
    await page.keyboard.press("r")
    await expect(row.locator('td[data-status="failed"]')).to_have_text("1")
    await row.get_by_role("link", name="1", exact=True).click()
    await expect(page.get_by_role("article", name="unreadable")).to_be_visible()
    await expect(places.get_by_role("link")).to_have_count(6)
    key = await key_of(deployment, "admin", workspace)
    await page.goto(f"{deployment.api.url}/?key={key}&workspace={workspace}&place=dead")
    await expect(page.locator("#photo-grid")).to_be_visible()
    await dashboard.wait_until_live()
    await expect(places.get_by_role("link")).to_have_count(3)
    for keys in ("gw", "gd"):
        await page.keyboard.type(keys)
    await expect(page.locator("#workspaces")).to_be_hidden()
    await expect(page.locator("#dead")).to_be_hidden()


async def test_a_search_is_in_the_address_and_shows_what_the_server_finds(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    page = dashboard.page
    await dashboard.choose(cat_jpg=photo(seed=1), dog_jpg=photo(seed=2), catalogue_jpg=truncated_photo())
    await expect(page.locator('.filter[data-status="ready"] .value')).to_have_text("2")
    await expect(dashboard.cards).to_have_count(3)
    await page.keyboard.press("/")
    await expect(page.get_by_label("Search photos")).to_be_focused()
    await page.keyboard.type("cat")
    await expect(dashboard.cards).to_have_count(2)
    await expect(page).to_have_url(f"{dashboard.url}/?workspace={dashboard.workspace}&q=cat")
    await page.locator('.filter[data-status="failed"]').click()
    await expect(dashboard.cards).to_have_count(1)
    await dashboard.choose(catfish_jpg=photo(seed=3))
    await page.locator('.filter[data-status="ready"]').click()
    await expect(page.locator('.filter[data-status="ready"] .value')).to_have_text("3")
    await page.locator("#verdict").click()
    await page.keyboard.press("r")
    await expect(dashboard.cards).to_have_count(2)
    await page.reload()
    await expect(page.get_by_label("Search photos")).to_have_value("cat")
    await expect(dashboard.cards).to_have_count(2)
    await page.get_by_label("Search photos").fill("zebra")
    await expect(page.locator("#list-note")).to_have_text(
        "No ready photo has a name, caption or item with \u2068zebra\u2069."
    )
    await page.get_by_role("navigation", name="Places").get_by_role("link", name="Photos").click()
    await expect(dashboard.cards).to_have_count(4)
