"""What an upload and a deletion come to, on real storage with a renderer that the test holds in its hand."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import imaging.render
from imaging.hashes import fingerprint_rendition
from imaging.render import render_checked
from imaging.rendered_photo import CheckedPhoto
from infra.metrics import WORKER
from infra.storage import client as storage_module
from infra.storage.client import Storage
from pipeline import thumbnailer as answer_module
from pipeline.render_slots import RenderSlots
from pipeline.thumbnailer import Thumbnailer, failed, started
from polling import poll_async
from schemas.events import PhotoDeleted, PhotoUploaded, ThumbnailsReady
from schemas.faults import (
    ChecksumMismatch,
    Fault,
    Internal,
    OriginalMissing,
    OriginalTooLarge,
    RenderStalled,
    StorageUnavailable,
    Unreadable,
)
from schemas.renditions import DEFAULT_RENDITIONS, Rendition

KEY = "originals/acme/cat"


class InProcess:
    """Renders in this process."""

    async def render(
        self, original: Path, renditions: Sequence[Rendition], *, on_limit: Any, **how: Any
    ) -> CheckedPhoto:
        return await asyncio.to_thread(render_checked, original, renditions, max_pixels=10_000_000, **how)


class CountedStorage(Storage):
    """Local storage that knows what was written to it."""

    def __init__(self, root: Path) -> None:
        super().__init__(LocalFileSystem(), str(root))
        self.written: list[str] = []

    async def write(self, key: str, content: bytes) -> None:
        self.written.append(key)
        await super().write(key, content)

    async def write_and_recheck(self, contents: Mapping[str, bytes], key: str) -> bool:
        self.written += contents
        return await super().write_and_recheck(contents, key)


@cache
def jpeg(width: int = 64, height: int = 48) -> bytes:
    file = BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, "JPEG")
    return file.getvalue()


def upload_of(**changes: object) -> PhotoUploaded:
    fields = {
        "event_id": "upload-1",
        "occurred_at": datetime.now(UTC),
        "photo_id": uuid4(),
        "workspace_id": "acme",
        "storage_key": KEY,
        **changes,
    }
    return PhotoUploaded.model_validate(fields)


def thumbnailer_on(
    storage: Storage, renderer: InProcess, renditions: Sequence[Rendition] = DEFAULT_RENDITIONS
) -> Thumbnailer:
    return Thumbnailer(storage, renderer, renditions, max_bytes=1_000_000, slots=RenderSlots(2))


@pytest.fixture
async def storage(tmp_path):
    opened = CountedStorage(tmp_path)
    yield opened
    await opened.close()


async def keys_in(storage: Storage, folder: str = "thumbnails") -> set[str]:
    return {file.key for file in await storage.list_under(folder)}


async def test_a_ready_photo_has_every_rendition_and_each_lies_in_storage_as_said(storage):
    await storage.write(KEY, jpeg(1000, 500))
    upload = upload_of(item_id="crate-7")
    ready = await thumbnailer_on(storage, InProcess()).process(upload, 3)
    assert (ready.width, ready.height, ready.content_type) == (1000, 500, "image/jpeg")
    assert ready.checksum == f"sha256:{sha256(jpeg(1000, 500)).hexdigest()}"
    assert ready.file_size == len(jpeg(1000, 500))
    assert (ready.caused_by, ready.attempt, ready.item_id) == ("upload-1", 3, "crate-7")
    assert list(ready.thumbnails) == ["small", "medium", "large"]
    for thumbnail in ready.thumbnails.values():
        content = await storage.read(thumbnail.storage_key)
        assert len(content) == thumbnail.file_size
        with Image.open(BytesIO(content)) as image:
            assert image.size == (thumbnail.width, thumbnail.height)
            assert Image.MIME[image.format] == thumbnail.content_type
    assert await keys_in(storage) == {thumbnail.storage_key for thumbnail in ready.thumbnails.values()}


@pytest.mark.parametrize("checksum", [None, f"sha256:{sha256(jpeg()).hexdigest()}"], ids=["unsaid", "said"])
async def test_a_redelivered_upload_renders_and_writes_nothing_and_says_the_same(storage, checksum, monkeypatch):
    await storage.write(KEY, jpeg())
    upload = upload_of(checksum=checksum)
    first = await thumbnailer_on(storage, InProcess()).process(upload, 1)
    storage.written.clear()
    monkeypatch.setattr(imaging.render, "decode", None)
    again = await thumbnailer_on(storage, InProcess()).process(upload, 1)
    assert said_by(again) == said_by(first)
    assert storage.written == []


def said_by(ready: ThumbnailsReady) -> dict[str, object]:
    return ready.model_dump(exclude={"occurred_at", "render_seconds"})


THREE = (
    Rendition(name="first", max_edge=16),
    Rendition(name="second", max_edge=24, format="jpeg"),
    Rendition(name="third", max_edge=40, format="png"),
)
OTHER_SETTINGS = {"max_edge": 20, "quality": 60, "format": "avif", "fit": "cover", "background": "#000000"}


@st.composite
def changed_settings(draw):
    """Three renditions, some of them changed, dropped or added to, in any order; and those that are new."""
    kept = {rendition.name: rendition for rendition in THREE}
    for name in draw(st.sets(st.sampled_from(sorted(kept)))):
        changes = draw(st.sets(st.sampled_from(sorted(OTHER_SETTINGS)), min_size=1))
        kept[name] = kept[name].model_copy(update={change: OTHER_SETTINGS[change] for change in changes})
    for name in draw(st.sets(st.sampled_from(sorted(kept)), max_size=2)):
        del kept[name]
    if draw(st.booleans()):
        kept["fourth"] = Rendition(name="fourth", max_edge=8)
    return draw(st.permutations(list(kept.values())))


@settings(deadline=None, max_examples=40)
@given(changed=changed_settings())
def test_after_any_change_of_the_renditions_only_new_files_are_written_and_the_rest_is_said_as_before(
    changed, tmp_path_factory
):
    async def scenario() -> None:
        storage = CountedStorage(tmp_path_factory.mktemp("storage"))
        await storage.write(KEY, jpeg())
        upload = upload_of()
        before = await thumbnailer_on(storage, InProcess(), THREE).process(upload, 1)
        storage.written.clear()
        after = await thumbnailer_on(storage, InProcess(), changed).process(upload, 1)
        old_keys = {thumbnail.storage_key for thumbnail in before.thumbnails.values()}
        new_keys = {thumbnail.storage_key for thumbnail in after.thumbnails.values()}
        assert sorted(storage.written) == sorted(new_keys - old_keys)
        assert list(after.thumbnails) == [rendition.name for rendition in changed]
        for name, thumbnail in after.thumbnails.items():
            if thumbnail.storage_key in old_keys:
                assert thumbnail == before.thumbnails[name]
        if fingerprint_rendition(changed) in THREE and fingerprint_rendition(changed) == fingerprint_rendition(THREE):
            assert (after.thumbhash, after.perceptual_hash) == (before.thumbhash, before.perceptual_hash)
        await storage.close()

    asyncio.run(scenario())


async def test_one_of_three_renditions_changed_for_twenty_photos_is_twenty_files_written(storage):
    uploads = [upload_of(storage_key=f"originals/acme/{number}") for number in range(20)]
    for number, upload in enumerate(uploads):
        await storage.write(upload.storage_key, jpeg(64 + number, 48))
        await thumbnailer_on(storage, InProcess(), THREE).process(upload, 1)
    storage.written.clear()
    changed = (THREE[0].model_copy(update={"quality": 60}), *THREE[1:])
    for upload in uploads:
        await thumbnailer_on(storage, InProcess(), changed).process(upload, 1)
    assert len(storage.written) == 20
    assert {key.rpartition("/")[2].partition("-")[0] for key in storage.written} == {"first"}


def zeros_from(content: bytes, at: int) -> bytes:
    return content[:at] + bytes(len(content) - at)


@pytest.mark.parametrize("name", ["small", "medium", "large"])
@pytest.mark.parametrize(
    "damaged",
    [
        lambda content: None,
        lambda content: b"",
        lambda content: content[:-100],
        lambda content: content[:10],
        lambda content: bytes(len(content)),
        lambda content: zeros_from(content, len(content) - 100),
        lambda content: b"no image",
        lambda content: jpeg(),
    ],
    ids=["gone", "empty", "cut short", "ten bytes", "all zeros", "zeros at its end", "text", "of another format"],
)
async def test_a_thumbnail_that_is_gone_or_broken_is_made_again_as_it_was_and_no_other_is_touched(
    storage, name, damaged
):
    await storage.write(KEY, jpeg(1000, 800))
    upload = upload_of()
    ready = await thumbnailer_on(storage, InProcess()).process(upload, 1)
    key = ready.thumbnails[name].storage_key
    content = await storage.read(key)
    if (broken := damaged(content)) is None:
        await storage.erase([key])
    else:
        await storage.write(key, broken)
    storage.written.clear()
    again = await thumbnailer_on(storage, InProcess()).process(upload, 1)
    assert storage.written == [key]
    assert await storage.read(key) == content
    assert said_by(again) == said_by(ready)


async def test_a_photo_is_said_to_render_when_it_has_its_slot_and_not_before(storage):
    await storage.write(KEY, jpeg())
    slots = RenderSlots(1)
    thumbnailer = Thumbnailer(storage, InProcess(), DEFAULT_RENDITIONS, max_bytes=1_000_000, slots=slots)
    rendering = asyncio.Event()
    async with slots.hold(upload_of(), 1):
        answering = asyncio.ensure_future(thumbnailer.process(upload_of(), 1, rendering.set))
        await poll_async(lambda: slots.queued == 1, what="it waits for a slot")
        assert not rendering.is_set()
    await answering
    assert rendering.is_set()


async def test_a_photo_without_an_original_never_renders(storage):
    await storage.check()
    rendering = asyncio.Event()
    with pytest.raises(OriginalMissing):
        await thumbnailer_on(storage, InProcess()).process(upload_of(), 1, rendering.set)
    assert not rendering.is_set()


async def test_an_original_that_is_not_there_is_missing(storage):
    await storage.check()
    with pytest.raises(OriginalMissing):
        await thumbnailer_on(storage, InProcess()).process(upload_of(), 1)


async def test_an_original_over_the_limit_is_not_even_read(storage):
    await storage.write(KEY, b"\xff" * 1_000_001)
    with pytest.raises(OriginalTooLarge, match="1000001"):
        await thumbnailer_on(storage, InProcess()).process(upload_of(checksum="sha256:" + "0" * 64), 1)


@pytest.mark.parametrize("content", [jpeg(), jpeg()[:200]], ids=["whole", "half-written"])
async def test_a_checksum_that_does_not_fit_fails_the_photo_whatever_else_is_wrong_with_it(storage, content):
    await storage.write(KEY, content)
    with pytest.raises(ChecksumMismatch):
        await thumbnailer_on(storage, InProcess()).process(upload_of(checksum="sha256:" + "0" * 64), 1)
    assert await keys_in(storage) == set()


class Failing(InProcess):
    """Renders nothing, after something has happened to the original."""

    def __init__(self, fault: Fault, happening: Callable[[Path], object]) -> None:
        self._fault, self._happening = fault, happening

    async def render(
        self, original: Path, renditions: Sequence[Rendition], *, on_limit: Any, **how: Any
    ) -> CheckedPhoto:
        self._happening(original)
        raise self._fault


def unreadable(original: Path) -> None:
    """What reads it gets the error of a process's memory, which has no byte 0."""
    original.unlink()
    original.symlink_to("/proc/self/mem")


