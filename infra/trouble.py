"""Logs lasting trouble: when it begins, when its reason changes, and when it is over."""

from typing import Any


class Trouble:
    """One thing that may be wrong for a while, such as a database that does not answer."""

    def __init__(self, log: Any, problem: str, *, over: str = "", **fields: Any) -> None:
        """``problem`` and ``over``: what is logged; without ``over`` the end is not. ``fields`` go with both."""
        self._log = log
        self._problem = problem
        self._over = over
        self._fields = fields
        #: Why it is wrong at present; empty while it is not.
        self.reason = ""

    def is_because(self, reason: str | BaseException) -> None:
        """It is wrong, for this reason."""
        text = reason if isinstance(reason, str) else f"{type(reason).__name__}: {reason}".rstrip(": ")
        if text != self.reason:
            self._log.warning(self._problem, reason=text[:500], **self._fields)
        self.reason = text

    def is_over(self) -> None:
        """It is not, or no longer, wrong."""
        if self.reason and self._over:
            self._log.info(self._over, **self._fields)
        self.reason = ""
