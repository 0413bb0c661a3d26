# SPDX-License-Identifier: Apache-2.0
"""A loaded model with its pre- and post-processing: from the file of an item to what the model says of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from codereef.bench.datasets import Item
from codereef.bench.geometry import Geometry
from codereef.bench.implementations import input_stage, output_stage
from codereef.bench.outputs import Output
from codereef.bench.request import InputSpec, ModelSpec
from codereef.bench.runtimes import load
from codereef.bench.runtimes.base import Session, Tensor
from codereef.bench.stages import Stage, Trace
from codereef.bench.steps_in import Preprocessor
from codereef.bench.steps_out import Postprocessor
from codereef.errors import MetadataError, RunError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Prepared:
    """The input tensors of one item by name, and the way back to the pixels of its image."""

    feeds: dict[str, Array]
    geometry: Geometry

    @property
    def size(self) -> int:
        """Bytes of its tensors."""
        return sum(array.nbytes for array in self.feeds.values())


class Pipeline:
    """A model ready to be used.

    Args:
        model: the model and its manifest.
        output_type: which output of the manifest is read, such as `detections`.
        threads: threads of one inference.
        runtime: options of the runtime adapter.

    Raises:
        MetadataError: the manifest does not fit the model or itself.
        RunError: the runtime is absent or refuses the model.
    """

    def __init__(self, model: ModelSpec, output_type: str, threads: int, runtime: Mapping[str, Any]) -> None:
        output = next((spec for spec in model.outputs if spec.type == output_type), None)
        if output is None:
            found = ", ".join(spec.type for spec in model.outputs)
            raise MetadataError(
                f"{model.ref} has no output of type {output_type} (it has {found})",
                hint="choose a model of this program's task",
            )
        before = time.perf_counter_ns()
        self.session: Session = load(model.format, model.path, threads, runtime)
        self.load_ns = time.perf_counter_ns() - before
        self._inputs = _match(model, self.session)
        self.session.reshape({t.name: spec.shape for t, (spec, _) in self._inputs.items() if -1 not in spec.shape})
        names = tuple(tensor.name for tensor in self.session.outputs)
        self._post = Postprocessor(output, model.dir, names)

    def prepare(self, item: Item, trace: Optional[Trace] = None) -> Prepared:
        """Pre-process one item; any number of threads may do so at once.

        Args:
            item: of the dataset.
            trace: is told after each step.

        Raises:
            RunError: its file cannot be decoded.
            MetadataError: the steps give a tensor of another type or shape than the model takes.
        """
        feeds: dict[str, Array] = {}
        geometry = Geometry(0, 0)
        for tensor, (spec, steps) in self._inputs.items():
            array, here = steps(item.path, tensor=item.tensor, row=item.row, trace=trace)
            _check(tensor.name, spec, array)
            feeds[tensor.name] = array
            if not geometry.width:  # the first image is the one that outputs are about
                geometry = here
        return Prepared(feeds, geometry)

    def invoke(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """One inference.

        Raises:
            RunError: the runtime fails.
        """
        try:
            return self.session.invoke(feeds)
        except Exception as error:  # runtimes raise classes of their own
            raise RunError(
                f"{self.session.info.name} {self.session.info.version} failed at inference: {error}",
                hint="the model's file, type or shape may not suit this runtime",
            ) from error

    def finish(
        self,
        outputs: Mapping[str, Array],
        geometry: Geometry,
        feeds: Optional[Mapping[str, Array]] = None,
        trace: Optional[Trace] = None,
    ) -> Output:
        """Post-process the outputs of one item; steps that compare them with the input need `feeds`."""
        return self._post(outputs, geometry, feeds, trace)

    def stages(self) -> list[Stage]:
        """What carries out each step, in the order they run."""
        info = self.session.info
        named = len(self._inputs) > 1
        before = [
            (input_stage(step, values), tensor.name)
            for tensor, (_, steps) in self._inputs.items()
            for step, values in steps.described()
        ]
        return [
            *(replace(stage, step=f"{name}: {stage.step}") if named else stage for stage, name in before),
            Stage("model", "inference", f"{info.name} ({', '.join(info.providers) or 'CPU'})", info.version),
            *(output_stage(step) for step, _ in self._post.described()),
        ]

    def implementations(self) -> dict[str, Mapping[str, str]]:
        """Name and version of what carries out each processing step."""
        facts: dict[str, Mapping[str, str]] = {}
        for _, steps in self._inputs.values():
            facts.update(steps.implementations())
        facts.update(self._post.implementations())
        return facts


def _match(model: ModelSpec, session: Session) -> dict[Tensor, tuple[InputSpec, Preprocessor]]:
    """The manifest's inputs by the model's tensors."""
    matched: dict[Tensor, tuple[InputSpec, Preprocessor]] = {}
    for spec in model.inputs:
        steps = [next(iter(step), "") for step in spec.steps]
        source, other = ("decode", "load") if spec.type == "image" else ("load", "decode")
        if other in steps:
            raise MetadataError(
                f"{model.ref}: input {spec.name or '(first)'} is of type {spec.type} and has the step {other}",
                hint=f"an input of type {spec.type} begins with `{source}`",
            )
        tensor = next((t for t in session.inputs if t.name == spec.name), None)
        if spec.name == "":
            tensor = session.inputs[0]
        if tensor is None:
            names = ", ".join(t.name for t in session.inputs)
            raise MetadataError(
                f"{model.ref}: the manifest feeds the input {spec.name}, but the model has {names}",
                hint="correct `inputs[].name` in the model's cr.json",
            )
        if tensor.dtype != spec.dtype:
            raise MetadataError(
                f"{model.ref}: input {tensor.name} is {tensor.dtype} in the model and {spec.dtype} in the manifest",
                hint="correct `inputs[].dtype` in the model's cr.json",
            )
        matched[tensor] = (spec, Preprocessor(spec.steps))
    unfed = [t.name for t in session.inputs if t not in matched]
    if unfed:
        raise MetadataError(f"{model.ref}: the manifest does not feed the model's inputs {', '.join(unfed)}")
    return matched


def _check(name: str, spec: InputSpec, array: Array) -> None:
    fits = array.ndim == len(spec.shape) and all(want in (-1, have) for want, have in zip(spec.shape, array.shape))
    if not fits or array.dtype != np.dtype(spec.dtype):
        raise MetadataError(
            f"the steps of input {name} give {array.dtype}{list(array.shape)}, "
            f"the manifest says {spec.dtype}{list(spec.shape)}",
            hint="correct `inputs[].steps` in the model's cr.json",
        )
