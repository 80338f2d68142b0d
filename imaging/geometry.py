"""How large a thumbnail becomes and which part of the photo it shows. Pure numbers, all in px."""

from collections.abc import Sequence

from schemas.renditions import Rendition

Size = tuple[int, int]
#: Left, top, right, bottom; not always whole px.
Box = tuple[float, float, float, float]


def size_of_thumbnail(photo: Size, rendition: Rendition) -> Size:
    """Width and height that ``rendition`` gives a photo of that size: nearest px, never enlarged, no side below 1."""
    width, height = photo
    if rendition.fit == "cover":
        side = min(rendition.max_edge, width, height)
        return side, side
    longer = max(width, height)
    if longer <= rendition.max_edge:
        return photo
    return _nearest(width * rendition.max_edge, longer), _nearest(height * rendition.max_edge, longer)


def scale_of(photo: Size, rendition: Rendition) -> float:
    """How much smaller a thing in the photo becomes, at most 1."""
    decisive = min(photo) if rendition.fit == "cover" else max(photo)
    return min(1.0, rendition.max_edge / decisive)


def size_to_decode(photo: Size, renditions: Sequence[Rendition], headroom: int) -> Size:
    """The least size of the whole photo that keeps ``headroom`` times the px that the largest thumbnail needs."""
    scale = max(scale_of(photo, rendition) for rendition in renditions)
    width, height = photo
    return max(1, round(width * scale) * headroom), max(1, round(height * scale) * headroom)


def centre_square(box: Box) -> Box:
    """The largest square around the centre of ``box``."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    side = min(width, height)
    left, top = left + (width - side) / 2, top + (height - side) / 2
    return left, top, min(left + side, right), min(top + side, bottom)


def _nearest(numerator: int, denominator: int) -> int:
    return max(1, (2 * numerator + denominator) // (2 * denominator))
