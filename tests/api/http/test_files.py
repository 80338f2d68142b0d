"""What is served as a file: images that the photo's own workspace may name, and nothing else."""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from uuid import uuid4
from zipfile import ZipFile

import pytest

from ailing_s3 import AilingS3
from api.http.app_keys import DATABASE, STORAGE
from api.projection.apply import project
from infra.settings import Settings
from photos import photo
from polling import poll_async
from running_api import WORKSPACE, Running, running_api
from s3_server import S3Location, S3Server
from schemas.events import PhotoUploaded
from server_process import free_port

NO_IMAGES = [b"<html><script>alert(1)</script>", b"#!/bin/sh", b"x", b"", b"\0" * 100, b"PK\x03\x04" + b"zip" * 50]


async def named_by_event(api: Running, key: str, content_type: str = "image/jpeg") -> str:
    """The id of a photo of which another service has told."""
    photo_id = uuid4()
    event = PhotoUploaded(
        event_id=str(photo_id), occurred_at=datetime.now(UTC), photo_id=photo_id, workspace_id=WORKSPACE,
        storage_key=key, content_type=content_type,
    )  # fmt: skip
    await api.app[DATABASE].write(lambda session: project(session, [event]))
    return str(photo_id)


@pytest.mark.parametrize("content", NO_IMAGES)
async def test_what_is_no_image_is_never_served_as_an_original(lonely_api: Running, content: bytes) -> None:
    await lonely_api.app[STORAGE].write("incoming/file", content)
    photo_id = await named_by_event(lonely_api, "incoming/file")
    for request in (lonely_api.client.get, lonely_api.client.head):
        async with request(f"{lonely_api.photos}/{photo_id}/original") as response:
            assert response.status == 404
            assert (not content) or content not in await response.read()


async def test_an_original_is_served_as_what_its_bytes_are_whatever_its_event_says(lonely_api: Running) -> None:
    await lonely_api.app[STORAGE].write("incoming/file", photo(kind="PNG"))
    photo_id = await named_by_event(lonely_api, "incoming/file", "text/html")
    async with lonely_api.client.get(f"{lonely_api.photos}/{photo_id}/original") as response:
        assert (response.status, response.content_type) == (200, "image/png")
        assert await response.read() == photo(kind="PNG")


async def test_a_zip_leaves_out_what_is_no_image(lonely_api: Running) -> None:
    await lonely_api.app[STORAGE].write("incoming/secret", b"root:x:0:0")
    await lonely_api.app[STORAGE].write("incoming/cat", photo())
    ids = [await named_by_event(lonely_api, f"incoming/{name}") for name in ("secret", "cat")]
    async with lonely_api.client.get(f"{lonely_api.photos}/download", params={"ids": ",".join(ids)}) as response:
        archive = ZipFile(BytesIO(await response.read()))
    assert [archive.read(name) for name in archive.namelist()] == [photo()]


@pytest.mark.parametrize("key", ["originals/other/cat.jpg", "thumbnails/other/1/0/small.webp", ".incoming-uploads/cat"])
async def test_a_file_of_another_workspace_is_not_served_also_where_a_row_names_it(
    lonely_api: Running, key: str
) -> None:
    await lonely_api.app[STORAGE].write(key, photo())
    photo_id = await named_by_event(lonely_api, key)
    for path in (f"/{photo_id}/original", f"/download?ids={photo_id}"):
        async with lonely_api.client.get(lonely_api.photos + path) as response:
            assert response.status == 404


async def test_a_link_out_of_the_storage_root_is_not_served(lonely_api: Running, tmp_path: Path) -> None:
    (tmp_path / "outside.jpg").write_bytes(photo())
    await lonely_api.app[STORAGE].write("incoming/cat.jpg", photo())
    (tmp_path / "storage/incoming/link.jpg").symlink_to(tmp_path / "outside.jpg")
    photo_id = await named_by_event(lonely_api, "incoming/link.jpg")
    async with lonely_api.client.get(f"{lonely_api.photos}/{photo_id}/original") as response:
        assert response.status == 404


async def test_readiness_names_the_right_that_storage_lacks(
    tmp_path: Path, s3_server: S3Server, s3_storage: S3Location
) -> None:
    with AilingS3(s3_server.port) as guarded:
        chosen = s3_storage.settings | {"s3_endpoint_url": f"http://127.0.0.1:{guarded.port}"}
        settings = Settings(data_dir=tmp_path, embedded_kafka_port=free_port(), _env_file=None, **chosen)
        async with running_api(settings) as api:
            guarded.denied = {"s3:ListBucket"}

            async def reason() -> str:
                async with api.client.get("/readyz") as response:
                    storage = (await response.json())["checks"]["storage"]
                    return "" if storage["ok"] else str(storage["reason"])

            async def is_named() -> bool:
                return "s3:ListBucket" in await reason()

            await poll_async(is_named, 20, what="readiness names the right")
            guarded.denied = set()

            async def is_well() -> bool:
                return not await reason()

            await poll_async(is_well, 20, what="storage is well again")
