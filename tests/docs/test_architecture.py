# SPDX-License-Identifier: Apache-2.0
"""Imports go one way: each room of client/codereef uses only the rooms that this table permits.

docs/architecture.md tells what the rooms are for. An import in the wrong direction is not mended by adding it
here: first say why the rooms are cut wrong.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "client" / "codereef"

#: room -> rooms it may import. A module at the top (`disk.py`) is a room of its own. Everybody may know the
#: client's version (`codereef.__version__`), which is not listed.
ALLOWED: dict[str, set[str]] = {
    # The ground floor: knows nothing but errors.
    "errors": set(),
    "embedded": set(),
    "witness": set(),
    "place": set(),
    "waiting": set(),
    "home": {"place"},
    "canonical": set(),
    "disk": {"errors"},
    "gitcall": set(),
    "archive": {"disk", "errors"},
    "trust": {"canonical", "disk", "errors"},
    "store": {"canonical", "disk", "errors", "witness"},
    "target": {"errors", "waiting"},
    "bench": {"errors"},  # runs inside the solution's interpreter, where no other room can be imported
    "detect": {"errors", "witness"},
    "meta": {"canonical", "embedded", "errors"},
    # What is known about components, and what follows from it.
    "config": {"canonical", "disk", "errors", "home", "meta", "store", "witness"},
    "repo": {
        "archive",
        "canonical",
        "disk",
        "embedded",
        "errors",
        "gitcall",
        "home",
        "meta",
        "store",
        "trust",
        "witness",
    },
    "solve": {"detect", "errors", "meta", "repo"},
    "lock": {"canonical", "detect", "disk", "errors", "meta", "repo", "solve"},
    "export": {"canonical", "errors", "lock", "meta"},
    # What changes the disk, runs programs and keeps results.
    "install": {
        "archive",
        "canonical",
        "detect",
        "disk",
        "errors",
        "gitcall",
        "lock",
        "meta",
        "repo",
        "store",
        "waiting",
        "witness",
    },
    "record": {"bench", "canonical", "disk", "errors", "meta"},
    "pack": {"archive", "canonical", "disk", "errors", "install", "lock", "meta", "repo", "store"},
    "run": {
        "bench",
        "canonical",
        "config",
        "detect",
        "embedded",
        "errors",
        "home",
        "install",
        "lock",
        "meta",
        "record",
        "repo",
        "store",
        "target",
    },
    "interchange": {"archive", "canonical", "disk", "errors", "meta", "record"},
    "portal": {"canonical", "disk", "errors", "home", "record"},
    # What joins the rooms, and the edge.
    "workspace": {
        "canonical",
        "config",
        "detect",
        "disk",
        "errors",
        "export",
        "home",
        "install",
        "lock",
        "meta",
        "pack",
        "record",
        "repo",
        "run",
        "solve",
        "store",
        "witness",
    },
    "explore": {
        "bench",
        "canonical",
        "detect",
        "disk",
        "errors",
        "home",
        "install",
        "lock",
        "meta",
        "record",
        "repo",
        "run",
        "store",
        "workspace",
    },
    "cli": {
        "canonical",
        "config",
        "detect",
        "disk",
        "errors",
        "explore",
        "home",
        "interchange",
        "lock",
        "meta",
        "pack",
        "place",
        "portal",
        "record",
        "repo",
        "run",
        "solve",
        "store",
        "trust",
        "witness",
        "workspace",
    },
    "__main__": {"cli"},
}

#: The only modules that may write to a terminal: the edge, and the entry of a measured program.
MAY_PRINT = {"cli", "bench/program.py"}


@dataclass(frozen=True)
class Import:
    """One import: the file and line it stands in, and the module it names."""

    file: Path
    line: int
    module: str

    @property
    def room(self) -> str:
        """The room the import stands in."""
        parts = self.file.relative_to(CLIENT).parts
        return parts[0] if len(parts) > 1 else self.file.stem

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def _sources() -> list[Path]:
    return sorted(path for path in CLIENT.rglob("*.py") if "_data" not in path.parts)


def imports_of(file: Path, tree: ast.AST) -> Iterator[Import]:
    """Yield every import of a file, those inside functions and type-checking blocks too."""
    package = ("codereef", *file.relative_to(CLIENT).parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            if module == "codereef":
                yield from (Import(file, node.lineno, f"codereef.{alias.name}") for alias in node.names)
            else:
                yield Import(file, node.lineno, module)


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    """Every import of the client."""
    found = [entry for file in _sources() for entry in imports_of(file, ast.parse(file.read_text(encoding="utf-8")))]
    assert len(found) > 200
    return found


def room_of(module: str) -> str | None:
    """Return the room of a module of the client, or None for a library and for the version."""
    parts = module.split(".")
    return parts[1] if parts[0] == "codereef" and len(parts) > 1 and parts[1] != "__version__" else None


def test_rooms_import_only_what_the_table_permits(imports: list[Import]) -> None:
    wrong = [
        entry.place
        for entry in imports
        if (room := room_of(entry.module)) and room not in ALLOWED[entry.room] | {entry.room}
    ]
    assert wrong == []


def test_the_table_permits_nothing_that_is_not_used(imports: list[Import]) -> None:
    used: dict[str, set[str]] = {room: set() for room in ALLOWED}
    for entry in imports:
        room = room_of(entry.module)
        if room and room != entry.room:
            used[entry.room].add(room)
    assert used == ALLOWED


def test_the_rooms_form_no_circle() -> None:
    order: list[str] = []
    left = dict(ALLOWED)
    while left:
        free = sorted(room for room, uses in left.items() if not uses & left.keys())
        assert free, f"these rooms use each other: {', '.join(sorted(left))}"
        order += free
        left = {room: uses for room, uses in left.items() if room not in free}
    assert order[-1] == "__main__"


def test_only_the_portal_command_knows_the_server(imports: list[Import]) -> None:
    users = {
        entry.file.relative_to(CLIENT).as_posix()
        for entry in imports
        if entry.module.split(".")[0] == "codereef_portal"
    }
    assert users == {"cli/commands/portal.py"}


def test_the_library_never_prints() -> None:
    wrong = []
    for file in _sources():
        place = file.relative_to(CLIENT)
        if place.parts[0] in MAY_PRINT or place.as_posix() in MAY_PRINT:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"):
                wrong.append(f"{place}:{getattr(node, 'lineno', 0)} calls {name}")
    assert wrong == []


def test_only_the_edge_knows_click(imports: list[Import]) -> None:
    assert {entry.room for entry in imports if entry.module.split(".")[0] == "click"} == {"cli"}


def test_an_import_inside_a_function_and_a_relative_one_are_seen() -> None:
    file = CLIENT / "meta" / "example.py"
    tree = ast.parse(
        "def f():\n    from codereef.install import pip\nfrom ..store import Store\nfrom codereef import config\n"
    )
    found = {entry.module for entry in imports_of(file, tree)}
    assert found == {"codereef.install", "codereef.store", "codereef.config"}