@pytest.mark.parametrize("fault", [Internal("a fault of ours"), RenderStalled("it hangs")], ids=["internal", "stalled"])
@pytest.mark.parametrize(
    ("happening", "kind"),
    [(Path.unlink, OriginalMissing), (unreadable, StorageUnavailable), (Path.exists, None)],
    ids=["gone", "unreadable", "as it was"],
)
async def test_an_original_that_cannot_be_read_any_more_is_no_fault_of_the_renderer(storage, fault, happening, kind):
    await storage.write(KEY, jpeg())
    with pytest.raises(kind or type(fault)) as raised:
        await thumbnailer_on(storage, Failing(fault, happening)).process(upload_of(), 1)
    assert KEY in str(raised.value) or kind is None


async def test_a_checksum_that_fits_is_the_results(storage):
    await storage.write(KEY, jpeg())
    fitting = upload_of(checksum=f"SHA256:{sha256(jpeg()).hexdigest()}")
    assert (await thumbnailer_on(storage, InProcess()).process(fitting, 1)).checksum == fitting.checksum


async def test_a_photo_that_cannot_be_read_leaves_no_file(storage):
    await storage.write(KEY, jpeg()[:200])
    with pytest.raises(Unreadable):
        await thumbnailer_on(storage, InProcess()).process(upload_of(), 1)
    assert await keys_in(storage) == set()


