"""Renditions: named recipes for a thumbnail."""

import json
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Format = Literal["webp", "jpeg", "avif", "png"]

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,31}$"


class Rendition(BaseModel):
    """What is made of an original: a size, a format, a quality.

    ``inside`` fits the upright photo into ``max_edge`` x ``max_edge`` px; ``cover`` fills that square and crops
    around the centre. Neither enlarges.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
    #: In px. WebP's own limit is the highest that every format takes.
    max_edge: int = Field(ge=1, le=16383)
    fit: Literal["inside", "cover"] = "inside"
    format: Format = "webp"
    #: 1 to 100, as the encoder of the format counts; without meaning for PNG.
    quality: int = Field(default=75, ge=1, le=100)
    #: What shows through transparent pixels where the format has no alpha (JPEG).
    background: Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")] = "#ffffff"

    @property
    def content_type(self) -> str:
        """The media type of the thumbnails that it yields."""
        return f"image/{self.format}"

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that change when anything that shows in the pixels does; the name does not."""
        return _fingerprint_of(self)


def _distinct_names(renditions: tuple[Rendition, ...]) -> tuple[Rendition, ...]:
    names = [rendition.name for rendition in renditions]
    if not names:
        raise ValueError("at least one rendition is needed")
    if len(set(names)) < len(names):
        raise ValueError("two renditions have the same name")
    return renditions


#: What is made of every original: at least one rendition, each with a name of its own.
Recipe = Annotated[tuple[Rendition, ...], AfterValidator(_distinct_names)]

DEFAULT_RENDITIONS: Final = (
    Rendition(name="small", max_edge=150),
    Rendition(name="medium", max_edge=400),
    Rendition(name="large", max_edge=800),
)


def recipe_of(renditions: Sequence[Rendition]) -> str:
    """The hash of all the renditions together, 16 hex digits; their order does not matter."""
    by_name = sorted(renditions, key=lambda rendition: rendition.name)
    return _digest([rendition.model_dump() for rendition in by_name])[:16]


@lru_cache
def _fingerprint_of(rendition: Rendition) -> str:
    return _digest(rendition.model_dump(exclude={"name"}))[:8]


def _digest(value: object) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
