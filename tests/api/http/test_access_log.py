"""One line a request, with an id that the client, the log and the problem document share."""

import re
from ipaddress import ip_network
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from infra.metrics import API
from infra.settings import Settings
from polling import poll_async
from raw_http import connected, head_of
from running_api import WORKSPACE, Running, running_api

MADE = re.compile(r"[0-9a-f]{32}")


async def lines_of(logs: Any, count: int = 1) -> list[dict[str, Any]]:
    """The access log's lines; a line is written just after its answer has been sent."""

    async def found() -> list[dict[str, Any]] | None:
        lines = [line for line in logs if line["event"] == "request"]
        return lines if len(lines) >= count else None

    return await poll_async(found, 20, what=f"{count} requests are logged")


async def test_a_request_is_one_line_with_who_what_and_how_long(lonely_api: Running) -> None:
    with capture_logs() as logs:
        await lonely_api.get(limit="1")
        (line,) = await lines_of(logs)
    assert line["route"] == "/v1/workspaces/{workspace}/photos"
    assert line["path"] == lonely_api.photos
    assert (line["method"], line["status"], line["workspace"]) == ("GET", 200, WORKSPACE)
    assert line["bytes"] > 0
    assert line["milliseconds"] >= 0
    assert line["key"] == "admin"
    assert "session" not in line


async def test_a_request_with_a_session_says_which(lonely_api: Running) -> None:
    headers = await lonely_api.signed_in_as("viewer")
    with capture_logs() as logs:
        async with lonely_api.client.get(lonely_api.photos, headers=headers) as response:
            assert response.status == 200
        (line,) = await lines_of(logs)
    assert re.fullmatch(r"[0-9a-f]{8}", line["session"])
    assert line["key"] == "admin"


@pytest.mark.parametrize("probe", ["/healthz", "/readyz", "/metrics"])
async def test_probes_are_logged_at_debug_only(lonely_api: Running, probe: str) -> None:
    with capture_logs() as logs:
        async with lonely_api.client.get(probe) as response:
            await response.read()
        (line,) = await lines_of(logs)
    assert line["log_level"] == "debug"


async def test_no_query_is_logged_since_it_may_hold_a_key(lonely_api: Running) -> None:
    with capture_logs() as logs:
        async with lonely_api.client.get("/?key=a-secret-key", headers={"Authorization": ""}) as response:
            assert response.status == 401
        await lines_of(logs)
    assert "a-secret-key" not in str(logs)


@pytest.mark.parametrize(
    "sent", ["abc-123", "0198f0c2-2222-7000-8000-000000000000", "Root=1-67891233-abcdef", "x" * 128]
)
async def test_a_sane_id_is_taken_over_and_is_in_answer_problem_and_log(lonely_api: Running, sent: str) -> None:
    with capture_logs(processors=[merge_contextvars]) as logs:
        async with lonely_api.client.get(f"{lonely_api.photos}/no-id", headers={"X-Request-ID": sent}) as response:
            assert response.headers["X-Request-ID"] == sent
            assert (await response.json())["request_id"] == sent
        (line,) = await lines_of(logs)
    assert line["request_id"] == sent


@pytest.mark.parametrize(
    "sent",
    [b"", b"a b", b"x" * 129, b"\xc3\xa9", b"\xff\xfe", b"<script>", b'"quoted"', b"a,b", b"a;b", b"{}", b"\\x1b[31m"],
)
async def test_any_other_id_is_replaced(lonely_api: Running, sent: bytes) -> None:
    async with connected(lonely_api.origin) as connection:
        await connection.send(head_of("GET /v1/nothing").encode()[:-2] + b"X-Request-ID: " + sent + b"\r\n\r\n")
        answer = await connection.answer()
    assert answer is not None
    assert MADE.fullmatch(answer.headers["x-request-id"])
    assert answer.problem()["request_id"] == answer.headers["x-request-id"]


async def test_requests_of_one_connection_have_ids_of_their_own(lonely_api: Running) -> None:
    async with connected(lonely_api.origin) as connection:
        ids = set()
        for _ in range(3):
            await connection.send(head_of("GET /healthz"))
            answer = await connection.answer()
            assert answer is not None
            ids.add(answer.headers["x-request-id"])
    assert len(ids) == 3


async def test_a_request_that_cannot_be_read_is_logged_too(lonely_api: Running) -> None:
    with capture_logs() as logs:
        async with connected(lonely_api.origin) as connection:
            await connection.send("GET / HTTP/1.1\r\nHost: here\r\nbad header\x1b[31m: x\r\n\r\n")
            answer = await connection.answer()
        assert answer is not None
        assert answer.status == 400
        (line,) = await lines_of(logs)
    assert (line["status"], line["route"]) == (400, "none")


async def test_a_method_that_nobody_knows_makes_no_series_of_its_own(lonely_api: Running) -> None:
    with capture_logs() as logs:
        async with connected(lonely_api.origin) as connection:
            await connection.send(head_of("BREW /healthz"))
            answer = await connection.answer()
        assert answer is not None
        assert answer.status in (400, 405)  # by the parser that aiohttp has on this platform
        await lines_of(logs)
    samples = [sample for family in API.collect() for sample in family.samples]
    methods = {sample.labels["method"] for sample in samples if "method" in sample.labels}
    assert "other" in methods
    assert "BREW" not in methods


async def test_problems_are_counted_by_reason(lonely_api: Running) -> None:
    def count(reason: str) -> float:
        return API.get_sample_value("thumbstream_rejected_requests_total", {"reason": reason}) or 0

    before = count("unauthorized"), count("not_found")
    for headers in ({"Authorization": "Bearer wrong"}, {}):
        async with lonely_api.client.get("/v1/nothing", headers=headers) as response:
            assert response.status in (401, 404)
    assert (count("unauthorized"), count("not_found")) == (before[0] + 1, before[1] + 1)


async def test_behind_a_proxy_the_line_is_the_same(no_kafka: Settings) -> None:
    behind = no_kafka.model_copy(update={"trusted_proxies": (ip_network("127.0.0.1"),)})
    async with running_api(behind) as running:
        with capture_logs() as logs:
            headers = {"X-Forwarded-For": "203.0.113.7", "X-Request-ID": "from-the-proxy"}
            async with running.client.get(running.photos, headers=headers) as response:
                assert response.headers["X-Request-ID"] == "from-the-proxy"
            (line,) = await lines_of(logs)
    assert line["key"] == "admin"
    assert (line["workspace"], line["request_id"]) == (WORKSPACE, "from-the-proxy")
