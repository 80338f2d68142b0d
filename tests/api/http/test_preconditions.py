"""ETags and what is asked by them: nobody overwrites what they have not seen."""

from collections.abc import AsyncIterator

import pytest

from infra.settings import Settings
from running_api import WORKSPACE, Running, running_api

ORDER = f"/v1/workspaces/{WORKSPACE}/items/box/photo-order"


@pytest.fixture
async def api(no_kafka: Settings, database_url: str) -> AsyncIterator[Running]:
    async with running_api(no_kafka.model_copy(update={"database_url": database_url})) as running:
        yield running


async def ask(api: Running, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str]:
    """Status and ETag."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.client.request(method, path, json=body, headers=named) as response:
        if response.status >= 400:
            assert response.content_type == "application/problem+json"
        return response.status, response.headers.get("ETag", "")


async def test_a_photo_has_another_etag_after_every_change_and_the_same_until_then(api: Running) -> None:
    path = f"{api.photos}/{(await api.post(item_id='box'))['id']}"
    _, first = await ask(api, "GET", path)
    assert (await ask(api, "GET", path))[1] == first
    assert await ask(api, "GET", path, If_None_Match=first) == (304, first)
    status, second = await ask(api, "PATCH", path, {"caption": "A cat"}, If_Match=first)
    assert status == 200
    assert second not in ("", first)
    assert await ask(api, "GET", path, If_None_Match=first) == (200, second)
    assert await ask(api, "GET", path, If_None_Match=f'"other", W/{second}') == (304, second)


@pytest.mark.parametrize("header", ['"old"', "W/{etag}", "no quotes", '"old", "older"'])
async def test_a_change_on_the_sight_of_another_state_is_refused(api: Running, header: str) -> None:
    path = f"{api.photos}/{(await api.post(caption='first'))['id']}"
    _, etag = await ask(api, "GET", path)
    assert await ask(api, "PATCH", path, {"caption": "x"}, If_Match=header.format(etag=etag)) == (412, etag)
    assert (await api.get(path.removeprefix(api.photos)))["caption"] == "first"
    assert (await ask(api, "PATCH", path, {"caption": "x"}, If_Match=f'"other", {etag}'))[0] == 200
    assert (await ask(api, "PATCH", path, {"caption": "y"}, If_Match="*"))[0] == 200


async def test_an_order_is_changed_only_on_the_sight_of_the_order_as_it_is(api: Running) -> None:
    one, two, three = [(await api.post(item_id="box"))["id"] for _ in range(3)]
    _, first = await ask(api, "GET", ORDER)
    assert await ask(api, "GET", ORDER, If_None_Match=first) == (304, first)
    status, second = await ask(api, "PUT", ORDER, {"photo_ids": [three, one, two]}, If_Match=first)
    assert (status, second == first) == (204, False)
    assert await ask(api, "PUT", ORDER, {"photo_ids": [one, two, three]}, If_Match=first) == (412, second)
    async with api.client.get(ORDER) as response:
        assert await response.json() == {"photo_ids": [three, one, two]}
        assert response.headers["ETag"] == second
    assert (await ask(api, "PUT", ORDER, {"photo_ids": [one, two, three]}))[0] == 204
    assert (await ask(api, "GET", ORDER))[1] == first
    assert (await ask(api, "GET", ORDER.replace("box", "none")))[0] == 404
