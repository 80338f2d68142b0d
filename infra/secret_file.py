"""Secrets that are made on the first start and kept in the data directory."""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def read_or_make(file: Path, prefix: str = "") -> str:
    """The text of ``file`` without the spaces around it; where there is no file, one with a random secret is made.

    Its mode is 600. ``prefix`` begins a new secret, so that people and scanners see what it is.
    """
    with suppress(FileNotFoundError):
        return file.read_text().strip()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written beside the file and linked into place: of two processes that do it at once, one wins whole.
    draft = file.with_name(f".{file.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write(f"{prefix}{secrets.token_urlsafe(32)}\n")
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
    return file.read_text().strip()
