"""Headers of GIF."""

import struct

from header_facts import facts_of
from pictures import encoded, picture


def test_a_gif_grows_to_its_first_frame_and_shows_through_around_a_smaller_one() -> None:
    content = bytearray(encoded(picture(40, 30), "GIF"))
    for (width, height), size, shows_through in (
        ((40, 30), (40, 30), False),
        ((10, 10), (40, 30), False),
        ((100, 50), (100, 50), True),
    ):
        content[6:10] = struct.pack("<HH", width, height)
        facts = facts_of(bytes(content))
        assert ((facts.width, facts.height), facts.has_alpha) == (size, shows_through)


def test_a_gif_that_lacks_its_last_bytes_has_a_header() -> None:
    content = encoded(picture(40, 30), "GIF")
    assert facts_of(content[:-2]).width == 40
