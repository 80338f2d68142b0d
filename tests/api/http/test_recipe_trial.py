"""Another recipe, tried on photos that are there: what is answered, and that nothing is left of it."""

import asyncio
import json
import os
import signal
from base64 import b64decode
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from PIL import Image

from api.http.app_keys import DATABASE, RECIPE_TRIALS
from api.photos.recipe_trial.trial import NotComparable, RecipeTrials
from api.projection.apply import project
from api.store.tables import PhotoRow
from deployment import descendants_of
from infra.settings import Settings
from infra.storage.client import open_storage
from photos import photo, truncated_photo
from pipeline.render_pool.deadline import TimeLimits
from polling import poll_async
from result_events import ready
from running_api import WORKSPACE, Running, form, running_api
from schemas.renditions import DEFAULT_RENDITIONS, Rendition, recipe_of
from schemas.storage_keys import key_of_original

TRIAL: Final = "/v1/recipes/trial"

#: The first is another one, the second is today's, the third is new; today's large one goes.
RECIPE: Final = (
    Rendition(name="small", max_edge=100, format="avif", quality=40),
    DEFAULT_RENDITIONS[1],
    Rendition(name="square", max_edge=64, fit="cover", format="png"),
)


@pytest.fixture
async def api(no_kafka: Settings, database_url: str) -> AsyncIterator[Running]:
    async with running_api(no_kafka.model_copy(update={"database_url": database_url})) as running:
        yield running


async def post_ready(api: Running, content: bytes, filename: str = "cat.jpg") -> str:
    """A photo that a worker says it has rendered."""
    async with api.client.post(api.photos, data=form(content, filename)) as response:
        photo_id = str((await response.json())["id"])
    event = ready(await api.upload_of(photo_id))
    await api.app[DATABASE].write(lambda session: project(session, [event]))
    return photo_id


def order(**more: Any) -> dict[str, Any]:
    return {"workspace_id": WORKSPACE, "renditions": [each.model_dump() for each in RECIPE], **more}


async def lines_of(api: Running, **more: Any) -> list[dict[str, Any]]:
    async with api.client.post(TRIAL, json=order(**more)) as response:
        text = await response.text()
        assert (response.status, response.content_type) == (200, "application/x-ndjson"), text
    found = [json.loads(line) for line in text.splitlines()]
    return [line for line in found if line["type"] != "heartbeat"]


def everything_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Each file with its size and when it was written."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


async def test_both_recipes_are_rendered_and_nothing_is_written(api: Running) -> None:
    ids = {await post_ready(api, photo(seed=seed)) for seed in range(2)}
    ids |= {await post_ready(api, photo(kind="PNG", orientation=6), "dog.png")}
    await api.post(photo(seed=9))  # it is not ready
    stored, shown = everything_in(api.settings.data_dir / "storage"), await api.get()
    start, *photos, total = await lines_of(api)
    assert start == {"type": "start", "photos": 3, "recipe": recipe_of(RECIPE)}
    assert {each["photo"]["id"] for each in photos} == ids
    for each in photos:
        assert each["photo"] in shown["items"]
        by_name = {rendition["name"]: rendition for rendition in each["renditions"]}
        assert list(by_name) == ["small", "medium", "square", "large"]
        assert by_name["square"]["today"] is by_name["large"]["trial"] is None
        assert by_name["medium"]["today"] == by_name["medium"]["trial"]
        for which in ("today", "trial"):
            thumbnails = [rendition[which] for rendition in each["renditions"] if rendition[which]]
            assert each[which]["file_size"] == sum(thumbnail["file_size"] for thumbnail in thumbnails)
            assert each[which]["seconds"] > 0
            for thumbnail in thumbnails:
                content = b64decode(thumbnail["image"])
                assert len(content) == thumbnail["file_size"]
                with Image.open(BytesIO(content)) as image:
                    assert image.size == (thumbnail["width"], thumbnail["height"])
                    assert Image.MIME[image.format or ""] == thumbnail["content_type"]
        assert by_name["small"]["trial"]["content_type"] == "image/avif"
        assert by_name["square"]["trial"]["width"] == by_name["square"]["trial"]["height"] == 64
    assert (total["photos"], total["failed"]) == (3, 0)
    for which in ("today", "trial"):
        assert total[which]["file_size"] == sum(each[which]["file_size"] for each in photos)
        assert total[which]["file_size"] == sum(rendition[which] or 0 for rendition in total["renditions"])
    assert total["setting"].startswith("THUMBSTREAM_RENDITIONS='[{")
    rerender = total["rerender"]
    assert (rerender["photos"], rerender["slots"], rerender["seconds"]) == (3, None, None)
    assert rerender["unknown_reason"] == "Kafka does not answer"
    assert 0 < rerender["render_seconds"] < total["trial"]["seconds"]
    lying = sum(len(name) for name in ("small", "medium", "large")) * 3  # as result_events has it
    assert rerender["byte_difference"] == total["trial"]["file_size"] - lying
    kept = next(rendition["trial"] for rendition in total["renditions"] if rendition["name"] == "medium")
    assert rerender["new_bytes"] == total["trial"]["file_size"] - kept
    assert everything_in(api.settings.data_dir / "storage") == stored
    assert await api.get() == shown
    async with api.client.get("/v1/recipes") as response:
        renditions = (await response.json())["renditions"]
    assert renditions == [each.model_dump() for each in DEFAULT_RENDITIONS]


