"""The documents of the last release, with which today's are compared; run as a program, it replaces them by today's."""

import json
from pathlib import Path
from typing import Any, Final

from api.http.documents.asyncapi import asyncapi
from api.http.documents.openapi import openapi
from api.http.routes import ALL

NAMES: Final = ("openapi", "asyncapi")

_FOLDER: Final = Path(__file__).parents[2] / "docs/api"


def current(name: str) -> dict[str, Any]:
    """The document as the api serves it today."""
    return openapi(ALL) if name == "openapi" else asyncapi()


def released(name: str) -> dict[str, Any]:
    """The document as the last release served it."""
    found: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text())
    return found


def main() -> None:
    """Keep today's documents as those of the release that is being made."""
    _FOLDER.mkdir(exist_ok=True)
    for name in NAMES:
        text = json.dumps(current(name), indent=1, ensure_ascii=False)
        (_FOLDER / f"{name}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main()
