"""The admin key, which always holds: of the settings, else made on the first start."""

from api.access.keys import KEY_PREFIX
from infra.secret_file import read_or_make
from infra.settings import Settings


def admin_key(settings: Settings) -> str:
    """The admin key: the setting, else the one in ``Settings.admin_key_file``, made on the first call (mode 600)."""
    if settings.admin_key is not None:
        return settings.admin_key.get_secret_value()
    return read_or_make(settings.admin_key_file, prefix=KEY_PREFIX)
