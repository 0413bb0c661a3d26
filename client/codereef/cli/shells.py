# SPDX-License-Identifier: Apache-2.0
"""How a shell is started in an environment, and how an environment is written for one.

A shell reads its own start-up files, which set `PATH` anew; so each is started in the way that lets our variables
be set after them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codereef.disk import write_atomic
from codereef.errors import UsageError

FORMATS = ("sh", "fish", "dotenv")
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]*")


@dataclass(frozen=True)
class Started:
    """How to start a shell: its command, and variables besides those of the environment."""

    command: tuple[str, ...]
    variables: Mapping[str, str]


def written(variables: Mapping[str, str], removed: tuple[str, ...], form: str) -> str:
    """Return variables as text that a shell, or a reader of `.env` files, reads.

    Raises:
        UsageError: a value has a line break, which a `.env` file cannot hold.
    """
    lines = []
    if form == "dotenv":
        for name, value in variables.items():
            if "\n" in value:
                raise UsageError(f"{name} has a line break; a .env file cannot hold it.", hint="Use --format sh.")
            lines.append(f"{name}={_dotenv(value)}")
    elif form == "fish":
        lines += [f"set -e {name}" for name in removed]
        # fish keeps variables whose name ends in PATH as lists and joins them with colons for others.
        for name, value in variables.items():
            parts = value.split(os.pathsep) if name.endswith("PATH") else [value]
            lines.append(f"set -gx {name} " + " ".join(map(_fish, parts)))
    else:
        lines += [f"unset {name}" for name in removed]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join(lines)


def _fish(text: str) -> str:
    return text if text and _PLAIN.fullmatch(text) else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _dotenv(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
    return f'"{escaped}"'


def start(shell: str, mark: str, variables: Mapping[str, str], removed: tuple[str, ...], folder: Path) -> Started:
    """Return how to start an interactive shell with these variables and a marked prompt.

    Args:
        shell: its program.
        mark: what stands in front of the prompt.
        variables: what it gets after its own start-up files.
        removed: variables it does not get.
        folder: where the start-up files for it are kept, by content.
    """
    kind = Path(shell).name.removeprefix("-")
    # ( ) and a blank are plain in every prompt; other signs might mean something to one of the shells.
    mark = re.sub(r"[^A-Za-z0-9._=,+-]", "-", mark)
    if kind == "bash":
        text = f'[ -f ~/.bashrc ] && . ~/.bashrc\n{written(variables, removed, "sh")}\nPS1="({mark}) $PS1"\n'
        place = _kept(folder, text, "bashrc")
        return Started((shell, "--rcfile", str(place), "-i"), {})
    if kind == "zsh":
        text = (
            'ZDOTDIR="${CR_OWN_ZDOTDIR:-$HOME}"; unset CR_OWN_ZDOTDIR\n'
            '[[ -f "$ZDOTDIR/.zshrc" ]] && source "$ZDOTDIR/.zshrc"\n'
            f'{written(variables, removed, "sh")}\nPROMPT="({mark}) $PROMPT"\n'
        )
        place = _kept(folder, text, "zsh/.zshrc")
        own = os.environ.get("ZDOTDIR", "")
        # .zshenv is read before .zshrc, and may set ZDOTDIR itself; ours only hands over to the user's.
        write_atomic(
            place.parent / ".zshenv",
            '[[ -f "${CR_OWN_ZDOTDIR:-$HOME}/.zshenv" ]] && source "${CR_OWN_ZDOTDIR:-$HOME}/.zshenv"\n',
        )
        return Started((shell, "-i"), {"ZDOTDIR": str(place.parent), **({"CR_OWN_ZDOTDIR": own} if own else {})})
    if kind == "fish":
        text = (
            f"{written(variables, removed, 'fish')}\n"
            "functions -q fish_prompt; and functions -c fish_prompt cr_own_prompt\n"
            f"function fish_prompt\n  echo -n '({mark}) '\n  functions -q cr_own_prompt; and cr_own_prompt\nend\n"
        )
        place = _kept(folder, text, "fish")
        return Started((shell, "--init-command", f"source {_fish(str(place))}", "--interactive"), {})
    # POSIX shells read the file that ENV names when they are interactive.
    text = f'{written(variables, removed, "sh")}\nPS1="({mark}) ${{PS1:-\\$ }}"\n'
    own = os.environ.get("ENV", "")
    if own:
        text = f"[ -f {shlex.quote(own)} ] && . {shlex.quote(own)}\n" + text
    place = _kept(folder, text, "shrc")
    return Started((shell, "-i"), {"ENV": str(place)})


def _kept(folder: Path, text: str, name: str) -> Path:
    """Write a start-up file under the digest of its content, so that shells that run at once do not disturb."""
    place = folder / hashlib.sha256(text.encode()).hexdigest()[:16] / name
    if not place.is_file():
        write_atomic(place, text)
    return place
