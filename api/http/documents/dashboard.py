"""The dashboard as browsers get it: its scripts in one file and its styles in another, compressed, to be kept for ever.

Nothing is built before: what is sent is put together from the page's own files at the first request.
"""

import gzip
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import TopologicalSorter
from hashlib import sha256
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / "dashboard"

_ENTRY: Final = "main.js"
_STYLE: Final = re.compile(r'^ *<link rel="stylesheet" href="dashboard/([^"]+)">\n', re.MULTILINE)
_SCRIPT: Final = f'  <script type="module" src="dashboard/{_ENTRY}"></script>\n'

_IMPORT: Final = re.compile(r'^import \{([^}]*)\} from "(\.[^"]+)";$', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?=(?:(?:async )?function\*?|class|const) (\w+))", re.MULTILINE)
_OTHER_FORM: Final = re.compile(r"^(?:import|export)\b.*|\bimport[.(].*", re.MULTILINE)


@dataclass(frozen=True)
class SentFile:
    """A file as it is sent."""

    content: bytes
    content_type: str

    @cached_property
    def digest(self) -> str:
        """16 hex digits that change when the content does."""
        return sha256(self.content).hexdigest()[:16]

    @cached_property
    def gzipped(self) -> bytes:
        """The content, compressed."""
        return gzip.compress(self.content, mtime=0)


@dataclass(frozen=True)
class Dashboard:
    """The page, and what it loads at once: by names that change with the content."""

    page: SentFile
    files: Mapping[str, SentFile]


@cache
def dashboard() -> Dashboard:
    """The dashboard of this version; the first call takes some 50 ms."""
    text = (FOLDER / "index.html").read_text()
    styles = "".join((FOLDER / name).read_text() for name in _STYLE.findall(text))
    script = SentFile(bundle(FOLDER, _ENTRY).encode(), "text/javascript")
    style = SentFile(styles.encode(), "text/css")
    files = {f"page-{script.digest}.js": script, f"page-{style.digest}.css": style}
    script_name, style_name = files
    loaded = (
        f'  <link rel="stylesheet" href="dashboard/{style_name}">\n'
        f'  <script type="module" src="dashboard/{script_name}"></script>\n'
    )
    page = _STYLE.sub("", text).replace(_SCRIPT, loaded)
    return Dashboard(SentFile(page.encode(), "text/html"), files)


def bundle(folder: Path, entry: str) -> str:
    """One script that does what the module ``entry`` does with all that it imports: each module becomes a function.

    Raises:
        ValueError: a module imports otherwise than by ``import { a, b as c } from "./x.js";``, or exports otherwise
            than by ``export`` before a function, a class or a const; or the imports make a circle.
    """
    bodies = dict[str, str]()
    needed_by = dict[str, list[str]]()
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name in bodies:
            continue
        needed = needed_by[name] = list[str]()
        bodies[name] = _body(name, (folder / name).read_text(), needed)
        waiting += needed
    ordered = TopologicalSorter(needed_by).static_order()
    return "const modules = {};\n" + "".join(bodies[name] for name in ordered)


def _body(name: str, text: str, needed: list[str]) -> str:
    """The module ``name`` as an assignment; ``needed`` receives the modules that it imports."""

    def taken(found: re.Match[str]) -> str:
        module = posixpath.normpath(posixpath.join(posixpath.dirname(name), found[2]))
        needed.append(module)
        return f'const {{{found[1].replace(" as ", ": ")}}} = modules["{module}"];'

    exported = ", ".join(_EXPORT.findall(text))
    text = _EXPORT.sub("", _IMPORT.sub(taken, text))
    if other := _OTHER_FORM.search(text):
        raise ValueError(f"{name} has a form of import or export that is not bundled: {other[0]}")
    return f'modules["{name}"] = (() => {{\n{text}return {{ {exported} }};\n}})();\n'
