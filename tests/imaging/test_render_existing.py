"""Thumbnails that exist already: whole ones are kept, the others come out as if none existed."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import imaging.render
from imaging.encode import size_of_whole
from imaging.render import render
from imaging.rendered_photo import RenderedPhoto
from photos import photo
from pictures import written
from schemas.renditions import DEFAULT_RENDITIONS, Format, Rendition

MAX_PIXELS = 10_000_000
FORMATS: tuple[Format, ...] = ("webp", "jpeg", "avif", "png")

#: Sizes near enough to be made from each other, some cropped, one larger than the photo.
CHOICE = [
    Rendition(name=f"{name}-{kind}", max_edge=max_edge, fit="cover" if name == "c" else "inside", format=kind)
    for name, max_edge, kind in [("a", 40, "webp"), ("b", 80, "jpeg"), ("c", 80, "webp"), ("d", 170, "png")]
] + [Rendition(name="e", max_edge=700)]


@pytest.fixture(scope="module", params=["JPEG", "PNG"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("original"), photo(640, 400, kind=request.param))


@pytest.fixture(scope="module")
def full(original: Path) -> RenderedPhoto:
    """The render of the whole :data:`CHOICE`, with which each example compares."""
    return render(original, CHOICE, max_pixels=MAX_PIXELS)


@settings(max_examples=15, deadline=None)
@given(some.permutations(CHOICE), some.sets(some.sampled_from(CHOICE)), some.sets(some.sampled_from(CHOICE)))
def test_whichever_exist_and_in_whatever_order_they_are_named_the_result_is_that_of_a_full_render(
    original: Path, full: RenderedPhoto, named: list[Rendition], existing: set[Rendition], broken: set[Rendition]
) -> None:
    in_full = {each.rendition: each for each in full.thumbnails}
    lying = {rendition: in_full[rendition].content for rendition in existing}
    lying |= {rendition: in_full[rendition].content[:-30] for rendition in broken}
    made = render(original, named, max_pixels=MAX_PIXELS, existing=lying)
    assert made.thumbnails == tuple(in_full[rendition] for rendition in named)
    assert (made.thumbhash, made.perceptual_hash) == (full.thumbhash, full.perceptual_hash)


def test_where_all_exist_no_pixel_of_the_original_is_decoded(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = render(original, DEFAULT_RENDITIONS, max_pixels=MAX_PIXELS)
    lying = {thumbnail.rendition: thumbnail.content for thumbnail in photo.thumbnails}
    monkeypatch.setattr(imaging.render, "decode", None)
    assert render(original, DEFAULT_RENDITIONS, max_pixels=MAX_PIXELS, existing=lying) == photo


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[Rendition, bytes]:
    path = written(tmp_path_factory.mktemp("original"), photo(640, 400))
    renditions = [Rendition(name=kind, max_edge=300, format=kind) for kind in FORMATS]
    return {each.rendition: each.content for each in render(path, renditions, max_pixels=MAX_PIXELS).thumbnails}


@settings(max_examples=200, deadline=None)
@given(some.sampled_from(FORMATS), some.floats(0, 1, exclude_max=True), some.booleans())
def test_a_thumbnail_that_is_cut_short_anywhere_or_lost_its_end_to_zeros_is_not_whole(
    whole: dict[Rendition, bytes], kind: Format, place: float, has_zeros: bool
) -> None:
    (rendition,) = (each for each in whole if each.format == kind)
    content = whole[rendition]
    assert size_of_whole(content, rendition) == (300, 188)
    lost = max(int((1 - place) * len(content)), 64 if has_zeros else 12 if kind == "png" else 1)
    kept = content[: len(content) - lost]
    assert size_of_whole(kept + bytes(lost if has_zeros else 0), rendition) is None


def test_a_thumbnail_of_another_rendition_is_not_whole(whole: dict[Rendition, bytes]) -> None:
    for rendition, content in whole.items():
        for other in whole.keys() - {rendition}:
            assert size_of_whole(content, other) is None
        assert size_of_whole(content, rendition.model_copy(update={"max_edge": 299})) is None
