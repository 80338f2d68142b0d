"""Every metric that this program exposes: those of an api and those of a worker, each side in a registry of its own.

Names follow Prometheus: base units in the name, ``_total`` for counters, labels with few values only.
docs/monitoring/ explains them, with a dashboard and alert rules that a test checks against this list.
"""

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nothing here reads

#: What ``/metrics`` of an api shows, and of a worker.
API: Final = CollectorRegistry()
WORKER: Final = CollectorRegistry()
for _registry in (API, WORKER):
    ProcessCollector(registry=_registry)
    PlatformCollector(registry=_registry)
    GCCollector(registry=_registry)

_REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_RENDER_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 150)
_WAIT_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)

# -- the api

UPLOADS: Final = Counter("thumbstream_uploads_total", "Photos that were posted and written down.", registry=API)
UPLOADED_BYTES: Final = Counter("thumbstream_uploaded_bytes_total", "Bytes of those photos.", registry=API)
REQUEST_SECONDS: Final = Histogram(
    "thumbstream_http_request_seconds",
    "Time from a request's head to the end of its answer, WebSockets left out; status is a class, as 2xx.",
    ["method", "route", "status"],
    buckets=_REQUEST_BUCKETS,
    registry=API,
)
REJECTED_REQUESTS: Final = Counter(
    "thumbstream_rejected_requests_total",
    "Requests that were answered with a problem document, by its code or its kind.",
    ["reason"],
    registry=API,
)
DATABASE_UP: Final = Gauge(
    "thumbstream_database_up", "Whether the database answered when its figures were last read: 1 or 0.", registry=API
)
PHOTOS: Final = Gauge("thumbstream_photos", "Photos by thumbnail status.", ["status"], registry=API)
PHOTO_BYTES: Final = Gauge("thumbstream_photo_bytes", "Bytes of all originals.", registry=API)
OUTBOX_ROWS: Final = Gauge("thumbstream_outbox_rows", "Events that wait for Kafka.", registry=API)
OUTBOX_OLDEST_SECONDS: Final = Gauge(
    "thumbstream_outbox_oldest_seconds", "How long the first of them has waited; 0 where none waits.", registry=API
)
REPUBLISHED: Final = Counter("thumbstream_republished_total", "Events published again, by why.", ["why"], registry=API)
FEED_SUBSCRIBERS: Final = Gauge("thumbstream_feed_subscribers", "Open WebSockets of the feed.", registry=API)
LAG_RECORDS: Final = Gauge(
    "thumbstream_consumer_lag_records",
    "Records that a consumer group has not finished, those in progress included; none while Kafka is away.",
    ["group", "topic"],
    registry=API,
)
LAG_SECONDS: Final = Gauge(
    "thumbstream_consumer_lag_seconds",
    "Age of the oldest of those records; 0 where there is none.",
    ["group", "topic"],
    registry=API,
)
GROUP_STALLED: Final = Gauge(
    "thumbstream_consumer_group_stalled",
    "Whether a consumer group commits nothing although there is something to read: 1 or 0.",
    ["group"],
    registry=API,
)
PROJECTED_RECORDS: Final = Counter(
    "thumbstream_projected_records_total", "Records that this api's projector has folded.", registry=API
)
PROJECTOR_DELAY_SECONDS: Final = Histogram(
    "thumbstream_projector_delay_seconds",
    "For each batch of the projector: the age of its oldest record when it is in the database.",
    buckets=_WAIT_BUCKETS,
    registry=API,
)
PROJECTOR_DEAD_LETTERS: Final = Counter(
    "thumbstream_projector_dead_letters_total", "Records that the projector could not fold, by topic.", ["topic"],
    registry=API,
)  # fmt: skip

# -- the worker

RESULTS: Final = Counter(
    "thumbstream_results_total",
    "Results that Kafka has: ready, or failed with its code (which is empty for ready).",
    ["result", "code"],
    registry=WORKER,
)
RETRIES: Final = Counter(
    "thumbstream_retries_total", "Attempts that failed and are made again later, by code.", ["code"], registry=WORKER
)
DEAD_LETTERS: Final = Counter(
    "thumbstream_dead_letters_total", "Records that were no events, by topic.", ["topic"], registry=WORKER
)
UPLOAD_TO_READY_SECONDS: Final = Histogram(
    "thumbstream_upload_to_ready_seconds",
    "Time from the upload, by its event, until Kafka has thumbnails.ready.",
    buckets=_WAIT_BUCKETS,
    registry=WORKER,
)
RENDER_SECONDS: Final = Histogram(
    "thumbstream_render_seconds",
    "Time to render one photo, with the way to its process and back, by the original's format.",
    ["format"],
    buckets=_RENDER_BUCKETS,
    registry=WORKER,
)
RENDITION_SECONDS: Final = Histogram(
    "thumbstream_rendition_seconds",
    "The part of it that scales and encodes one thumbnail; a smaller one is scaled from a larger one.",
    ["format", "rendition"],
    buckets=_RENDER_BUCKETS,
    registry=WORKER,
)
PHOTOS_IN_FLIGHT: Final = Gauge(
    "thumbstream_photos_in_flight", "Photos that are read, rendered, written or published now.", registry=WORKER
)
PHOTOS_RENDERING: Final = Gauge("thumbstream_photos_rendering", "Photos that hold a render slot.", registry=WORKER)
RENDER_SLOTS: Final = Gauge("thumbstream_render_slots", "Photos that may render at once.", registry=WORKER)
RETRIES_WAITING: Final = Gauge(
    "thumbstream_retries_waiting", "Retries that this worker holds and that are not due yet.", registry=WORKER
)
RENDER_PROCESS_RESTARTS: Final = Counter(
    "thumbstream_render_process_restarts_total",
    "Render processes that were replaced: recycled in time, or because of a photo.",
    ["reason"],
    registry=WORKER,
)
STORAGE_UP: Final = Gauge(
    "thumbstream_storage_up", "0 while photos wait because storage is away, else 1.", registry=WORKER
)