class FullStorage(Storage):
    """Takes one file and has no room for another."""

    async def write_and_recheck(self, contents: Mapping[str, bytes], key: str) -> bool:
        await super().write_and_recheck(dict(list(contents.items())[:1]), key)
        raise StorageUnavailable("no space left")


async def test_a_write_that_fails_is_a_fault_and_the_next_attempt_writes_what_is_missing(storage, tmp_path):
    await storage.write(KEY, jpeg())
    upload, renderer = upload_of(), InProcess()
    full = FullStorage(storage._fs, str(tmp_path))
    with pytest.raises(StorageUnavailable):
        await thumbnailer_on(full, renderer).process(upload, 1)
    await full.close()
    ready = await thumbnailer_on(storage, renderer).process(upload, 2)
    assert await keys_in(storage) == {thumbnail.storage_key for thumbnail in ready.thumbnails.values()}


async def test_a_deletion_erases_original_and_thumbnails_of_its_photo_and_no_other(storage):
    await storage.write(KEY, jpeg())
    thumbnailer, upload, other = thumbnailer_on(storage, InProcess()), upload_of(), upload_of()
    await thumbnailer.process(upload, 1)
    kept = await thumbnailer.process(other, 1)
    deletion = PhotoDeleted(
        event_id="deletion-1",
        occurred_at=datetime.now(UTC),
        photo_id=upload.photo_id,
        workspace_id="acme",
        storage_key=KEY,
        erase_original=True,
    )
    result = await thumbnailer.erase(deletion)
    again = await thumbnailer.erase(deletion)
    assert (result.caused_by, result.event_id) == ("deletion-1", again.event_id)
    assert not await storage.exists(KEY)
    assert await keys_in(storage) == {thumbnail.storage_key for thumbnail in kept.thumbnails.values()}


