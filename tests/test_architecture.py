"""How the house is built: which way imports point, and what must stand in no file."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT: Final = Path(__file__).parents[1]

#: The rooms, from the ground up, and which others each may import. A room within a room is a row of its own.
_ARROWS: Final = {
    "schemas": set[str](),
    "imaging": {"schemas"},
    "infra": {"schemas"},
    "infra.kafka": {"schemas", "infra"},
    "infra.storage": {"schemas", "infra"},
    "pipeline.render_pool": {"schemas", "imaging"},
    "pipeline": {"schemas", "imaging", "infra", "infra.kafka", "infra.storage", "pipeline.render_pool"},
    "api.store": {"schemas", "infra"},
    "api.projection": {"schemas", "infra", "infra.kafka", "api.store"},
    "api.feed": {"schemas", "infra", "infra.kafka", "api.store"},
    "api.figures": {"schemas", "infra", "infra.kafka", "api.store"},
    "api.access": {"schemas", "infra", "api.store"},
    "api.photos": {
        "schemas",
        "imaging",
        "infra",
        "infra.storage",
        "pipeline.render_pool",
        "api.store",
        "api.projection",
    },
    "api.publishing": {"schemas", "infra", "infra.kafka", "api.store", "api.projection", "api.photos"},
    "api.http": {"schemas", "imaging", "infra", "infra.kafka", "infra.storage", "api.store"}
    | {"api.access", "api.photos", "api.feed", "api.figures"},
    "api": {"schemas", "infra", "infra.kafka", "infra.storage"}
    | {"api.access", "api.http", "api.store", "api.photos", "api.projection", "api.publishing", "api.feed"}
    | {"api.figures"},
    "thumbstream.terminal": set[str](),
    "thumbstream.client": {"infra"},
    "thumbstream.supervisor": {"schemas", "infra", "infra.kafka", "thumbstream.client"},
    "thumbstream.bench": {"schemas", "imaging", "infra", "infra.kafka", "infra.storage", "pipeline.render_pool"}
    | {"api.store", "api.projection", "thumbstream.client", "thumbstream.supervisor", "thumbstream.terminal"},
    "thumbstream.commands": {"schemas", "infra", "infra.kafka", "infra.storage", "pipeline", "api"}
    | {"api.store", "api.photos"}
    | {"thumbstream.terminal", "thumbstream.client", "thumbstream.supervisor", "thumbstream.bench"},
    "thumbstream": {"thumbstream.commands"},
}
#: The packages at the top, which have the others in them.
_TOP: Final = sorted({room.partition(".")[0] for room in _ARROWS})
_MAX_MODULES: Final = 14
_MAX_LINES: Final = 300

#: Rooms that do no I/O of their own.
_PURE: Final = "schemas"
_IO_MODULES: Final = {"socket", "subprocess", "asyncio", "os", "aiokafka", "aiohttp", "fsspec", "sqlalchemy", "faust"}


def _imports(room: str) -> Iterator[tuple[Path, str]]:
    """Every absolute import below ``room``, inside functions too."""
    for path in sorted((_ROOT / room).rglob("*.py")):
        for node in _import_statements(path):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            else:
                assert node.level == 0, f"{path} has a relative import"
                yield path, node.module or ""


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _import_statements(path: Path) -> list[ast.Import | ast.ImportFrom]:
    """Those of the module and, however deep, of its classes, functions and branches."""
    found: list[ast.Import | ast.ImportFrom] = []
    nodes: list[ast.AST] = [_parsed(path)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif not isinstance(node, ast.expr):  # most nodes are, and no statement stands in them
            nodes += ast.iter_child_nodes(node)
    return found


def _tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=_ROOT, capture_output=True, check=False, text=True)
    if listed.returncode:
        pytest.skip("this is no git repository")
    return [_ROOT / name for name in listed.stdout.split("\0") if name and (_ROOT / name).is_file()]


def _room_of(module: str) -> str | None:
    """The innermost room that a module of ours lies in."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in _ARROWS), None)


@pytest.mark.parametrize("room", _ARROWS)
def test_imports_point_one_way(room: str) -> None:
    seen = 0
    for path, module in _imports(room.replace(".", "/")):
        importer = ".".join(path.relative_to(_ROOT).with_suffix("").parts)
        if _room_of(importer) != room:
            continue
        seen += 1
        imported = _room_of(module)
        assert imported in _ARROWS[room] | {room, None}, f"{path} imports {module}"
        assert module.partition(".")[0] not in ("tests", "conftest"), f"{path} imports {module}"
    assert seen


