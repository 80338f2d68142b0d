"""What is measured: originals of each kind with the renditions that are made of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from imaging.formats import read_header
from schemas.faults import Fault
from schemas.renditions import Format, Rendition
from thumbstream.bench.sample_photos import encoded, photo_like, zone_plate

_NO_LIMIT: Final = 10**9

#: As the product makes them by default, largest first.
_EDGES: Final = {"large": 800, "medium": 400, "small": 150}
_QUALITY: Final[dict[Format, int]] = {"webp": 75, "jpeg": 85, "avif": 60, "png": 75}

#: px: what phones take, and their largest.
_12_MP, _48_MP = (4032, 3024), (8064, 6048)
_ZONE_PLATE_SIDE: Final = 3000

#: Kinds of original: px, as Pillow names the format, and how it is saved.
_ORIGINALS: Final[dict[str, tuple[tuple[int, int], str, dict[str, Any]]]] = {
    "JPEG 12 MP": (_12_MP, "JPEG", {"quality": 90}),
    "JPEG 12 MP progressive": (_12_MP, "JPEG", {"quality": 90, "progressive": True}),
    "PNG 12 MP": (_12_MP, "PNG", {}),
    "WebP 12 MP": (_12_MP, "WEBP", {"quality": 90}),
    "HEIC 12 MP": (_12_MP, "HEIF", {"quality": 70}),
    "AVIF 12 MP": (_12_MP, "AVIF", {"quality": 75, "speed": 10}),
    "TIFF 12 MP": (_12_MP, "TIFF", {}),
    "JPEG 48 MP": (_48_MP, "JPEG", {"quality": 90}),
    "JPEG 48 MP progressive": (_48_MP, "JPEG", {"quality": 90, "progressive": True}),
}

#: Every kind of output from the commonest original; of the others only the one that hides least.
_FIRST: Final = "JPEG 12 MP"
_OUTPUTS: Final[tuple[Format, ...]] = ("jpeg", "webp", "avif", "png")

ZONE_PLATE: Final = "zone plate"


@dataclass(frozen=True)
class Case:
    """Originals, and what is made of each."""

    name: str
    originals: tuple[Path, ...]
    renditions: tuple[Rendition, ...]


def made_cases(folder: Path, wanted: Callable[[str], bool], say: Callable[[str], None]) -> list[Case]:
    """The cases whose names are ``wanted``, their originals made in ``folder``; ``say`` gets each name."""
    outputs = {kind: _OUTPUTS if kind == _FIRST else _OUTPUTS[:1] for kind in _ORIGINALS} | {ZONE_PLATE: ("png",)}
    names = [(kind, output, f"{kind} to {output.upper()}") for kind in outputs for output in outputs[kind]]
    cases: list[Case] = []
    originals: dict[str, Path] = {}
    images: dict[tuple[int, int], Image.Image] = {}
    for kind, output, name in names:
        if not wanted(name):
            continue
        if kind not in originals:
            say(f"making {kind}")
            originals[kind] = _made(folder, kind, images)
        cases.append(Case(name, (originals[kind],), renditions_in(output)))
    return cases


def cases_of(photos: Path, wanted: Callable[[str], bool]) -> list[Case]:
    """The user's own photos below a folder, those of one format together; files that are no photos are left out."""
    by_format: dict[str, list[Path]] = {}
    for path in sorted(path for path in photos.rglob("*") if path.is_file()):
        try:
            header = read_header(path, max_pixels=_NO_LIMIT)
        except Fault:
            continue
        by_format.setdefault(header.format.pillow_name, []).append(path)
    return list(_own_cases(by_format, wanted))


def renditions_in(output: Format) -> tuple[Rendition, ...]:
    """The default sizes in one format."""
    quality = _QUALITY[output]
    return tuple(Rendition(name=name, max_edge=edge, format=output, quality=quality) for name, edge in _EDGES.items())


def _own_cases(by_format: dict[str, list[Path]], wanted: Callable[[str], bool]) -> Iterator[Case]:
    for name, paths in by_format.items():
        for output in _OUTPUTS[:2]:
            case = Case(f"your {name} ({len(paths)}) to {output.upper()}", tuple(paths), renditions_in(output))
            if wanted(case.name):
                yield case


def _made(folder: Path, kind: str, images: dict[tuple[int, int], Image.Image]) -> Path:
    path = folder / kind.replace(" ", "-")
    if kind == ZONE_PLATE:
        path.write_bytes(encoded(zone_plate(_ZONE_PLATE_SIDE), "JPEG", quality=95, subsampling=0))
        return path
    size, pillow_name, options = _ORIGINALS[kind]
    if size not in images:
        images.clear()  # one at a time: the largest takes 200 MB
        images[size] = photo_like(*size)
    path.write_bytes(encoded(images[size], pillow_name, **options))
    return path
