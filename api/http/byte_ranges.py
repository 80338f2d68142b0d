"""Range requests: one range of bytes of a file. Source: RFC 9110, section 14."""

from typing import Final

from aiohttp import hdrs, web

from api.http.problems import Problem

#: More digits are no size of a file, and Python refuses to read thousands.
_MAX_HEADER: Final = 100


def requested_range(request: web.Request, size: int, etag: str) -> range | None:
    """The positions in a file of ``size`` bytes that are asked for; None for the whole file.

    HEAD, several ranges, other units, what cannot be read, and an If-Range with another version get the whole file.

    Raises:
        Problem: 416, the range begins behind the end.
    """
    header = request.headers.get(hdrs.RANGE)
    if header is None or len(header) > _MAX_HEADER or request.method != hdrs.METH_GET:
        return None
    condition = request.headers.get(hdrs.IF_RANGE)
    if condition is not None and condition.strip() != etag:
        return None
    try:
        wanted = request.http_range
    except ValueError:
        return None
    if "=-" in header and wanted.start == 0:  # the last 0 bytes, which aiohttp takes for all
        start = end = size
    else:
        start, end, _ = wanted.indices(size)
    if start >= end:
        headers: dict[str, str] = {hdrs.CONTENT_RANGE: f"bytes */{size}", hdrs.ACCEPT_RANGES: "bytes"}
        raise Problem(416, f"the range begins behind the end: the file has {size} bytes", headers=headers)
    return range(start, end)
