"""Metrics for Prometheus."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

UPLOADS: Final = Counter("thumbstream_uploads_total", "Photos that were posted and written down.")
UPLOADED_BYTES: Final = Counter("thumbstream_uploaded_bytes_total", "Bytes of those photos.")
REQUEST_SECONDS: Final = Histogram(
    "thumbstream_http_request_seconds", "Time to answer a request.", ["method", "route", "status"]
)
PHOTOS: Final = Gauge("thumbstream_photos", "Photos by thumbnail status.", ["status"])
PHOTO_BYTES: Final = Gauge("thumbstream_photo_bytes", "Bytes of all originals.")
OUTBOX_ROWS: Final = Gauge("thumbstream_outbox_rows", "Events that wait for Kafka.")
REPUBLISHED: Final = Counter("thumbstream_republished_total", "Events published again, by why.", ["why"])
FEED_SUBSCRIBERS: Final = Gauge("thumbstream_feed_subscribers", "Open WebSockets of the feed.")
