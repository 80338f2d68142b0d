"""The place of the flow: where the photos are, the newest results, and the charts with their other forms."""

import json
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import pytest
from playwright.async_api import Page, Route, expect

from deployment import Deployment
from photos import photo, truncated_photo
from polling import poll_async
from schemas import topics

pytestmark = pytest.mark.browser

Open = Callable[..., Awaitable[Any]]

#: Until a slot of ten seconds is over, and the page has loaded it.
SLOTS: Final = {"15m": (10, 90), "6h": (120, 180), "7d": (3600, 168)}
HOSTILE: Final = '<img src=x onerror="document.title=1">\u202egpj'


def figures(span: str, number: int = 0) -> dict[str, Any]:
    """An answer of the API: each list counts up, with a gap in it."""
    step, slots = SLOTS[span]
    last = datetime(2026, 3, 4, 12, tzinfo=UTC)
    times = [last - timedelta(seconds=step * (slots - 1 - at)) for at in range(slots)]
    count = [None if 20 <= at < 30 else at + number for at in range(slots)]
    marks = [
        {"kind": "outage", "subject": "broker", "at": times[20], "until": times[30], "detail": "no answer"},
        {"kind": "api_started", "subject": HOSTILE, "at": times[30], "until": None, "detail": "0.1.0"},
        {"kind": "deployed", "subject": "host:1", "at": times[60], "until": None, "detail": "0.1.0 to 0.2.0"},
        {"kind": "a new kind", "subject": "x", "at": times[-2], "until": None, "detail": None},
    ]
    return {
        "span": span, "step_seconds": step, "times": [each.isoformat() for each in times],
        "ready_per_minute": count, "failed_per_minute": [each and each // 10 for each in count],
        "ready_seconds_p50": [each and each / 100 for each in count],
        "ready_seconds_p95": [each and each / 10 for each in count], "lag": count, "retrying": 3,
        "marks": [
            {**each, "at": each["at"].isoformat(), "until": each["until"] and each["until"].isoformat()}
            for each in marks
        ],
    }  # fmt: skip


class Answers:
    """Answers requests for figures in the api's place."""

    def __init__(self) -> None:
        self.spans: list[str] = []

    async def prepare(self, page: Page) -> None:
        await page.route("**/figures?*", self._answer)

    async def _answer(self, route: Route) -> None:
        span = route.request.url.rpartition("span=")[2]
        self.spans.append(span)
        await route.fulfill(json=figures(span, len(self.spans)))


async def test_the_flow_shows_where_photos_are_and_the_newest_results(open_dashboard: Open) -> None:
    dashboard = await open_dashboard("&place=flow")
    page = dashboard.page
    stages = page.get_by_role("list", name="Photos, from upload to result").get_by_role("listitem")
    await expect(page.locator("#flow-no-results")).to_be_visible()
    await dashboard.choose(cat_jpg=photo(seed=1), torn_jpg=truncated_photo())
    await expect(stages.filter(has_text="ready").locator("b")).to_have_text("1")
    await expect(stages.filter(has_text="failed").locator("b")).to_have_text("1")
    results = page.get_by_role("list", name="Newest results").get_by_role("button")
    await expect(results).to_have_count(2)
    await expect(page.get_by_role("button", name=re.compile("torn.jpg.*, failed")).locator("code")).to_have_text(
        "unreadable"
    )
    cat = page.get_by_role("button", name=re.compile("cat.jpg.*, ready"))
    await cat.press("Enter")
    await expect(page.locator("#detail-name")).to_have_text("cat.jpg")
    await page.keyboard.press("Escape")
    await expect(cat).to_be_focused()
    # Counted by the server, and drawn without loading the page again.
    readings = page.locator(".chart-reading.chart-ready_per_minute")
    await expect(page.locator("#flow-charts svg").first).to_have_attribute("aria-label", re.compile("at most [1-9]"))
    await expect(readings).to_contain_text("ready")
    assert await dashboard.was_not_reloaded()
    await stages.filter(has_text="failed").get_by_role("link").click()
    await expect(page.locator("#failures-title")).to_be_focused()
    await page.go_back()
    await stages.filter(has_text="ready").get_by_role("link").click()
    await expect(page.locator('.filter[data-status="ready"]')).to_have_attribute("aria-pressed", "true")
    await expect(dashboard.cards).to_have_count(1)


async def test_photos_that_wait_for_another_attempt_are_shown_with_why_and_when(
    open_dashboard: Open, deployment: Deployment, workspace: str
) -> None:
    dashboard = await open_dashboard("&place=flow")
    page = dashboard.page
    await dashboard.choose(cat_jpg=photo())
    await expect(page.locator("#flow-results .result")).to_have_count(1)
    await expect(page.locator("#flow-retries")).to_be_hidden()
    photo_id = await page.locator("#flow-results .result").get_attribute("data-id")
    # Older than the upload that was shown, so that they change nothing when they are due.
    event = {"occurred_at": "2025-01-01T00:00:00Z", "storage_key": "imports/none.jpg"}
    due_at = time.time() + 45
    async with deployment.producer() as producer:
        for number, (owner, shown_id) in enumerate(((workspace, photo_id), (f"{workspace}-b", str(uuid4())))):
            value = json.dumps({**event, "photo_id": shown_id, "workspace_id": owner}).encode()
            headers = [
                ("thumbstream_attempt", b"2"), ("thumbstream_due_at", f"{due_at + number:.3f}".encode()),
                ("thumbstream_error_code", b"storage_unavailable"),
            ]  # fmt: skip
            await producer.send_and_wait(topics.RETRY, value, str(shown_id).encode(), headers=headers)
    rows = page.get_by_role("region", name="Waiting for another attempt").get_by_role("listitem")
    await expect(rows).to_have_count(2)
    await expect(rows.nth(0)).to_contain_text(re.compile(r"attempt 2.*after storage_unavailable.*in \d+ s"))
    await expect(rows.nth(1)).to_contain_text("a photo of another workspace")
    await dashboard.assert_accessible()
    button = rows.nth(0).get_by_role("button", name="cat.jpg")
    await button.click()
    await expect(page.locator("#detail-name")).to_have_text("cat.jpg")
    await page.keyboard.press("Escape")
    await expect(button).to_be_focused()
    await expect(page.locator("#flow-retries")).to_be_hidden(timeout=120_000)
    await expect(page.get_by_role("button", name=re.compile("cat.jpg.*, ready"))).to_be_visible()


async def test_the_span_is_in_the_address_and_reached_by_keyboard(open_dashboard: Open) -> None:
    answers = Answers()
    dashboard = await open_dashboard(prepare=answers.prepare)
    page = dashboard.page
    assert answers.spans == []
    await page.keyboard.type("gl")
    await expect(page.locator("#flow-title")).to_be_focused()
    await expect(page).to_have_title(f"Flow \u00b7 \u2068{dashboard.workspace}\u2069 \u00b7 Thumbstream")
    spans = page.get_by_role("group", name="Time that the charts show")
    await expect(spans.get_by_role("link", name="15 min")).to_have_attribute("aria-current", "true")
    await spans.get_by_role("link", name="7 days").press("Enter")
    await expect(page).to_have_url(f"{dashboard.url}/?workspace={dashboard.workspace}&place=flow&span=7d")
    await expect(page.locator(".chart-axis span")).to_have_count(7)
    await page.reload()
    await dashboard.wait_until_live()
    await expect(spans.get_by_role("link", name="7 days")).to_have_attribute("aria-current", "true")
    await page.go_back()
    await expect(spans.get_by_role("link", name="15 min")).to_have_attribute("aria-current", "true")
    await poll_async(lambda: len(answers.spans) >= 4, what="the figures of the span before")
    assert answers.spans == ["15m", "7d", "7d", "15m"]


async def test_values_are_read_by_pointer_by_keys_and_as_a_table(open_dashboard: Open) -> None:
    answers = Answers()
    page = (await open_dashboard("&place=flow", prepare=answers.prepare)).page
    lag = page.locator(".chart-reading.chart-lag dd")
    slider = page.get_by_role("slider")
    await expect(slider).to_have_attribute(
        "aria-valuetext",
        "now: ready 90, failed 9, 95 of 100 within 9 s, half within 0.9 s, uploads waiting, all workspaces 90",
    )
    await slider.focus()
    for _ in range(2):
        await page.keyboard.press("ArrowLeft")
    await expect(lag).to_have_text("88")
    await expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^\d\d:\d\d:\d\d: ready 88, "))
    await expect(page.locator(".chart-cursor")).to_be_visible()
    await page.keyboard.press("r")
    await expect(lag).to_have_text("89")  # the same slot of the next answer
    await page.keyboard.press("Home")
    await page.locator("#flow-title").focus()
    await expect(page.locator(".chart-cursor")).to_be_hidden()
    await expect(lag).to_have_text("91")
    plot = page.locator(".chart-plot").nth(2)
    await plot.hover(position={"x": 1, "y": 10})
    await expect(lag).to_have_text("2")
    width = await plot.evaluate("element => element.clientWidth")
    await plot.hover(position={"x": width * 25 / 89, "y": 10})
    await expect(lag).to_have_text("\u2013")
    await page.mouse.move(0, 0)
    await expect(lag).to_have_text("91")
    await page.get_by_text("All values as a table").click()
    rows = page.get_by_role("region", name="Values of the charts").get_by_role("row")
    await expect(rows).to_have_count(91)
    await expect(rows.nth(1)).to_have_text(re.compile(r"^\d\d:\d\d:\d\d9199\.1 s0\.91 s91$"))


async def test_marks_are_labelled_and_listed_and_text_stays_text(open_dashboard: Open) -> None:
    page = (await open_dashboard("&place=flow", prepare=Answers().prepare)).page
    await expect(page.locator("#flow-marks li")).to_have_count(4)
    await expect(page.locator("#flow-marks li").last).to_contain_text("Kafka did not answer, for 1 min")
    await expect(page.locator("#flow-marks")).to_contain_text(
        'api started (<img src=x onerror="document.title=1">[U+202E]gpj)'
    )
    await expect(page.locator("#flow-marks")).to_contain_text("another version: 0.1.0 to 0.2.0")
    await expect(page.locator(".chart-tick")).to_have_count(4)
    await expect(page.locator(".chart-tick").first).to_have_text("Kafka did not answer")
    await expect(page.locator(".chart-outage")).to_have_count(1)
    # No line is drawn over the gap.
    path = await page.locator("path.chart-line.chart-lag").get_attribute("d")
    assert (path or "").count("M") == 2


async def test_figures_are_loaded_while_the_place_is_shown_and_problems_are_told(open_dashboard: Open) -> None:
    answers = Answers()

    async def prepare(page: Page) -> None:
        await page.clock.install()
        await answers.prepare(page)

    dashboard = await open_dashboard("&place=flow", prepare=prepare)
    # The page's clock goes ahead of the server's, which looks like a silent feed.
    dashboard.expect_error("WebSocket connection to|status of 503")
    page = dashboard.page
    await expect(page.locator('.stage[data-status="processing"]')).to_contain_text("3 wait for another attempt")
    await page.clock.run_for(12_000)
    await expect(page.locator(".chart-reading.chart-lag dd")).to_have_text("91")
    await page.keyboard.type("gp")
    await expect(page.locator("#flow")).to_be_hidden()
    seen = len(answers.spans)
    await page.clock.run_for(30_000)
    assert len(answers.spans) == seen
    await page.unroute("**/figures?*")
    await page.route(
        "**/figures?*",
        lambda route: route.fulfill(status=503, json={"title": "Busy", "detail": "the database is away"}),
    )
    await page.keyboard.type("gl")
    await expect(page.locator("#flow-note")).to_have_text("The figures could not be loaded: the database is away")


async def test_the_rate_is_drawn_clear_of_its_label_on_a_phone(open_dashboard: Open, deployment: Deployment) -> None:
    page = (await open_dashboard(viewport={"width": 390, "height": 844})).page
    line, label = page.locator("#sparkline"), page.locator(".metric-rate dt")
    await expect(page.locator("#rate")).to_have_text("0")
    upper, lower = await line.bounding_box(), await label.bounding_box()
    assert upper is not None
    assert lower is not None
    assert upper["y"] + upper["height"] <= lower["y"]
