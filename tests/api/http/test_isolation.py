"""Who may do what, route by route: three roles of two workspaces, on their own photos and on those of the others."""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import uuid4

import pytest
from aiohttp import ClientSession, WSServerHandshakeError

from api.http.routes import ALL
from event_stream import next_event
from photos import photo
from running_api import Running, form

Role = Literal["viewer", "editor", "admin"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "editor", "admin")

#: What only acme may see. The item is in addresses that others ask for, so it is no secret.
SECRETS: Final = ("acme-caption", "acme-file", "acme-key")


@dataclass(frozen=True)
class Row:
    """What a route must answer. ``PHOTO`` in bodies and queries stands for the id of acme's photo."""

    #: The lowest role that may; None: anybody.
    role: Role | None
    #: What a caller who may is answered; None: not tried, since it takes Kafka.
    status: int | None
    #: What another workspace is answered at its own address when it names acme's photo or item.
    crossed: int = 404
    body: Any = None
    query: str = ""
    #: Only for keys of every workspace.
    everywhere: bool = False


WS: Final = "/v1/workspaces/{workspace}"
PHOTOS: Final = WS + "/photos"
PHOTO: Final = PHOTOS + "/{photo}"
ITEM: Final = WS + "/items/{item}"

TABLE: Final[dict[tuple[str, str], Row]] = {
    ("POST", PHOTOS): Row("editor", 201, crossed=201, body="form"),
    ("GET", PHOTOS): Row("viewer", 200, crossed=200, query="?item_id=box"),
    ("POST", PHOTOS + "/bulk-delete"): Row("editor", 200, crossed=200, body={"photo_ids": ["PHOTO"]}),
    ("POST", PHOTOS + "/bulk-caption"): Row("editor", 200, crossed=200, body={"photo_ids": ["PHOTO"], "caption": "x"}),
    ("POST", PHOTOS + "/retry"): Row("editor", 202, crossed=202, body={"item_id": "box"}),
    ("GET", PHOTOS + "/download"): Row("viewer", 200, query="?ids=PHOTO"),
    ("POST", PHOTOS + "/download"): Row("viewer", 200, body={"ids": ["PHOTO"]}),
    ("POST", PHOTOS + "/check-duplicate"): Row("viewer", 200, crossed=200, body="form"),
    ("GET", PHOTO): Row("viewer", 200),
    ("GET", PHOTO + "/timeline"): Row("viewer", 200),
    ("PATCH", PHOTO): Row("editor", 200, body={"caption": "changed"}),
    ("DELETE", PHOTO): Row("editor", 204),
    ("POST", PHOTO + "/retry"): Row("editor", 202),
    ("POST", PHOTO + "/signed-urls"): Row("viewer", 200, body={"original": True}),
    ("GET", PHOTO + "/original"): Row("viewer", 200),
    ("GET", PHOTO + "/thumbnails/{rendition}"): Row("viewer", 404),
    ("GET", ITEM + "/photo-order"): Row("viewer", 200),
    ("PUT", ITEM + "/photo-order"): Row("editor", 204, body={"photo_ids": ["PHOTO"]}),
    ("DELETE", ITEM): Row("editor", 204),
    ("GET", WS + "/feed"): Row("viewer", 426, crossed=426),
    ("GET", WS + "/feed/events"): Row("viewer", 200, crossed=200),
    ("POST", WS + "/feed/tickets"): Row("viewer", 201, crossed=201),
    ("GET", WS + "/failures"): Row("viewer", 200, crossed=200),
    ("GET", WS + "/workers"): Row("viewer", 200, crossed=200),
    ("GET", WS + "/figures"): Row("viewer", 200, crossed=200, query="?span=6h"),
    ("POST", "/v1/keys"): Row(
        "admin", 201, crossed=404, body={"name": "acme-key", "role": "viewer", "workspace_id": "acme"}
    ),
    ("GET", "/v1/keys"): Row("admin", 200, crossed=200),
    ("DELETE", "/v1/keys/{key}"): Row("admin", 204),
    ("GET", "/v1/audit"): Row("admin", 200, crossed=200),
    ("GET", "/v1/workspaces"): Row("admin", 200, everywhere=True),
    ("GET", "/v1/workers"): Row("admin", 200, everywhere=True),
    ("GET", "/v1/recipes"): Row("admin", 200, everywhere=True),
    ("POST", "/v1/recipes/trial"): Row(
        "admin",
        200,
        everywhere=True,
        body={"workspace_id": "acme", "photo_ids": ["PHOTO"], "renditions": [{"name": "small", "max_edge": 9}]},
    ),
    ("POST", "/v1/photos/retry"): Row("admin", 202, body={"item_id": "nothing"}, everywhere=True),
    ("GET", "/v1/dead"): Row("admin", None, everywhere=True),
    ("POST", "/v1/dead/replay"): Row("admin", None, body={"dry_run": True}, everywhere=True),
    ("POST", "/v1/dead/drop"): Row("admin", None, body={"dry_run": True}, everywhere=True),
    ("GET", "/healthz"): Row(None, 200, crossed=200),
    ("GET", "/readyz"): Row(None, None, crossed=503),
    ("GET", "/metrics"): Row("viewer", 200, everywhere=True),
    ("GET", "/openapi.json"): Row("viewer", 200, crossed=200),
    ("GET", "/asyncapi.json"): Row("viewer", 200, crossed=200),
    ("GET", "/docs"): Row("viewer", 200, crossed=200),
    ("GET", "/"): Row(None, 200, crossed=200),
    ("POST", "/session"): Row(None, 401, crossed=401),
    ("GET", "/session"): Row("viewer", 200, crossed=200),
    ("DELETE", "/session"): Row(None, 204, crossed=204),
    ("GET", "/dashboard/{file:.+}"): Row(None, 200, crossed=200),
}


