# SPDX-License-Identifier: Apache-2.0
"""Digests and times of every step: two runs agree, and a changed step shows where they part."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codereef.bench.implementations import input_stage, output_stage
from codereef.bench.resample import PILLOW_METHODS, POINT_METHODS
from codereef.bench.stages import Stage, Stages, Trace, digest

from tests.bench.program_requests import make_request, run

IMAGES = "classification-images"
MODEL = "mobilenet-v1-128-classification"


def test_a_digest_is_over_type_shape_and_bytes() -> None:
    a = np.array([[1, 2], [3, 4]], dtype=np.int16)
    by_hand = hashlib.sha256(b"int16[2, 2]" + bytes([1, 0, 2, 0, 3, 0, 4, 0])).digest()
    assert digest([a]) == by_hand
    assert digest([a.astype(">i2")]) == by_hand  # byte order of the machine does not count
    assert digest([a.T.copy().T]) == by_hand  # nor the layout in memory
    assert len({digest([a]), digest([a.reshape(4)]), digest([a.astype(np.int32)]), digest([a, a]), digest([])}) == 5


def test_stages_put_items_together_in_order() -> None:
    now = iter(range(0, 10**6, 10))
    stages = Stages([Stage("input", "a", "i", "1"), Stage("model", "b", "m", "2")], untimed=("model",))
    for value in (1, 2, 3):
        trace = Trace(lambda: next(now), digesting=value < 3)
        trace.step(np.array([value]))
        trace.step(np.array([-value]))
        stages.add(trace)
    a, b = stages.as_list()
    total = hashlib.sha256(digest([np.array([1])]) + digest([np.array([2])])).hexdigest()
    assert a == {
        "side": "input", "step": "a", "implementation": "i", "version": "1", "items": 2, "seconds": 1e-8,
        "digest": f"sha256:{total}",
    }  # fmt: skip
    assert b["seconds"] is None and b["digest"] != a["digest"]


@pytest.mark.parametrize("method", [*POINT_METHODS, *PILLOW_METHODS])
def test_every_resize_says_its_algorithm(method: str) -> None:
    said = {m: input_stage("resize", {"method": m}).implementation for m in (*POINT_METHODS, *PILLOW_METHODS)}
    assert list(said.values()).count(said[method]) == 1
    assert ("Pillow" in said[method]) == (method in PILLOW_METHODS)


def test_the_decoder_is_named_with_its_library() -> None:
    import PIL
    from PIL import features

    stage = input_stage("decode", {"color": "RGB"})
    assert stage.version == PIL.__version__
    assert str(features.version("libjpeg_turbo") or features.version("jpg")) in stage.implementation
    assert output_stage("nms").version == f"numpy {np.__version__}"


def stages_of(tmp: Path, mirror: Any, change: Any = None, **options: int) -> list[dict[str, Any]]:
    tmp.mkdir()
    request = make_request(tmp, mirror, MODEL, IMAGES, options=options)
    if change is not None:
        change(request["model"]["manifest"])
    status, response, _ = run(tmp, "image-classification", request)
    assert status == 0, response.get("error")
    stages: list[dict[str, Any]] = response["stages"]
    return stages


def test_workers_change_no_byte_and_a_changed_step_shows_where_results_part(tmp_path: Path, mirror: Any) -> None:
    alone = stages_of(tmp_path / "alone", mirror, workers=1)
    together = stages_of(tmp_path / "together", mirror, workers=3)
    assert [s["step"] for s in alone] == ["decode", "resize", "layout", "inference", "dequantize", "top-k"]
    assert [s["digest"] for s in alone] == [s["digest"] for s in together]
    assert all(s["items"] == 3 and s["implementation"] and s["version"] for s in alone)
    assert all(s["seconds"] > 0 for s in alone)
    assert [s["step"] for s in together if s["seconds"] is None] == ["inference"]

    def nearest(manifest: dict[str, Any]) -> None:
        manifest["inputs"][0]["steps"][1]["resize"]["method"] = "nearest"

    other = stages_of(tmp_path / "other", mirror, nearest, workers=1)
    parts = [a["digest"] == b["digest"] for a, b in zip(alone, other)]
    assert parts == [True, False, False, False, False, False]


def test_the_digest_of_decoding_is_that_of_the_pixels(tmp_path: Path, mirror: Any) -> None:
    from PIL import Image

    stages = stages_of(tmp_path / "run", mirror)
    total = hashlib.sha256()
    for name in ("orange.png", "burger.jpg", "cat.bmp"):
        total.update(digest([np.asarray(Image.open(mirror.path(name)).convert("RGB"))]))
    assert stages[0]["digest"] == f"sha256:{total.hexdigest()}"
