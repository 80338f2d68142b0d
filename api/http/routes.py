"""Every route: its handler, its models, its answers. The router and OpenAPI are both made from this list."""

from typing import Final

from aiohttp import web

from api.http.app_keys import ROUTES
from api.http.handlers import (
    archives,
    audit,
    dead,
    documents,
    feed,
    files,
    health,
    items,
    keys,
    photos,
    session,
    uploads,
)
from api.http.response_models import (
    BulkResultsResponse,
    CountResponse,
    DeadLettersResponse,
    DeadSettledResponse,
    PageResponse,
    PhotoResponse,
    UploadForm,
)
from api.http.route import Route
from api.photos.rerender import RerenderFilter

_PHOTOS: Final = "/v1/workspaces/{workspace}/photos"
_PHOTO: Final = _PHOTOS + "/{photo}"
_ITEM: Final = "/v1/workspaces/{workspace}/items/{item}"

#: Of two that fit an address the first one wins.
ALL: Final = (
    Route(
        "POST", _PHOTOS, uploads.post_photo,
        "Upload a photo; with an Idempotency-Key header the same request again returns the first one, another is a 422",
        role="editor", status=201, answer=PhotoResponse, form=UploadForm, problems=(400, 408, 409, 413, 415, 422),
    ),
    Route("GET", _PHOTOS, photos.get_photos, "List photos, newest first; with item_id by display order",
          role="viewer", answer=PageResponse, query=photos.PhotoListQuery, problems=(400,)),
    Route("POST", _PHOTOS + "/bulk-delete", photos.bulk_delete, "Delete photos",
          role="editor", answer=BulkResultsResponse, body=photos.BulkDelete, problems=(400,)),
    Route("POST", _PHOTOS + "/bulk-caption", photos.bulk_caption, "Caption photos",
          role="editor", answer=BulkResultsResponse, body=photos.BulkCaption, problems=(400,)),
    Route("POST", _PHOTOS + "/retry", photos.retry_photos, "Render many photos again",
          role="editor", status=202, answer=CountResponse, body=RerenderFilter, problems=(400,)),
    Route("GET", _PHOTOS + "/download", archives.get_archive, "Originals as one zip",
          role="viewer", answer="application/zip", query=archives.ArchiveQuery),
    Route("GET", _PHOTO, photos.get_photo, "One photo", role="viewer", answer=PhotoResponse),
    Route("PATCH", _PHOTO, photos.patch_photo,
          "Change the caption (null clears it), or make it the primary photo of its item",
          role="editor", answer=PhotoResponse, body=photos.PhotoChange),
    Route("DELETE", _PHOTO, photos.delete_photo, "Delete a photo; its files follow", role="editor", status=204),
    Route("POST", _PHOTO + "/retry", photos.retry_photo, "Render a photo again",
          role="editor", status=202, answer=PhotoResponse, problems=(400, 404, 409)),
    Route("GET", _PHOTO + "/original", files.get_original, "The original's bytes",
          role="viewer", answer="image/*", query=files.FileQuery),
    Route("GET", _PHOTO + "/thumbnails/{rendition}", files.get_thumbnail,
          "A thumbnail's bytes; 404 with Retry-After while it is not ready",
          role="viewer", answer="image/*", query=files.FileQuery),
    Route("PUT", _ITEM + "/photo-order", items.put_order, "Put the photos of an item into an order",
          role="editor", status=204, body=items.PhotoOrder),
    Route("DELETE", _ITEM, items.delete_item, "Delete all photos of an item; their files follow",
          role="editor", status=204),
    Route("GET", "/v1/workspaces/{workspace}/feed", feed.get_feed,
          "The feed: a WebSocket; asyncapi.json describes its messages",
          role="viewer", takes_ticket=True, status=101, query=feed.FeedQuery, problems=(400, 403, 426)),
    Route("POST", "/v1/workspaces/{workspace}/feed/tickets", feed.post_ticket,
          "A ticket that opens the feed once within 60 s, for a page that can send neither header nor cookie",
          role="viewer", status=201, answer=feed.TicketResponse, problems=(400,)),
    Route("POST", "/v1/keys", keys.post_key, "Make a key, which is shown in this answer only",
          role="admin", status=201, answer=keys.NewKeyResponse, body=keys.KeyOrder, problems=(400, 404)),
    Route("GET", "/v1/keys", keys.get_keys, "The keys that the caller may revoke, oldest first",
          role="admin", answer=keys.KeysResponse, problems=()),
    Route("DELETE", "/v1/keys/{key}", keys.delete_key, "Revoke a key, with its sessions and open feeds",
          role="admin", status=204),
    Route("GET", "/v1/audit", audit.get_audit, "Who did what to which photo, key or dead letter, newest first",
          role="admin", answer=audit.AuditResponse, query=audit.AuditQuery, problems=(400,)),
    Route("POST", "/v1/photos/retry", photos.retry_everywhere,
          "Render many photos of every workspace again; for admins",
          role="admin", everywhere=True, status=202, answer=CountResponse, body=RerenderFilter, problems=(400,)),
    Route("GET", "/v1/dead", dead.get_dead, "Records that were no events, newest first; for admins",
          role="admin", everywhere=True, answer=DeadLettersResponse, query=dead.DeadListQuery, problems=(400,)),
    Route("POST", "/v1/dead/replay", dead.replay_dead,
          "Send dead letters to their source topics again; for admins",
          role="admin", everywhere=True, answer=DeadSettledResponse, body=dead.DeadReplay, problems=(400,)),
    Route("POST", "/v1/dead/drop", dead.drop_dead, "Have dead letters no longer listed; for admins",
          role="admin", everywhere=True, answer=DeadSettledResponse, body=dead.DeadDrop, problems=(400,)),
    Route("GET", "/healthz", health.get_healthz, role=None),
    Route("GET", "/readyz", health.get_readyz, role=None),
    Route("GET", "/metrics", health.get_metrics, role="viewer", everywhere=True),
    Route("GET", "/openapi.json", documents.get_openapi, role="viewer"),
    Route("GET", "/asyncapi.json", documents.get_asyncapi, role="viewer"),
    Route("GET", "/docs", documents.get_docs, role="viewer"),
    Route("GET", "/", session.get_page, role=None),
    Route("POST", "/session", session.post_session, role=None),
    Route("DELETE", "/session", session.delete_session, role=None),
    Route("GET", "/dashboard/{file:.+}", session.get_static, role=None),
)  # fmt: skip


def add_routes(app: web.Application) -> None:
    """Add every route."""
    app[ROUTES] = ALL
    for route in ALL:
        route.add_to(app)
