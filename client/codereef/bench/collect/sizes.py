# SPDX-License-Identifier: Apache-2.0
"""How much room a runtime takes on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from codereef.bench.collect.base import not_available
from codereef.bench.response import Metric

_METRICS: Mapping[str, tuple[str, str]] = {"runtime_size": ("B", "lower")}


def runtime_size(distribution: str) -> dict[str, Metric]:
    """The metric `runtime_size`: bytes of the files of an installed Python distribution.

    Args:
        distribution: its name, such as onnxruntime.

    Its RECORD says which files are its own; compiled caches that do not exist count nothing, and neither do the
    distributions it needs.
    """
    from importlib import metadata

    try:
        listed = metadata.distribution(distribution).files
    except metadata.PackageNotFoundError:
        return not_available(_METRICS, f"no distribution {distribution} is installed in this environment")
    if not listed:
        return not_available(_METRICS, f"{distribution} does not list its files")
    total = found = 0
    for entry in listed:
        try:
            total += Path(str(entry.locate())).stat().st_size
            found += 1
        except OSError:
            continue
    if not found:
        return not_available(_METRICS, f"none of the files that {distribution} lists is there")
    method = f"{found} files of the distribution {distribution}, without those it needs; exact"
    return {"runtime_size": Metric(float(total), "B", "lower", method, 1)}
