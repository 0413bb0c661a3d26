# SPDX-License-Identifier: Apache-2.0
"""Runtime adapters: one module a runtime, imported only when a model of its format is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codereef.bench.runtimes.base import Session
from codereef.errors import UsageError


def load(model_format: str, path: Path, threads: int, options: Mapping[str, Any]) -> Session:
    """Load a model with the runtime of its format.

    Args:
        model_format: `onnx` or `tflite`.
        path: the model file.
        threads: threads of one inference.
        options: runtime options; each adapter says which it knows.

    Raises:
        OptionError: the runtime does not have an option or its value.
        UsageError: no adapter knows the format.
        RunError: the runtime is absent or refuses the model.
    """
    if model_format == "onnx":
        from codereef.bench.runtimes import onnx

        return onnx.load(path, threads, options)
    if model_format == "tflite":
        from codereef.bench.runtimes import tflite

        return tflite.load(path, threads, options)
    raise UsageError(f"no runtime adapter knows the model format {model_format}; known: onnx, tflite")
