# SPDX-License-Identifier: Apache-2.0
"""Write the ONNX files of shapes-ssd from its folded weights.

    python export_onnx.py --weights weights.npz --output .    after training
    python export_onnx.py --output .                          from shapes-ssd-fp32.onnx, which holds them too

Makes ``anchors.json``; ``shapes-ssd-fp32.onnx``, straight from the layer table; and
``shapes-ssd-int8.onnx``, from it by ONNX Runtime's static quantisation (QDQ form), calibrated on training
images.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import data
import network
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

OPSET, IR_VERSION = 13, 8


def fp32_model(weights: network.Weights) -> onnx.ModelProto:
    """The network as ONNX: ``image`` [1, 3, 128, 128] to ``boxes`` [1, N, 4] and ``scores`` [1, N, C]."""
    nodes: list[onnx.NodeProto] = []
    constants = [
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
        numpy_helper.from_array(np.array(6, np.float32), "six"),
    ]
    for layer in network.layers():
        for part in ("weight", "bias"):
            constants.append(numpy_helper.from_array(weights[f"{layer.name}/{part}"], f"{layer.name}/{part}"))
        pads = [0, 0, 1, 1] if layer.stride == 2 else [1, 1, 1, 1] if layer.kernel == 3 else [0, 0, 0, 0]
        result = f"{layer.name}/linear" if layer.clipped else layer.name
        parameters = [f"{layer.name}/weight", f"{layer.name}/bias"]
        nodes.append(
            helper.make_node(
                "Conv",
                [layer.source, *parameters],
                [result],
                f"{layer.name}/conv",
                kernel_shape=[layer.kernel] * 2,
                strides=[layer.stride] * 2,
                pads=pads,
                group=layer.inputs if layer.depthwise else 1,
            )
        )
        if layer.clipped:
            nodes.append(helper.make_node("Clip", [result, "zero", "six"], [layer.name], f"{layer.name}/relu6"))
    total = len(network.anchors())
    for head, width in (("boxes", 4), ("scores", len(network.CLASSES))):
        constants.append(numpy_helper.from_array(np.array([1, -1, width], np.int64), f"{head}/shape"))
        for index in range(len(network.LEVELS)):
            nodes.append(
                helper.make_node(
                    "Transpose",
                    [f"{head}{index}"],
                    [f"{head}{index}/nhwc"],
                    f"{head}{index}/transpose",
                    perm=[0, 2, 3, 1],
                )
            )
            nodes.append(
                helper.make_node(
                    "Reshape",
                    [f"{head}{index}/nhwc", f"{head}/shape"],
                    [f"{head}{index}/rows"],
                    f"{head}{index}/reshape",
                )
            )
        nodes.append(
            helper.make_node(
                "Concat", [f"{head}{i}/rows" for i in range(len(network.LEVELS))], [head], f"{head}/concat", axis=1
            )
        )
    side = network.INPUT_SIZE
    graph = helper.make_graph(
        nodes,
        "shapes-ssd",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, total, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, total, len(network.CLASSES)]),
        ],
        constants,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="codereef-shapes-ssd",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


class _Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Training images, one at a time."""

    def __init__(self, images: int) -> None:
        self._samples = iter(data.train_samples(images, network.INPUT_SIZE))

    def get_next(self) -> dict[str, Any] | None:
        """The next input, or None at the end."""
        sample = next(self._samples, None)
        return None if sample is None else {"image": data.normalise(sample[0]).transpose(2, 0, 1)[None]}


def quantise(source: Path, target: Path, images: int) -> None:
    """Write ``source`` to ``target`` with int8 weights (a scale a channel) and uint8 activations.

    Weights keep 7 bits (``reduce_range``): on x86 without VNNI the products of 8-bit operands saturate
    in 16 bits, and the same file would detect differently from one machine to the next.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = str(Path(folder) / "prepared.onnx")
        quantization.quant_pre_process(str(source), prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            str(target),
            _Calibration(images),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
    model = onnx.load(str(target))
    model.ir_version = IR_VERSION
    # The optimiser declares every domain it knows, some newer than an older runtime accepts; none is used.
    used = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description="Export shapes-ssd to ONNX.")
    parser.add_argument("--weights", default="shapes-ssd-fp32.onnx")
    parser.add_argument("--output", type=Path, default=Path())
    parser.add_argument("--calibration-images", type=int, default=300)
    options = parser.parse_args()
    fp32 = options.output / "shapes-ssd-fp32.onnx"
    network.write_anchors(str(options.output / "anchors.json"))
    onnx.save(fp32_model(network.load_weights(options.weights)), str(fp32))
    quantise(fp32, options.output / "shapes-ssd-int8.onnx", options.calibration_images)


if __name__ == "__main__":
    main()
