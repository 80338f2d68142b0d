"""A running api: real HTTP, a real database, a real broker; the worker's part is played by hand."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from aiohttp import ClientSession, FormData, web
from sqlalchemy import select
from sqlmodel import col

from api.access.admin_key import admin_key
from api.access.caller import Caller, Role
from api.app import build_api
from api.http.app_keys import DATABASE, STORAGE
from api.http.auth import AUTHENTICATOR, COOKIE
from api.http.server import ApiRunner, Limits
from api.photos.commands import upload_event_of
from api.store.tables import PhotoRow
from documented_answers import DocumentedAnswers
from infra.kafka import clients
from infra.settings import Settings
from photos import photo
from polling import poll_async
from schemas import records
from schemas.events import Event, PhotoUploaded

WORKSPACE: Final = "acme"


@dataclass
class Running:
    """One api instance, and a client that has the admin key."""

    app: web.Application
    settings: Settings
    client: ClientSession
    #: ``http://127.0.0.1:port``
    origin: str
    runner: web.AppRunner
    photos: str = f"/v1/workspaces/{WORKSPACE}/photos"

    async def post(self, content: bytes | None = None, **fields: str) -> dict[str, Any]:
        """A photo that was posted."""
        async with self.client.post(self.photos, data=form(content or photo(), **fields)) as response:
            body: dict[str, Any] = await response.json()
            assert response.status == 201, body
            return body

    async def get(self, path: str = "", **query: str) -> Any:
        """The JSON at a path below the photos."""
        async with self.client.get(self.photos + path, params=query) as response:
            body = await response.json()
            assert response.status == 200, body
            return body

    async def status_becomes(self, photo_id: str, status: str, deadline_seconds: float = 20) -> dict[str, Any]:
        """The photo, once it has that status."""

        async def found() -> Any:
            shown = await self.get(f"/{photo_id}")
            return shown if shown["thumbnail_status"] == status else None

        return await poll_async(found, deadline_seconds, what=f"{photo_id} is {status}")

    async def upload_of(self, photo_id: str) -> PhotoUploaded:
        """The latest upload event of a photo."""
        async with self.app[DATABASE].reading() as session:
            row = (await session.scalars(select(PhotoRow).where(col(PhotoRow.id) == UUID(photo_id)))).one()
        assert row.upload_event_id is not None
        assert row.uploaded_at is not None
        return upload_event_of(row, event_id=row.upload_event_id, occurred_at=row.uploaded_at)

    async def signed_in_as(self, role: Role, workspace_id: str | None = None) -> dict[str, str]:
        """Headers of a page of ours in a browser that has signed in with such a key; they replace the client's own."""
        authenticator = self.app[AUTHENTICATOR]
        caller = Caller(role, workspace_id, authenticator.admin_key_id, "admin", "admin")
        token = await authenticator.sessions.open(caller)
        return {"Authorization": "", "Cookie": f"{COOKIE}={token}", "Sec-Fetch-Site": "same-origin"}

    async def stored_files(self) -> list[str]:
        """What lies in storage."""
        return sorted(file.key for file in await self.app[STORAGE].list_under("originals"))

    async def produce(self, *events: Event) -> None:
        """Events as some other service would send them."""
        async with clients.new_producer(self.settings) as producer:
            for event in events:
                headers = records.headers_of(event, source="/test")
                await producer.send_and_wait(
                    event.topic, records.value_of(event), records.key_of(event), headers=headers
                )


def form(content: bytes, filename: str = "cat.jpg", **fields: str) -> FormData:
    """An upload as a browser sends it."""
    data = FormData(quote_fields=False)
    for name, value in fields.items():
        data.add_field(name, value)
    data.add_field("photo", content, filename=filename, content_type="image/jpeg")
    return data


@asynccontextmanager
async def running_api(settings: Settings, *, limits: Limits | None = None) -> AsyncIterator[Running]:
    """An api instance on a free port, stopped as SIGTERM stops it. Each of its answers must be as documented."""
    async with AsyncExitStack() as stack:
        app = build_api(settings)
        documented = DocumentedAnswers(app)
        runner = ApiRunner(app, limits or Limits(), shutdown_timeout=2)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        headers = {"Authorization": f"Bearer {admin_key(settings)}"}
        origin = f"http://127.0.0.1:{port}"
        client = await stack.enter_async_context(ClientSession(origin, headers=headers))
        yield Running(app, settings, client, origin, runner)
    assert not documented.faults, documented.faults