async def test_what_is_wrong_with_one_photo_is_told_and_the_others_go_on(lonely_api: Running) -> None:
    names = ("torn.jpg", "gone.jpg", "whole.jpg")
    ids = {name: await post_ready(lonely_api, photo(seed=seed), name) for seed, name in enumerate(names)}
    originals = lonely_api.settings.data_dir / "storage"
    for name, content in {"torn.jpg": truncated_photo(), "gone.jpg": None}.items():
        path = originals / key_of_original(WORKSPACE, UUID(ids[name]))
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    _, torn, gone, whole, total = await lines_of(lonely_api, photo_ids=[ids[name] for name in names])
    assert (torn["error"]["code"], torn["error"]["recipe"]) == ("checksum_mismatch", "today")
    assert (gone["error"]["code"], gone["error"]["recipe"]) == ("original_missing", None)
    assert whole["photo"]["id"] == ids["whole.jpg"]
    assert (total["photos"], total["failed"], total["rerender"]["photos"]) == (1, 2, 3)
    *_, nothing = await lines_of(lonely_api, photo_ids=[ids["gone.jpg"]])
    assert (nothing["photos"], nothing["failed"], nothing["rerender"]["render_seconds"]) == (0, 1, None)


@pytest.mark.parametrize("storage_url", [None, "memory://trial"], ids=["folder", "copied"])
async def test_a_corrupt_original_and_one_that_takes_too_long_cost_their_own_place_only(
    tmp_path: Path, storage_url: str | None
) -> None:
    settings = Settings(data_dir=tmp_path, storage_url=storage_url, _env_file=None)
    storage = open_storage(settings)
    rows = [PhotoRow(id=uuid4(), workspace_id=WORKSPACE) for _ in range(3)]
    try:
        for row, content in zip(rows, (truncated_photo(), b"no image", photo()), strict=True):
            row.storage_key = key_of_original(WORKSPACE, row.id)
            await storage.write(row.storage_key, content)
        foreign = PhotoRow(id=uuid4(), workspace_id="rival", storage_key=rows[2].storage_key)
        async with RecipeTrials(settings, storage).begin(RECIPE) as trial:
            results = [await trial.compare(row) for row in (*rows, foreign)]
        told = [isinstance(each, NotComparable) and (each.fault.code, each.failed_with) for each in results]
        assert told == [("unreadable", "today"), ("unsupported_format", "today"), False, ("original_missing", None)]
        at_once = TimeLimits(cpu_base_seconds=0, cpu_seconds_per_megapixel=0)
        async with RecipeTrials(settings, storage, limits=at_once).begin(RECIPE) as trial:
            results = [await trial.compare(row) for row in (rows[2], rows[2])]
        codes = [isinstance(each, NotComparable) and each.fault.code for each in results]
        assert codes == ["render_timeout", "render_timeout"]
        small = settings.model_copy(update={"max_upload_bytes": 100})
        async with RecipeTrials(small, storage).begin(RECIPE) as trial:
            result = await trial.compare(rows[2])
        assert isinstance(result, NotComparable)
        assert result.fault.code == "original_too_large"
    finally:
        await storage.erase_under("originals")
        await storage.close()


