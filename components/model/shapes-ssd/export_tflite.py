# SPDX-License-Identifier: Apache-2.0
"""Write the TFLite files of shapes-ssd from its folded weights, which shapes-ssd-fp32.onnx holds.

    python export_tflite.py --output .

The layer table becomes a TensorFlow function over constants; TensorFlow's converter writes
``shapes-ssd-fp32.tflite`` and, calibrated on training images, ``shapes-ssd-int8.tflite``: kernels are
int8 throughout, while input and outputs stay float32 (a quantise and a dequantise node at the edges).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data
import flatbuffers
import network
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema


class _Network(tf.Module):  # type: ignore[misc]
    """The layer table over constant weights, NHWC; constants, since the calibrator cannot read variables."""

    def __init__(self, weights: network.Weights) -> None:
        super().__init__()
        side = network.INPUT_SIZE
        self._weights = weights
        image = tf.TensorSpec((1, side, side, 3), tf.float32, "image")
        self.serve = tf.function(self._forward, input_signature=[image])

    def _forward(self, image: Any) -> dict[str, Any]:
        maps = {"image": image}
        for layer in network.layers():
            weight, bias = self._weights[f"{layer.name}/weight"], self._weights[f"{layer.name}/bias"]
            steps = [1, layer.stride, layer.stride, 1]
            if layer.depthwise:
                x = tf.nn.depthwise_conv2d(maps[layer.source], weight.transpose(2, 3, 0, 1), steps, "SAME")
            else:
                x = tf.nn.conv2d(maps[layer.source], weight.transpose(2, 3, 1, 0), steps, "SAME")
            x = tf.nn.bias_add(x, bias)
            maps[layer.name] = tf.nn.relu6(x) if layer.clipped else x
        return {
            head: tf.concat([tf.reshape(maps[f"{head}{i}"], (1, -1, width)) for i in range(len(network.LEVELS))], 1)
            for head, width in (("boxes", 4), ("scores", len(network.CLASSES)))
        }


def convert(saved: str, calibration: list[data.Sample] | None) -> bytes:
    """TFLite bytes of a saved model: float32, or int8 kernels when calibration samples are given."""
    converter = tf.lite.TFLiteConverter.from_saved_model(saved)
    if calibration is not None:

        def batches() -> Iterator[dict[str, Any]]:
            for pixels, _ in calibration:
                yield {"image": data.normalise(pixels)[None]}

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = batches
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return with_plain_names(bytes(converter.convert()))


def with_plain_names(model: bytes) -> bytes:
    """Name the tensors ``image``, ``boxes`` and ``scores`` and put the outputs in that order.

    The converter names them after its own call nodes and sorts the outputs as it likes.
    """
    parsed = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    graph = parsed.subgraphs[0]
    graph.tensors[graph.inputs[0]].name = b"image"
    ordered = sorted(map(int, graph.outputs), key=lambda index: int(graph.tensors[index].shape[-1]))
    for index, name in zip(ordered, (b"boxes", b"scores")):
        graph.tensors[index].name = name
    graph.outputs = np.array(ordered, dtype=np.int32)
    parsed.description = b"shapes-ssd"
    builder = flatbuffers.Builder(len(model))
    builder.Finish(parsed.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description="Export shapes-ssd to TFLite.")
    parser.add_argument("--weights", default="shapes-ssd-fp32.onnx")
    parser.add_argument("--output", type=Path, default=Path())
    parser.add_argument("--calibration-images", type=int, default=300)
    options = parser.parse_args()
    model = _Network(network.load_weights(options.weights))
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(model, folder, {"serving_default": model.serve.get_concrete_function()})
        (options.output / "shapes-ssd-fp32.tflite").write_bytes(convert(folder, None))
        samples = data.train_samples(options.calibration_images, network.INPUT_SIZE)
        (options.output / "shapes-ssd-int8.tflite").write_bytes(convert(folder, samples))


if __name__ == "__main__":
    main()
