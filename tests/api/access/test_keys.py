"""API keys: what is kept of them, how they end, and what they leave in the audit log."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from sqlmodel import col

from api.access.wrong_keys import BURST
from api.http.app_keys import DATABASE
from api.http.auth import COOKIE
from api.store.access_tables import ApiKeyRow, AuditRow
from infra.settings import Settings
from photos import photo
from polling import poll_async
from running_api import Running, form, running_api
from server_process import free_port
from thumbstream.client.access import Access
from thumbstream.commands.audit import run_audit
from thumbstream.commands.keys import run_create, run_list, run_revoke


@pytest.fixture
async def api(tmp_path: Path, database_url: str) -> AsyncIterator[Running]:
    settings = Settings(data_dir=tmp_path, database_url=database_url, embedded_kafka_port=free_port(), _env_file=None)
    async with running_api(settings) as running:
        yield running


async def make_key(api: Running, role: str = "editor", workspace: str | None = "acme", **more: Any) -> dict[str, Any]:
    wanted = {"name": "camera", "role": role, "workspace_id": workspace, **more}
    async with api.client.post("/v1/keys", json=wanted) as response:
        answer: dict[str, Any] = await response.json()
        assert response.status == 201, answer
        return answer


def as_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def status_of(api: Running, key: str, path: str = "") -> int:
    async with api.client.get(path or api.photos, headers=as_key(key)) as response:
        return response.status


async def close_code_of(socket: ClientWebSocketResponse) -> int | None:
    """Read until the server closes the feed: a client that does not read does not get to know why."""
    while (await socket.receive(timeout=30)).type is WSMsgType.TEXT:
        pass
    return socket.close_code


async def test_a_key_is_shown_once_and_kept_as_a_hash(api: Running) -> None:
    made = await make_key(api)
    async with api.client.get("/v1/keys") as response:
        (listed,) = (await response.json())["items"]
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert made["key"].startswith(listed["prefix"])
    async with api.app[DATABASE].reading() as session:
        (row,) = (await session.scalars(select(ApiKeyRow))).all()
        log = (await session.scalars(select(AuditRow))).all()
    assert made["key"] not in str(row.model_dump()) + str([entry.model_dump() for entry in log])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"), ({"name": "a\nb"}, "name"), ({"role": "owner"}, "role"),
        ({"workspace_id": "../x"}, "workspace_id"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"), ({"more": 1}, "more"),
    ],
)  # fmt: skip
async def test_a_wrong_order_names_its_field(lonely_api: Running, wrong: dict[str, Any], field: str) -> None:
    wanted = {"name": "a", "role": "viewer", "workspace_id": "acme", **wrong}
    async with lonely_api.client.post("/v1/keys", json=wanted) as response:
        body = await response.json()
    assert (response.status, [error["field"] for error in body["errors"]]) == (400, [field])


async def test_the_uploader_is_the_key_unless_the_caller_says_otherwise(api: Running) -> None:
    key = (await make_key(api))["key"]
    for fields, uploader in (({}, "camera"), ({"uploaded_by": "Ada"}, "Ada")):
        async with api.client.post(api.photos, data=form(photo(), **fields), headers=as_key(key)) as response:
            assert (await response.json())["uploaded_by"] == uploader


async def test_the_last_use_is_written_once_a_minute(api: Running) -> None:
    made = await make_key(api)

    async def last_use() -> datetime | None:
        async with api.app[DATABASE].reading() as session:
            return await session.scalar(select(col(ApiKeyRow.last_used_at)))

    assert await last_use() is None
    await status_of(api, made["key"])
    first = await last_use()
    assert first is not None
    await asyncio.gather(*(status_of(api, made["key"]) for _ in range(5)))
    assert await last_use() == first


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_a_key_that_ends_takes_sessions_and_feeds_along_on_every_instance(api: Running, end: str) -> None:
    made = await make_key(api, "viewer")
    async with running_api(api.settings) as other, ClientSession() as browser:
        form = {"key": made["key"]}
        async with browser.post(api.origin + "/session", data=form, allow_redirects=False) as response:
            cookie = {"Cookie": f"{COOKIE}={response.cookies[COOKIE].value}"}
        feed = "/v1/workspaces/acme/feed"
        async with api.client.post(feed + "/tickets", headers=as_key(made["key"])) as response:
            ticket = (await response.json())["ticket"]
        sockets = [
            await browser.ws_connect(each.origin + feed, headers=headers)
            for each in (api, other)
            for headers in (cookie, as_key(made["key"]))
        ]
        sockets.append(await browser.ws_connect(f"{other.origin}{feed}?ticket={ticket}"))
        admins = await other.client.ws_connect(feed)
        reading = [asyncio.create_task(close_code_of(socket)) for socket in sockets]
        if end == "revoked":
            async with other.client.delete(f"/v1/keys/{made['id']}") as response:
                assert response.status == 204
        else:
            past = update(ApiKeyRow).values(expires_at=datetime.now(UTC) - timedelta(seconds=1))
            await api.app[DATABASE].write(lambda session: session.execute(past))
        assert await status_of(api, made["key"]) == 401
        async with browser.get(api.origin + api.photos, headers=cookie) as response:
            assert response.status == 401
        assert await asyncio.gather(*reading) == [1008] * len(sockets)
        assert not admins.closed
        await admins.close()


async def test_signing_out_ends_the_feeds_of_the_session_and_no_others(api: Running) -> None:
    gone, kept = await api.signed_in_as("viewer", "acme"), await api.signed_in_as("viewer", "acme")
    feed = "/v1/workspaces/acme/feed"
    async with (
        api.client.ws_connect(feed, headers=gone) as ending,
        api.client.ws_connect(feed, headers=kept) as going_on,
    ):
        reading = asyncio.create_task(close_code_of(ending))
        async with api.client.delete("/session", headers=gone) as response:
            assert response.status == 204
        assert await reading == 1008
        assert (await going_on.receive_json(timeout=10))["type"] == "hello"


async def test_after_many_wrong_keys_an_address_waits_and_no_key_is_logged(
    lonely_api: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    good = (await make_key(lonely_api))["key"]
    statuses = [await status_of(lonely_api, f"ts_wrong-{number}") for number in range(BURST * 2)]
    assert statuses[:BURST] == [401] * BURST

    async def is_slowed() -> bool:
        return await status_of(lonely_api, "ts_wrong") == 429

    await poll_async(is_slowed, 20, what="the address waits")
    async with lonely_api.client.get(lonely_api.photos, headers=as_key("ts_wrong")) as response:
        assert response.status in (401, 429)
        assert response.status == 401 or int(response.headers["Retry-After"]) >= 1

    async def is_well() -> bool:
        return await status_of(lonely_api, good) == 200

    await poll_async(is_well, 20, what="a right key is taken again")
    output = "".join(capfd.readouterr())
    assert "ts_wrong" not in output


async def test_the_audit_log_says_who_did_what(api: Running) -> None:
    made, mine = await make_key(api), await make_key(api, "admin")
    headers = as_key(made["key"])
    async with api.client.post(api.photos, data=form(photo(), item_id="box"), headers=headers) as response:
        photo_id = (await response.json())["id"]
    second = await api.post(item_id="box")
    one = f"{api.photos}/{photo_id}"
    for method, path, body in (
        ("PATCH", one, {"caption": "x"}), ("POST", one + "/retry", None),
        ("PUT", "/v1/workspaces/acme/items/box/photo-order", {"photo_ids": [second["id"], photo_id]}),
        ("DELETE", one, None),
    ):  # fmt: skip
        async with api.client.request(method, path, json=body, headers=headers) as response:
            assert response.status < 300
    await api.post()
    query = {"subject_id": photo_id, "limit": "3"}
    pages: list[dict[str, Any]] = []
    while not pages or pages[-1]["next_cursor"]:
        cursor = {"cursor": pages[-1]["next_cursor"]} if pages else {}
        async with api.client.get("/v1/audit", params={**query, **cursor}, headers=as_key(mine["key"])) as response:
            pages.append(await response.json())
    entries = [entry for page in pages for entry in page["items"]]
    acts = ["photo.deleted", "photo.ordered", "photo.rerendered", "photo.changed", "photo.uploaded"]
    assert [entry["action"] for entry in entries] == acts
    assert {(entry["key_id"], entry["key_name"]) for entry in entries} == {(made["id"], "camera")}
    other = (await make_key(api, "admin", "rival"))["key"]
    async with api.client.get("/v1/audit", headers=as_key(other)) as response:
        assert [entry["subject_kind"] for entry in (await response.json())["items"]] == ["key"]


async def test_an_act_that_is_rolled_back_is_not_in_the_log(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    posted = await api.post()

    async def broken(*_: object) -> None:
        raise OperationalError("", {}, OSError("lost"))

    monkeypatch.setattr("api.store.journal.append", broken)
    async with api.client.delete(f"{api.photos}/{posted['id']}") as response:
        assert response.status == 503
    async with api.client.get("/v1/audit") as response:
        assert [entry["action"] for entry in (await response.json())["items"]] == ["photo.uploaded"]


async def test_the_command_line_makes_lists_and_revokes_keys(api: Running, capsys: pytest.CaptureFixture[str]) -> None:
    access = Access(api.origin, "default", api.client.headers["Authorization"].split()[1])
    wanted = {"name": "shop", "role": "viewer", "workspace_id": "acme"}
    assert await asyncio.to_thread(run_create, access, wanted, "90d") == 0
    key = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("ts_"))
    assert await status_of(api, key) == 200
    assert await asyncio.to_thread(run_list, access, as_json=True) == 0
    (listed,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert key.startswith(listed["prefix"])
    left = datetime.fromisoformat(listed["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89) < left <= timedelta(days=90)
    assert await asyncio.to_thread(run_revoke, access, listed["prefix"]) == 0
    assert await asyncio.to_thread(run_revoke, access, listed["prefix"]) == 1
    assert await status_of(api, key) == 401
    assert await asyncio.to_thread(run_create, access, wanted, "soon") == 2
    capsys.readouterr()
    assert await asyncio.to_thread(run_audit, access, listed["id"], limit=10, as_json=False) == 0
    assert "key.revoked" in capsys.readouterr().out
    assert await asyncio.to_thread(run_list, Access(api.origin, "default", key), as_json=False) == 2
