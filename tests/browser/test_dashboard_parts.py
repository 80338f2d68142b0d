"""Unit tests of the dashboard's modules, in a real browser without a server, and of its files as text."""

import base64
import json
import re
from itertools import permutations, product
from typing import Any, Final

import pytest
from playwright.async_api import Page

from api.feed import stats
from api.http.documents.dashboard import FOLDER
from schemas.faults import FaultCode

#: WCAG 2.2, 1.4.3: contrast of text, level AA.
AA: Final = 4.5


def pixels(width: int, height: int, *, has_alpha: bool) -> bytes:
    """Colour gradients, transparent towards the left if ``has_alpha``."""
    return bytes(
        channel
        for y in range(height)
        for x in range(width)
        for channel in (x * 255 // width, y * 255 // height, 90, x * 255 // width if has_alpha else 255)
    )


@pytest.mark.browser
@pytest.mark.parametrize("size", [(60, 90), (100, 100), (100, 20), (30, 100)])
@pytest.mark.parametrize("has_alpha", [False, True])
async def test_a_thumbhash_decodes_as_the_reference_does(modules: Page, size: tuple[int, int], has_alpha: bool) -> None:
    reference = pytest.importorskip("fast_thumbhash", reason="the reference has no wheel for this Python or machine")
    thumbhash = bytes(reference.rgba_to_thumb_hash(*size, pixels(*size, has_alpha=has_alpha)))
    width, height, rgba = reference.thumb_hash_to_rgba(thumbhash)
    decoded = await modules.evaluate(
        """async (text) => {
            const { decodeThumbhash } = await import("/dashboard/photos/thumbhash.js");
            const picture = decodeThumbhash(text);
            return [picture.width, picture.height, [...picture.rgba]];
        }""",
        base64.b64encode(thumbhash).decode(),
    )
    assert decoded[:2] == [width, height]
    assert max(abs(ours - theirs) for ours, theirs in zip(decoded[2], rgba, strict=True)) <= 1


@pytest.mark.browser
@pytest.mark.parametrize("text", ["", "!!", "AAAA", base64.b64encode(bytes(40)).decode(), "/" * 8])
async def test_an_invalid_thumbhash_is_ignored(modules: Page, text: str) -> None:
    decoded = await modules.evaluate(
        """async (text) => {
            const { decodeThumbhash } = await import("/dashboard/photos/thumbhash.js");
            const picture = decodeThumbhash(text);
            return picture === null || (picture.width <= 32 && picture.height <= 32);
        }""",
        text,
    )
    assert decoded


HISTORY: Final = (
    ("photos.uploaded", "pending", 1),
    ("thumbnails.started", "processing", 2),
    ("thumbnails.ready", "ready", 3),
)


def photo_json(status: str, second: int) -> dict[str, Any]:
    moment = "2026-01-01T00:00:0{}.000000Z"
    return {"id": "a", "thumbnail_status": status, "created_at": moment.format(0), "updated_at": moment.format(second)}


async def statuses_after(modules: Page, steps: list[dict[str, Any]]) -> list[str | None]:
    """The photo's status in the store after each step: a feed message, a request for a snapshot, or its response."""
    shown: list[str | None] = await modules.evaluate(
        """async (steps) => {
            const { PhotoStore } = await import("/dashboard/photos/photo_store.js");
            const store = new PhotoStore(() => {});
            let version = 0;
            return steps.map((step) => {
                if (step.ask) version = store.version;
                else if (step.event) store.applyMessage(step);
                else store.applySnapshot([step.photo], version);
                return store.get("a")?.photo.thumbnail_status ?? null;
            });
        }""",
        steps,
    )
    return shown


@pytest.mark.browser
async def test_no_snapshot_overwrites_a_newer_message_and_no_message_a_newer_snapshot(modules: Page) -> None:
    messages = [{"event": event, "photo": photo_json(status, second)} for event, status, second in HISTORY]
    for asked_at, answered_at, (_, status, second) in product(range(4), range(4), HISTORY):
        if answered_at < asked_at or second < asked_at:
            continue  # a response comes after its request, and is never older
        steps: list[dict[str, Any]] = []
        for place in range(4):
            steps += [{"ask": True}] * (place == asked_at) + [{"photo": photo_json(status, second)}] * (
                place == answered_at
            )
            steps += messages[place : place + 1]
        shown = await statuses_after(modules, steps)
        order = [None, "pending", "processing", "ready"]
        assert shown == sorted(shown, key=order.index), json.dumps(steps)
        assert shown[-1] == "ready", json.dumps(steps)


@pytest.mark.browser
async def test_of_two_states_with_the_same_time_the_feed_wins(modules: Page) -> None:
    ready = {"event": "thumbnails.ready", "photo": photo_json("ready", 5)}
    steps = [{"ask": True}, ready, {"photo": photo_json("processing", 5)}]
    assert (await statuses_after(modules, steps))[-1] == "ready"


@pytest.mark.browser
async def test_a_deleted_photo_never_comes_back(modules: Page) -> None:
    late = [{"event": event, "photo": photo_json(status, second)} for event, status, second in HISTORY]
    deleted = {"event": "photos.deleted", "photo": photo_json("ready", 3)}
    for order in permutations([deleted, late[1], late[2], {"photo": photo_json("ready", 9)}]):
        steps: list[dict[str, Any]] = [late[0], *order]
        assert (await statuses_after(modules, steps))[-1] is None, json.dumps(steps)


@pytest.mark.browser
async def test_only_the_cards_near_the_viewport_are_drawn(modules: Page) -> None:
    drawn = await modules.evaluate(
        """async () => {
            document.body.innerHTML = "<section><ul id='grid'></ul></section>";
            const { VirtualGrid } = await import("/dashboard/photos/virtual_grid.js");
            const grid = new VirtualGrid(document.getElementById("grid"), { onOpen() {}, onEnd() {} });
            const photo = { thumbnail_status: "ready", created_at: "2026-01-01T00:00:00Z", thumbnails: {} };
            const entry = (_, at) => ({ id: `p${at}`, photo: { ...photo, id: `p${at}` } });
            grid.show(Array.from({ length: 100000 }, entry), true);
            const frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            const counts = [];
            for (let step = 0; step <= 10; step += 1) {
                window.scrollTo(0, (document.body.scrollHeight * step) / 10);
                await frames();
                await frames();
                counts.push(document.querySelectorAll(".card").length);
            }
            return { counts, last: document.querySelector(".card:last-child").dataset.id };
        }"""
    )
    assert drawn["last"] == "p99999"
    assert min(drawn["counts"]) > 0
    assert max(drawn["counts"]) < 150


@pytest.mark.browser
async def test_cards_are_used_again_while_scrolling_and_show_nothing_of_the_photo_before(modules: Page) -> None:
    found = await modules.evaluate(
        """async () => {
            document.body.innerHTML = "<section><ul id='grid'></ul></section>";
            const { VirtualGrid } = await import("/dashboard/photos/virtual_grid.js");
            const style = document.createElement("link");
            Object.assign(style, { rel: "stylesheet", href: "/dashboard/css/photo_grid.css" });
            await new Promise((done) => { style.onload = done; document.head.append(style); });
            const root = document.getElementById("grid");
            const grid = new VirtualGrid(root, { onOpen() {}, onEnd() {} });
            const url = (at) => `/v1/workspaces/w/photos/p${at}/thumbnails/small`;
            const ready = (at) => ({
                thumbhash: "1QcSHQRnh493V4dIh4eXh1h4kJUI", thumbnails: { small: { url: url(at), width: 9, height: 9 } },
            });
            const photo = (at) => ({
                id: `p${at}`, filename: `${at}.jpg`, created_at: "2026-01-01T00:00:00Z",
                ...(at % 2
                    ? { thumbnail_status: "failed", error: { code: "internal", message: `broken ${at}` } }
                    : { thumbnail_status: "ready", ...ready(at) }),
            });
            grid.show(Array.from({ length: 2001 }, (_, at) => ({ id: `p${at}`, photo: photo(at) })), true);
            const frame = () => new Promise((done) => requestAnimationFrame(done));
            const made = new Set();
            const wrong = [];
            // The end of scrolling comes when the test says so, however slow the machine is.
            let endScrolling = null;
            const { setTimeout } = window;
            window.setTimeout = (act, ms) => (ms === 150 ? ((endScrolling = act), 1e9) : setTimeout(act, ms));
            const check = (isFast) => {
                for (const card of root.children) {
                    made.add(card);
                    const at = Number(card.dataset.id.slice(1));
                    const isReady = at % 2 === 0;
                    const told = card.querySelector(".reason").textContent;
                    if (card.querySelector(".card-name").textContent !== `${at}.jpg`) wrong.push(`${at}: name`);
                    if (card.dataset.status !== (isReady ? "ready" : "failed")) wrong.push(`${at}: status`);
                    if (told !== (isReady ? "" : `internalbroken ${at}`)) wrong.push(`${at}: ${told}`);
                    if (card.classList.contains("has-blur") !== isReady) wrong.push(`${at}: preview`);
                    const source = card.querySelector(".thumb").getAttribute("src");
                    const isOwn = Boolean(source?.endsWith(url(at)));
                    if (isOwn && isFast && !seen.has(at)) wrong.push(`${at}: requested while it went by`);
                    if (isReady ? !isOwn && !isFast : source !== null) wrong.push(`${at}: image`);
                    if (card.classList.contains("has-thumb") && !isOwn) wrong.push(`${at}: image of another photo`);
                    if (card.getAttribute("aria-posinset") !== `${at + 1}`) wrong.push(`${at}: position`);
                }
            };
            const seen = new Set();
            const ids = () => [...root.children].map(({ dataset }) => Number(dataset.id.slice(1)));
            for (const [steps, px] of [[20, 30], [60, 150]]) {
                for (let step = 0; step < steps; step += 1) {
                    window.scrollBy(0, px);
                    await frame();
                    await frame();
                    check(px > 100);
                    if (px < 100) ids().forEach((at) => seen.add(at));
                }
            }
            endScrolling();
            const isSorted = () => ids().every((id, at, all) => at === 0 || id === all[at - 1] + 1);
            const deadline = performance.now() + 20000;
            while (!isSorted() && performance.now() < deadline) await frame();
            check(false);
            return { wrong, isSorted: isSorted(), first: ids()[0], made: made.size };
        }"""
    )
    assert found["wrong"] == []
    assert found["isSorted"], "the order for screen readers is that of the photos once scrolling has ended"
    assert found["first"] > 50
    assert found["made"] < 150


@pytest.mark.browser
async def test_every_error_code_has_advice_and_a_retry_only_where_the_same_file_may_succeed(
    modules: Page,
) -> None:
    table: dict[str, dict[str, Any]] = await modules.evaluate(
        """async () => (await import("/dashboard/photos/failures.js")).FAILURES"""
    )
    assert table.keys() == {code.value for code in FaultCode}
    assert all(each["advice"].endswith(".") for each in table.values())
    retryable = {code for code, each in table.items() if each["canRetry"]}
    assert retryable == {"original_missing", "render_timeout", "render_crashed", "storage_unavailable", "internal"}


@pytest.mark.browser
async def test_the_page_knows_by_what_reason_a_lag_is_yet_to_come(modules: Page) -> None:
    known = await modules.evaluate("""async () => (await import("/dashboard/page/stats_panel.js")).LAG_TO_COME""")
    assert known == stats._NOT_ASKED


@pytest.mark.browser
async def test_an_unknown_error_code_is_shown_and_can_be_retried(modules: Page) -> None:
    shown = await modules.evaluate(
        """async () => {
            const { failureOf } = await import("/dashboard/photos/failures.js");
            const errors = [{ code: "melted", message: "too hot" }, null, { code: "constructor" }];
            return errors.map((error) => failureOf({ error }));
        }"""
    )
    assert [each["code"] for each in shown] == ["melted", "failed", "constructor"]
    assert all(each["canRetry"] and each["advice"] and each["message"] for each in shown)


@pytest.mark.browser
async def test_the_age_on_a_card_is_the_time_since_the_last_change_of_status(modules: Page) -> None:
    shown = await modules.evaluate(
        """async () => {
            const { Card } = await import("/dashboard/photos/card.js");
            const ago = (seconds) => new Date(Date.now() - seconds * 1000).toISOString();
            const card = new Card();
            return ["processing", "ready"].map((status) => {
                card.show({ id: "a", thumbnail_status: status, created_at: ago(7200), status_changed_at: ago(180) });
                const age = card.element.querySelector(".card-age");
                return [age.textContent, age.title];
            });
        }"""
    )
    assert shown == [["3 min", f"{status} for 3 min, uploaded 2 h ago"] for status in ("processing", "ready")]


def tokens(scheme: str) -> dict[str, str]:
    """The colours of a scheme, from css/tokens.css."""
    light, dark = (FOLDER / "css/tokens.css").read_text().split("@media (prefers-color-scheme: dark)")
    read = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light))
    return read if scheme == "light" else read | dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark))


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("text", ["text", "muted", "pending", "processing", "ready", "failed"])
@pytest.mark.parametrize("background", ["background", "surface", "inset"])
def test_every_text_has_enough_contrast_on_every_background(scheme: str, text: str, background: str) -> None:
    colours = tokens(scheme)
    assert contrast(colours[text], colours[background]) >= AA


