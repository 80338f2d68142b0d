"""The ``meta`` box of an AVIF or HEIC: which item is the photo, and what is said of it. Source: ISO/IEC 23008-12."""

from dataclasses import dataclass, field
from typing import Final

from imaging.header.boxes import Box, boxes_in, find
from imaging.header.facts import MalformedHeader
from imaging.header.source import Source

#: Fields of all tables together; a photo of a thousand tiles has 10,000. An entry of a table may take up no bytes.
_MAX_FIELDS: Final = 100_000
#: Items that consist of others.
_DERIVED: Final = ("grid", "iovl", "iden")


@dataclass(frozen=True)
class Items:
    """Items by number, properties in the order in which they apply."""

    primary: int
    #: What the primary item consists of where it is a grid or an overlay.
    tiles: tuple[int, ...]
    #: Where the bytes of the primary item, and of the tiles that it consists of, end in the file at the latest.
    end_of_pixels: int
    #: How the primary item's pixels, or its first tile's, are coded: ``hvc1``, ``av01``, …; None where it is not said.
    coding: str | None
    _properties: dict[int, list[tuple[bytes, bytes]]]
    #: Kind, from which item, to which items.
    _references: list[tuple[bytes, int, tuple[int, ...]]]

    def properties_of(self, item: int) -> list[tuple[bytes, bytes]]:
        """Kind and content of each property of ``item``."""
        return self._properties.get(item, [])

    def auxiliaries_of(self, item: int) -> list[int]:
        """The items that belong to ``item``: its alpha, depth and so on."""
        return [source for kind, source, targets in self._references if kind == b"auxl" and item in targets]


@dataclass
class _Budget:
    """How many fields may still be read."""

    fields_left: int = _MAX_FIELDS


@dataclass
class _Fields:
    """Big-endian fields of a box, one after the other."""

    _content: bytes
    _budget: _Budget
    _at: int = field(default=0, init=False)

    def take(self, byte_count: int) -> int:
        self._budget.fields_left -= 1
        if self._at + byte_count > len(self._content):
            raise MalformedHeader("a box of it is cut off")
        if self._budget.fields_left < 0:
            raise MalformedHeader(f"its tables have over {_MAX_FIELDS} fields")
        taken = int.from_bytes(self._content[self._at : self._at + byte_count], "big")
        self._at += byte_count
        return taken


def read_items(meta: Source) -> Items:
    """What the content of a ``meta`` box says. Raises ``MalformedHeader``."""
    whole = Box(b"meta", 0, meta.size)
    inside = {box.kind: box for box in reversed(list(boxes_in(meta, whole, skipped_bytes=4)))}
    if b"pitm" not in inside or b"iprp" not in inside:
        raise MalformedHeader("it names no primary image")
    budget = _Budget()
    primary_fields = _Fields(_content(meta, inside[b"pitm"]), budget)
    primary = primary_fields.take(4 if primary_fields.take(4) >> 24 else 2)
    references = _references(meta, inside[b"iref"], budget) if b"iref" in inside else []
    tiles = tuple(tile for kind, item, targets in references if kind == b"dimg" and item == primary for tile in targets)
    ends = _ends_of_items(_Fields(_content(meta, inside[b"iloc"]), budget)) if b"iloc" in inside else {}
    return Items(
        primary=primary,
        tiles=tiles,
        end_of_pixels=max((ends.get(item, 0) for item in (primary, *tiles)), default=0),
        coding=_coding(meta, inside[b"iinf"], tiles[0] if tiles else primary) if b"iinf" in inside else None,
        _properties=_properties(meta, inside[b"iprp"], budget),
        _references=references,
    )


def _content(meta: Source, box: Box) -> bytes:
    return meta.read(box.offset, box.length)


def _coding(meta: Source, iinf: Box, item: int) -> str | None:
    for box in boxes_in(meta, iinf, skipped_bytes=8 if meta.read(iinf.offset, 1)[0] else 6):
        head = meta.read_up_to(box.offset, 14)
        id_bytes = {b"\2": 2, b"\3": 4}.get(head[:1])
        if id_bytes and int.from_bytes(head[4 : 4 + id_bytes], "big") == item:
            kind = head[6 + id_bytes : 10 + id_bytes].decode("latin-1")
            return None if kind in _DERIVED else kind
    return None


def _properties(meta: Source, iprp: Box, budget: _Budget) -> dict[int, list[tuple[bytes, bytes]]]:
    """By item. There may be several boxes of associations, also of one version, as an old encoder writes them."""
    all_properties = [(box.kind, _content(meta, box)) for box in boxes_in(meta, find(meta, b"ipco", iprp))]
    of_items: dict[int, list[tuple[bytes, bytes]]] = {}
    for box in boxes_in(meta, iprp):
        if box.kind != b"ipma":
            continue
        fields = _Fields(_content(meta, box), budget)
        version_and_flags = fields.take(4)
        for _ in range(fields.take(4)):
            of_item = of_items.setdefault(fields.take(4 if version_and_flags >> 24 else 2), [])
            for _ in range(fields.take(1)):
                number = fields.take(2) & 0x7FFF if version_and_flags & 1 else fields.take(1) & 0x7F
                if 0 < number <= len(all_properties):
                    of_item.append(all_properties[number - 1])
    return of_items


def _references(meta: Source, iref: Box, budget: _Budget) -> list[tuple[bytes, int, tuple[int, ...]]]:
    id_bytes = 4 if meta.read(iref.offset, 1)[0] else 2
    found = []
    for box in boxes_in(meta, iref, skipped_bytes=4):
        fields = _Fields(_content(meta, box), budget)
        source = fields.take(id_bytes)
        found.append((box.kind, source, tuple(fields.take(id_bytes) for _ in range(fields.take(2)))))
    return found


def _ends_of_items(fields: _Fields) -> dict[int, int]:
    """Where in the file each item ends whose bytes lie there directly, from the fields of ``iloc``."""
    version = fields.take(4) >> 24
    sizes = fields.take(2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    ends: dict[int, int] = {}
    for _ in range(fields.take(4 if version == 2 else 2)):
        item = fields.take(4 if version == 2 else 2)
        method = fields.take(2) & 15 if version else 0
        fields.take(2)  # which file
        base = fields.take(base_bytes)
        for _ in range(fields.take(2)):
            if version:
                fields.take(index_bytes)
            offset, length = fields.take(offset_bytes), fields.take(length_bytes)
            if method == 0:
                ends[item] = max(ends.get(item, 0), base + offset + length)
    return ends
