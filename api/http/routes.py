"""Every route: its handler, its models, its answers. The router and OpenAPI are both made from this list."""

from typing import Final

from aiohttp import web

from api.http.documents import headers
from api.http.feeds.forms import EVENT_STREAM
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
from api.http.handlers.access import audit, keys
from api.http.response_models import (
    AliveResponse,
    BulkResultsResponse,
    CountResponse,
    DeadLettersResponse,
    DeadSettledResponse,
    DocumentResponse,
    DuplicateForm,
    DuplicatesResponse,
    PageResponse,
    PhotoOrderResponse,
    PhotoResponse,
    ReadinessResponse,
    SignedUrlsResponse,
    SignInForm,
    UploadForm,
    WorkspacesResponse,
)
from api.http.route import ROUTES, Route
from api.photos.rerender import RerenderFilter

_PHOTOS: Final = "/v1/workspaces/{workspace}/photos"
_PHOTO: Final = _PHOTOS + "/{photo}"
_ITEM: Final = "/v1/workspaces/{workspace}/items/{item}"

#: What bytes from storage are sent with.
_OF_FILE: Final = (headers.ETAG, headers.CACHE_CONTROL)

#: Of two that fit an address the first one wins.
ALL: Final = (
    Route(
        "POST", _PHOTOS, uploads.post_photo,
        "Upload a photo; with an Idempotency-Key header the same request again returns the first one, another is a 422",
        role="editor", status=201, answer=PhotoResponse, form=UploadForm, query=uploads.UploadQuery,
        problems=(409, 415, 422, 507), request_headers=(headers.IDEMPOTENCY_KEY,),
        answer_headers=(headers.LOCATION, headers.ETAG), others={200: PhotoResponse},
    ),
    Route("GET", _PHOTOS, photos.get_photos, "List photos, newest first; with item_id by display order",
          role="viewer", answer=PageResponse, query=photos.PhotoListQuery),
    Route("POST", _PHOTOS + "/bulk-delete", photos.bulk_delete, "Delete photos",
          role="editor", answer=BulkResultsResponse, body=photos.BulkDelete),
    Route("POST", _PHOTOS + "/bulk-caption", photos.bulk_caption, "Caption photos",
          role="editor", answer=BulkResultsResponse, body=photos.BulkCaption),
    Route("POST", _PHOTOS + "/retry", photos.retry_photos, "Render many photos again",
          role="editor", status=202, answer=CountResponse, body=RerenderFilter),
    Route("GET", _PHOTOS + "/download", archives.get_archive, "Originals as one zip",
          role="viewer", answer="application/zip", query=archives.ArchiveQuery,
          answer_headers=(headers.CONTENT_DISPOSITION, headers.CACHE_CONTROL)),
    Route("POST", _PHOTOS + "/download", archives.post_archive, "Originals as one zip, up to 500",
          role="viewer", answer="application/zip", body=archives.ArchiveOrder,
          answer_headers=(headers.CONTENT_DISPOSITION, headers.CACHE_CONTROL)),
    Route("POST", _PHOTOS + "/check-duplicate", duplicates.check_duplicate,
          "Find near duplicates of a photo, nearest first; stores nothing",
          role="viewer", answer=DuplicatesResponse, form=DuplicateForm, problems=(415, 422)),
    Route("GET", _PHOTO, photos.get_photo, "One photo", role="viewer", answer=PhotoResponse, others={304: None},
          request_headers=(headers.IF_NONE_MATCH,), answer_headers=_OF_FILE),
    Route("PATCH", _PHOTO, photos.patch_photo,
          "Change the caption (null clears it), or make it the primary photo of its item",
          role="editor", answer=PhotoResponse, body=photos.PhotoChange, problems=(412,),
          request_headers=(headers.IF_MATCH,), answer_headers=_OF_FILE),
    Route("DELETE", _PHOTO, photos.delete_photo, "Delete a photo; its files follow", role="editor", status=204),
    Route("POST", _PHOTO + "/retry", photos.retry_photo, "Render a photo again",
          role="editor", status=202, answer=PhotoResponse, problems=(409,)),
    Route("POST", _PHOTO + "/signed-urls", signed_urls.post_signed_urls,
          "URLs of a photo's files that need no key, until they expire",
          role="viewer", answer=SignedUrlsResponse, body=signed_urls.SignedUrlsRequest,
          answer_headers=(headers.CACHE_CONTROL,)),
    Route("GET", _PHOTO + "/original", files.get_original, "The original's bytes, or a range of them",
          role="viewer", takes_signed_url=True, answer="image/*", query=files.OriginalQuery,
          others={206: "image/*", 302: None, 304: None}, problems=(416,), may_be_early=True,
          request_headers=(headers.IF_NONE_MATCH, headers.RANGE, headers.IF_RANGE),
          answer_headers=(*_OF_FILE, headers.CONTENT_DISPOSITION, headers.ACCEPT_RANGES)),
    Route("GET", _PHOTO + "/thumbnails/{rendition}", files.get_thumbnail,
          "A thumbnail's bytes; 404 with Retry-After while it is not ready",
          role="viewer", takes_signed_url=True, answer="image/*", query=files.FileQuery,
          others={302: None, 304: None}, may_be_early=True,
          request_headers=(headers.IF_NONE_MATCH,), answer_headers=_OF_FILE),
    Route("GET", _ITEM + "/photo-order", items.get_order, "The order of an item's photos, with its ETag",
          role="viewer", answer=PhotoOrderResponse, others={304: None},
          request_headers=(headers.IF_NONE_MATCH,), answer_headers=_OF_FILE),
    Route("PUT", _ITEM + "/photo-order", items.put_order, "Put the photos of an item into an order",
          role="editor", status=204, body=items.PhotoOrder, problems=(412,),
          request_headers=(headers.IF_MATCH,), answer_headers=(headers.ETAG,)),
    Route("DELETE", _ITEM, items.delete_item, "Delete all photos of an item; their files follow",
          role="editor", status=204),
    Route("GET", "/v1/workspaces/{workspace}/feed", feed.get_feed,
          "The feed: a WebSocket; asyncapi.json describes its messages",
          role="viewer", takes_ticket=True, status=101, query=feed.FeedQuery, problems=(426,)),
    Route("GET", "/v1/workspaces/{workspace}/feed/events", feed.get_feed_events,
          "The feed as server-sent events: the same messages, with the cursor as id, for clients without WebSocket",
          role="viewer", takes_ticket=True, answer=EVENT_STREAM, query=feed.FeedQuery,
          request_headers=(headers.LAST_EVENT_ID,),
          answer_headers=(headers.CACHE_CONTROL, headers.X_ACCEL_BUFFERING)),
    Route("POST", "/v1/workspaces/{workspace}/feed/tickets", feed.post_ticket,
          "A ticket that opens the feed once within 60 s, for a page that can send neither header nor cookie",
          role="viewer", status=201, answer=feed.TicketResponse, answer_headers=(headers.CACHE_CONTROL,)),
    Route("POST", "/v1/keys", keys.post_key, "Make a key, which is shown in this answer only",
          role="admin", status=201, answer=keys.NewKeyResponse, body=keys.KeyOrder, problems=(404,),
          answer_headers=(headers.CACHE_CONTROL,)),
    Route("GET", "/v1/keys", keys.get_keys, "The keys that the caller may revoke, oldest first",
          role="admin", answer=keys.KeysResponse),
    Route("DELETE", "/v1/keys/{key}", keys.delete_key, "Revoke a key, with its sessions and open feeds",
          role="admin", status=204),
    Route("GET", "/v1/audit", audit.get_audit, "Who did what to which photo, key or dead letter, newest first",
          role="admin", answer=audit.AuditResponse, query=audit.AuditQuery),
    Route("GET", "/v1/workspaces", workspaces.get_workspaces,
          "Workspaces by name, with how many photos and bytes they have; for admins",
          role="admin", everywhere=True, answer=WorkspacesResponse, query=workspaces.WorkspaceListQuery),
    Route("POST", "/v1/photos/retry", photos.retry_everywhere,
          "Render many photos of every workspace again; for admins",
          role="admin", everywhere=True, status=202, answer=CountResponse, body=RerenderFilter),
    Route("GET", "/v1/dead", dead.get_dead, "Records that were no events, newest first; for admins",
          role="admin", everywhere=True, answer=DeadLettersResponse, query=dead.DeadListQuery),
    Route("POST", "/v1/dead/replay", dead.replay_dead,
          "Send dead letters to their source topics again; for admins",
          role="admin", everywhere=True, answer=DeadSettledResponse, body=dead.DeadReplay),
    Route("POST", "/v1/dead/drop", dead.drop_dead, "Have dead letters no longer listed; for admins",
          role="admin", everywhere=True, answer=DeadSettledResponse, body=dead.DeadDrop),
    Route("GET", "/healthz", health.get_healthz, "Whether the process answers", role=None, answer=AliveResponse),
    Route("GET", "/readyz", health.get_readyz, "Whether each part does its work, and why not",
          role=None, answer=ReadinessResponse, others={503: ReadinessResponse},
          answer_headers=(headers.CACHE_CONTROL,)),
    Route("GET", "/metrics", metrics.get_metrics, "Metrics for Prometheus",
          role="viewer", everywhere=True, answer="text/plain"),
    Route("GET", "/openapi.json", documents.get_openapi, "This document", role="viewer", answer=DocumentResponse),
    Route("GET", "/asyncapi.json", documents.get_asyncapi, "The document of topics and feed",
          role="viewer", answer=DocumentResponse),
    Route("GET", "/docs", documents.get_docs, "A page that shows both documents",
          role="viewer", answer="text/html", answer_headers=(headers.CACHE_CONTROL,)),
    Route("GET", "/", session.get_page, "The dashboard, or the page to sign in; ?key= signs in",
          role=None, answer="text/html", others={303: None, 401: "text/html", 503: "text/html"},
          answer_headers=(headers.CACHE_CONTROL,)),
    Route("POST", "/session", session.post_session, "Trade a key for the session cookie", role=None, status=303,
          form=SignInForm, form_type="application/x-www-form-urlencoded",
          others={401: "text/html", 403: "text/html", 503: "text/html"},
          answer_headers=(headers.LOCATION, headers.SET_COOKIE, headers.CACHE_CONTROL)),
    Route("DELETE", "/session", session.delete_session, "Sign out: end the session", role=None, status=204,
          problems=(403,), answer_headers=(headers.SET_COOKIE,)),
    Route("GET", "/dashboard/{file:.+}", session.get_static, "A file of the dashboard", role=None, answer="*/*",
          others={304: None}, answer_headers=_OF_FILE),
)  # fmt: skip


def add_routes(app: web.Application) -> None:
    """Add every route."""
    app[ROUTES] = ALL
    for route in ALL:
        route.add_to(app, ALL)
