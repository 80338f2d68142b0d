"""Settings of how much one key and one workspace may use."""

from pydantic import Field
from pydantic_settings import BaseSettings

from infra.settings_checks import Amount


class LimitSettings(BaseSettings):
    """How much one key and one workspace may use, over all instances of the api together. Unset: any amount."""

    #: A burst may take what ten seconds allow.
    key_requests_per_second: float | None = Field(default=None, ge=0.1, le=1_000_000)
    workspace_requests_per_second: float | None = Field(default=None, ge=0.1, le=1_000_000)

    #: Uploads whose photo is on its way.
    key_uploads_at_once: int | None = Field(default=None, ge=1)
    workspace_uploads_at_once: int | None = Field(default=None, ge=1)

    #: Photos that may be uploaded with one key in all, and their bytes (``100 GB`` is understood too).
    key_max_photos: int | None = Field(default=None, ge=1)
    key_max_bytes: Amount | None = None

    #: Photos that a workspace may have, and the bytes of their originals . What arrives by Kafka counts, and is not
    #: refused.
    workspace_max_photos: int | None = Field(default=None, ge=1)
    workspace_max_bytes: Amount | None = None
