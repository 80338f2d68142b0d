"""Signing in and out in a real browser: the page, links, cookies. No photo is needed, and no broker."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from api.http.auth import admin_key
from api.http.handlers.session import DASHBOARD
from infra.settings import Settings
from running_api import Running, running_api
from server_process import free_port

pytestmark = pytest.mark.browser


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_api(Settings(data_dir=tmp_path, embedded_kafka_port=free_port(), _env_file=None)) as running:
        yield running


async def is_live_in(page: Page, workspace: str) -> None:
    """Wait until the dashboard of the workspace shows, connected."""
    await page.locator('#connection[data-state="live"]').wait_for()
    await expect(page.locator("#workspace")).to_have_value(workspace)
    assert f"workspace={workspace}" in page.url
    assert "key=" not in page.url


async def test_the_sign_in_page_takes_the_key_and_leads_where_the_link_led(api: Running, browser: Browser) -> None:
    page = await browser.new_page()
    await page.goto(f"{api.origin}/?workspace=acme&status=failed")
    await page.get_by_label("Key").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("That key is not known here.")
    await page.get_by_label("Key").fill(admin_key(api.settings))
    async with page.expect_request("**/session") as posting:
        await page.get_by_role("button", name="Sign in").click()
    # On a host that is neither https nor this machine a browser sends nothing else that tells where a form is from.
    assert (await (await posting.value).all_headers())["origin"] == api.origin
    await is_live_in(page, "acme")
    assert "status=failed" in page.url


async def test_a_link_with_a_workspace_and_a_key_lands_in_that_workspace(api: Running, browser: Browser) -> None:
    page = await browser.new_page()
    await page.goto(f"{api.origin}/?workspace=acme&key={admin_key(api.settings)}")
    await is_live_in(page, "acme")


async def test_signing_out_ends_the_session_of_every_copy_of_the_cookie(api: Running, browser: Browser) -> None:
    page = await browser.new_page()
    await page.goto(f"{api.origin}/?key={admin_key(api.settings)}")
    await is_live_in(page, "default")
    copies = await page.context.cookies()
    assert await page.evaluate("fetch('/session', {method: 'DELETE'}).then(({status}) => status)") == 204
    assert await page.context.cookies() == []
    await page.context.add_cookies(copies)  # type: ignore[arg-type]
    assert await page.evaluate("fetch('/metrics').then(({status}) => status)") == 401
    await page.goto(api.origin)
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()


async def test_who_is_signed_in_stays_so_on_a_link_from_another_site(api: Running, browser: Browser) -> None:
    page = await browser.new_page()
    await page.goto(f"{api.origin}/?key={admin_key(api.settings)}")
    await is_live_in(page, "default")
    await page.goto(f"{api.origin.replace('127.0.0.1', 'localhost')}/healthz")
    await page.set_content(f'<a href="{api.origin}/?workspace=acme">photos</a>')
    await page.get_by_text("photos").click()
    await is_live_in(page, "acme")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_sign_in_page_has_the_colours_of_the_dashboard(api: Running, browser: Browser, scheme: str) -> None:
    page = await browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    await page.goto(f"{api.origin}/")
    light, dark = (DASHBOARD / "tokens.css").read_text().split("@media (prefers-color-scheme: dark)")
    for selector, token in (("html", "ground"), ("main", "raised")):
        found = re.search(rf"--{token}: #(\w\w)(\w\w)(\w\w);", light if scheme == "light" else dark)
        assert found
        wanted = f"rgb({', '.join(str(int(part, 16)) for part in found.groups())})"
        await expect(page.locator(selector)).to_have_css("background-color", wanted)
    assert [text for text in complaints if "401" not in text] == []
