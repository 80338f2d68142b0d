"""The dashboard against real processes: a broker, a worker, an api, a browser."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from deployment import ADMIN_KEY, Deployment
from photos import photo, truncated_photo
from polling import poll_async

pytestmark = pytest.mark.browser

Open = Callable[..., Awaitable[Any]]

#: What the page has loaded of its own: name, bytes over the network, bytes of the body as sent.
OWN_FILES = """performance.getEntriesByType("resource").filter(({ name }) => name.includes("/dashboard/"))
    .map(({ name, transferSize, encodedBodySize }) => [name.split(".").pop(), transferSize, encodedBodySize])"""

IS_LOADED = "image => image.complete && image.naturalWidth > 0"


async def wait_until_loaded(image: Locator) -> None:
    """Wait until an image shows pixels."""

    async def loaded() -> bool:
        return bool(await image.evaluate(IS_LOADED))

    await poll_async(loaded, what="the image has loaded")


async def test_a_dropped_photo_goes_from_pending_to_ready_without_a_reload(
    open_dashboard: Open, deployment: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "cat.jpg").write_bytes(photo(1200, 900, seed=1))
    dashboard = await open_dashboard()
    await expect(dashboard.page.locator("#empty")).to_be_visible()
    worker = deployment.workers[0]
    worker.stop()
    try:
        await dashboard.drop(tmp_path / "cat.jpg")
        await dashboard.card("cat.jpg", "pending").wait_for()
        await expect(dashboard.page.locator("#empty")).to_be_hidden()
        await expect(dashboard.page.locator('.filter[data-status="pending"] .value')).to_have_text("1")
    finally:
        worker.start()
    card = dashboard.card("cat.jpg", "ready")
    await card.wait_for()
    await wait_until_loaded(card.locator("img.thumb"))
    await expect(card).to_contain_text("1200 \u00d7 900")
    await expect(card).to_contain_class("has-blur has-thumb")
    await expect(dashboard.page.locator('.filter[data-status="ready"] .value')).to_have_text("1")
    assert await dashboard.was_not_reloaded()


async def test_over_a_slow_network_the_page_is_a_few_small_files_that_come_once(open_dashboard: Open) -> None:
    async def slow_down(page: Page) -> None:
        network = await page.context.new_cdp_session(page)
        mobile = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 20_000}
        await network.send("Network.emulateNetworkConditions", mobile)

    dashboard = await open_dashboard(prepare=slow_down)  # which opens the page twice: to sign in, and the workspace
    files = await dashboard.page.evaluate(OWN_FILES)
    loaded = [each for each in files if each[0] in ("js", "css")]
    assert sorted(kind for kind, *_ in loaded) == ["css", "js"]
    assert [transferred for _, transferred, _ in loaded] == [0, 0], "they were kept"
    assert sum(size for *_, size in loaded) < 120_000
    assert {kind for kind, *_ in files} == {"css", "js", "svg"}


async def test_all_files_of_a_dropped_folder_but_hidden_ones_are_uploaded(open_dashboard: Open, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(photo(60, 40, seed=number))
    (folder / "inner" / "deep.png").write_bytes(photo(50, 50, kind="PNG"))
    (folder / ".DS_Store").write_bytes(b"not an image")
    dashboard = await open_dashboard()
    await dashboard.drop(folder)
    await expect(dashboard.page.locator('.card[data-status="ready"]')).to_have_count(7, timeout=60_000)
    await dashboard.card("deep.png", "ready").wait_for()
    await expect(dashboard.page.locator("#uploads")).to_be_hidden()


async def test_a_refused_file_stays_listed_with_its_reason_until_dismissed(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    dashboard.expect_error("status of 415")
    await dashboard.choose(notes_txt=b"not an image", cat_jpg=photo())
    refused = dashboard.page.locator(".upload.refused")
    await expect(refused).to_contain_text("notes.txt")
    await expect(refused).to_contain_text("415 Unsupported Media Type")
    assert len(await refused.locator(".upload-state").inner_text()) > len("415 Unsupported Media Type ")
    await dashboard.card("cat.jpg", "ready").wait_for()
    await expect(refused).to_be_visible()
    await refused.get_by_role("button", name="Dismiss").click()
    await expect(dashboard.page.locator("#uploads")).to_be_hidden()


async def test_a_failed_photo_shows_the_reason_and_advice_and_no_useless_retry(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    await dashboard.choose(torn_jpg=truncated_photo())
    card = dashboard.card("torn.jpg", "failed")
    await card.wait_for()
    await expect(card.locator(".reason b")).to_have_text("unreadable")
    assert len(await card.locator(".reason span").inner_text()) > 10
    await card.get_by_role("button").click()
    detail = dashboard.page.locator("#detail")
    await expect(detail.locator(".photo-error")).to_contain_text("unreadable")
    await expect(detail.locator(".photo-error .advice")).to_contain_text("upload that")
    await expect(detail.locator(".way").get_by_text("Failed", exact=True)).to_have_count(1)
    await expect(detail.get_by_role("button", name="Try again")).to_have_count(0)


async def answer_as_retryable(route: Route) -> None:
    """The answer of the api, but with an error code that can be retried."""
    answer = await route.fetch()
    await route.fulfill(response=answer, body=(await answer.text()).replace('"unreadable"', '"render_timeout"'))


async def test_a_retry_within_the_failed_filter_keeps_focus_and_arrow_keys(
    open_dashboard: Open, deployment: Deployment
) -> None:
    first = await open_dashboard()
    for name in ("a_jpg", "b_jpg", "c_jpg"):
        await first.choose(**{name: truncated_photo(seed=ord(name[0]))})
        await first.card(name.replace("_", "."), "failed").wait_for()
    worker = deployment.workers[0]
    worker.stop()
    try:
        dashboard = await open_dashboard(
            prepare=lambda page: page.route("**/photos?*", answer_as_retryable), query="&status=failed"
        )
        await dashboard.card("b.jpg", "failed").get_by_role("button").click()
        detail = dashboard.page.locator("#detail")
        await detail.get_by_role("button", name="Try again").focus()
        await dashboard.page.keyboard.press("Enter")
        await expect(detail.locator(".badge")).to_have_text("pending")
        await expect(dashboard.cards).to_have_count(2)
        assert await detail.evaluate("dialog => dialog.contains(document.activeElement)")
        await dashboard.page.keyboard.press("ArrowRight")
        await expect(detail.locator("#detail-name")).to_have_text("a.jpg")
        await dashboard.page.keyboard.press("ArrowLeft")
        await expect(detail.locator("#detail-name")).to_have_text("c.jpg")
        await detail.get_by_role("button", name="Try again").click()
        await expect(dashboard.cards).to_have_count(1)
        await dashboard.page.keyboard.press("Escape")
        await expect(dashboard.card("a.jpg", "failed").get_by_role("button")).to_be_focused()
    finally:
        worker.start()


async def test_two_pages_see_each_others_photos(open_dashboard: Open) -> None:
    one, other = await open_dashboard(), await open_dashboard()
    await one.choose(one_jpg=photo(seed=1))
    await other.choose(other_jpg=photo(seed=2))
    for dashboard in (one, other):
        for name in ("one.jpg", "other.jpg"):
            card = dashboard.card(name, "ready")
            await card.wait_for()
            await wait_until_loaded(card.locator("img.thumb"))


async def test_the_page_resumes_after_an_api_restart_and_misses_no_event(
    open_dashboard: Open, deployment: Deployment
) -> None:
    dashboard = await open_dashboard()
    dashboard.expect_error("WebSocket connection to|ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_SOCKET")
    worker, api = deployment.workers[0], deployment.api
    worker.stop()
    try:
        await dashboard.choose(cat_jpg=photo())
        await dashboard.card("cat.jpg", "pending").wait_for()
        api.kill()
        await dashboard.page.locator('#connection[data-state="waiting"]').wait_for()
    finally:
        worker.start()
        if not api.is_running:
            api.start()
    lists: list[str] = []
    dashboard.page.on("request", lambda request: lists.append(request.url) if "limit=100" in request.url else None)
    await dashboard.wait_until_live()
    await dashboard.card("cat.jpg", "ready").wait_for()
    assert lists == [], "the missed events came by the feed"
    assert await dashboard.was_not_reloaded()


async def test_a_deleted_photo_disappears_from_every_page(open_dashboard: Open) -> None:
    one, other = await open_dashboard(), await open_dashboard()
    await one.choose(cat_jpg=photo(seed=1), dog_jpg=photo(seed=2))
    await one.card("cat.jpg", "ready").wait_for()
    await other.card("cat.jpg", "ready").get_by_role("button").click()
    await one.card("cat.jpg").get_by_role("button").click()
    await one.page.get_by_role("button", name="Delete…").click()
    await expect(one.card("cat.jpg")).to_have_count(1)
    await one.page.get_by_role("button", name="Delete permanently").click()
    for dashboard in (one, other):
        await expect(dashboard.page.locator("#detail")).to_be_hidden()
        await expect(dashboard.card("cat.jpg")).to_have_count(0)
        await dashboard.card("dog.jpg", "ready").wait_for()


async def test_the_detail_dialog_lists_every_rendition_and_links_the_original(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    await dashboard.choose(cat_jpg=photo(1000, 500))
    await dashboard.card("cat.jpg", "ready").get_by_role("button").click()
    detail = dashboard.page.locator("#detail")
    await wait_until_loaded(detail.locator(".preview img"))
    for name, size in (("small", "150 \u00d7 75"), ("medium", "400 \u00d7 200"), ("large", "800 \u00d7 400")):
        row = detail.locator(".renditions tr", has_text=name)
        await expect(row).to_contain_text(size)
        answer = await dashboard.context.request.get(dashboard.url + str(await row.locator("a").get_attribute("href")))
        assert answer.headers["content-type"] == "image/webp"
    original = await dashboard.context.request.get(
        dashboard.url + str(await detail.get_by_role("link", name="Open the original").get_attribute("href"))
    )
    assert await original.body() == photo(1000, 500)
    await dashboard.page.keyboard.press("Escape")
    await expect(detail).to_be_hidden()


async def test_the_keyboard_reaches_every_photo_and_returns_from_the_detail_dialog(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    await dashboard.choose(a_jpg=photo(40, 40, seed=1), b_jpg=photo(40, 40, seed=2), c_jpg=photo(40, 40, seed=3))
    await expect(dashboard.page.locator('.card[data-status="ready"]')).to_have_count(3, timeout=60_000)
    await expect(dashboard.page.locator('.card button[tabindex="0"]')).to_have_count(1)
    await dashboard.page.locator(".card button").first.focus()
    await dashboard.page.keyboard.press("End")
    await expect(dashboard.page.locator('.card[aria-posinset="3"] button')).to_be_focused()
    await dashboard.page.keyboard.press("ArrowLeft")
    await dashboard.page.keyboard.press("Enter")
    await expect(dashboard.page.locator("#detail")).to_be_visible()
    await dashboard.page.keyboard.press("Escape")
    await expect(dashboard.page.locator('.card[aria-posinset="2"] button')).to_be_focused()


async def test_a_filter_shows_its_status_only_and_follows_the_feed(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    await dashboard.choose(cat_jpg=photo(), torn_jpg=truncated_photo())
    await dashboard.card("cat.jpg", "ready").wait_for()
    await dashboard.card("torn.jpg", "failed").wait_for()
    await dashboard.page.locator('.filter[data-status="failed"]').click()
    await expect(dashboard.cards).to_have_count(1)
    await dashboard.choose(rag_jpg=truncated_photo(seed=5), dog_jpg=photo(seed=5))
    await dashboard.card("rag.jpg", "failed").wait_for()
    await expect(dashboard.page.locator('.filter[data-status="ready"] .value')).to_have_text("2", timeout=60_000)
    await expect(dashboard.cards).to_have_count(2)
    assert "status=failed" in dashboard.page.url


async def test_file_names_are_never_parsed_as_markup(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    name = '<img src=x onerror="document.title=1">.jpg'
    await dashboard.page.set_input_files("#files", {"name": name, "mimeType": "image/jpeg", "buffer": photo()})
    card = dashboard.page.locator('.card[data-status="ready"]')
    await card.wait_for()
    assert "<img src=x" in await card.locator(".card-name").inner_text()
    await card.get_by_role("button").click()
    await expect(dashboard.page.locator("#detail-name")).to_contain_text("<img src=x")
    assert await dashboard.page.title() != "1"


async def test_a_page_whose_session_ended_asks_to_sign_in_and_reloads_with_a_key(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    dashboard.expect_error("status of 401|HTTP Authentication failed")
    await dashboard.context.clear_cookies()
    # No click by the pointer: a request of the page's own may have brought the dialog already.
    await dashboard.page.locator('.filter[data-status="ready"]').dispatch_event("click")
    await expect(dashboard.page.locator("#signed-out")).to_be_visible()
    await dashboard.page.get_by_label("Key").fill("no such key")
    await dashboard.page.get_by_role("button", name="Sign in").click()
    await expect(dashboard.page.get_by_role("alert")).to_have_text("This key is not valid.")
    await dashboard.page.get_by_label("Key").fill(ADMIN_KEY)
    await dashboard.page.get_by_role("button", name="Sign in").click()
    await dashboard.wait_until_live()
    assert f"workspace={dashboard.workspace}" in dashboard.page.url
    assert ADMIN_KEY not in dashboard.page.url


async def test_a_list_that_could_not_be_loaded_shows_the_reason_and_can_be_retried(open_dashboard: Open) -> None:
    dashboard = await open_dashboard()
    await dashboard.choose(cat_jpg=photo())
    await dashboard.card("cat.jpg", "ready").wait_for()
    dashboard.expect_error("status of 503")
    problem = '{"title": "Service Unavailable", "status": 503, "detail": "the database does not answer; try again"}'
    lists = "**/photos?*limit=100*"
    await dashboard.page.route(lists, lambda route: route.fulfill(status=503, body=problem))
    await dashboard.page.reload()
    await expect(dashboard.page.locator("#list-note")).to_have_text("the database does not answer; try again")
    await dashboard.page.unroute(lists)
    await dashboard.page.get_by_role("button", name="Try again").click()
    await dashboard.card("cat.jpg", "ready").wait_for()
    await expect(dashboard.page.locator("#list-note")).to_have_text("")


@pytest.mark.parametrize("width", [320, 390, 768, 1360])
async def test_nothing_is_wider_than_the_viewport(open_dashboard: Open, width: int) -> None:
    dashboard = await open_dashboard(viewport={"width": width, "height": 800})
    is_wider = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not await dashboard.page.evaluate(is_wider)
    await dashboard.choose(cat_jpg=photo())
    await dashboard.card("cat.jpg", "ready").get_by_role("button").click()
    assert not await dashboard.page.evaluate(is_wider)
    await wait_until_loaded(dashboard.page.locator("#detail .preview img"))
