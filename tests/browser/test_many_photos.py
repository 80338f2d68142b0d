"""The page of a workspace with 100,000 photos."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from sqlalchemy import Connection, text

from api.store.database import open_database
from deployment import Deployment
from photos import photo
from polling import poll_async

pytestmark = pytest.mark.browser

Open = Callable[..., Awaitable[Any]]

#: As :func:`fill` makes them, one of a hundred failed.
MANY: Final = 100_000

#: No more may be in the document, however many are loaded.
MOST_CARDS: Final = 150

_NUMBERS: Final = "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :many - 1)"
_FILL: Final = (
    f"""
    INSERT INTO photos (id, workspace_id, storage_key, upload_event_id, status_event_id, filename, thumbnail_status,
        error_code, error_message, thumbhash, attempts, display_order, is_primary, is_lost, republications,
        uploaded_at, status_at, status_changed_at, created_at, updated_at)
    {_NUMBERS}, photo(n, status, at) AS (
        SELECT n, iif(n % 100 = 7, 'failed', 'ready'), strftime('%Y-%m-%d %H:%M:%f000', 1700000000 + n, 'unixepoch')
        FROM numbers)
    SELECT printf('%s%024x', :prefix, n), :workspace, printf('originals/%s/%d', :workspace, n), 'u', 'u',
        printf('img_%06d.jpg', n), status, iif(status = 'failed', 'unreadable', NULL),
        iif(status = 'failed', 'not an image', NULL), '1QcSHQRnh493V4dIh4eXh1h4kJUI', 1, 0, 0, 0, 0, at, at, at, at, at
    FROM photo
    """,
    f"""
    INSERT INTO photo_words (photo_id, word, workspace_id)
    {_NUMBERS} SELECT printf('%s%024x', :prefix, n), printf('%06d', n), :workspace FROM numbers
    """,
    """
    INSERT INTO workspace_figures (workspace_id, thumbnail_status, photo_count, byte_count)
    VALUES (:workspace, 'ready', :many * 99 / 100, 0), (:workspace, 'failed', :many / 100, 0)
    """,
)
_TABLES: Final = ("photos", "photo_words", "workspace_figures")


@pytest_asyncio.fixture(loop_scope="session")
async def many(deployment: Deployment, workspace: str) -> AsyncIterator[None]:
    """100,000 photos in the test's workspace; their files do not exist."""
    values = {"many": MANY, "prefix": workspace[2:], "workspace": workspace}

    def fill(connection: Connection) -> None:
        for statement in _FILL:
            names = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), names)

    def clear(connection: Connection) -> None:
        for table in _TABLES:
            connection.execute(text(f"DELETE FROM {table} WHERE workspace_id = :workspace"), {"workspace": workspace})

    database = open_database(deployment.settings)
    try:
        await database.run_write(fill, seconds=120)
        yield
    finally:
        await database.run_write(clear, seconds=120)
        await database.close()


async def counts(page: Page) -> dict[str, str]:
    """What the page says of each status."""
    return dict(
        await page.locator("#filters > button").evaluate_all(
            'all => all.map((each) => [each.dataset.status || "all", each.querySelector(".value").textContent])'
        )
    )


async def positions(page: Page) -> list[int]:
    """Where in the list the photos are that have a card, once all is drawn; at most as many as may be."""
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found: list[int] = await page.locator(".card").evaluate_all(
        'cards => cards.map((card) => Number(card.getAttribute("aria-posinset"))).sort((one, other) => one - other)'
    )
    assert 0 < len(found) < MOST_CARDS
    return found


async def scroll_down_to(page: Page, position: int) -> None:
    """Scroll to the end of what is loaded until the photo at ``position`` is, and back to it where more was loaded."""

    async def is_loaded() -> bool:
        await page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        return (await positions(page))[-1] >= position

    async def is_shown() -> bool:
        found = await positions(page)  # the first may be that of the card with the focus, wherever it is
        if position not in found:
            await page.evaluate(f"window.scrollBy(0, {'-' if found[-1] > position else ''}innerHeight / 2)")
        return position in found

    await poll_async(is_loaded, 120, what=f"photo {position} is loaded")
    await poll_async(is_shown, 60, what=f"photo {position} is shown")


async def test_a_page_of_100000_photos_has_few_cards_right_counts_and_finds_the_oldest(
    open_dashboard: Open, deployment: Deployment, many: None
) -> None:
    dashboard = await open_dashboard(reduced_motion="reduce")
    page = dashboard.page
    await dashboard.card("img_099999.jpg", "ready").wait_for()
    await expect(page.locator("#filters .value").first).to_have_text("100,000", timeout=30_000)
    expected = {"all": "100,000", "pending": "0", "processing": "0", "ready": "99,000", "failed": "1,000"}
    assert await counts(page) == expected
    assert (await positions(page))[0] == 1

    await page.locator("#q").fill("000042")
    await dashboard.card("img_000042.jpg", "ready").wait_for()
    await expect(dashboard.cards).to_have_count(1)
    await page.locator("#q").fill("")
    await dashboard.card("img_099999.jpg", "ready").wait_for()

    await dashboard.choose(new_jpg=photo())
    await dashboard.card("new.jpg", "ready").wait_for()
    assert (await positions(page))[0] == 1
    await expect(page.locator("#filters .value").first).to_have_text("100,001", timeout=30_000)

    await dashboard.open("&status=failed")
    await dashboard.card("img_099907.jpg", "failed").wait_for()
    await scroll_down_to(page, 1_000)
    await dashboard.card("img_000007.jpg", "failed").wait_for()
    await expect(page.locator("#list-note")).to_have_text("End of list: 1,000 photos")


async def test_many_photos_far_down_the_list_are_selected_and_deleted_unless_the_page_is_left(
    open_dashboard: Open, many: None
) -> None:
    dashboard = await open_dashboard(prepare=lambda page: page.clock.install(), reduced_motion="reduce")
    page = dashboard.page
    await dashboard.card("img_099999.jpg").get_by_role("button").click(modifiers=["Control"])
    await scroll_down_to(page, 3_000)
    await dashboard.card("img_097000.jpg").get_by_role("button").click(modifiers=["Shift"])
    await expect(page.locator("#selection-note")).to_contain_text("3,000 photos selected.")
    await page.keyboard.press("Home")
    await dashboard.card("img_099999.jpg").get_by_role("button", pressed=True).wait_for()
    assert (await positions(page))[0] == 1
    await page.get_by_role("button", name="Delete", exact=True).click()
    await dashboard.card("img_096999.jpg").wait_for()
    assert (await positions(page))[0] == 1

    async with page.expect_event("dialog") as dialog:
        await page.evaluate("setTimeout(() => location.reload())")
        question = await dialog.value
    assert question.type == "beforeunload"
    await question.dismiss()
    assert await dashboard.was_not_reloaded()

    await page.clock.fast_forward(10_000)  # when it is too late for "Undo"
    await expect(page.locator("#filters .value").first).to_have_text("97,000", timeout=60_000)
    await page.reload()
    await dashboard.card("img_096999.jpg").wait_for()
