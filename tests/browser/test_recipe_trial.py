"""Another recipe is tried from the place of workers: form, progress, pictures under a slider, and what it takes."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from playwright.async_api import Page, expect

from deployment import Deployment
from infra.settings import load_settings
from photos import photo

pytestmark = pytest.mark.browser

#: For a render process to start, and for the machine.

VIEWS: Final = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced colours": {"color_scheme": "dark", "forced_colors": "active"},
    "phone": {"viewport": {"width": 390, "height": 844}},
}

Open = Callable[..., Awaitable[Any]]


async def opened_form(open_dashboard: Open, **options: Any) -> Any:
    """A dashboard with three ready photos, whose form of a recipe is filled in with today's."""
    dashboard = await open_dashboard(**options)
    page = dashboard.page
    names = ("cat.jpg", "dog.jpg", "owl.jpg")
    await dashboard.choose(**{name.replace(".", "_"): photo(900, 600, seed=at) for at, name in enumerate(names)})
    for name in names:
        await dashboard.card(name, "ready").wait_for()
    await page.locator("#verdict").click()
    await page.keyboard.type("gk")
    await expect(page.locator("#workers-title")).to_be_focused()
    await page.get_by_text("Try another recipe").press("Enter")
    await expect(rows(page)).to_have_count(3)
    return dashboard


def rows(page: Page) -> Any:
    return page.get_by_role("group", name=re.compile("^Rendition "))


