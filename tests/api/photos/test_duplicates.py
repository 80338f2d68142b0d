"""Photos that are there already: the same bytes, or nearly the same picture."""

import asyncio
from collections.abc import AsyncIterator, Set
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import select

from api.http.app_keys import DATABASE
from api.photos.duplicates import find_by_checksum
from api.projection.apply import project
from api.store.derived.fingerprints import MAX_DISTANCE, bands_of, distance, near_values, signed
from api.store.tables import ArrivalRow
from imaging.render import render
from infra.settings import Settings
from photos import photo
from result_events import CHECKSUM, ready
from running_api import Running, form, running_api
from schemas import ids
from schemas.renditions import DEFAULT_RENDITIONS


@pytest.fixture
async def api(no_kafka: Settings, database_url: str) -> AsyncIterator[Running]:
    async with running_api(no_kafka.model_copy(update={"database_url": database_url})) as running:
        yield running


hashes = st.integers(0, 2**64 - 1)


@given(one=hashes, bits=st.sets(st.integers(0, 63), max_size=MAX_DISTANCE))
def test_hashes_that_are_near_share_a_near_value_of_some_band(one: int, bits: Set[int]) -> None:
    other = one ^ sum(1 << bit for bit in bits)
    assert distance(signed(one), other) == distance(one, signed(other)) == len(bits)
    assert any(theirs in near_values(ours) for ours, theirs in zip(bands_of(one), bands_of(other), strict=True))


async def upload(api: Running, content: bytes, *, once: bool = True) -> tuple[int, str]:
    query = {"on_duplicate": "return"} if once else {}
    async with api.client.post(api.photos, data=form(content), params=query) as response:
        return response.status, (await response.json())["id"]


async def test_the_same_bytes_again_give_the_first_photo_where_that_is_asked_for(api: Running) -> None:
    first = await upload(api, photo(seed=1))
    assert first[0] == 201
    assert await upload(api, photo(seed=1)) == (200, first[1])
    assert (await upload(api, photo(seed=2)))[0] == 201
    status, second = await upload(api, photo(seed=1), once=False)
    assert (status, second == first[1]) == (201, False)
    assert await upload(api, photo(seed=1)) == (200, first[1])
    assert len(await api.stored_files()) == 3
    async with api.client.delete(f"{api.photos}/{first[1]}"):
        assert await upload(api, photo(seed=1)) == (200, second)
    async with api.client.post(
        "/v1/workspaces/other/photos", data=form(photo(seed=1)), params={"on_duplicate": "return"}
    ) as response:
        assert response.status == 201


async def test_of_many_at_once_one_is_the_first_and_nothing_is_left_of_the_others(api: Running) -> None:
    answers = await asyncio.gather(*(upload(api, photo(seed=1)) for _ in range(6)))
    assert sorted(status for status, _ in answers) == [200] * 5 + [201]
    assert len({photo_id for _, photo_id in answers}) == 1
    assert len(await api.stored_files()) == 1
    async with api.app[DATABASE].reading() as session:
        assert (await session.scalars(select(ArrivalRow))).all() == []


async def test_a_photo_of_another_service_is_found_by_the_checksum_that_the_worker_has_measured(api: Running) -> None:
    posted = await upload(api, photo(seed=1))
    event = (await api.upload_of(posted[1])).model_copy(update={"photo_id": ids.new_id(), "checksum": None})
    measured = "sha256:" + "cd" * 32
    events = [event, ready(event).model_copy(update={"checksum": measured})]
    await api.app[DATABASE].write(lambda session: project(session, events))
    async with api.app[DATABASE].reading() as session:
        found = await find_by_checksum(session, "acme", measured)
        assert found is not None
        assert found.id == event.photo_id
        assert await find_by_checksum(session, "acme", CHECKSUM) is None


async def check(api: Running, content: bytes) -> list[tuple[str, float, bool]]:
    async with api.client.post(f"{api.photos}/check-duplicate", data=form(content)) as response:
        body = await response.json()
        assert response.status == 200, body
    return [(each["photo"]["id"], each["similarity"], each["is_same_file"]) for each in body["duplicates"]]


async def test_near_duplicates_are_found_and_nothing_is_stored(
    api: Running, tmp_path_factory: pytest.TempPathFactory
) -> None:
    original, other = photo(seed=3), photo(seed=4)
    smaller = BytesIO()
    with Image.open(BytesIO(original)) as image:
        image.resize((image.width * 2 // 3, image.height * 2 // 3)).save(smaller, "JPEG", quality=60)
    file = tmp_path_factory.mktemp("original") / "photo"
    for content in (original, other):
        _, photo_id = await upload(api, content)
        file.write_bytes(content)
        rendered = render(file, DEFAULT_RENDITIONS, max_pixels=10**8)
        event = ready(await api.upload_of(photo_id)).model_copy(update={"perceptual_hash": rendered.perceptual_hash})
        await api.app[DATABASE].write(lambda session, event=event: project(session, [event]))
    before = await api.stored_files()
    ((same, similarity, is_same_file),) = await check(api, original)
    assert (similarity, is_same_file) == (1.0, True)
    ((near, similarity, is_same_file),) = await check(api, smaller.getvalue())
    assert near == same
    assert 1 - MAX_DISTANCE / 64 <= similarity <= 1
    assert not is_same_file
    assert await check(api, photo(seed=5)) == []
    assert await api.stored_files() == before
    assert len((await api.get())["items"]) == 2
    async with api.client.delete(f"{api.photos}/{same}"):
        assert await check(api, original) == []


async def test_the_same_file_is_found_before_it_is_rendered(api: Running) -> None:
    _, photo_id = await upload(api, photo(seed=6))
    assert await check(api, photo(seed=6)) == [(photo_id, 1.0, True)]


@pytest.mark.parametrize(("content", "status"), [(b"no image", 415), (photo()[:300], 422)])
async def test_what_cannot_be_rendered_is_refused(lonely_api: Running, content: bytes, status: int) -> None:
    async with lonely_api.client.post(f"{lonely_api.photos}/check-duplicate", data=form(content)) as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")
    assert await lonely_api.stored_files() == []
