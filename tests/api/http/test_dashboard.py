"""What the dashboard loads: few files, small, kept by browsers, and doing what its modules do."""

import gzip
import re
from pathlib import Path
from typing import Final

import pytest

from api.http.documents.dashboard import FOLDER, bundle, dashboard
from running_api import Running

#: For pages of others; the dashboard uses it too.
_SERVED_ALONE: Final = "feed.js"
_PLAIN: Final = {"Accept-Encoding": "identity"}


def written(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text)
    return folder


def test_modules_become_functions_after_those_that_they_need(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/one.js").write_text(
        'import {\n  two,\n  three as drei,\n} from "../many.js";\nexport class One {}\nexport async function* f() {}\n'
    )
    written(
        tmp_path,
        many="export const two = 2;\nexport function three() {}\n",
        main='import { One } from "./deep/one.js";\n',
    )
    assert bundle(tmp_path, "main.js") == (
        "const modules = {};\n"
        'modules["many.js"] = (() => {\nconst two = 2;\nfunction three() {}\nreturn { two, three };\n})();\n'
        'modules["deep/one.js"] = (() => {\nconst {\n  two,\n  three: drei,\n} = modules["many.js"];\n'
        "class One {}\nasync function* f() {}\nreturn { One, f };\n})();\n"
        'modules["main.js"] = (() => {\nconst { One } = modules["deep/one.js"];\nreturn {  };\n})();\n'
    )


@pytest.mark.parametrize(
    "text",
    [
        'import one from "./one.js";', 'import * as one from "./one.js";', 'import "./one.js";',
        'const one = await import("./one.js");', "const here = import.meta.url;", "export default 1;",
        "export { one };", "export let one = 1;", 'import { one } from "one";',
    ],
)  # fmt: skip
def test_what_would_not_do_the_same_in_one_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"^main.js has a form of import or export that is not bundled: "):
        bundle(written(tmp_path, main=f"{text}\n", one="export const one = 1;\n"), "main.js")


def test_imports_in_a_circle_are_refused(tmp_path: Path) -> None:
    modules = {
        "main": 'import { b } from "./b.js";\nexport const a = 1;\n',
        "b": 'import { a } from "./main.js";\nexport const b = 1;\n',
    }
    with pytest.raises(ValueError, match="cycle"):
        bundle(written(tmp_path, **modules), "main.js")


def test_every_module_and_style_of_the_page_is_in_what_is_sent() -> None:
    script, style = (file.content.decode() for file in dashboard().files.values())
    modules = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js")}
    assert set(re.findall(r'^modules\["([^"]+)"\] =', script, re.MULTILINE)) == modules
    linked = re.findall(r'href="dashboard/(css/[^"]+)"', (FOLDER / "index.html").read_text())
    assert linked
    assert style == "".join((FOLDER / name).read_text() for name in linked)


async def test_the_page_names_two_files_which_are_kept_for_ever_and_compressed(lonely_api: Running) -> None:
    async with lonely_api.client.get("/", headers=_PLAIN) as response:
        page = await response.text()
        assert response.headers["Cache-Control"] == "no-cache"
        etag = response.headers["ETag"]
    named = re.findall(r'(?:href|src)="(dashboard/[^"]+\.(?:css|js))"', page)
    assert [name.rpartition(".")[2] for name in named] == ["css", "js"]
    for name in named:
        async with lonely_api.client.get(f"/{name}", headers=_PLAIN) as response:
            plain = await response.read()
            assert "Content-Encoding" not in response.headers
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert response.headers["Vary"] == "Accept-Encoding"
        zipped = {"headers": {"Accept-Encoding": "gzip"}, "auto_decompress": False}
        async with lonely_api.client.get(f"/{name}", **zipped) as response:  # type: ignore[arg-type]
            assert response.headers["Content-Encoding"] == "gzip"
            body = await response.read()
            assert gzip.decompress(body) == plain
            assert len(body) < len(plain) / 3
    async with lonely_api.client.get("/", headers={"If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")


@pytest.mark.parametrize(("kind", "media_type"), [("js", "text/javascript"), ("css", "text/css")])
async def test_a_page_of_another_version_gets_this_ones_files_and_keeps_them_not(
    lonely_api: Running, kind: str, media_type: str
) -> None:
    async with lonely_api.client.get(f"/dashboard/page-0123456789abcdef.{kind}") as response:
        (own,) = [file for name, file in dashboard().files.items() if name.endswith(f".{kind}")]
        assert await response.read() == own.content
        assert (response.content_type, response.headers["Cache-Control"]) == (media_type, "no-cache")
    async with lonely_api.client.get(f"/dashboard/page-0123456789abcdef.{kind}x") as response:
        assert response.status == 404


async def test_the_module_for_pages_of_others_stays_at_its_own_address(lonely_api: Running) -> None:
    async with lonely_api.client.get(f"/dashboard/{_SERVED_ALONE}") as response:
        assert await response.read() == (FOLDER / _SERVED_ALONE).read_bytes()
