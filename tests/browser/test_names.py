"""Hostile and unusual file names: they neither break the layout nor reorder the text around them."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from playwright.async_api import Locator, expect

from photos import photo

pytestmark = pytest.mark.browser

Open = Callable[..., Awaitable[Any]]

HEBREW: Final = "\u05ea\u05de\u05d5\u05e0\u05d4 \u05e9\u05dc \u05d7\u05ea\u05d5\u05dc " * 6

NAMES: Final = {
    "one long word": "x" * 236 + ".jpg",
    "right to left": HEBREW + ".jpg",
    "with a directional override": "invoice\u202egpj.exe.jpg",
    "with directional isolates": "a\u2067b\u2066c.jpg",
    "with a line separator": "one\u2028two.jpg",
}

REORDERING: Final = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"


STYLE: Final = """element => {
    const { unicodeBidi, direction } = getComputedStyle(element);
    return [unicodeBidi, direction, element.innerText];
}"""


async def assert_within(inner: Locator, outer: Locator) -> None:
    box, frame = await inner.bounding_box(), await outer.bounding_box()
    assert box is not None
    assert frame is not None
    assert frame["x"] - 1 <= box["x"]
    assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1


@pytest.mark.parametrize("width", [390, 1280])
async def test_no_file_name_breaks_the_layout_or_reorders_the_text_around_it(open_dashboard: Open, width: int) -> None:
    dashboard = await open_dashboard(viewport={"width": width, "height": 800})
    page = dashboard.page
    dashboard.expect_error("status of 415")
    for content in (photo(), b"not an image"):
        files = [{"name": name, "mimeType": "image/jpeg", "buffer": content} for name in NAMES.values()]
        await page.set_input_files("#files", files)
    refused, ready = page.locator(".upload.refused"), page.locator('.card[data-status="ready"]')
    await expect(refused).to_have_count(len(NAMES))
    await expect(ready).to_have_count(len(NAMES), timeout=60_000)
    for each in await refused.all():
        for part in (".upload-name", ".upload-size", ".upload-state"):
            await assert_within(each.locator(part), page.locator("#uploads"))
    detail, is_rtl = page.locator("#detail"), []
    for card in await ready.all():
        await assert_within(card.locator(".card-name"), card)
        await card.get_by_role("button").click()
        for part in ("#detail-name", ".detail-facts", ".facts dd >> nth=0", "button:has-text('Close')", "footer"):
            await assert_within(detail.locator(part), detail)
        for name in (card.locator(".card-name"), detail.locator("#detail-name"), detail.locator(".facts bdi").first):
            bidi, direction, text = await name.evaluate(STYLE)
            assert "isolate" in bidi
            assert not set(text) & set(REORDERING)
        is_rtl.append(direction == "rtl")
        assert not await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        await detail.get_by_role("button", name="Close").click()
    assert is_rtl.count(True) == 1, "only the Hebrew name is right to left"