@dataclass
class Tenants:
    """An api with a key of each role for acme and for rival, and the ways to call it."""

    running: Running
    keys: dict[tuple[str | None, Role], str]

    async def call(
        self, key: str, route: tuple[str, str], workspace: str, photo_id: str, key_id: str
    ) -> tuple[int, str]:
        """Status and body of a route for this photo."""
        row, (method, path) = TABLE[route], route
        path = path.replace(":.+", "").format(
            workspace=workspace, photo=photo_id, item="box", rendition="small", file="main.js", key=key_id
        )
        options: dict[str, Any] = {"headers": {"Authorization": f"Bearer {key}"}, "allow_redirects": False}
        if row.body == "form":
            options["data"] = form(photo())
        elif row.body is not None:
            options["json"] = json.loads(json.dumps(row.body).replace("PHOTO", photo_id))
        url = self.running.origin + path + row.query.replace("PHOTO", photo_id)
        async with ClientSession() as session, session.request(method, url, **options) as response:
            if response.content_type == "text/event-stream":  # which never ends
                body = str(await next_event(response))
            else:
                body = (await response.read()).decode(errors="replace")
            return response.status, body.replace(response.headers["X-Request-ID"], "")

    async def photo_of_acme(self) -> str:
        """A photo of acme, alone in its item."""
        async with self.running.client.delete("/v1/workspaces/acme/items/box"):
            pass
        posted = await self.running.post(item_id="box", caption="acme-caption")
        return str(posted["id"])

    async def key_of_acme(self) -> str:
        """The id of a key of acme."""
        return str((await make_key(self.running, "acme", "viewer"))["id"])


async def make_key(running: Running, workspace: str | None, role: str, **more: object) -> dict[str, Any]:
    """A new key."""
    wanted = {"name": f"{workspace}-key", "role": role, "workspace_id": workspace, **more}
    async with running.client.post("/v1/keys", json=wanted) as response:
        answer: dict[str, Any] = await response.json()
        assert response.status == 201, answer
        return answer


@pytest.fixture
async def tenants(lonely_api: Running) -> Tenants:
    keys = {
        (workspace, role): (await make_key(lonely_api, workspace, role))["key"]
        for workspace in ("acme", "rival", None)
        for role in ROLES
    }
    return Tenants(lonely_api, keys)


def test_every_route_has_its_row_here() -> None:
    assert {(route.method, route.path) for route in ALL} == set(TABLE)


