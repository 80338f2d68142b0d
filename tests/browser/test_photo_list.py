"""Which photos the sheet shows while many wait: in which order, from how many on, and what is dropped of very many."""

from typing import Any, Final

import pytest
from playwright.async_api import Page

pytestmark = pytest.mark.browser

#: A list on a server of its own; ``sheet()`` is what is shown, once that rests. A photo of a higher number is newer.
_LIST: Final = """
async () => {
    document.body.innerHTML = `<section><button id="newer"></button><button id="list-retry"></button>
        <button id="waiting"><span id="waiting-text"></span></button><p id="empty"></p><p id="list-note"></p>
    </section>`;
    const { Pager } = await import("/dashboard/photos/pager.js");
    const { PhotoList } = await import("/dashboard/photos/photo_list.js");
    const { PhotoStore } = await import("/dashboard/photos/photo_store.js");
    const { WaitingTile } = await import("/dashboard/photos/waiting_tile.js");
    const onServer = new Map();
    let requests = 0;
    const client = {
        async list({ status, cursor, limit }) {
            requests += 1;
            const wanted = (photo) => !status || status.split(",").includes(photo.thumbnail_status);
            const found = [...onServer.values()].filter((photo) => wanted(photo) && (!cursor || photo.id < cursor));
            const items = found.sort((one, other) => (one.id < other.id ? 1 : -1)).slice(0, limit);
            return { items, next_cursor: found.length > limit ? items.at(-1).id : null };
        },
    };
    let shown = [];
    const grid = { isScrolledAway: false, draw() {}, show: (entries) => (shown = entries.map(({ photo }) => photo)) };
    const store = new PhotoStore(() => list.draw());
    const pager = new Pager(client, store, { status: "", query: "" });
    const list = new PhotoList({ store, grid, pager, tile: new WaitingTile(() => {}), isHidden: () => false });
    const atRest = async () => {
        const rest = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        for (let before = null, same = 0; same < 90; before = text) {
            await rest();
            var text = JSON.stringify(shown.map(({ id, thumbnail_status: status }) => [id, status]));
            same = text === before ? same + 1 : 0;
        }
    };
    const at = (number) => new Date(Date.UTC(2026, 0, 1) + number * 1000).toISOString().replace("Z", "000Z");
    let changes = 0;
    window.photos = {
        list, store,
        has(number, status) {
            const id = String(1_000_000 + number);
            const times = { created_at: at(number), updated_at: at(++changes) };
            onServer.set(id, { id, thumbnail_status: status, filename: `${number}`, ...times });
            return onServer.get(id);
        },
        changes: (number, status) => store.applyMessage({ event: "thumbnails", photo: photos.has(number, status) }),
        waiting: (pending, rate = 4.2) => list.setStats({ counts: { pending }, photos_per_second: rate }),
        pointer(what) {
            document.querySelector("section").dispatchEvent(new PointerEvent(what, { pointerType: "mouse" }));
        },
        tile() {
            const { hidden, textContent } = document.getElementById("waiting");
            return hidden ? "" : textContent;
        },
        requests: () => requests,
        sheet: async () => {
            await atRest();
            return shown.map(({ filename, thumbnail_status: status }) => `${status} ${filename}`);
        },
    };
}
"""


async def run(page: Page, steps: str) -> Any:
    """What ``steps`` return of a new list."""
    await page.evaluate(_LIST)
    return await page.evaluate(f"async () => {{ {steps} }}")


async def test_behind_the_tile_come_the_photos_that_are_rendered_then_the_newest(modules: Page) -> None:
    steps = """
        for (const number of [1, 2, 5]) photos.has(number, "ready");
        photos.has(3, "failed");
        for (const number of [4, 6]) photos.has(number, "processing");
        for (let number = 7; number < 17; number += 1) photos.has(number, "pending");
        photos.waiting(10);
        photos.list.reload();
        const before = [await photos.sheet(), photos.tile()];
        for (let number = 17; number < 134; number += 1) photos.changes(number, "pending");
        photos.waiting(127);
        const during = [await photos.sheet(), photos.tile()];
        photos.changes(8, "processing");
        photos.changes(4, "ready");
        const later = await photos.sheet();
        for (let number = 7; number < 130; number += 1) photos.changes(number, "ready");
        photos.waiting(4);
        const after = [await photos.sheet(), photos.tile()];
        return { before, during, later, after };
    """
    found = await run(modules, steps)
    old = ["processing 6", "ready 5", "processing 4", "failed 3", "ready 2", "ready 1"]
    assert found["before"] == [[*(f"pending {number}" for number in range(16, 6, -1)), *old], ""]
    rendered_first = ["processing 6", "processing 4", "ready 5", "failed 3", "ready 2", "ready 1"]
    assert found["during"] == [rendered_first, "127 waiting, about 30 s"]
    assert found["later"] == ["processing 8", "processing 6", "ready 5", "ready 4", "failed 3", "ready 2", "ready 1"]
    first_page = [f"pending {number}" for number in range(133, 129, -1)]
    first_page += [f"ready {number}" for number in range(129, 33, -1)]
    assert found["after"] == [first_page, ""]


