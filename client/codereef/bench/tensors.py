# SPDX-License-Identifier: Apache-2.0
"""Items that are tensors and no images: one file an item, or rows of one table.

Nothing is pickled or unpickled: NumPy's object arrays are refused.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from codereef.bench.request import TensorFormat
from codereef.errors import MetadataError, RunError

Array = npt.NDArray[Any]
_DAMAGED = "the dataset's files may be damaged; `cr init` checks and repairs them"


def read_tensor(path: Path, form: Optional[TensorFormat]) -> Array:
    """Read the tensor of one file.

    Args:
        path: the file.
        form: how it is kept; None goes by the suffix `.npy`, `.npz` or `.csv`.

    Raises:
        RunError: the file cannot be read, or has not the size that `form` says.
        MetadataError: nothing says how the file is kept.
    """
    if form is None:
        suffix = path.suffix.lower().lstrip(".")
        if suffix not in ("npy", "npz", "csv"):
            raise MetadataError(
                f"nothing says what the bytes of {path.name} are",
                hint="say it in `annotations.tensor` of the dataset's cr.json",
            )
        form = TensorFormat(suffix)
    try:
        if form.format == "npy":
            return _plain(np.load(path, allow_pickle=False))
        if form.format == "npz":
            return _member(path, form.key)
        if form.format == "csv":
            return np.loadtxt(path, delimiter=",", dtype=np.float64, ndmin=2)
        flat = np.fromfile(path, dtype=np.dtype(form.dtype).newbyteorder("<"))
        return flat.reshape(form.shape or (-1,)).astype(np.dtype(form.dtype), copy=False)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"cannot read the tensor {path.name}: {error}", hint=_DAMAGED) from error


def _plain(loaded: Any) -> Array:
    if not isinstance(loaded, np.ndarray):
        raise ValueError("it holds several arrays")
    return loaded


def _member(path: Path, key: Optional[str]) -> Array:
    with np.load(path, allow_pickle=False) as held:
        names = list(held)
        if key is None and len(names) != 1:
            raise ValueError(f"it holds the arrays {', '.join(names)} and `key` does not say which")
        if key is not None and key not in names:
            raise ValueError(f"it holds the arrays {', '.join(names)} and no {key}")
        return np.asarray(held[key or names[0]])


def read_table(path: Path, inputs: Sequence[str], targets: Sequence[str]) -> tuple[Array, Optional[Array]]:
    """Read a table whose rows are items.

    Args:
        path: a `.csv` with a header, whose columns are named; or an `.npz`, whose arrays are.
        inputs: columns that make up the input; of an `.npz` one array [N, ...].
        targets: columns that make up the truth; of an `.npz` at most one array [N, ...]; may be empty.

    Returns:
        Inputs [N, ...] and targets [N, values] or None.

    Raises:
        MetadataError: the file has no such columns or arrays, a cell is no number, or the lengths differ.
    """
    try:
        if path.suffix.lower() == ".npz":
            if len(inputs) != 1 or len(targets) > 1:
                raise ValueError("of an .npz one array is the input and one the truth")
            rows, truth = _member(path, inputs[0]), _member(path, targets[0]) if targets else None
        else:
            rows, truth = _columns(path, inputs), _columns(path, targets) if targets else None
        if rows.ndim == 0 or (truth is not None and (truth.ndim == 0 or len(truth) != len(rows))):
            raise ValueError("inputs and truth have different numbers of rows")
    except (OSError, ValueError) as error:
        raise MetadataError(f"{path.name} is not the table that the dataset says: {error}") from error
    return rows, None if truth is None else truth.reshape(len(truth), -1).astype(np.float64)


def _columns(path: Path, names: Sequence[str]) -> Array:
    with open(path, newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        absent = [name for name in names if name not in (rows.fieldnames or [])]
        if absent:
            raise ValueError(f"it has no column {', '.join(absent)}, but {', '.join(rows.fieldnames or ['none'])}")
        cells = []
        for row in rows:
            try:
                cells.append([float(row[name]) for name in names])
            except (TypeError, ValueError) as error:
                raise ValueError(f"line {rows.line_num}: {error}") from error
    return np.array(cells, dtype=np.float64).reshape(len(cells), len(names))
