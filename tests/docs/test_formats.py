# SPDX-License-Identifier: Apache-2.0
"""Formats are promises: files written by an older client stay readable, and each format has its page.

The samples were written by `cr` 0.1.0 on a real machine. They are never written again: a new version of a
format gets a new sample beside the old one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from codereef.bench import request, response
from codereef.canonical import canonical_json
from codereef.errors import LockError, MetadataError
from codereef.explore.document import FORMAT as EXPLORATION_FORMAT
from codereef.explore.document import from_document as exploration_from_document
from codereef.explore.document import to_document as exploration_to_document
from codereef.install.failures import FORMAT as FAILURE_FORMAT
from codereef.interchange.external import FORMAT as EXTERNAL_FORMAT
from codereef.lock.model import FORMAT as LOCK_FORMAT
from codereef.lock.model import read_lock, to_document
from codereef.meta.schemas import check
from codereef.pack.format import FORMAT as PACK_FORMAT
from codereef.pack.format import from_document as pack_from_document
from codereef.pack.format import to_document as pack_to_document
from codereef.record.history import FORMAT as RESULT_FORMAT
from codereef.record.history import load_result_file, result_id
from codereef.record.pitfalls_plot import bars_of, pitfalls_svg
from codereef.record.summary import row, to_csv
from codereef.repo.folder import CACHE_FORMAT
from codereef.repo.registry import layout
from codereef.repo.sources import LIST_FORMAT
from codereef.run.pitfalls import FORMAT as PITFALLS_FORMAT
from codereef.store.roots import FORMAT as ROOT_FORMAT
from codereef.store.use import FORMAT as USE_FORMAT
from codereef.trust.keys import KEY_FORMAT
from codereef.trust.signatures import ROTATION_FORMAT
from codereef.workspace.terms import FORMAT as TERMS_FORMAT

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = Path(__file__).with_name("samples")
PAGES = ROOT / "docs" / "formats"
LOCK_1 = SAMPLES / "lock-1.json"
LOCK_2 = SAMPLES / "lock-2.json"
RESULT_1 = SAMPLES / "result-1.json"
PACK_1 = SAMPLES / "pack-1.json"
EXTERNAL_1 = SAMPLES / "external-1.json"
EXTERNAL_1_ID = "729c4a6f7710a43ba5418de163613e2b1626fadd32bd34c733fff2343b88f1ba"
PITFALLS_1 = SAMPLES / "pitfalls-1.json"
EXPLORATION_1 = SAMPLES / "exploration-1.json"
RESULT_1_ID = "7324f2b5cd829af416de292788797170e92e7d88e03c2f04c6487e4aaa19005e"

SECTIONS = ("Structure", "Backward compatibility", "Forward compatibility", "Rewrite policy", "Version history")
WRITTEN_BY_THE_CODE = {
    "lock.md": [LOCK_FORMAT],
    "result.md": [RESULT_FORMAT],
    "program-contract.md": [request.FORMAT, response.FORMAT],
    "store.md": ["codereef-prefix/1", "v1", ROOT_FORMAT, USE_FORMAT],
    "history-and-queue.md": [RESULT_FORMAT],
    "index-cache.md": [f"`{CACHE_FORMAT}`", LIST_FORMAT, KEY_FORMAT],
    "registry.md": [
        layout.ROOT_FORMAT,
        layout.PAGE_FORMAT,
        layout.SHARD_FORMAT,
        layout.RELEASE_FORMAT,
        ROTATION_FORMAT,
    ],
    "pack.md": [PACK_FORMAT],
    "pitfalls.md": [PITFALLS_FORMAT],
    "exploration.md": [EXPLORATION_FORMAT],
    "terms.md": [TERMS_FORMAT],
    "build.md": ["urn:codereef:schema:package:1"],
    "failure.md": [FAILURE_FORMAT],
    "external.md": [EXTERNAL_FORMAT],
    "component.md": ["urn:codereef:schema:model:1"],
}


def test_a_lock_of_format_1_is_read_whole() -> None:
    document = json.loads(LOCK_1.read_bytes())
    check(document, "lock", LOCK_1)
    lock = read_lock(LOCK_1)
    assert [c.id for c in lock.configurations] == [
        "format=onnx,precision=fp32,size=50",
        "format=onnx,precision=int8,size=50",
        "format=tflite,precision=fp32,size=50",
        "format=tflite,precision=int8,size=50",
    ]
    assert to_document(lock) == document


def test_a_lock_of_format_2_is_read_whole_for_every_target() -> None:
    document = json.loads(LOCK_2.read_bytes())
    check(document, "lock", LOCK_2)
    lock = read_lock(LOCK_2)
    assert lock.targets == ("linux-x86_64-gnu", "linux-aarch64-gnu")
    assert {n.source for n in lock.for_target("linux-aarch64-gnu").nodes.values() if n.scope == "run"} == {
        "component",
        "install",
        "expected",
    }
    assert all(e.install_key for e in lock.environments.values())
    assert to_document(lock) == document


def test_a_result_of_format_1_is_read_and_keeps_its_identity() -> None:
    data = RESULT_1.read_bytes()
    result = load_result_file(RESULT_1)
    check(result.document, "result", RESULT_1)
    assert result.id == RESULT_1_ID
    assert canonical_json(result.document) == data
    assert result.metric("latency_p50") == pytest.approx(0.000219124)
    assert result.metric("latency_p99") is None
    assert row(result).runtime == "ai-edge-litert 2.3.0"
    assert to_csv([result]).splitlines()[1].startswith(RESULT_1_ID)


def test_the_list_of_a_pack_of_format_1_is_read_whole() -> None:
    """The sample is the list of a real pack, with most images and component files taken out."""
    document = json.loads(PACK_1.read_bytes())
    check(document, "pack", PACK_1)
    manifest = pack_from_document(document)
    assert (manifest.name, manifest.targets) == ("demo-object-detection", ("linux-x86_64-gnu", "linux-aarch64-gnu"))
    assert len(manifest.part("wheels")) >= 10 and manifest.folders[0].checked
    assert pack_to_document(manifest) == document


def test_pitfalls_of_format_1_are_read_and_drawn() -> None:
    document = json.loads(PITFALLS_1.read_bytes())
    check(document, "pitfalls", PITFALLS_1)
    axis, right, bars = bars_of(document)
    assert (axis, len(bars)) == ("mAP", 20) and right == pytest.approx(0.7768, abs=1e-3)
    assert "bgr-for-rgb" in pitfalls_svg(axis, right, bars, title="t", subtitle="s")


def test_an_exploration_of_format_1_is_read_whole() -> None:
    document = json.loads(EXPLORATION_1.read_bytes())
    check(document, "exploration", EXPLORATION_1)
    exploration = exploration_from_document("32f43fe6e3bf", document)
    assert [len(repetitions) for repetitions in exploration.measured] == [2] * 8
    assert exploration.complete and exploration.points[0].options["threads"] == "1"
    assert exploration_to_document(exploration) == document


def test_the_lock_inside_a_result_of_format_1_is_a_lock() -> None:
    document = json.loads(RESULT_1.read_bytes())
    check(document["lock"], "lock", RESULT_1)
    assert len(document["lock"]["configurations"]) == 1


def test_an_external_result_of_format_1_is_read_and_keeps_its_identity() -> None:
    """The sample is an MLPerf v0.5 result of a Raspberry Pi 4."""
    data = EXTERNAL_1.read_bytes()
    document = json.loads(data)
    check(document, "external", EXTERNAL_1)
    assert canonical_json(document) == data and result_id(document) == EXTERNAL_1_ID
    assert document["metrics"]["latency_p90"]["value"] == pytest.approx(0.163267343)


@pytest.mark.parametrize("sample", [LOCK_1, LOCK_2, RESULT_1, PITFALLS_1, EXPLORATION_1], ids=lambda path: path.name)
def test_a_sample_holds_no_path_and_no_address(sample: Path) -> None:
    def texts(value: object) -> list[str]:
        if isinstance(value, dict):
            return [text for key, inner in value.items() for text in (key, *texts(inner))]
        if isinstance(value, list):
            return [text for inner in value for text in texts(inner)]
        return [value] if isinstance(value, str) else []

    found = texts(json.loads(sample.read_bytes()))
    assert len(found) > 100
    private = re.compile(r"(^|[\s'\"=:])/\w|[A-Za-z]:\\|://|(?:[0-9a-f]{2}:){5}[0-9a-f]{2}|@[a-z][\w-]*\.[a-z]{2,}")
    assert (
        private.search("/usr/bin/gcc") and private.search("could not open /srv/x") and private.search("you@example.org")
    )
    assert [text for text in found if private.search(text)] == []


def test_a_lock_of_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "cr.lock"
    path.write_text(LOCK_2.read_text(encoding="utf-8").replace(LOCK_FORMAT, "codereef-lock/3"), encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(LockError, match="codereef-lock/3"):
        read_lock(path)
    assert path.read_bytes() == before


def test_a_result_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(RESULT_1.read_bytes().replace(RESULT_FORMAT.encode(), b"codereef-result/2"))
    with pytest.raises(MetadataError, match="codereef-result/2"):
        load_result_file(path)


def test_every_format_has_a_page_with_the_same_sections() -> None:
    pages = {path.name for path in PAGES.glob("*.md")} - {"README.md"}
    assert pages == set(WRITTEN_BY_THE_CODE)
    for name in pages:
        headings = re.findall(r"^## (.+)$", (PAGES / name).read_text(encoding="utf-8"), re.MULTILINE)
        assert tuple(heading for heading in headings if heading in SECTIONS) == SECTIONS, name


@pytest.mark.parametrize("name", sorted(WRITTEN_BY_THE_CODE))
def test_a_page_names_the_version_that_the_code_writes(name: str) -> None:
    text = (PAGES / name).read_text(encoding="utf-8")
    for identifier in WRITTEN_BY_THE_CODE[name]:
        assert identifier in text