def test_the_page_uses_nothing_that_its_content_security_policy_forbids() -> None:
    page = (FOLDER / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page)
    for file in FOLDER.rglob("*.*"):
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"""(src|href|url|import|fetch)[\s(="']+(https?:)?//""", text), file.name
        assert "innerHTML" not in text, file.name
        assert file.suffix != ".svg" or not re.search(r"<style|\sstyle=|<script|\son[a-z]+=", text), file.name


@pytest.mark.browser
async def test_the_tile_says_how_many_wait_and_roughly_how_long(modules: Page) -> None:
    cases = {
        (127, 4.2): "127 waiting, about 30 s",
        (20, 11.0): "20 waiting, under 10 s",
        (127, 0.0): "127 waiting, for how long is not known",
        (1_000, 3.0): "1,000 waiting, about 6 min",
        (5_000, 3.0): "5,000 waiting, about 30 min",
        (54_000, 5.0): "54,000 waiting, about 3 h",
        (900_000, 5.0): "900,000 waiting, a day or more",
        (0, 3.0): "0 waiting",
    }
    said = await modules.evaluate(
        """async (cases) => {
            const { waitingText } = await import("/dashboard/photos/waiting_tile.js");
            return cases.map(([pending, rate]) => waitingText(pending, rate));
        }""",
        [list(case) for case in cases],
    )
    assert said == list(cases.values())
