# SPDX-License-Identifier: Apache-2.0
"""Batch, delegate, provider and processors, on the runtimes themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codereef.bench import runtimes
from codereef.bench.affinity import parse_cpus, processor_of_turns
from codereef.errors import OptionError

from tests.bench.program_requests import ROOT

SHAPES = ROOT / "components" / "model" / "shapes-ssd"


def field(number: int, value: bytes | int) -> bytes:
    """One field of a protocol buffer: a number, or bytes with their length."""

    def varint(n: int) -> bytes:
        low, rest = n & 127, n >> 7
        return bytes([low | 128]) + varint(rest) if rest else bytes([low])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def free_batch_model(path: Path) -> None:
    """Write an ONNX model y = x + x for float x of shape [N, 3] with a free N."""

    def tensor(name: bytes) -> bytes:
        shape = field(1, field(2, b"N")) + field(1, field(1, 3))
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))

    node = field(1, b"x") + field(1, b"x") + field(2, b"y") + field(4, b"Add")
    graph = field(1, node) + field(2, b"g") + field(11, tensor(b"x")) + field(12, tensor(b"y"))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, b"") + field(2, 13)))


def test_a_free_batch_axis_of_onnx_takes_any_size(tmp_path: Path) -> None:
    free_batch_model(tmp_path / "free.onnx")
    session = runtimes.load("onnx", tmp_path / "free.onnx", 1, {})
    assert session.inputs[0].shape == (-1, 3)
    session.resize_batch(4)
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    assert session.invoke({"x": x})["y"].tolist() == (2 * x).tolist()


def test_a_fixed_batch_axis_of_onnx_is_refused() -> None:
    session = runtimes.load("onnx", SHAPES / "shapes-ssd-fp32.onnx", 1, {})
    session.resize_batch(1)
    with pytest.raises(OptionError, match=r"axis 0 of input image \[1, 3, 128, 128\] is not free"):
        session.resize_batch(2)


def test_litert_resizes_there_and_back(mirror: Any) -> None:
    session = runtimes.load("tflite", mirror.path("mobilenet_v1_0.25_224_1_default_1.tflite"), 1, {})
    (tensor,) = session.inputs
    x = np.random.default_rng(1).random((2, *tensor.shape[1:]), dtype=np.float32)
    alone = [next(iter(session.invoke({tensor.name: x[i : i + 1]}).values())) for i in range(2)]
    session.resize_batch(2)
    joined = next(iter(session.invoke({tensor.name: x}).values()))
    assert np.allclose(joined, np.concatenate(alone), atol=1e-5)
    session.resize_batch(1)
    assert np.allclose(next(iter(session.invoke({tensor.name: x[:1]}).values())), alone[0], atol=1e-6)


def test_the_delegate_can_be_left_out_and_then_is_not_there() -> None:
    outputs, delegated = [], []
    for delegate in ("default", "off"):
        session: Any = runtimes.load("tflite", SHAPES / "shapes-ssd-fp32.tflite", 1, {"delegate": delegate})
        (tensor,) = session.inputs
        x = np.random.default_rng(1).random(tensor.shape, dtype=np.float32)
        outputs.append([array.copy() for array in session.invoke({tensor.name: x}).values()])
        operators = {details["op_name"] for details in session._interpreter._get_ops_details()}
        delegated.append(any("DELEGATE" in name.upper() for name in operators))
    assert delegated == [True, False]
    for ours, plain in zip(*outputs):
        assert np.allclose(ours, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("shapes-ssd-fp32.onnx", {"provider": "NoSuchProvider"}, "has no execution provider NoSuchProvider; it has "),
        ("shapes-ssd-fp32.onnx", {"delegate": "off"}, "onnxruntime has no option delegate; known options: provider"),
        ("shapes-ssd-fp32.tflite", {"provider": "CPU"}, "has no option provider; known options: delegate"),
        ("shapes-ssd-fp32.tflite", {"delegate": "libnone.so"}, "cannot load the delegate libnone.so"),
    ],
)
def test_what_a_runtime_does_not_know_is_refused(model: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        runtimes.load(model.rsplit(".")[-1], SHAPES / model, 1, options)


def test_lists_of_processors_are_read() -> None:
    assert parse_cpus("0") == (0,)
    assert parse_cpus("3, 0-1,1") == (0, 1, 3)
    for wrong in ("", "a", "1-", "2-1", "0,,1", "-1"):
        with pytest.raises(OptionError, match="no list of processors"):
            parse_cpus(wrong)


def test_every_thread_of_a_runtime_stays_on_the_processors() -> None:
    code = (
        "import json, pathlib, sys\n"
        f"sys.path.insert(0, {str(ROOT / 'client')!r})\n"
        "from codereef.bench import runtimes\n"
        "from codereef.bench.affinity import pin\n"
        "pin('0')\n"
        f"session = runtimes.load('onnx', pathlib.Path({str(SHAPES / 'shapes-ssd-fp32.onnx')!r}), 2, {{}})\n"
        "lists = [line.split()[1] for task in pathlib.Path('/proc/self/task').iterdir()\n"
        "         for line in (task / 'status').read_text().splitlines() if line.startswith('Cpus_allowed_list')]\n"
        "print(json.dumps(lists))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lists = json.loads(done.stdout)
    # Threads that numpy made at its import, before there was anything to pin, run no inference.
    assert lists.count("0") >= 2


def test_a_provider_that_gives_way_to_the_processor_is_refused(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """As where onnxruntime-gpu finds no CUDA: it lists the provider, and runs without it."""
    import onnxruntime

    listed = ["CUDAExecutionProvider", *onnxruntime.get_available_providers()]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    path = ROOT / "components/model/shapes-ssd/shapes-ssd-fp32.onnx"
    with pytest.raises(OptionError, match="could not start the execution provider CUDAExecutionProvider") as caught:
        runtimes.load("onnx", path, 1, {"provider": "CUDAExecutionProvider"})
    assert "would run on CPUExecutionProvider" in caught.value.message


def test_those_that_take_turns_share_the_last_of_the_fastest_processors(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: None, raising=False)
    assert processor_of_turns(tmp_path) == "3", "where nobody says how fast they are"
    for number, capacity in enumerate((446, 1024, 1024, 446)):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{number}"
        folder.mkdir(parents=True)
        (folder / "cpu_capacity").write_text(f"{capacity}\n")
    assert processor_of_turns(tmp_path) == "2", "and not a little one"
    clock = tmp_path / "sys/devices/system/cpu/cpu1/cpufreq"
    clock.mkdir()
    (clock / "cpuinfo_max_freq").write_text("2800000\n")
    assert processor_of_turns(tmp_path) == "1"
    monkeypatch.delattr(os, "sched_setaffinity")
    assert processor_of_turns(tmp_path) == ""
