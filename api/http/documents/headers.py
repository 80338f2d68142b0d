"""The HTTP headers that requests and answers have, as the documents describe them."""

from dataclasses import dataclass
from typing import Any, Final

from aiohttp import hdrs


@dataclass(frozen=True)
class Header:
    """A header of requests or of answers."""

    name: str
    description: str
    example: str
    #: What its value must match, as a regular expression; None: any text.
    pattern: str | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its value."""
        return {"type": "string"} | ({"pattern": self.pattern} if self.pattern else {})


#: Of requests.
IDEMPOTENCY_KEY: Final = Header(
    "Idempotency-Key",
    "chosen by the client, a new one for each photo: the same request again returns the photo that the first one made, "
    "another request with the same key is a 422; ASCII, 255 characters at most",
    "8e03978e-40d5-43dd-bc93-6894a57f9324",
    r"^[!-~]([ -~]{0,253}[!-~])?$",
)
TRACEPARENT: Final = Header(
    "traceparent",
    "W3C Trace Context: passed on to every event that the request causes, with tracestate; ignored where it is none",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
IF_NONE_MATCH: Final = Header(
    hdrs.IF_NONE_MATCH, "the ETag of the bytes that the client has: 304 where they are still the same", '"1f6a0d3c2b4e"'
)
RANGE: Final = Header(hdrs.RANGE, "which bytes are wanted: 206 with one range of them", "bytes=0-1023")
IF_RANGE: Final = Header(
    hdrs.IF_RANGE, "the ETag that the range is of: 200 with all where it has changed", '"1f6a0d3c2b4e"'
)
IF_MATCH: Final = Header(
    hdrs.IF_MATCH, "the ETag that the client has seen: 412 where something has changed since", '"1f6a0d3c2b4e"'
)
LAST_EVENT_ID: Final = Header(
    "Last-Event-ID", "the last cursor that the client saw; browsers send it by themselves", "j184467-7f3a9c01"
)

#: Of answers.
LOCATION: Final = Header(
    hdrs.LOCATION,
    "the address of what was made, relative to the server",
    "/v1/workspaces/acme/photos/0198f0c2-6f0a-7cc3-98a4-2f6f2f1c9d55",
)
ETAG: Final = Header(hdrs.ETAG, "names these bytes: other bytes have another", '"1f6a0d3c2b4e"', r'^(W/)?"[^"]*"$')
CACHE_CONTROL: Final = Header(hdrs.CACHE_CONTROL, "how long the answer may be kept, and by whom", "private, no-cache")
CONTENT_DISPOSITION: Final = Header(
    hdrs.CONTENT_DISPOSITION, "the name under which a browser keeps the file", 'attachment; filename="photos.zip"'
)
ACCEPT_RANGES: Final = Header(hdrs.ACCEPT_RANGES, "that ranges may be asked for", "bytes")
CONTENT_RANGE: Final = Header(hdrs.CONTENT_RANGE, "which bytes of how many", "bytes 0-1023/4183922")
RETRY_AFTER: Final = Header(hdrs.RETRY_AFTER, "seconds after which it is worth to ask again", "2", r"^[0-9]+$")
RATE_LIMIT: Final = Header(
    "RateLimit",
    "requests left, and seconds until all of the quota is there again; on every answer to a key, where limits are set",
    '"key";r=73;t=3',
)
RATE_LIMIT_POLICY: Final = Header(
    "RateLimit-Policy", "how many requests in how many seconds; where RateLimit is", '"key";q=100;w=10'
)
WWW_AUTHENTICATE: Final = Header(hdrs.WWW_AUTHENTICATE, "how to show a key: as a bearer", 'Bearer realm="thumbstream"')
UPGRADE: Final = Header(hdrs.UPGRADE, "the protocol that is spoken here", "websocket")
X_ACCEL_BUFFERING: Final = Header("X-Accel-Buffering", "that a proxy passes on each message as it comes", "no")
SET_COOKIE: Final = Header(
    hdrs.SET_COOKIE, "the session cookie", "thumbstream_session=…; HttpOnly; Path=/; SameSite=Strict"
)

#: What answers of these statuses have beside Cache-Control, on every route.
OF_STATUS: Final[dict[int, tuple[Header, ...]]] = {
    206: (CONTENT_RANGE,),
    302: (LOCATION,),
    303: (LOCATION, SET_COOKIE),
    401: (WWW_AUTHENTICATE,),
    412: (ETAG,),
    416: (CONTENT_RANGE,),
    426: (UPGRADE,),
    429: (RETRY_AFTER, RATE_LIMIT, RATE_LIMIT_POLICY),
    503: (RETRY_AFTER,),
}
