"""A client that openapi-python-client has generated from the served document goes the whole way of a photo."""

import importlib
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import httpx
import pytest
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType
from PIL import Image

from deployment import ADMIN_KEY, READY_SECONDS, Deployment
from kafka_servers import EmbeddedBroker
from photos import photo
from polling import poll

_PACKAGE: Final = "generated_thumbstream_client"
#: The generator knows no types of images, archives and lines by itself: they are bytes.
_BYTES: Final = dict.fromkeys(("image/*", "application/zip", "application/x-ndjson", "*/*"), "application/octet-stream")


@pytest.fixture
def url(embedded_broker: EmbeddedBroker, fresh_folder: Path) -> Iterator[str]:
    """An api and a worker."""
    deployment = Deployment(fresh_folder, embedded_broker)
    try:
        yield deployment.start().api.url
    finally:
        deployment.stop()


@pytest.fixture
def client(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The generated client, with the admin key."""
    document = tmp_path / "openapi.json"
    answer = httpx.get(f"{url}/openapi.json", headers={"Authorization": f"Bearer {ADMIN_KEY}"})
    document.write_text(json.dumps(answer.raise_for_status().json()))
    config = Config.from_sources(
        ConfigFile(post_hooks=[], content_type_overrides=_BYTES, package_name_override=_PACKAGE),
        MetaType.NONE,
        document,
        "utf-8",
        True,
        tmp_path / _PACKAGE,
    )
    assert list(generate(config=config)) == []  # it reports what it cannot make use of
    monkeypatch.syspath_prepend(str(tmp_path))
    with module("client").AuthenticatedClient(base_url=url, token=ADMIN_KEY) as client:
        yield client


def module(name: str) -> Any:
    """A module of the generated package."""
    found: ModuleType = importlib.import_module(f"{_PACKAGE}.{name}")
    return found


def call(name: str, client: Any, *args: object, **options: object) -> Any:
    """What an operation, ``tag.operation_id``, is answered with: status and parsed body."""
    return module(f"api.{name}").sync_detailed(*args, client=client, **options)


def test_a_generated_client_uploads_waits_lists_changes_looks_and_deletes(client: Any) -> None:
    file = module("types").File(payload=BytesIO(photo()), file_name="cat.jpg", mime_type="image/jpeg")
    form = module("models").UploadForm(photo=file, item_id="box", caption="A cat")
    made = call("uploads.post_photo", client, "acme", body=form, idempotency_key="once")
    assert (made.status_code, made.parsed.caption, made.parsed.item_id) == (201, "A cat", "box")
    photo_id = made.parsed.id
    assert made.headers["Location"].endswith(str(photo_id))

    def ready() -> Any:
        shown = call("photos.get_photo", client, "acme", photo_id).parsed
        return shown if shown.thumbnail_status == "ready" else None

    shown = poll(ready, READY_SECONDS, what="the photo is ready")
    assert set(shown.thumbnails.additional_properties) == {"small", "medium", "large"}

    listed = call("photos.get_photos", client, "acme", item_id="box", limit=10).parsed
    assert [each.id for each in listed.items] == [photo_id]

    # What is left out stays as it is: a client that sent defaults would clear the caption or change the primary photo.
    change = module("models").PhotoChange(caption="The cat")
    changed = call("photos.patch_photo", client, "acme", photo_id, body=change).parsed
    assert (changed.caption, changed.is_primary) == ("The cat", True)

    thumbnail = call("files.get_thumbnail", client, "acme", photo_id, "small")
    assert max(Image.open(thumbnail.parsed.payload).size) == 150
    again = call("files.get_thumbnail", client, "acme", photo_id, "small", if_none_match=thumbnail.headers["ETag"])
    assert again.status_code == 304

    assert call("photos.delete_photo", client, "acme", photo_id).status_code == 204
    gone = call("photos.get_photo", client, "acme", photo_id)
    assert (gone.status_code, gone.parsed.status) == (404, 404)
