"""The page that shows both documents."""
from typing import Any


def page_of(http: dict[str, Any], messages: dict[str, Any]) -> str:
    """The page."""
    return ""
