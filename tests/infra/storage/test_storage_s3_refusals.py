import asyncio

import pytest

from infra.settings import load_settings
from infra.storage.client import open_storage
from schemas.faults import StorageUnavailable

REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.timeout(60)
async def test_a_server_that_never_says_continue_holds_no_write_for_ever():
    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        writer.write(REFUSAL)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    storage = open_storage(
        load_settings(
            storage_url="s3://bucket/prefix",
            s3_endpoint_url=f"http://127.0.0.1:{port}",
            s3_access_key_id="key",
            s3_secret_access_key="secret",
        )
    )
    try:
        with pytest.raises(StorageUnavailable):
            async with asyncio.timeout(30):
                await storage.write("a/key", b"bytes" * 1000)
    finally:
        server.close()
