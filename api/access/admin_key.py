"""The admin key, which always holds: of the settings, else made on the first start."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from api.access.keys import new_key
from infra.settings import Settings


def admin_key(settings: Settings) -> str:
    """The admin key: the setting, else the one in ``Settings.admin_key_file``, made on the first call (mode 600)."""
    if settings.admin_key is not None:
        return settings.admin_key.get_secret_value()
    file = settings.admin_key_file
    with suppress(FileNotFoundError):
        return file.read_text().strip()
    return _made_key(file)


def _made_key(file: Path) -> str:
    """Write a new key beside the file and link it into place, so that of two who do it at once one wins whole."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write(f"{new_key()}\n")
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
    return file.read_text().strip()
