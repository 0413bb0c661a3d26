# SPDX-License-Identifier: Apache-2.0
"""What a program is handed: the request (format `codereef-request/1`) as frozen dataclasses.

`read_request` turns a JSON file into a `Request` or says which key of it is wrong. Unknown keys are an error:
a misspelt option that is silently ignored would change what a number means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from codereef.errors import UsageError

FORMAT = "codereef-request/1"
ACTIONS = ("run", "benchmark", "validate", "pitfalls")
MODEL_FORMATS = ("onnx", "tflite")
ANNOTATION_FORMATS = ("coco", "folders", "labels-csv", "masks", "mlperf-tiny-csv", "none", "table", "values-csv")
OUTPUT_TYPES = ("detections", "classification", "segmentation", "score", "tensor")
TENSOR_FORMATS = ("npy", "npz", "raw", "csv")
DTYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
#: Formats of annotations that need no file of their own.
WITHOUT_FILE = ("folders", "masks", "none")


@dataclass(frozen=True)
class InputSpec:
    """One model input: tensor name ("" is the first), element type, shape (-1 is free), its steps."""

    name: str
    type: str
    dtype: str
    shape: tuple[int, ...]
    steps: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class OutputSpec:
    """One result of the model: its type, the step names of its tensors, and its steps."""

    type: str
    tensors: Mapping[str, str]
    steps: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class ModelSpec:
    """The model: where its files are, which one is loaded, and how it is fed and read."""

    ref: str
    dir: Path
    file: str
    format: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]

    @property
    def path(self) -> Path:
        """The file that is loaded."""
        return self.dir / self.file


@dataclass(frozen=True)
class TensorFormat:
    """How the items of a dataset are kept, where they are tensors and no images.

    Attributes:
        format: `npy`, `npz`, `raw` (bytes in C order, little-endian) or `csv` (numbers, a row a line).
        dtype: element type of `raw`.
        shape: shape of `raw`; -1 is what the size of the file leaves.
        key: which array of an `npz`; its only one when absent.
    """

    format: str
    dtype: Optional[str] = None
    shape: tuple[int, ...] = ()
    key: Optional[str] = None


@dataclass(frozen=True)
class Annotations:
    """The truth of a dataset: its format and its files, relative to the dataset's folder.

    Attributes:
        format: one of `ANNOTATION_FORMATS`.
        images: folder of the items, images or not.
        file: annotation file.
        labels: names of the classes, one a line.
        masks: folder of the masks, for `masks`.
        ignore: value of a mask where nothing is to be known.
        tensor: how items are kept that are no images.
        inputs, targets: what of a `table` is the input and what the truth.
    """

    format: str
    images: str
    file: Optional[str]
    labels: Optional[str]
    masks: Optional[str] = None
    ignore: Optional[int] = None
    tensor: Optional[TensorFormat] = None
    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetSpec:
    """The dataset: its folder and its annotations."""

    ref: str
    dir: Path
    annotations: Annotations


@dataclass(frozen=True)
class Request:
    """One order to a program: what to do, on which model and data, how, and where to write.

    `process` is (index, count) where several processes share one measurement: each takes its share of time and
    samples, and the first one alone does what need not be done again, such as accuracy. `turn_seconds` is the
    length of a turn where it measures in turns with other processes, else None.
    """

    action: str
    scenario: str
    model: ModelSpec
    dataset: DatasetSpec
    runtime: Mapping[str, Any]
    options: Mapping[str, Any]
    output: Path
    process: tuple[int, int] = (0, 1)
    turn_seconds: Optional[float] = None


class _Reader:
    """Reads keys of one JSON object and reports the path of whatever is wrong."""

    def __init__(self, source: str, where: str, value: object) -> None:
        if not isinstance(value, dict):
            raise UsageError(
                f"{source}: {where or 'the request'} must be an object, found {_describe(value)}",
                hint="the request is written by the client; client and program may be of different versions",
            )
        self.source, self.where, self.value = source, where, value

    def _path(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def fail(self, key: str, expected: str) -> UsageError:
        found = _describe(self.value[key]) if key in self.value else "nothing"
        return UsageError(
            f"{self.source}: {self._path(key)} must be {expected}, found {found}",
            hint="the request is written by the client; client and program may be of different versions",
        )

    def only(self, *keys: str) -> None:
        for key in self.value:
            if key not in keys:
                raise UsageError(
                    f"{self.source}: unknown key {self._path(key)}; known here: {', '.join(keys)}",
                    hint="client and program disagree about the format of the request",
                )

    def text(self, key: str, choices: Sequence[str] = ()) -> str:
        value = self.value.get(key)
        if not isinstance(value, str) or (choices and value not in choices):
            raise self.fail(key, "one of " + ", ".join(choices) if choices else "text")
        return value

    def maybe_text(self, key: str) -> Optional[str]:
        return None if self.value.get(key) is None else self.text(key)

    def child(self, key: str) -> _Reader:
        if key not in self.value:
            raise self.fail(key, "an object")
        return _Reader(self.source, self._path(key), self.value[key])

    def mapping(self, key: str) -> Mapping[str, Any]:
        return self.child(key).value if key in self.value else {}

    def array(self, key: str) -> Sequence[Any]:
        value = self.value.get(key)
        if not isinstance(value, list):
            raise self.fail(key, "a list")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        values = self.array(key)
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            raise self.fail(key, "a list of integers")
        return tuple(values)

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.array(key) if key in self.value else []
        if not all(isinstance(value, str) for value in values):
            raise self.fail(key, "a list of texts")
        return tuple(values)

    def objects(self, key: str) -> list[_Reader]:
        return [_Reader(self.source, f"{self._path(key)}[{i}]", value) for i, value in enumerate(self.array(key))]

    def folder(self, key: str) -> Path:
        path = Path(self.text(key))
        if not path.is_dir():
            raise self.fail(key, "an existing folder")
        return path

    def steps(self) -> tuple[Mapping[str, Any], ...]:
        read = []
        for step in self.objects("steps"):
            if len(step.value) != 1 or not isinstance(next(iter(step.value.values())), dict):
                raise UsageError(
                    f"{self.source}: {step.where} must be an object with one key, the step's name, "
                    f"whose value is an object; found {_describe(step.value)}"
                )
            read.append(step.value)
        return tuple(read)


def _describe(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _input(reader: _Reader) -> InputSpec:
    reader.only("name", "type", "dtype", "layout", "shape", "steps", "when")
    return InputSpec(
        name=reader.text("name"),
        type=reader.text("type", ("image", "tensor")),
        dtype=reader.text("dtype"),
        shape=reader.integers("shape"),
        steps=reader.steps(),
    )


def _output(reader: _Reader) -> OutputSpec:
    reader.only("type", "tensors", "steps", "when")
    tensors = reader.child("tensors")
    return OutputSpec(
        type=reader.text("type", OUTPUT_TYPES),
        tensors={name: tensors.text(name) for name in tensors.value},
        steps=reader.steps(),
    )


def _model(reader: _Reader) -> ModelSpec:
    reader.only("ref", "dir", "file", "format", "manifest")
    manifest = reader.child("manifest")
    manifest.only("inputs", "outputs")
    model = ModelSpec(
        ref=reader.text("ref"),
        dir=reader.folder("dir"),
        file=reader.text("file"),
        format=reader.text("format", MODEL_FORMATS),
        inputs=tuple(_input(item) for item in manifest.objects("inputs")),
        outputs=tuple(_output(item) for item in manifest.objects("outputs")),
    )
    if not model.path.is_file():
        raise UsageError(
            f"{reader.source}: {reader.where}.file names {model.file}, which is not in the model's folder",
            hint="run `cr init` again; the installed model is not complete",
        )
    if not model.inputs or not model.outputs:
        raise UsageError(f"{reader.source}: {manifest.where} has no inputs or no outputs for this variant")
    return model


def _tensor_format(reader: _Reader) -> TensorFormat:
    reader.only("format", "dtype", "shape", "key")
    found = TensorFormat(
        format=reader.text("format", TENSOR_FORMATS),
        dtype=reader.text("dtype", DTYPES) if "dtype" in reader.value else None,
        shape=reader.integers("shape") if "shape" in reader.value else (),
        key=reader.maybe_text("key"),
    )
    if found.format == "raw" and found.dtype is None:
        raise reader.fail("dtype", "the element type, since the format is raw")
    return found


def _dataset(reader: _Reader) -> DatasetSpec:
    reader.only("ref", "dir", "annotations")
    truth = reader.child("annotations")
    truth.only("format", "file", "images", "labels", "masks", "ignore", "tensor", "inputs", "targets")
    ignore = truth.value.get("ignore")
    if ignore is not None and (isinstance(ignore, bool) or not isinstance(ignore, int)):
        raise truth.fail("ignore", "an integer")
    annotations = Annotations(
        format=truth.text("format", ANNOTATION_FORMATS),
        images=truth.text("images"),
        file=truth.maybe_text("file"),
        labels=truth.maybe_text("labels"),
        masks=truth.maybe_text("masks"),
        ignore=ignore,
        tensor=_tensor_format(truth.child("tensor")) if "tensor" in truth.value else None,
        inputs=truth.texts("inputs"),
        targets=truth.texts("targets"),
    )
    if annotations.format not in WITHOUT_FILE and annotations.file is None:
        raise truth.fail("file", f"the annotation file, since the format is {annotations.format}")
    if annotations.format == "masks" and annotations.masks is None:
        raise truth.fail("masks", "the folder of the masks, since the format is masks")
    if annotations.format == "table" and not annotations.inputs:
        raise truth.fail("inputs", "what of the table is the input, since the format is table")
    return DatasetSpec(ref=reader.text("ref"), dir=reader.folder("dir"), annotations=annotations)


def _process(reader: _Reader) -> tuple[int, int]:
    reader.only("index", "count")
    index, count = reader.value.get("index"), reader.value.get("count")
    if not isinstance(index, int) or not isinstance(count, int) or not 0 <= index < count:
        raise reader.fail("index", "a number below `count`, from 0")
    return index, count


def _turn_seconds(reader: _Reader) -> float:
    reader.only("seconds")
    seconds = reader.value.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 3600:
        raise reader.fail("seconds", "a number of seconds above 0")
    return float(seconds)


def parse_request(value: object, source: str = "request") -> Request:
    """Check decoded JSON and return the request.

    Args:
        value: the decoded JSON.
        source: what messages call it, such as the file's name.

    Raises:
        UsageError: a key is missing, unknown or of the wrong shape, or a folder does not exist.
    """
    reader = _Reader(source, "", value)
    reader.only(
        "format", "action", "scenario", "harness", "model", "dataset", "runtime", "options", "output", "process",
        "turns",
    )  # fmt: skip
    reader.text("format", (FORMAT,))
    return Request(
        action=reader.text("action", ACTIONS),
        scenario=reader.maybe_text("scenario") or "single-stream",
        model=_model(reader.child("model")),
        dataset=_dataset(reader.child("dataset")),
        runtime=reader.mapping("runtime"),
        options=reader.mapping("options"),
        output=reader.folder("output"),
        process=_process(reader.child("process")) if "process" in reader.value else (0, 1),
        turn_seconds=_turn_seconds(reader.child("turns")) if "turns" in reader.value else None,
    )


def read_request(path: Path) -> Request:
    """Read and check a request file; see `parse_request`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the request {path.name}: {error}") from error
    return parse_request(value, path.name)