async def test_a_key_gets_nothing_of_another_workspace(tenants: Tenants) -> None:
    photo_id, key_id = await tenants.photo_of_acme(), await tenants.key_of_acme()
    mistakes = []
    for route, row in TABLE.items():
        for role in ROLES:
            key = tenants.keys["rival", role]
            may = row.role is None or ROLES.index(role) >= ROLES.index(row.role)
            there = await tenants.call(key, route, "acme", photo_id, key_id)
            here = await tenants.call(key, route, "rival", photo_id, key_id)
            in_path = "{workspace}" in route[1]
            crossed = 403 if row.everywhere or not may else row.crossed
            if there[0] != (404 if in_path else crossed) or here[0] != crossed:
                mistakes.append((route, role, there, here))
            mistakes += [(route, role, secret) for secret in SECRETS if secret in there[1] + here[1]]
            if in_path:
                nowhere = await tenants.call(key, route, "nobody", photo_id, key_id)
                mistakes += [(route, role, there, nowhere)] if there != nowhere else []
            if crossed == 404:
                unknown = await tenants.call(key, route, "rival", str(uuid4()), str(uuid4()))
                mistakes += [(route, role, here, unknown)] if here != unknown else []
    assert mistakes == []
    unharmed = await tenants.running.get(f"/{photo_id}")
    assert (unharmed["caption"], unharmed["attempts"]) == ("acme-caption", 0)
    async with tenants.running.client.get("/v1/keys") as response:
        assert key_id in {key["id"] for key in (await response.json())["items"]}


async def test_each_role_may_do_its_part_in_its_own_workspace_and_no_more(tenants: Tenants) -> None:
    mistakes = []
    photo_id, key_id = await tenants.photo_of_acme(), await tenants.key_of_acme()
    for route, row in TABLE.items():
        lowest = 0 if row.role is None else ROLES.index(row.role)
        for role in ROLES[:lowest]:
            for workspace in ("acme", None):
                refused = await tenants.call(tenants.keys[workspace, role], route, "acme", photo_id, key_id)
                mistakes += [(route, role, workspace, refused)] if refused[0] != 403 else []
        if row.status is None:
            continue
        for workspace in (None,) if row.everywhere else ("acme", None):
            if route[0] == "DELETE":
                photo_id, key_id = await tenants.photo_of_acme(), await tenants.key_of_acme()
            answer = await tenants.call(tenants.keys[workspace, ROLES[lowest]], route, "acme", photo_id, key_id)
            mistakes += [(route, ROLES[lowest], workspace, answer)] if answer[0] != row.status else []
        if "bulk-delete" in route[1] or route[0] in ("POST", "DELETE"):
            photo_id = await tenants.photo_of_acme()
    assert mistakes == []


async def test_nothing_is_answered_without_a_key(tenants: Tenants) -> None:
    for route, row in TABLE.items():
        if row.role is not None:
            status, body = await tenants.call("ts_wrong", route, "acme", str(uuid4()), str(uuid4()))
            assert status in (401, 429), (route, body)


async def test_the_feed_and_its_tickets_are_of_one_workspace(tenants: Tenants) -> None:
    async def ticket(workspace: str) -> str:
        headers = {"Authorization": f"Bearer {tenants.keys[workspace, 'viewer']}"}
        path = f"/v1/workspaces/{workspace}/feed/tickets"
        async with tenants.running.client.post(path, headers=headers) as response:
            return str((await response.json())["ticket"])

    async def status_of(workspace: str, ticket: str) -> int:
        elsewhere = {"Origin": "https://shop.example"}
        url = f"{tenants.running.origin}/v1/workspaces/{workspace}/feed"
        async with ClientSession(headers=elsewhere) as browser:
            try:
                async with browser.ws_connect(url, params={"ticket": ticket}) as socket:
                    assert (await socket.receive_json(timeout=10))["type"] == "hello"
                    await tenants.photo_of_acme()
                    while (message := await socket.receive_json(timeout=10))["type"] != "photo":
                        assert "acme-caption" not in json.dumps(message)
                    return 101
            except WSServerHandshakeError as error:
                return error.status

    assert await status_of("acme", await ticket("rival")) == 404
    mine = await ticket("acme")
    assert await status_of("acme", mine) == 101
    assert await status_of("acme", mine) == 401
    assert await status_of("acme", "none") == 401
