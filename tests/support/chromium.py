"""Finds the Chromium that the browser tests drive."""

import shutil


def chromium() -> str | None:
    """The path of the machine's Chromium or Chrome, for Playwright's ``executable_path``, or None."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    return None
