# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite, by ai-edge-litert or, where only that exists (32-bit Arm), by tflite-runtime.

Options: `delegate`, `default` (XNNPACK where the model suits it), `off` (built-in operators alone), or the file or
library name of a delegate.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codereef.bench.runtimes.base import Array, Feeds, RuntimeInfo, Tensor, dtype_name, fixed_batch, refuse_unknown
from codereef.errors import OptionError, RunError

_PACKAGES = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
)


def _tensor(details: Mapping[str, Any]) -> Tensor:
    shape = details.get("shape_signature", details["shape"])
    if len(shape) == 0:
        shape = details["shape"]
    return Tensor(str(details["name"]), dtype_name(details["dtype"]), tuple(int(side) for side in shape))


class TfliteSession:
    """A model loaded by a TFLite interpreter."""

    def __init__(self, interpreter: Any, info: RuntimeInfo) -> None:
        self._interpreter = interpreter
        self.info = info
        self._read_details()

    def _read_details(self) -> None:
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        self._single = inputs
        self.inputs = tuple(_tensor(details) for details in inputs)
        self.outputs = tuple(_tensor(details) for details in outputs)
        self._feed_index = {tensor.name: details["index"] for tensor, details in zip(self.inputs, inputs)}
        self._read_index = [(tensor.name, details["index"]) for tensor, details in zip(self.outputs, outputs)]

    def reshape(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Resize inputs whose shape differs and allocate anew; see `Session.reshape`."""
        current = {d["name"]: tuple(int(s) for s in d["shape"]) for d in self._interpreter.get_input_details()}
        changed = {name: shape for name, shape in shapes.items() if current[name] != shape}
        if not changed:
            return
        try:
            for name, shape in changed.items():
                self._interpreter.resize_tensor_input(self._feed_index[name], list(shape), strict=True)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise RunError(f"the model does not take inputs of shape {changed}: {error}") from error
        self._read_details()

    def resize_batch(self, size: int) -> None:
        """See `Session.resize_batch`; inputs of a fixed shape are resized too, where the model's operators let it."""
        for details, tensor in zip(self._single, self.inputs):
            if not len(details["shape"]):
                raise fixed_batch(tensor, size)
        try:
            for details in self._single:
                shape = [int(side) for side in details["shape"]]
                self._interpreter.resize_tensor_input(details["index"], [shape[0] * size, *shape[1:]])
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise fixed_batch(self.inputs[0], size, " ".join(str(error).split())) from error

    def invoke(self, feeds: Feeds) -> dict[str, Array]:
        """See `Session.invoke`; outputs are copies, valid after the next call too."""
        interpreter = self._interpreter
        index = self._feed_index
        for name, array in feeds.items():
            interpreter.set_tensor(index[name], array)
        interpreter.invoke()
        return {name: interpreter.get_tensor(number) for name, number in self._read_index}


def _find() -> tuple[str, str, Any]:
    """Name, version and interpreter module of the first package that is there."""
    from importlib import metadata

    failures = []
    for distribution, module in _PACKAGES:
        try:
            return distribution, metadata.version(distribution), importlib.import_module(module)
        except (ImportError, metadata.PackageNotFoundError) as error:
            failures.append(f"{distribution}: {error}")
    raise RunError(
        "no TFLite runtime can be imported (" + "; ".join(failures) + ")",
        hint="run `cr init` again for this solution",
    )


def _delegate(wanted: str, module: Any, runtime: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the interpreter is handed for a delegate, and what the model then runs on."""
    if wanted == "default":
        return {}, ("cpu",)
    if wanted == "off":
        return {"experimental_op_resolver_type": module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}, ("cpu",)
    try:
        loaded = module.load_delegate(wanted)
    except (ValueError, OSError, AttributeError) as error:
        raise OptionError(
            f"{runtime} cannot load the delegate {Path(wanted).name}: {' '.join(str(error).split())}",
            hint="choose default, off, or the file or library name of a delegate",
        ) from error
    return {"experimental_delegates": [loaded]}, (Path(wanted).name, "cpu")


def load(path: Path, threads: int, options: Mapping[str, Any]) -> TfliteSession:
    """Load a TFLite model; see `codereef.bench.runtimes.load`."""
    name, version, module = _find()
    refuse_unknown(options, ("delegate",), name)
    chosen, providers = _delegate(str(options.get("delegate", "default")), module, name)
    if name == "tflite-runtime" and int(np.__version__.split(".")[0]) >= 2:
        raise RunError(
            f"tflite-runtime {version} does not work with numpy {np.__version__}",
            hint="its environment needs numpy<2; run `cr init` again for this solution",
        )
    try:
        interpreter = module.Interpreter(model_path=str(path), num_threads=threads, **chosen)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError, SystemError) as error:
        reason = " ".join(str(error).split())
        raise RunError(
            f"{name} {version} refuses {path.name}: {reason}",
            hint="the model may need an operator that this runtime does not have",
        ) from error
    return TfliteSession(interpreter, RuntimeInfo(name, version, providers))
