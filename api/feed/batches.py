"""Messages of the feed as they are sent: several together, encoded once for all who get them."""

import json
from collections.abc import Callable, Sequence
from typing import Any

Message = dict[str, Any]
#: Makes the bytes of one form of the feed from a message and its JSON.
Encode = Callable[[Message, bytes], bytes]


class Batch:
    """Messages that follow each other. They must not change any more."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._encoded: dict[Encode, bytes] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def encoded(self, encode: Encode) -> bytes:
        """The bytes of all messages; made at the first call with this ``encode``, since subscribers share the batch."""
        if encode not in self._encoded:
            parts = (encode(message, _json_of(message)) for message in self._messages)
            self._encoded[encode] = b"".join(parts)
        return self._encoded[encode]


def _json_of(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
