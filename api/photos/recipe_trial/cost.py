"""What a trial has found in all, and what it would take to make its recipe that of every photo."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from api.photos.recipe_trial.trial import Comparison, Which
from infra.settings import PREFIX
from schemas.renditions import Rendition


@dataclass(frozen=True)
class RerenderCost:
    """What rendering photos again would cost, by the averages of the sample."""

    #: Of one render slot.
    render_seconds: float
    #: Of the files that are written.
    new_bytes: int
    #: By which storage grows, or shrinks, once the files that no photo names any more are erased.
    byte_difference: int


@dataclass
class Totals:
    """The sums of the photos that were compared."""

    today: Sequence[Rendition]
    recipe: Sequence[Rendition]
    photos: int = 0
    seconds: dict[Which, float] = field(default_factory=lambda: {"today": 0.0, "trial": 0.0})
    #: By recipe and name of the rendition.
    byte_counts: Counter[tuple[Which, str]] = field(default_factory=Counter)
    _rerender_seconds: float = 0.0
    _new_bytes: int = 0
    _stored_bytes: int = 0

    def add(self, compared: Comparison) -> None:
        """Count one more photo."""
        self.photos += 1
        for which, rendering in compared.renderings.items():
            self.seconds[which] += rendering.seconds
            for name, thumbnail in rendering.thumbnails.items():
                self.byte_counts[which, name] += len(thumbnail.content)
        # A worker takes thumbnails as they are whose rendition is the same in both recipes.
        trial = compared.renderings["trial"]
        thumbnails = trial.thumbnails.values()
        kept = [each for each in thumbnails if each.rendition in self.today]
        self._rerender_seconds += max(0.0, trial.seconds - sum(each.seconds or 0.0 for each in kept))
        self._new_bytes += sum(len(each.content) for each in thumbnails if each not in kept)
        stored = (compared.row.thumbnails or {}).values()  # perhaps of an older recipe
        self._stored_bytes += sum(each["file_size"] for each in stored)

    def byte_count(self, which: Which) -> int:
        """Of all thumbnails of one recipe."""
        return sum(count for (recipe, _), count in self.byte_counts.items() if recipe == which)

    def cost_of_rerender(self, photos: int) -> RerenderCost | None:
        """The cost for so many photos; None where none could be compared."""
        if not self.photos:
            return None
        share = photos / self.photos
        return RerenderCost(
            self._rerender_seconds * share,
            round(self._new_bytes * share),
            round((self.byte_count("trial") - self._stored_bytes) * share),
        )


def setting_of(recipe: Sequence[Rendition]) -> str:
    """The line that makes ``recipe`` today's, for a shell or a ``.env`` file."""
    value = json.dumps([each.model_dump(exclude_defaults=True) for each in recipe], separators=(",", ":"))
    return f"{PREFIX}RENDITIONS='{value}'"  # neither a name nor a colour has a quote in it