async def test_a_checksum_on_a_hung_mount_is_given_up_and_is_a_fault_of_storage(storage, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(answer_module, "checksum_of", lambda *_: released.wait())
    await storage.write(KEY, jpeg())
    upload = upload_of()  # says no checksum, and its thumbnails are named by it
    await thumbnailer_on(storage, InProcess()).process(upload, 1)
    monkeypatch.setattr(storage_module, "_ANSWER_SECONDS", 0.2)
    with pytest.raises(StorageUnavailable, match=f"storage does not answer: reading {KEY}"):
        await thumbnailer_on(storage, InProcess()).process(upload, 1)
    released.set()


@pytest.mark.parametrize(
    ("key", "erase_foreign", "is_erased"),
    [
        ("originals/acme/cat", False, True),
        ("incoming/cat", False, False),
        ("incoming/cat", True, True),
        ("thumbnails/acme/other-photo/small.webp", True, False),
        ("originals/other/cat", True, False),
    ],
)
async def test_an_original_outside_the_workspaces_folder_goes_only_where_the_settings_say_so(
    storage, key, erase_foreign, is_erased
):
    await storage.write(key, jpeg())
    thumbnailer = Thumbnailer(
        storage, InProcess(), DEFAULT_RENDITIONS, max_bytes=1_000_000, slots=RenderSlots(1),
        erase_foreign_originals=erase_foreign,
    )  # fmt: skip
    fields = {**upload_of(storage_key=key).model_dump(), "event_id": "deletion-1"}
    await thumbnailer.erase(PhotoDeleted.model_validate(fields))
    assert await storage.exists(key)
    await thumbnailer.erase(PhotoDeleted.model_validate({**fields, "erase_original": True}))
    assert await storage.exists(key) is not is_erased


@pytest.mark.parametrize("key", ["n" * 260 + ".jpg", "originals/acme/cat/below", "originals/acme"])
async def test_a_key_at_which_nothing_can_lie_is_a_missing_original_that_is_named_and_erased_already(storage, key):
    await storage.write(KEY, jpeg())
    thumbnailer, upload = thumbnailer_on(storage, InProcess()), upload_of(storage_key=key)
    with pytest.raises(OriginalMissing) as raised:
        await thumbnailer.process(upload, 1)
    assert key in failed(upload, 1, raised.value).error.message
    assert storage._root not in str(raised.value)
    deletion = {**upload.model_dump(), "event_id": "deletion-1", "erase_original": True}
    await thumbnailer.erase(PhotoDeleted.model_validate(deletion))
    assert await storage.exists(KEY)


class Interleaved(Storage):
    """Real storage whose calls go on one at a time, in an order that the test chooses."""

    def choose_by(self, choices: list[bool]) -> None:
        self._choices = iter(choices)
        self._turn = asyncio.Condition()

    async def _call(self, function, *arguments, **_):
        for _ in range(next(self._choices, 0)):
            await asyncio.sleep(0)
        return function(*arguments)


@settings(deadline=None, max_examples=80)
@given(choices=st.lists(st.integers(0, 12), max_size=40), head_start=st.integers(0, 30))
def test_a_photo_that_is_deleted_while_it_renders_leaves_no_file_in_any_interleaving(
    choices, head_start, tmp_path_factory
):
    root = tmp_path_factory.mktemp("storage")

    async def scenario() -> None:
        files = LocalFileSystem()
        plain, storage = Storage(files, str(root)), Interleaved(files, str(root))
        await plain.write(KEY, jpeg())
        storage.choose_by(choices)
        upload = upload_of()
        deletion = PhotoDeleted.model_validate(
            {**upload.model_dump(), "event_id": "deletion-1", "erase_original": True}
        )
        thumbnailer = thumbnailer_on(storage, Quick())
        answering = asyncio.ensure_future(thumbnailer.process(upload, 1))
        for _ in range(head_start):
            await asyncio.sleep(0)
        await thumbnailer.erase(deletion)
        outcome = (await asyncio.gather(answering, return_exceptions=True))[0]
        assert await keys_in(plain) == set()
        assert not await plain.exists(KEY)
        assert not isinstance(outcome, BaseException) or isinstance(outcome, Fault)
        await plain.close()
        await storage.close()

    asyncio.run(scenario())


class Quick(InProcess):
    """Renders without leaving the event loop, so that the interleaving is the test's alone."""

    async def render(
        self, original: Path, renditions: Sequence[Rendition], *, on_limit: Any, **how: Any
    ) -> CheckedPhoto:
        await asyncio.sleep(0)
        return render_checked(original, renditions, max_pixels=10_000_000, **how)


def test_results_of_one_upload_have_ids_of_their_own_that_never_change():
    upload, now = upload_of(), datetime.now(UTC)
    fault = Unreadable("broken\nin   two lines")
    assert started(upload, 1, now).event_id == started(upload, 1, now).event_id
    assert started(upload, 1, now).event_id != started(upload, 2, now).event_id
    assert failed(upload, 1, fault).event_id == failed(upload, 8, fault).event_id
    assert failed(upload, 1, fault).error.message == "broken in two lines"
    assert started(upload, 1, now).uploaded_at == upload.occurred_at
    assert UUID(failed(upload, 1, fault).event_id).version == 5


async def test_renders_are_timed_by_format_and_rendition_and_what_exists_is_not(storage):
    def counts() -> list[float]:
        whole = WORKER.get_sample_value("thumbstream_render_seconds_count", {"format": "jpg"})
        parts = [
            WORKER.get_sample_value(
                "thumbstream_rendition_seconds_count", {"format": "jpg", "rendition": rendition.name}
            )
            for rendition in DEFAULT_RENDITIONS
        ]
        return [count or 0 for count in (whole, *parts)]

    await storage.write(KEY, jpeg(400, 300))
    before, upload = counts(), upload_of()
    for _ in range(2):  # the second time all thumbnails are there
        await thumbnailer_on(storage, InProcess()).process(upload, 1)
    assert counts() == [count + 1 for count in before]
    assert WORKER.get_sample_value("thumbstream_photos_rendering") == 0