async def test_a_recipe_is_tried_and_the_page_says_what_it_takes(
    open_dashboard: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    dashboard = await opened_form(open_dashboard)
    page = dashboard.page
    large = page.get_by_role("group", name="Rendition large")
    await expect(large.get_by_label("longest side, px")).to_have_value("800")
    await expect(large.get_by_label("quality")).to_have_value("75")
    await large.get_by_label("quality").fill("10")
    await page.get_by_role("button", name="Remove the rendition medium").press("Enter")
    await expect(page.get_by_role("button", name="Remove the rendition large")).to_be_focused()
    await page.get_by_role("button", name="Add a rendition").press("Enter")
    await page.keyboard.type("tiny")
    tiny = page.get_by_role("group", name="Rendition tiny")
    await tiny.get_by_label("longest side, px").fill("48")
    await tiny.get_by_label("fit").select_option("cover")
    await tiny.get_by_label("format").select_option("png")
    await page.get_by_role("button", name="Start").press("Enter")
    await expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    note = page.locator("#recipe-trial .retries-note")
    await expect(note).to_have_text(re.compile(r"^\d+ % fewer bytes, .*(er|fast|time)\.$"))
    await expect(page.get_by_role("button", name="Start")).to_be_focused()
    table = page.get_by_role("region", name="Both recipes")
    await expect(table.get_by_role("row", name=re.compile("^large"))).to_contain_text("\u2212")
    await expect(table.get_by_role("row", name=re.compile("^medium"))).to_contain_text("goes")
    await expect(table.get_by_role("row", name=re.compile("^tiny"))).to_contain_text("new")
    await expect(table.get_by_role("row", name="render time a photo")).to_contain_text("ms")
    takes = page.get_by_role("region", name="What it takes to make it the recipe")
    await expect(takes).to_contain_text(
        re.compile(r"3 photos of all workspaces are stale|\d+ photos of all workspaces")
    )
    await expect(takes).to_contain_text("on the 2 render slots of today's workers")
    await expect(table.get_by_role("caption")).to_contain_text(dashboard.workspace)
    whose = re.compile(f"for 3 photos of .{dashboard.workspace}.\\. Photos of other workspaces may take more or less")
    await expect(takes).to_contain_text(whose)
    await expect(takes).to_contain_text("once “thumbstream sweep --repair” has erased")
    setting = (await takes.locator("pre").inner_text()).removeprefix("THUMBSTREAM_RENDITIONS=").strip("'")
    monkeypatch.setenv("THUMBSTREAM_RENDITIONS", setting)
    renditions = {each.name: each for each in load_settings().renditions}
    assert list(renditions) == ["small", "large", "tiny"]
    assert renditions["large"].quality == 10
    assert (renditions["tiny"].max_edge, renditions["tiny"].fit, renditions["tiny"].format) == (48, "cover", "png")
    compared = page.get_by_role("list", name="Photos by both recipes").get_by_role("listitem")
    await expect(compared).to_have_count(3)
    await dashboard.assert_accessible()

    choices = page.get_by_role("group", name="Show the rendition")
    await choices.get_by_role("button", name="tiny").press("Enter")
    await expect(compared.first).to_contain_text("Only the trial has this rendition.")
    await expect(page.get_by_role("slider")).to_have_count(0)
    await choices.get_by_role("button", name="large").press("Enter")
    await expect(choices.get_by_role("button", name="large")).to_have_attribute("aria-pressed", "true")
    slider = compared.first.get_by_role(
        "slider", name=re.compile("^Today's thumbnail large of .* against the trial's$")
    )
    images = compared.first.locator("img")
    await expect(images).to_have_count(2)
    assert await images.evaluate_all("all => all.every(one => one.complete && one.naturalWidth === 800)")
    clip = "image => getComputedStyle(image).clipPath"
    before = await compared.first.locator(".compared-today").evaluate(clip)
    await slider.press("ArrowLeft")
    await expect(slider).to_have_attribute("aria-valuetext", "49 % today's, 51 % the trial's")
    assert await compared.first.locator(".compared-today").evaluate(clip) != before
    box = await slider.bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    await expect(slider).to_have_value(re.compile("^2[3-7]$"))
    assert await dashboard.was_not_reloaded()


async def test_a_trial_can_be_cancelled_and_tried_again_on_the_same_photos(
    open_dashboard: Open, deployment: Deployment
) -> None:
    dashboard = await opened_form(open_dashboard)
    page = dashboard.page
    dashboard.expect_error("status of (400|409)")
    note = page.locator("#recipe-trial .retries-note")
    await page.get_by_label("Photos of").fill("2")
    start = page.get_by_role("button", name="Start")
    same = page.get_by_label("the same photos as before")
    await expect(same).to_be_hidden()
    await start.click()
    await expect(note).to_have_text(re.compile("^As many bytes, "))
    compared = page.get_by_role("list", name="Photos by both recipes").get_by_role("listitem")
    await expect(compared).to_have_count(2)
    tried = await compared.locator("h4").all_inner_texts()
    await expect(same).to_be_checked()
    await dashboard.choose(new_jpg=photo(seed=7))
    async with page.expect_request("**/v1/recipes/trial") as sent:
        await start.click()
    assert len(json.loads((await sent.value).post_data or "{}")["photo_ids"]) == 2
    await expect(note).to_have_text(re.compile("^As many bytes, "))
    assert await compared.locator("h4").all_inner_texts() == tried

    last = rows(page).nth(2).get_by_label("name")
    await last.fill("small")
    await start.click()
    await expect(note).to_contain_text("two renditions have the same name")
    await last.fill("large")

    await page.route("**/v1/recipes/trial", lambda route: None)  # it gets no answer
    await start.click()
    cancel = page.get_by_role("button", name="Cancel")
    await expect(cancel).to_be_focused()
    await cancel.press("Enter")
    await expect(note).to_have_text("Cancelled.")
    await expect(start).to_be_focused()
    await page.unroute("**/v1/recipes/trial")

    await page.route("**/v1/recipes/trial", lambda route: route.fulfill(body='{"type":"start","photos":2}\n{"type"'))
    await start.click()
    await expect(note).to_have_text("The trial has broken off.")


async def test_a_photo_that_cannot_be_compared_is_told_by_name_and_hostile_texts_stay_text(
    open_dashboard: Open,
) -> None:
    dashboard = await opened_form(open_dashboard)
    page = dashboard.page
    hostile = '<img src=x onerror="document.title=1">\u202egpj.exe'
    facts = {"id": "x", "filename": hostile, "content_type": "image/png", "width": 1, "height": 1, "file_size": 5}
    lines = [
        {"type": "start", "photos": 1},
        {"type": "photo", "photo": facts, "error": {"code": "unreadable", "message": hostile, "recipe": "trial"}},
        {"type": "heartbeat"},
        {"type": "total", "photos": 0, "failed": 1, "today": {}, "trial": {}, "renditions": [], "rerender": {}},
    ]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    await page.route("**/v1/recipes/trial", lambda route: route.fulfill(body=body))
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("#recipe-trial .retries-note")).to_have_text(
        "No photo could be compared: 1 photo failed."
    )
    failed = page.locator(".compared.is-failed")
    await expect(failed).to_contain_text("unreadable with the trial's recipe: <img src=x")
    await expect(failed).to_contain_text("[U+202E]")
    await dashboard.assert_accessible()


@pytest.mark.parametrize("view", VIEWS)
async def test_axe_core_finds_nothing_while_a_recipe_is_tried(open_dashboard: Open, view: str) -> None:
    dashboard = await opened_form(open_dashboard, reduced_motion="reduce", **VIEWS[view])
    page = dashboard.page
    await dashboard.assert_accessible()
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator(".compared")).to_have_count(3)
    await expect(page.locator(".trial-takes")).to_be_visible()
    await dashboard.assert_accessible()
    width = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert await page.evaluate(width)