def test_the_rooms_have_an_order() -> None:
    TopologicalSorter(_ARROWS).prepare()


def test_no_folder_and_no_module_is_too_large_to_find_ones_way_in() -> None:
    for folder in {path.parent for top in _TOP for path in (_ROOT / top).rglob("*.py")}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert folder.name == "versions" or len(modules) <= _MAX_MODULES, f"{folder} has {len(modules)} modules"
        for path in modules:
            assert path.read_text().count("\n") <= _MAX_LINES, f"{path} is over {_MAX_LINES} lines"


def test_every_module_can_be_imported_first() -> None:
    """Else there is a circle of files, which goes well by the order of other imports only."""
    modules = [
        ".".join(path.relative_to(_ROOT).with_suffix("").parts)
        for top in _TOP
        for path in sorted((_ROOT / top).rglob("*.py"))
        if path.name not in ("__main__.py", "__init__.py") and "migrations" not in path.parts
    ]
    graph = {
        module: {name for name in _modules_imported_at_once(module) if name in modules} - {module} for module in modules
    }
    TopologicalSorter(graph).prepare()


def _modules_imported_at_once(module: str) -> Iterator[str]:
    """What ``module`` imports of ours when it is imported itself."""
    path = _ROOT.joinpath(*module.split(".")).with_suffix(".py")
    for node in _parsed(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_room_has_its_arrows() -> None:
    assert {path.parent.name for path in _ROOT.glob("*/__init__.py")} == set(_TOP)


def test_the_contract_does_no_io() -> None:
    assert not {module.partition(".")[0] for _, module in _imports(_PURE)} & _IO_MODULES


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    declared = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    owners = packages_distributions()
    for room in _TOP:
        for path, module in _imports(room):
            top = module.partition(".")[0]
            if top in _TOP or top in sys.stdlib_module_names or top not in owners:
                continue
            assert {canonicalize_name(owner) for owner in owners[top]} & declared, f"{path}: {top} is not declared"


def test_what_is_declared_is_pinned() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        "requirements.txt": project["dependencies"],
        "requirements-dev.txt": [*project["dependencies"], *project["optional-dependencies"]["dev"]],
    }
    for name, lines in wanted.items():
        pinned = set(re.findall(r"^([a-z0-9.-]+)==", (_ROOT / name).read_text(), re.MULTILINE))
        assert {canonicalize_name(Requirement(line).name) for line in lines} <= pinned, f"make lock: {name} is stale"


def test_pins_are_hashed_and_say_nothing_of_where_they_come_from() -> None:
    for path in _ROOT.glob("requirements*.txt"):
        text = path.read_text()
        assert "://" not in text
        assert not re.search(r"^-(?!-hash)", text, re.MULTILINE)
        for pin in re.split(r"\n(?=\S)", text.strip()):
            assert "--hash=sha256:" in pin, f"{path.name}: {pin.splitlines()[0]}"


def test_no_file_tells_of_the_machine_that_it_was_made_on() -> None:
    hosts = r"pypi\.org|pythonhosted\.org|registry\.npmjs|repo1\.maven|repo\.maven\.apache"
    folders = r"(?<![\w./-])/(root|work|home/[a-z]+|farm|Users)/"
    forbidden = re.compile(f"{hosts}|{folders}")
    for path in set(_tracked_files()) - {Path(__file__)}:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found = forbidden.search(text)
        assert not found, f"{path.relative_to(_ROOT)} holds {found and found[0]!r}"


def test_tests_are_no_package() -> None:
    assert not list((_ROOT / "tests").rglob("__init__.py"))


def test_no_test_is_left_unmarked_by_its_kind() -> None:
    for folder, marker in {"faults": "faults", "browser": "browser"}.items():
        for path in (_ROOT / "tests" / folder).glob("test_*.py"):
            assert f"pytest.mark.{marker}" in path.read_text(), f"{path} lacks pytestmark = pytest.mark.{marker}"


def test_decisions_are_numbered_without_a_gap_and_have_at_most_six_lines_each() -> None:
    text = (_ROOT / "docs/decisions.md").read_text()
    decisions = text.split("\n## ")[1:]
    assert [decision.split(".")[0] for decision in decisions] == [str(n + 1) for n in range(len(decisions))]
    assert [decision.splitlines()[0] for decision in decisions if len(decision.strip().splitlines()) > 6] == []
