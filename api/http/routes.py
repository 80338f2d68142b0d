"""Which address is answered by which handler."""

from aiohttp import web

from api.http.handlers import archives, dead, documents, feed, files, health, items, photos, session, uploads

_PHOTOS = "/v1/workspaces/{workspace}/photos"
_PHOTO = _PHOTOS + "/{photo}"
_ITEM = "/v1/workspaces/{workspace}/items/{item}"


def add_routes(app: web.Application) -> None:
    """Add every route. Of two that fit an address the first one wins."""
    app.add_routes(
        [
            web.post(_PHOTOS, uploads.post_photo),
            web.get(_PHOTOS, photos.get_photos),
            web.post(_PHOTOS + "/bulk-delete", photos.bulk_delete),
            web.post(_PHOTOS + "/bulk-caption", photos.bulk_caption),
            web.post(_PHOTOS + "/retry", photos.retry_photos),
            web.get(_PHOTOS + "/download", archives.get_archive),
            web.get(_PHOTO, photos.get_photo),
            web.patch(_PHOTO, photos.patch_photo),
            web.delete(_PHOTO, photos.delete_photo),
            web.post(_PHOTO + "/retry", photos.retry_photo),
            web.get(_PHOTO + "/original", files.get_original),
            web.get(_PHOTO + "/thumbnails/{rendition}", files.get_thumbnail),
            web.put(_ITEM + "/photo-order", items.put_order),
            web.delete(_ITEM, items.delete_item),
            web.get("/v1/workspaces/{workspace}/feed", feed.get_feed),
            web.post("/v1/photos/retry", photos.retry_everywhere),
            web.get("/v1/dead", dead.get_dead),
            web.post("/v1/dead/replay", dead.replay_dead),
            web.post("/v1/dead/drop", dead.drop_dead),
            web.get("/healthz", health.get_healthz),
            web.get("/readyz", health.get_readyz),
            web.get("/metrics", health.get_metrics),
            web.get("/openapi.json", documents.get_openapi),
            web.get("/asyncapi.json", documents.get_asyncapi),
            web.get("/docs", documents.get_docs),
            web.get("/", session.get_page),
            web.post("/session", session.post_session),
            web.delete("/session", session.delete_session),
            web.get("/dashboard/{file:.+}", session.get_static),
        ]
    )
