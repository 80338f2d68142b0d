"""Every route: its handler, its models, its answers. The router and OpenAPI are both made from this list."""

from typing import Final

from aiohttp import web

from api.http.handlers import (
    archives,
    dead,
    documents,
    duplicates,
    feed,
    files,
    health,
    items,
    metrics,
    photos,
    session,
    signed_urls,
    uploads,
    workspaces,
)
from api.http.response_models import (
    BulkResultsResponse,
    CountResponse,
    DeadLettersResponse,
    DeadSettledResponse,
    DuplicateForm,
    DuplicatesResponse,
    PageResponse,
    PhotoOrderResponse,
    PhotoResponse,
    UploadForm,
    WorkspacesResponse,
)
from api.http.route import ROUTES, Route
from api.photos.rerender import RerenderFilter

_PHOTOS: Final = "/v1/workspaces/{workspace}/photos"
_PHOTO: Final = _PHOTOS + "/{photo}"
_ITEM: Final = "/v1/workspaces/{workspace}/items/{item}"

#: Of two that fit an address the first one wins.
ALL: Final = (
    Route(
        "POST", _PHOTOS, uploads.post_photo,
        "Upload a photo; with an Idempotency-Key the same request again returns the first; 200 for on_duplicate=return",
        status=201, answer=PhotoResponse, form=UploadForm, query=uploads.UploadQuery,
        problems=(400, 408, 409, 413, 415, 422),
    ),
    Route("GET", _PHOTOS, photos.get_photos, "List photos, newest first; with item_id by display order",
          answer=PageResponse, query=photos.PhotoListQuery, problems=(400,)),
    Route("POST", _PHOTOS + "/bulk-delete", photos.bulk_delete, "Delete photos",
          answer=BulkResultsResponse, body=photos.BulkDelete, problems=(400,)),
    Route("POST", _PHOTOS + "/bulk-caption", photos.bulk_caption, "Caption photos",
          answer=BulkResultsResponse, body=photos.BulkCaption, problems=(400,)),
    Route("POST", _PHOTOS + "/retry", photos.retry_photos, "Render many photos again",
          status=202, answer=CountResponse, body=RerenderFilter, problems=(400,)),
    Route("GET", _PHOTOS + "/download", archives.get_archive, "Originals as one zip",
          answer="application/zip", query=archives.ArchiveQuery),
    Route("POST", _PHOTOS + "/download", archives.post_archive, "Originals as one zip, up to 500",
          answer="application/zip", body=archives.ArchiveOrder),
    Route("POST", _PHOTOS + "/check-duplicate", duplicates.check_duplicate,
          "Find near duplicates of a photo, nearest first; stores nothing",
          answer=DuplicatesResponse, form=DuplicateForm, problems=(400, 408, 413, 415, 422)),
    Route("GET", _PHOTO, photos.get_photo, "One photo", answer=PhotoResponse),
    Route("PATCH", _PHOTO, photos.patch_photo,
          "Change the caption (null clears it), or make it the primary photo of its item",
          answer=PhotoResponse, body=photos.PhotoChange, problems=(400, 404, 412)),
    Route("DELETE", _PHOTO, photos.delete_photo, "Delete a photo; its files follow", status=204),
    Route("POST", _PHOTO + "/retry", photos.retry_photo, "Render a photo again",
          status=202, answer=PhotoResponse, problems=(400, 404, 409)),
    Route("POST", _PHOTO + "/signed-urls", signed_urls.post_signed_urls,
          "URLs of a photo's files that need no key, until they expire",
          answer=signed_urls.SignedUrlsResponse, body=signed_urls.SignedUrlsRequest),
    Route("GET", _PHOTO + "/original", files.get_original, "The original's bytes, or a range of them",
          answer="image/*", query=files.OriginalQuery, problems=(400, 404, 416)),
    Route("GET", _PHOTO + "/thumbnails/{rendition}", files.get_thumbnail,
          "A thumbnail's bytes; 404 with Retry-After while it is not ready", answer="image/*", query=files.FileQuery),
    Route("GET", _ITEM + "/photo-order", items.get_order, "The order of an item's photos, with its ETag",
          answer=PhotoOrderResponse),
    Route("PUT", _ITEM + "/photo-order", items.put_order, "Put the photos of an item into an order",
          status=204, body=items.PhotoOrder, problems=(400, 404, 412)),
    Route("DELETE", _ITEM, items.delete_item, "Delete all photos of an item; their files follow", status=204),
    Route("GET", "/v1/workspaces/{workspace}/feed", feed.get_feed,
          "The feed: a WebSocket; asyncapi.json describes its messages",
          status=101, query=feed.FeedQuery, problems=(400, 403, 426)),
    Route("GET", "/v1/workspaces", workspaces.get_workspaces,
          "Workspaces by name, with how many photos and bytes they have; for admins",
          answer=WorkspacesResponse, query=workspaces.WorkspaceListQuery, problems=(400, 403), is_for_admins=True),
    Route("POST", "/v1/photos/retry", photos.retry_everywhere,
          "Render many photos of every workspace again; for admins",
          status=202, answer=CountResponse, body=RerenderFilter, problems=(400, 403), is_for_admins=True),
    Route("GET", "/v1/dead", dead.get_dead, "Records that were no events, newest first; for admins",
          answer=DeadLettersResponse, query=dead.DeadListQuery, problems=(400, 403), is_for_admins=True),
    Route("POST", "/v1/dead/replay", dead.replay_dead,
          "Send dead letters to their source topics again; for admins",
          answer=DeadSettledResponse, body=dead.DeadReplay, problems=(400, 403), is_for_admins=True),
    Route("POST", "/v1/dead/drop", dead.drop_dead, "Have dead letters no longer listed; for admins",
          answer=DeadSettledResponse, body=dead.DeadDrop, problems=(400, 403), is_for_admins=True),
    Route("GET", "/healthz", health.get_healthz),
    Route("GET", "/readyz", health.get_readyz),
    Route("GET", "/metrics", metrics.get_metrics),
    Route("GET", "/openapi.json", documents.get_openapi),
    Route("GET", "/asyncapi.json", documents.get_asyncapi),
    Route("GET", "/docs", documents.get_docs),
    Route("GET", "/", session.get_page),
    Route("POST", "/session", session.post_session),
    Route("DELETE", "/session", session.delete_session),
    Route("GET", "/dashboard/{file:.+}", session.get_static),
)  # fmt: skip


def add_routes(app: web.Application) -> None:
    """Add every route."""
    app[ROUTES] = ALL
    for route in ALL:
        route.add_to(app)
