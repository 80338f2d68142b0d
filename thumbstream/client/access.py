"""Address and key of the api, for every client command."""

import os
from dataclasses import dataclass, field
from typing import Final

from dotenv import dotenv_values

from infra.settings import Settings

_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::", ""})


class NoKey(Exception):
    """No key is known; the text says where one is looked for."""


@dataclass(frozen=True)
class Access:
    """One api, one workspace, one key."""

    url: str
    workspace: str
    key: str = field(repr=False)


def find_access(settings: Settings, *, url: str | None, key: str | None, workspace: str) -> Access:
    """The arguments, else the environment and ``.env``, else what the settings and the data directory say.

    Raises:
        NoKey: none of them knows a key.
    """
    environment = {**dotenv_values(".env"), **os.environ}
    found = key or environment.get("THUMBSTREAM_KEY") or data_dir_key(settings)
    if not found:
        raise NoKey(
            f"no key: give --key, set THUMBSTREAM_KEY, or run where `up` keeps its data (no {settings.admin_key_file})"
        )
    chosen = url or environment.get("THUMBSTREAM_URL") or local_url(settings)
    return Access(chosen.rstrip("/"), workspace, found)


def data_dir_key(settings: Settings) -> str | None:
    """The admin key: of the settings, else the one that the api made in the data directory."""
    if settings.admin_key:
        return settings.admin_key.get_secret_value()
    try:
        return settings.admin_key_file.read_text().strip() or None
    except OSError:
        return None


def local_url(settings: Settings) -> str:
    """The api of these settings, as seen from this machine."""
    host = "127.0.0.1" if settings.http_host in _EVERY_ADDRESS else settings.http_host
    return f"http://[{host}]:{settings.http_port}" if ":" in host else f"http://{host}:{settings.http_port}"
