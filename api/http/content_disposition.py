"""Content-Disposition: parses that of a form part as browsers and curl write it, and writes that of a download.

Sources: RFC 7578 section 4.2, RFC 6266, RFC 8187, and "multipart/form-data" in the HTML standard.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, unquote_to_bytes

_NAME: Final = re.compile(r"[\s;]*([\w!#$%&+^`|~.*-]+)\s*=\s*")
#: Ends at the first quote that is not escaped and has the end of the parameter behind it.
_QUOTED: Final = re.compile(r'"((?:\\.|[^"\\])*)"\s*(?=;|$)', re.DOTALL)
_BARE: Final = re.compile(r"[^;]*")
#: Old browsers send whole Windows paths, whose backslashes escape nothing; curl and aiohttp escape these two.
_ESCAPED: Final = re.compile(r'\\(["\\])')
#: What a browser writes in place of a quote and of line breaks.
_PERCENT_ENCODED: Final = re.compile(r"%(22|0D|0A)", re.IGNORECASE)
#: What may stand in ``filename*`` as it is. Source: RFC 8187, attr-char.
_ATTRIBUTE_CHARACTERS: Final = "!#$&+-.^_`|~"
_EXTENDED: Final = re.compile(r"(utf-8|iso-8859-1)'[^']*'(.*)", re.IGNORECASE | re.DOTALL)


def parse_content_disposition(header: str) -> tuple[str | None, str | None]:
    """``name`` and ``filename`` of a part; None for what is not said. ``filename*`` wins over ``filename``.

    Bytes that are no UTF-8, which arrive as surrogates, become replacement characters.
    """
    found: dict[str, str] = {}
    for name, value in _parameters(header.partition(";")[2]):
        found.setdefault(name.lower(), value.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    if extended := _EXTENDED.fullmatch(found.get("filename*", "")):
        return found.get("name"), unquote_to_bytes(extended[2]).decode(extended[1], "replace")
    return found.get("name"), found.get("filename")


def format_content_disposition(kind: str, filename: str) -> str:
    """The header of a file: ``inline`` or ``attachment``, and its name, for old clients in ASCII too.

    The ASCII name has no quote, backslash or percent sign, which browsers read in different ways. Source: RFC 6266.
    """
    plain = re.sub(r'[^ -~]|["\\%]', "_", filename)
    if plain == filename:
        return f'{kind}; filename="{plain}"'
    encoded = quote(filename.encode("utf-8", "replace"), safe=_ATTRIBUTE_CHARACTERS)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while name := _NAME.match(text, at):
        at = name.end()
        if not text.startswith('"', at):
            bare = _BARE.match(text, at)
            assert bare is not None  # it matches nothing too
            yield name[1], bare[0].strip()
            at = bare.end()
        elif quoted := _QUOTED.match(text, at):
            yield name[1], _unescaped(quoted[1])
            at = quoted.end()
        else:  # a quote inside that nobody has escaped, or a backslash at the end that escapes nothing
            yield name[1], _unescaped(text[at + 1 :].rstrip().removesuffix('"'))
            return


def _unescaped(text: str) -> str:
    return _PERCENT_ENCODED.sub(lambda found: chr(int(found[1], 16)), _ESCAPED.sub(r"\1", text))