async def test_behind_the_tile_nothing_moves_while_the_pointer_is_on_the_sheet(modules: Page) -> None:
    steps = """
        for (const number of [1, 3]) photos.has(number, "ready");
        for (const number of [2, 4]) photos.has(number, "processing");
        photos.waiting(127);
        photos.list.reload();
        const before = await photos.sheet();
        photos.pointer("pointerenter");
        photos.changes(4, "ready");
        photos.changes(5, "processing");
        photos.waiting(0);
        const resting = [await photos.sheet(), document.getElementById("newer").textContent, photos.tile()];
        photos.pointer("pointerleave");
        return { before, resting, after: [await photos.sheet(), photos.tile()] };
    """
    found = await run(modules, steps)
    assert found["before"] == ["processing 4", "processing 2", "ready 3", "ready 1"]
    assert found["resting"] == [["ready 4", "processing 2", "ready 3", "ready 1"], "\u2191 1 new", "0 waiting"]
    assert found["after"] == [["processing 5", "ready 4", "ready 3", "processing 2", "ready 1"], ""]


async def test_more_than_twelve_fold_into_the_tile_and_only_six_unfold_it(modules: Page) -> None:
    steps = """
        photos.has(1, "ready");
        photos.has(2, "pending");
        photos.list.reload();
        const seen = [];
        for (const pending of [12, 13, 200, 12, 7, 6, 12, 13]) {
            photos.waiting(pending);
            seen.push([pending, (await photos.sheet()).length, photos.tile() !== ""]);
        }
        return seen;
    """
    folded = {13, 200}
    found = await run(modules, steps)
    expected = [False, True, True, True, True, False, False, True]
    assert [is_folded for *_, is_folded in found] == expected
    assert all(is_folded for pending, _, is_folded in found if pending in folded)
    assert [cards for _, cards, _ in found] == [1 if is_folded else 2 for is_folded in expected]


async def test_of_very_many_photos_those_behind_the_tile_are_dropped_first_then_the_oldest(modules: Page) -> None:
    steps = """
        for (let number = 1; number <= 50; number += 1) photos.has(number, "ready");
        photos.waiting(5_000);
        photos.list.reload();
        const before = await photos.sheet();
        const come = (first, last, status) => {
            for (let number = first; number <= last; number += 1) {
                photos.changes(number, status);
                photos.list.trim();
            }
        };
        come(51, 4_001, "pending");
        const behind = [await photos.sheet(), photos.store.size];
        come(5_001, 10_000, "ready");
        const kept = [await photos.sheet(), photos.store.size];
        return { before, behind, kept };
    """
    found = await run(modules, steps)
    first = [f"ready {number}" for number in range(50, 0, -1)]
    assert found["before"] == first
    assert found["behind"] == [first, 50]
    shown, size = found["kept"]
    assert shown == [f"ready {number}" for number in range(10_000, 10_000 - size, -1)]
    assert 3_000 <= size <= 4_000


async def test_what_was_dropped_is_loaded_again_without_what_was_kept(modules: Page) -> None:
    steps = """
        for (let number = 1; number <= 5_000; number += 1) photos.has(number, "ready");
        await photos.list.reload();
        for (let page = 2; page <= 45; page += 1) {
            while (photos.store.size < page * 100) {
                photos.list.loadMore();
                await new Promise((done) => setTimeout(done));
            }
        }
        photos.changes(5_001, "ready");
        photos.list.trim();
        const kept = await photos.sheet();
        const before = photos.requests();
        photos.list.loadMore();
        return { kept, more: (await photos.sheet()).slice(kept.length), requests: photos.requests() - before };
    """
    found = await run(modules, steps)
    assert found["kept"] == [f"ready {number}" for number in range(5_001, 2_001, -1)]
    assert found["more"] == ["ready 2001"]  # the page that it was on began before
    assert found["requests"] == 1
