"""Which photos a recipe is tried on, and what a trial tells of the cost."""

from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from api.photos.recipe_trial.cost import Totals, setting_of
from api.photos.recipe_trial.sample import Candidate, spread
from api.photos.recipe_trial.trial import Comparison, Rendering
from api.store.tables import PhotoRow
from imaging.rendered_photo import Rendered
from infra.settings import load_settings
from schemas.renditions import DEFAULT_RENDITIONS, Rendition

SMALL, MEDIUM, LARGE = DEFAULT_RENDITIONS
AVIF = Rendition(name="small", max_edge=150, format="avif", quality=50, background="#00ff00")

facts = some.tuples(some.sampled_from(["image/jpeg", "image/png", None]), some.none() | some.integers(0, 9))


@given(found=some.lists(facts, max_size=40), count=some.integers(1, 20))
def test_a_sample_has_each_content_type_and_no_photo_twice(
    found: list[tuple[str | None, int | None]], count: int
) -> None:
    candidates = [Candidate(UUID(int=number), *each) for number, each in enumerate(found)]
    sample = spread(candidates, count)
    assert len(set(sample)) == len(sample) == min(count, len(candidates))
    of = {each.id: each for each in candidates}
    shares = Counter(of[photo_id].content_type for photo_id in sample)
    there = Counter(each.content_type for each in candidates)
    assert len(shares) == min(len(there), len(sample))
    for one in shares:  # none has two more than another that has more to give
        assert all(shares[one] <= shares[other] + 1 or shares[other] == there[other] for other in there)


def test_a_sample_goes_from_the_smallest_to_the_largest() -> None:
    candidates = [Candidate(UUID(int=size), "image/jpeg", size) for size in (5, 3, 1, 9, 7, 2)]
    assert [photo_id.int for photo_id in spread(candidates, 3)] == [1, 3, 9]
    assert [photo_id.int for photo_id in spread(candidates, 1)] == [5]


def comparison(stored: int) -> Comparison:
    row = PhotoRow(thumbnails={"small": {"file_size": stored}, "large": {"file_size": 1000}})

    def rendering(seconds: float, *thumbnails: Rendered) -> Rendering:
        return Rendering({each.rendition.name: each for each in thumbnails}, seconds)

    kept = Rendered(LARGE, b"l" * 1000, 8, 8, 0.25)
    today = rendering(1.0, Rendered(SMALL, b"s" * 100, 1, 1, 0.1), kept)
    return Comparison(row, {"today": today, "trial": rendering(2.0, Rendered(AVIF, b"a" * 40, 1, 1, 1.5), kept)})


def test_the_cost_is_that_of_the_renditions_that_are_new_for_all_stale_photos() -> None:
    totals = Totals(today=(SMALL, LARGE), recipe=(AVIF, LARGE))
    assert totals.cost_of_rerender(10) is None
    totals.add(comparison(stored=100))
    totals.add(comparison(stored=200))  # of an older recipe
    assert (totals.byte_count("today"), totals.byte_count("trial")) == (2200, 2080)
    assert totals.byte_counts["trial", "small"] == 80
    assert totals.seconds == {"today": 2.0, "trial": 4.0}
    cost = totals.cost_of_rerender(10)
    assert cost is not None
    assert (cost.render_seconds, cost.new_bytes, cost.byte_difference) == (17.5, 400, -1100)


@pytest.mark.parametrize(
    "recipe", [DEFAULT_RENDITIONS, (AVIF, MEDIUM), (Rendition(name="a", max_edge=9, fit="cover"),)]
)
def test_the_line_of_the_setting_gives_that_recipe(
    recipe: tuple[Rendition, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text(setting_of(recipe) + "\n")
    assert load_settings().renditions == recipe
