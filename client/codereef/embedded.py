# SPDX-License-Identifier: Apache-2.0
"""Where the data shipped with the client lies: the embedded default repository and the schemas.

A wheel carries them in `codereef/_data`; a checkout has them two folders above this file.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent
REPOSITORY_FOLDERS = ("soft-detect", "packages", "components", "solutions")


def data_root() -> Path:
    """Return the folder that holds `components/`, `soft-detect/`, `packages/`, `solutions/` and `schemas/`."""
    shipped = _HERE / "_data"
    return shipped if shipped.is_dir() else _HERE.parent.parent


def package_root() -> Path:
    """Return the folder of the `codereef` package, which a measured process loads its harness from."""
    return _HERE
