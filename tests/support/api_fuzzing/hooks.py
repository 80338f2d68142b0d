"""What schemathesis cannot know of the api: which bytes are a photo, and which values only an answer can give."""

from typing import Any

import schemathesis
from hypothesis import strategies as st

from photos import photo

#: Bytes that are no photo are a 415, which no schema can tell.
schemathesis.openapi.format("binary", st.sampled_from([photo(16, 16, seed=seed) for seed in range(3)]))


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Leave out cursors: only an earlier answer of the same list gives one that is valid."""
    return {name: value for name, value in query.items() if name != "cursor"} if query else query


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Leave unknown parts out of a form: their names would not even be HTTP."""
    if isinstance(body, dict) and "photo" in body:
        return {name: value for name, value in body.items() if name in ("photo", "item_id", "caption")}
    return body
