# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH109, PTH111, PTH117, PTH118
"""Where the client's folder is, as text: for the quickest commands, which import no pathlib."""

from __future__ import annotations

import os

# What is here for checking alone: `typing` and `collections.abc` take longer to import than the rest of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def home_folder(environ: Mapping[str, str] | None = None) -> str:
    """Return the home of this user: `$CR_HOME`, else `$XDG_DATA_HOME/codereef`, else `~/.local/share/codereef`."""
    environment = os.environ if environ is None else environ
    chosen = environment.get("CR_HOME")
    if not chosen:
        data = environment.get("XDG_DATA_HOME") or os.path.join("~", ".local", "share")
        chosen = os.path.join(data, "codereef")
    folder = os.path.expanduser(chosen)
    return folder if os.path.isabs(folder) else os.path.join(os.getcwd(), folder)
