"""The page of the documents in a real Chromium: whole, readable, and from this server alone. No broker is needed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from api.access.admin_key import admin_key
from api.http.documents.openapi import openapi
from api.http.routes import ALL
from infra.settings import Settings
from running_api import Running, running_api
from schemas import topics
from server_process import free_port

pytestmark = pytest.mark.browser

_CONTRAST = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const luminance = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "white";
  };
  const found = ["p", "td", "th", "code", ".method", "small", "summary", "nav a", "h4"]
    .flatMap((selector) => [...document.querySelectorAll(`.docs ${selector}`)].slice(0, 40))
    .map((element) => {
      const pair = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((a, b) => b - a);
      return (pair[0] + 0.05) / (pair[1] + 0.05);
    });
  return [found.length, Math.min(...found)];
}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def api(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_api(Settings(data_dir=tmp_path, embedded_kafka_port=free_port(), _env_file=None)) as running:
        yield running


async def open_docs(api: Running, page: Page) -> list[str]:
    """Sign in and open the page; the list gets every error, and every request that goes elsewhere."""
    faults: list[str] = []
    # Without the dashboard, whose requests would be cut off by going on.
    await page.context.request.get(f"{api.origin}/?key={admin_key(api.settings)}", max_redirects=0)
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    page.on("request", lambda each: None if each.url.startswith(api.origin) else faults.append(each.url))
    await page.goto(f"{api.origin}/docs")
    return faults


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_is_whole_and_readable_from_this_server_alone(
    api: Running, browser: Browser, scheme: str
) -> None:
    context = await browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 800})  # type: ignore[arg-type]
    page = await context.new_page()
    faults = await open_docs(api, page)
    await expect(page.get_by_role("heading", level=1)).to_have_text("HTTP, topics, feed")
    assert await page.locator("article[id^='operation-']").count() == len(ALL)
    assert await page.locator("article[id^='channel-']").count() == len(topics.ALL) + 1
    for name in openapi(ALL)["components"]["schemas"]:
        await expect(page.locator(f"article[id='shape-{name}']")).to_have_count(1)
    links = await page.eval_on_selector_all(
        "a[href^='#']", "all => all.map(each => each.getAttribute('href').slice(1))"
    )
    ids = await page.eval_on_selector_all("[id]", "all => all.map(each => each.id)")
    assert set(links) <= set(ids)
    assert len(ids) == len(set(ids))
    count, least_contrast = await page.evaluate(_CONTRAST)
    assert count > 100
    assert least_contrast >= 4.5, "WCAG 2.2, 1.4.3"
    assert faults == []
    await context.close()


@pytest.mark.parametrize("width", [360, 1280])
async def test_the_page_fits_the_screen_and_an_example_opens_without_a_script(
    api: Running, browser: Browser, width: int
) -> None:
    context = await browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=False)
    page = await context.new_page()
    faults = await open_docs(api, page)
    shape = page.locator("article[id='shape-PhotoResponse']")
    await shape.get_by_text("Example").click()
    await expect(shape.locator("pre")).to_contain_text('"thumbnail_status": "ready"')
    box = await page.locator("main").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width
    assert faults == []
    await context.close()