async def test_a_second_trial_at_once_is_refused_and_one_that_is_over_leaves_room(lonely_api: Running) -> None:
    await post_ready(lonely_api, photo())
    async with lonely_api.app[RECIPE_TRIALS].begin(RECIPE), lonely_api.client.post(TRIAL, json=order()) as response:
        assert response.status == 409
        assert "another recipe is being tried" in (await response.json())["detail"]
    assert (await lines_of(lonely_api))[-1]["photos"] == 1


def trial_processes() -> list[int]:
    """Those of this process that render with the low priority of a trial."""
    low = os.getpriority(os.PRIO_PROCESS, 0) + 10
    assert low <= 19, "with a niceness of 10 or more a trial's process cannot be told from others"
    found = []
    for pid in descendants_of(os.getpid()):
        try:
            if os.getpriority(os.PRIO_PROCESS, pid) == low:
                found.append(pid)
        except ProcessLookupError:
            continue
    return found


async def test_a_client_that_goes_takes_the_trial_and_its_process_along(lonely_api: Running) -> None:
    for seed in range(4):
        await post_ready(lonely_api, photo(1600, 1200, seed=seed))
    slow = [{"name": f"r{n}", "max_edge": 1600, "format": "avif", "quality": 90} for n in range(8)]
    response = await lonely_api.client.post(TRIAL, json=order(renditions=slow))
    assert json.loads(await response.content.readline())["type"] == "start"

    async def stopped() -> list[int]:
        pids = trial_processes()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)  # it renders for ever now
        return pids

    (pid,) = await poll_async(stopped, 60, what="the trial renders")
    async with lonely_api.client.post(TRIAL, json=order()) as second:
        assert second.status == 409
    response.close()

    async def gone() -> bool:
        return pid not in descendants_of(os.getpid()) and not trial_processes()

    await poll_async(gone, 60, what="its process is gone")

    async def again() -> bool:
        async with lonely_api.client.post(TRIAL, json=order(photos=1)) as response:
            await response.read()
            return response.status == 200

    await poll_async(again, 60, what="another trial may begin")
    assert not trial_processes()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"renditions": []}, "renditions"),
        ({"renditions": [{"name": "a", "max_edge": 1}, {"name": "a", "max_edge": 2}]}, "renditions"),
        ({"renditions": [{"name": "a", "max_edge": 0}]}, "renditions.0.max_edge"),
        ({"renditions": [{"name": "a", "max_edge": 1, "format": "gif"}]}, "renditions.0.format"),
        ({"renditions": [{"name": "a", "max_edge": 16383}]}, "renditions"),
        ({"renditions": [{"name": f"r{n}", "max_edge": 1} for n in range(13)]}, "renditions"),
        ({"photos": 21}, "photos"),
        ({"photo_ids": []}, "photo_ids"),
        ({"workspace_id": "a/b"}, "workspace_id"),
    ],
)
async def test_a_trial_that_is_not_possible_is_refused(lonely_api: Running, wrong: Any, field: str) -> None:
    async with lonely_api.client.post(TRIAL, json=order(**wrong)) as response:
        body = await response.json()
        assert (response.status, [each["field"] for each in body["errors"]]) == (400, [field]), body


async def test_a_trial_of_no_photo_is_a_404(lonely_api: Running) -> None:
    posted = await lonely_api.post()
    elsewhere = {"workspace_id": "rival", "photo_ids": [posted["id"]]}
    for nothing in ({}, elsewhere, {"photo_ids": [str(uuid4())]}):
        async with lonely_api.client.post(TRIAL, json=order(**nothing)) as response:
            assert response.status == 404
    await asyncio.wait_for(lines_of(lonely_api, photo_ids=[posted["id"], posted["id"]]), 120)
