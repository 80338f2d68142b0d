"""The words by which photos are found: of file name, caption and item id, without case and accents."""

import re
import unicodedata
from typing import Final

#: Of one photo; further words of a very long caption are not found.
_MAX_WORDS: Final = 200
#: Of a longer word the beginning is kept.
_MAX_WORD_LENGTH: Final = 64
#: Letters and digits of any script; an underscore separates.
_WORD: Final = re.compile(r"[^\W_]+")


def words_of(*texts: str | None) -> list[str]:
    """The different words of these texts, in the order in which they come."""
    plain = "\n".join(text for text in texts if text)
    if not plain.isascii():
        decomposed = unicodedata.normalize("NFKD", plain)
        plain = "".join(each for each in decomposed if not unicodedata.combining(each))
    words = dict.fromkeys(word[:_MAX_WORD_LENGTH] for word in _WORD.findall(plain.casefold()))
    return list(words)[:_MAX_WORDS]


def range_of_prefix(prefix: str) -> tuple[str, str]:
    """The words that begin so lie from the first of these, and before the second."""
    return prefix, prefix + "\U0010ffff"
