"""Sign-in and sign-out in a real browser. No broker is needed."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Dialog, Page, expect

from api.access.admin_key import admin_key
from api.http.documents.dashboard import FOLDER
from infra.settings import Settings
from running_api import Running, running_api
from server_process import free_port

pytestmark = pytest.mark.browser


@pytest_asyncio.fixture(loop_scope="session")
async def api(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_api(Settings(data_dir=tmp_path, embedded_kafka_port=free_port(), _env_file=None)) as running:
        yield running


async def wait_until_live(page: Page, workspace: str) -> None:
    """Wait until the dashboard shows the workspace and is connected."""
    await page.locator('#connection[data-state="live"]').wait_for()
    await expect(page.locator("#workspace")).to_have_value(workspace)
    assert f"workspace={workspace}" in page.url
    assert "key=" not in page.url


async def test_the_sign_in_page_accepts_the_key_and_keeps_the_address(api: Running, browser: Browser) -> None:
    page = await browser.new_page()
    await page.goto(f"{api.origin}/?workspace=acme&status=failed")
    await page.get_by_label("Key").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("This key is not valid.")
    await page.get_by_label("Key").fill(admin_key(api.settings))
    async with page.expect_request("**/session") as posting:
        await page.get_by_role("button", name="Sign in").click()
    # Without HTTPS and on another host than localhost, no other header tells which site sent the form.
    assert (await (await posting.value).all_headers())["origin"] == api.origin
    await wait_until_live(page, "acme")
    assert "status=failed" in page.url


async def test_a_link_with_a_workspace_and_a_key_opens_that_workspace(api: Running, browser: Browser) -> None:
    page = await browser.new_page()
    await page.goto(f"{api.origin}/?workspace=acme&key={admin_key(api.settings)}")
    await wait_until_live(page, "acme")


async def test_sign_out_ends_the_session_closes_its_feeds_and_shows_the_sign_in_page(
    api: Running, browser: Browser
) -> None:
    context = await browser.new_context()
    page, other = await context.new_page(), await context.new_page()
    for each in (page, other):
        await each.goto(f"{api.origin}/?workspace=acme&key={admin_key(api.settings)}")
        await wait_until_live(each, "acme")
    copies = await context.cookies()
    # A skip link leaves a fragment in the address, with which a plain assignment would load nothing.
    await page.evaluate("window.location.hash = 'photo-grid'")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Key")).to_be_visible()
    assert await page.title() == "Sign in to Thumbstream"
    assert "workspace=acme" in page.url
    # Both pages have the same cookie; the server has closed the feed of the other one.
    await expect(other.locator("#signed-out")).to_be_visible()
    await expect(other.locator("#connection")).to_have_attribute("data-state", "signed out")
    assert await context.cookies() == []
    await context.add_cookies(copies)  # type: ignore[arg-type]
    assert await page.evaluate("fetch('/metrics').then(({status}) => status)") == 401
    await page.goto(api.origin)
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()


async def test_a_sign_out_that_is_cancelled_or_fails_keeps_the_session(api: Running, browser: Browser) -> None:
    page = await browser.new_page()
    questions: list[str] = []

    async def answer(dialog: Dialog) -> None:
        questions.append(dialog.message)
        await (dialog.dismiss() if len(questions) == 1 else dialog.accept())

    page.on("dialog", answer)
    await page.goto(f"{api.origin}/?workspace=acme&key={admin_key(api.settings)}")
    await wait_until_live(page, "acme")
    await page.route("**/photos", lambda route: route.abort("connectionrefused"))
    await page.route("**/session", lambda route: route.fulfill(status=503, body='{"detail": "try again"}'))
    await page.set_input_files("#files", {"name": "cat.jpg", "mimeType": "image/jpeg", "buffer": b"pixels"})
    await expect(page.locator("#uploads")).to_be_visible()
    for asked in (1, 2):
        await page.get_by_role("button", name="Sign out").click()
        assert questions == ["Cancel the upload of 1 photo and sign out?"] * asked
        await expect(page.locator("#uploads")).to_be_visible()
        await wait_until_live(page, "acme")
    await expect(page.locator("#notice")).to_contain_text("You are still signed in: try again")
    assert await page.evaluate("fetch('/metrics').then(({status}) => status)") == 200
    await page.unroute("**/session")
    await page.locator("#notice").get_by_role("button", name="Try again").click()
    await expect(page.get_by_label("Key")).to_be_visible()
    assert len(questions) == 3, "no further question when the page is left"


async def test_a_link_on_another_site_keeps_the_session(api: Running, browser: Browser) -> None:
    page = await browser.new_page()
    await page.goto(f"{api.origin}/?key={admin_key(api.settings)}")
    await wait_until_live(page, "default")
    await page.goto(f"{api.origin.replace('127.0.0.1', 'localhost')}/healthz")
    await page.set_content(f'<a href="{api.origin}/?workspace=acme">photos</a>')
    await page.get_by_text("photos").click()
    await wait_until_live(page, "acme")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_sign_in_page_has_the_colours_of_the_dashboard(api: Running, browser: Browser, scheme: str) -> None:
    page = await browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    await page.goto(f"{api.origin}/")
    light, dark = (FOLDER / "css/tokens.css").read_text().split("@media (prefers-color-scheme: dark)")
    for selector, token in (("html", "background"), ("main", "surface")):
        found = re.search(rf"--{token}: #(\w\w)(\w\w)(\w\w);", light if scheme == "light" else dark)
        assert found
        wanted = f"rgb({', '.join(str(int(part, 16)) for part in found.groups())})"
        await expect(page.locator(selector)).to_have_css("background-color", wanted)
    assert [text for text in errors if "401" not in text] == []
