"""Events that the database refuses for good."""

from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

#: Data exceptions and broken constraints. Source: PostgreSQL, appendix A.
_REFUSALS: Final = ("22", "23")


def is_refusal(error: Exception) -> bool:
    """Whether the same event would fail for ever, other than for a database that is away or full."""
    if isinstance(error, DBAPIError):
        state = str(getattr(error.orig, "sqlstate", None) or "")
        return isinstance(error, IntegrityError | DataError) or state.startswith(_REFUSALS)
    return not isinstance(error, SQLAlchemyError | OSError)


def refusal_text(error: Exception) -> str:
    """What the database said, without the statement and its values, which may be a page long."""
    said = getattr(error, "orig", None) or error
    return f"it cannot be kept: {type(said).__name__}: {' '.join(str(said).split())}"
