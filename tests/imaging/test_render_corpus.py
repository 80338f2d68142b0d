"""Every file of the corpus becomes the right thumbnails, or fails with the right code."""

from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from corpus import MAX_PIXELS, Shown, Specimen, corpus, written_as
from imaging.render import render
from imaging.rendered_photo import Rendered, RenderedPhoto
from pictures import decoded, is_near
from schemas.faults import Fault
from schemas.renditions import Rendition

CORPUS = tuple(corpus())
INSIDE = Rendition(name="inside", max_edge=60, format="png")
COVER = Rendition(name="cover", max_edge=24, format="webp", fit="cover")
WHOLE = Rendition(name="whole", max_edge=4000, format="jpeg", quality=90)
RENDITIONS = (INSIDE, COVER, WHOLE)


def test_the_corpus_has_hundreds_of_files_each_with_a_name_of_its_own() -> None:
    names = {specimen.name for specimen in CORPUS}
    faults = sum(not isinstance(specimen.expected, Shown) for specimen in CORPUS)
    print(f"{len(CORPUS)} files: {len(CORPUS) - faults} to be shown, {faults} to fail")
    assert len(names) == len(CORPUS) > 500


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all files: to make one for each takes as long as to render it."""
    return tmp_path_factory.mktemp("corpus")


@pytest.mark.parametrize("specimen", CORPUS, ids=lambda specimen: specimen.name)
def test_what_comes_of_it(folder: Path, specimen: Specimen, recwarn: pytest.WarningsRecorder) -> None:
    path = written_as(folder, specimen)
    recwarn.clear()  # encoders may warn, but what renders must not
    if isinstance(specimen.expected, Shown):
        check(render(path, RENDITIONS, max_pixels=MAX_PIXELS), specimen.expected)
    else:
        with pytest.raises(Fault) as caught:
            render(path, RENDITIONS, max_pixels=MAX_PIXELS)
        assert caught.value.code == specimen.expected
        assert len(str(caught.value).splitlines()) == 1
    assert not recwarn.list


def check(photo: RenderedPhoto, expected: Shown) -> None:
    width, height = expected.size
    assert (photo.header.width, photo.header.height) == expected.size
    assert photo.header.format.content_type == expected.content_type
    inside, cover, whole = photo.thumbnails
    scale = min(Fraction(1), Fraction(60, max(expected.size)))
    shown = image_of(inside, "PNG")
    assert shown.size == tuple(max(1, int(side * scale + Fraction(1, 2))) for side in expected.size)
    assert image_of(cover, "WEBP").size == (min(24, width, height),) * 2
    whole_scale = min(Fraction(1), Fraction(4000, max(expected.size)))
    assert image_of(whole, "JPEG").size == tuple(
        max(1, int(side * whole_scale + Fraction(1, 2))) for side in expected.size
    )
    if expected.colours:
        for image in (shown, image_of(whole, "JPEG")):
            seen = colours_of(image)
            assert all(
                is_near(one, other, expected.tolerance) for one, other in zip(seen, expected.colours, strict=True)
            ), seen


def image_of(thumbnail: Rendered, kind: str) -> Image.Image:
    image = decoded(thumbnail.content)
    assert image.format == kind
    assert image.size == (thumbnail.width, thumbnail.height)
    return image


def colours_of(image: Image.Image) -> list[tuple[int, ...]]:
    """Top left, left and right, far from any edge between them."""
    pixels = image.convert("RGB")
    width, height = pixels.size
    places = [(width // 10, height // 10), (width // 10, height * 8 // 10), (width * 9 // 10, height // 2)]
    colours = [pixels.getpixel(place) for place in places]
    return [colour for colour in colours if isinstance(colour, tuple)]
