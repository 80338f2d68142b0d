"""A PostgreSQL that keeps its connections and answers nothing: requests are told so, and all goes on afterwards."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientTimeout

from infra.settings import Settings
from polling import poll_async
from postgres_server import PostgreSQL
from running_api import Running, running_api
from tcp_proxy import TcpProxy


@pytest.fixture
async def proxied(
    no_kafka: Settings, postgres: PostgreSQL, postgres_url: str
) -> AsyncIterator[tuple[Running, TcpProxy]]:
    with TcpProxy(postgres.port) as proxy:
        url = postgres_url.replace(f":{postgres.port}/", f":{proxy.port}/")
        async with running_api(no_kafka.model_copy(update={"database_url": url})) as running:
            yield running, proxy


async def test_requests_are_answered_while_the_database_is_frozen_and_work_when_it_is_back(
    proxied: tuple[Running, TcpProxy],
) -> None:
    api, proxy = proxied
    posted = await api.post(item_id="box")
    proxy.freeze()

    async def problem(method: str, path: str) -> tuple[int, str]:
        # Long before the 75 s that a driver without limits takes.
        async with api.client.request(method, path, json={}, timeout=ClientTimeout(total=25)) as response:
            return response.status, (await response.json())["detail"]

    asked = [problem("GET", api.photos), problem("DELETE", f"{api.photos}/{posted['id']}")]
    asked += [problem("GET", f"{api.photos}/{posted['id']}") for _ in range(30)]
    answers = await asyncio.gather(*asked)
    assert {status for status, _ in answers} == {503}
    assert {"the database does not answer; try again"} == {detail for _, detail in answers}
    proxy.reopen()

    async def works() -> bool:
        async with api.client.get(api.photos) as response:
            return response.status == 200

    await poll_async(works, 20, what="the database is asked again")
    await api.post(item_id="box")
