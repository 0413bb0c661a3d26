# SPDX-License-Identifier: Apache-2.0
"""The commands, options and settings that pages name are those that the client has."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from codereef.cli.app import COMMANDS
from codereef.cli.group import cli
from codereef.config import KEYS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GUIDE = ROOT / "docs" / "guide.md"
_INLINE = re.compile(r"`(cr [^`\n]+)`")
_TYPED = re.compile(r"^(?:\$ | {4})((?:cr|codereef) .+)$", re.MULTILINE)


def typed_commands(page: Path) -> Iterator[list[str]]:
    """Yield the arguments after `cr` of every command that a page shows."""
    text = page.read_text(encoding="utf-8")
    for found in [*_INLINE.findall(text), *_TYPED.findall(text)]:
        for command in found.split("&&"):
            yield shlex.split(command)[1:]


def unknown_part(arguments: list[str]) -> str:
    """Return the command or option of a command line that the client does not have, or ""."""
    name, rest = arguments[0], arguments[1:]
    if "--" in rest:
        rest = rest[: rest.index("--")]  # the rest are words of another program
    if name in ("--help", "--version"):
        return ""
    command = cli.get_command(click.Context(cli), name) if name in COMMANDS else None
    if command is None:
        # In a sentence COMMAND and PATH stand for any.
        return "" if name.isupper() else name
    if isinstance(command, click.Group) and rest and not rest[0].startswith("-") and not rest[0].isupper():
        inner = command.get_command(click.Context(command), rest[0])
        if inner is None:
            return f"{name} {rest[0]}"
        command, rest = inner, rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help",
        "-h",
    }
    options = [part.split("=")[0] for part in rest if re.match(r"--?[a-z]", part)]
    return next((f"{name} {option}" for option in options if option not in known), "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_on_a_page_exists(page: Path) -> None:
    wrong = [unknown for arguments in typed_commands(page) if (unknown := unknown_part(arguments))]
    assert wrong == []


def test_a_command_or_option_that_is_not_there_is_noticed() -> None:
    assert unknown_part(["bench", "demo"]) == "bench"
    assert unknown_part(["push", "--to", "x"]) == "push --to"
    assert unknown_part(["portal", "begin"]) == "portal begin"
    assert unknown_part(["init", "demo", "--variant", "a=b", "--locked"]) == ""


def test_the_guide_has_every_setting_with_its_variable() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(CR_\w+)` \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(key.name, key.variable) for key in KEYS]


def test_the_guide_names_every_command() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"cr {name}" not in text] == []


def test_the_options_in_the_guide_have_the_programs_defaults() -> None:
    options = json.loads((ROOT / "components/program/object-detection/cr.json").read_text(encoding="utf-8"))["options"]
    table = GUIDE.read_text(encoding="utf-8").split("| option | default | meaning |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+)", table, re.MULTILINE)
    assert len(rows) >= 5
    assert {name: float(value) for name, value in rows} == {name: float(options[name]["default"]) for name, _ in rows}
