# SPDX-License-Identifier: Apache-2.0
"""Locks of format 1 stay readable, stay as they are while their graph holds, and become format 2 when it changes.

`data/lock-1-one-choice-twice.json` was written by client 0.1.0, whose second node of one name ended in `#2`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from codereef.errors import LockError
from codereef.lock.build import build_lock
from codereef.lock.model import read_lock, to_document, write_lock
from codereef.solve.candidates import Request

from tests.lock.test_lock import PYTHON
from tests.lock.test_names import twice
from tests.solve.worlds import HOST, solved

SAMPLE = Path(__file__).with_name("data") / "lock-1-one-choice-twice.json"


def test_a_lock_of_format_1_is_read_whole_and_not_rewritten(tmp_path: Path) -> None:
    lock = read_lock(SAMPLE)
    assert "lib.top@1.0#2" in lock.nodes
    assert to_document(lock) == json.loads(SAMPLE.read_bytes())
    path = tmp_path / "cr.lock"
    path.write_bytes(SAMPLE.read_bytes())
    write_lock(lock, path)
    assert path.read_bytes() == SAMPLE.read_bytes()


def test_the_part_of_a_lock_of_format_1_that_a_result_carries_is_of_format_1() -> None:
    lock = read_lock(SAMPLE)
    alone = to_document(lock.restricted(lock.configurations[1]))
    assert alone["format"] == "codereef-lock/1"
    assert "lib.top@1.0#2" in alone["nodes"] and "lib.top@1.0" not in alone["nodes"]


def test_resolving_again_writes_format_2_and_keeps_the_ids_of_what_is_the_same() -> None:
    old = read_lock(SAMPLE)
    graphs = [solved(twice(), [PYTHON], variants={"format": f}) for f in ("onnx", "tflite")]
    fresh = build_lock(twice()[0], graphs, Request(), old, host=HOST)
    assert to_document(fresh)["format"] == "codereef-lock/2"
    assert {"lib.top@1.0", "lib.top@1.0#2"} <= fresh.nodes.keys()


def test_an_open_environment_is_permitted_in_format_2_only(tmp_path: Path) -> None:
    document = json.loads(SAMPLE.read_bytes())
    document["nodes"] = dict(document["nodes"])
    for environment in document["environments"].values():
        environment["distributions"] = []
        environment.pop("install_key")
    path = tmp_path / "cr.lock"
    path.write_text(json.dumps(document))
    with pytest.raises(LockError, match="not the one its install_key names"):
        read_lock(path)
    document["format"] = "codereef-lock/2"
    path.write_text(json.dumps(document))
    assert [e.install_key for e in read_lock(path).environments.values()] == [""] * len(document["environments"])
