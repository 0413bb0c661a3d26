# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime. Options: `provider`, an execution provider's name (default CPUExecutionProvider)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codereef.bench.runtimes.base import Array, Feeds, RuntimeInfo, Tensor, fixed_batch, refuse_unknown
from codereef.errors import OptionError, RunError

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
}


def _tensor(argument: Any) -> Tensor:
    kind = str(argument.type)
    dtype = _DTYPES.get(kind, kind[len("tensor(") : -1] if kind.startswith("tensor(") else kind)
    shape = tuple(side if isinstance(side, int) else -1 for side in argument.shape)
    return Tensor(argument.name, dtype, shape)


class OnnxSession:
    """A model loaded by ONNX Runtime, executed node after node with a fixed number of threads."""

    def __init__(self, session: Any, version: str) -> None:
        self._run = session.run
        self.info = RuntimeInfo("onnxruntime", version, tuple(session.get_providers()))
        self.inputs = tuple(_tensor(argument) for argument in session.get_inputs())
        self.outputs = tuple(_tensor(argument) for argument in session.get_outputs())
        self._names = [tensor.name for tensor in self.outputs]

    def reshape(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Nothing to do: ONNX Runtime takes the shapes of what it is fed."""

    def resize_batch(self, size: int) -> None:
        """See `Session.resize_batch`; nothing is resized, the model's axis must be free."""
        for tensor in self.inputs if size > 1 else ():
            if not tensor.shape or tensor.shape[0] != -1:
                raise fixed_batch(tensor, size)

    def invoke(self, feeds: Feeds) -> dict[str, Array]:
        """See `Session.invoke`."""
        return dict(zip(self._names, self._run(self._names, feeds)))


def load(path: Path, threads: int, options: Mapping[str, Any]) -> OnnxSession:
    """Load an ONNX model; see `codereef.bench.runtimes.load`."""
    refuse_unknown(options, ("provider",), "onnxruntime")
    try:
        import onnxruntime
    except ImportError as error:
        raise RunError(f"cannot import onnxruntime: {error}", hint="run `cr init` again for this solution") from error
    provider = options.get("provider", "CPUExecutionProvider")
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise OptionError(f"this onnxruntime has no execution provider {provider}; it has {', '.join(available)}")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), sess_options=settings, providers=[provider])
    except Exception as error:  # its exceptions share no base class below Exception
        raise RunError(
            f"onnxruntime {onnxruntime.__version__} refuses {path.name}: {error}",
            hint="the model may need an operator, opset or type that this version does not have",
        ) from error
    # One whose libraries or device are missing gives way to the processor, without an error.
    running = session.get_providers()
    if provider not in running:
        raise OptionError(
            f"onnxruntime {onnxruntime.__version__} could not start the execution provider {provider} and would run "
            f"on {', '.join(running)}",
            hint="its libraries or its device may be missing; standard error may say which",
        )
    return OnnxSession(session, onnxruntime.__version__)
