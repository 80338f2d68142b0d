from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from thash import rgba_to_thumb_hash

from imaging.thumbhash import thumbhash

#: By how many steps each field of a head may differ: the three means, the scale of the light, whether there is alpha,
#: the number of waves, the two scales of the colours, which side is longer.
_HEAD_STEPS = [(-1, 1), (-1, 1), (-1, 1), (-1, 1), (0, 0), (0, 0), (-1, 1), (-1, 1), (0, 0)]


def _heads(thumb_hash: bytes) -> list[int]:
    """The fields of a hash's first five bytes. Source: evanw/thumbhash."""
    first, second = int.from_bytes(thumb_hash[:3], "little"), int.from_bytes(thumb_hash[3:5], "little")
    widths = [(first, 0, 6), (first, 6, 6), (first, 12, 6), (first, 18, 5), (first, 23, 1)]
    widths += [(second, 0, 3), (second, 3, 6), (second, 9, 6), (second, 15, 1)]
    return [number >> shift & (1 << bits) - 1 for number, shift, bits in widths]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 6), st.booleans(), st.integers(0, 1000))
def test_it_is_the_hash_that_others_make(width: int, height: int, detail: int, is_opaque: bool, seed: int) -> None:
    small = Image.frombytes("RGBA", (detail, detail), Random(seed).randbytes(4 * detail * detail))
    image = small.resize((width, height), Image.Resampling.NEAREST)
    if is_opaque:
        image.putalpha(255)
    # Of one tone only: others hash their rounding errors.
    assume(all(lowest != highest for lowest, highest in image.getextrema()[:3]))  # type: ignore[misc]
    # Between two numbers of waves: the original rounds up, as we do, and this port to the even one.
    assume((14 if is_opaque else 10) * min(width, height) % (2 * max(width, height)) != max(width, height))
    ours = thumbhash(image)
    theirs = bytes(rgba_to_thumb_hash(width, height, list(image.tobytes())))
    assert len(ours) == len(theirs)
    # A mean or a scale that lies just between two steps may be rounded either way.
    for one, other, (low, high) in zip(_heads(ours), _heads(theirs), _HEAD_STEPS, strict=True):
        assert low <= one - other <= high
    # A wave that is not there at all is between two steps, and either will do.
    assert all(
        abs((one >> shift & 15) - (other >> shift & 15)) <= 1
        for one, other in zip(ours[5:], theirs[5:], strict=True)  # behind the heads, whose fields cross the bytes
        for shift in (0, 4)
    )


@pytest.mark.parametrize("colour", ["black", "white", "#6f2b90"])
def test_one_colour_has_the_same_hash_at_every_size(colour: str) -> None:
    hashes = {thumbhash(Image.new("RGBA", (side, side), colour)) for side in (8, 20, 32)}
    assert len(hashes) == 1
