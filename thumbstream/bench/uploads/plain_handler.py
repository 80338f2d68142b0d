"""The least that an upload can cost here: an aiohttp handler that writes the body of each request to a file.

``python -m thumbstream.bench.uploads.plain_handler PORT FOLDER``. SIGTERM ends it.
"""

import sys
from itertools import count
from pathlib import Path

from aiohttp import web


def _application(folder: Path) -> web.Application:
    numbers = count()

    async def write_body(request: web.Request) -> web.Response:
        with (folder / str(next(numbers))).open("wb") as file:
            async for chunk in request.content.iter_any():
                file.write(chunk)
        return web.json_response({}, status=201)

    app = web.Application()
    app.router.add_post("/{path:.*}", write_body)
    return app


if __name__ == "__main__":
    port, folder = sys.argv[1:]
    web.run_app(_application(Path(folder)), host="127.0.0.1", port=int(port), access_log=None, print=None)
