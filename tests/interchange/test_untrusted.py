# SPDX-License-Identifier: Apache-2.0
"""Files that nobody has reason to trust: whatever is in them, an import ends with results or with errors that name them."""

from __future__ import annotations

import json
import random
import re
import tarfile
from pathlib import Path

import pytest
from codereef.errors import CrError
from codereef.interchange.importing import FORMATS, import_results

from tests.interchange.files import SUMMARY, import_into, store, submission, write
from tests.interchange.test_mlperf_import import detail
from tests.interchange.test_other_imports import TINY, asv_results, ck_point

HYPERFINE = {"results": [{"command": "a", "mean": 1.5, "times": [1.5, 2], "exit_codes": [0], "parameters": {"n": "1"}}]}
GOOGLE = {
    "context": {"num_cpus": 2, "date": "2026-01-01", "host_name": "box"},
    "benchmarks": [
        {"name": "a", "run_name": "a", "run_type": "iteration", "real_time": 5, "cpu_time": 4, "time_unit": "us", "n": 3},
        {"name": "a_cv", "run_name": "a", "run_type": "aggregate", "aggregate_name": "cv", "aggregate_unit": "percentage",
         "real_time": 0.1, "cpu_time": 0.1, "time_unit": "us"},
    ],
}  # fmt: skip
#: What a value is replaced by: every JSON type, and numbers and texts that are hard to hold.
HOSTILE = ("null", "true", "[]", "{}", '""', '"\\ud800"', "1e999", "-1", "9" * 400, '[[["a"]]]', '"x"', "NaN")


def folders(root: Path) -> list[Path]:
    """Write one folder for each format, with all its files."""
    write(root / "mlperf-detail" / "mlperf_log_detail.txt", detail())
    submission(root / "mlperf")
    write(root / "tiny" / "summary.csv", f"{TINY}lab,closed,board,ic,ic,5,inf./sec.,80\n")
    write(root / "hyperfine" / "a.json", json.dumps(HYPERFINE))
    write(root / "google" / "a.json", json.dumps(GOOGLE))
    asv_results(root / "asv")
    ck_point(root / "ck" / "entry")
    return sorted(root.iterdir())


def test_the_samples_cover_every_format(tmp_path: Path) -> None:
    imported = import_into(tmp_path, *folders(tmp_path / "good"))
    assert {r.document["source"]["format"] for r in imported.added} == set(FORMATS)


def values(text: str) -> list[tuple[int, int]]:
    """Return where the values of a JSON text begin and end: every number, text, and word behind `:`, `,` or `[`."""
    return [
        m.span(1)
        for m in re.finditer(r'[:,\[]\s*("(?:[^"\\]|\\.)*"|-?[\d.]+(?:e-?\d+)?|true|false|null)(?=\s*[,\]}])', text)
    ]


def test_no_value_of_any_json_file_breaks_an_import(tmp_path: Path) -> None:
    tried = 0
    for folder in folders(tmp_path / "good"):
        for path in sorted(folder.rglob("*")):
            if path.suffix != ".json" and path.name != "mlperf_log_detail.txt":
                continue
            text = path.read_text(encoding="utf-8")
            for number, (start, end) in enumerate(values(text)):
                for hostile in (HOSTILE[number % len(HOSTILE)], HOSTILE[(number * 5 + 3) % len(HOSTILE)]):
                    path.write_text(text[:start] + hostile + text[end:], encoding="utf-8")
                    imported = import_results([folder], store(tmp_path), dry_run=True)
                    assert all(isinstance(failure.error, CrError) for failure in imported.failures)
                    tried += 1
            path.write_text(text, encoding="utf-8")
    assert tried > 300


@pytest.mark.parametrize("seed", range(5))
def test_damaged_bytes_break_no_import(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    for folder in folders(tmp_path / "good"):
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for _ in range(12):
            path = chance.choice(files)
            data = path.read_bytes()
            damaged = bytearray(data)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            path.write_bytes(bytes(damaged)[: chance.choice([len(data), len(data) // 2])])
            import_results([folder], store(tmp_path), dry_run=True)
            path.write_bytes(data)


def test_deep_nesting_and_huge_products_are_refused(tmp_path: Path) -> None:
    deep = (
        '{"context": {"num_cpus": 1, "a": '
        + '{"a":' * 900
        + "1"
        + "}" * 900
        + '}, "benchmarks": [{"name": "a", "real_time": 1, "cpu_time": 1}]}'
    )
    write(tmp_path / "a.json", deep)
    import_results([tmp_path / "a.json"], store(tmp_path), dry_run=True)
    path = asv_results(tmp_path / "asv", results={"s.time_a": [None, [[str(n) for n in range(1000)]] * 4]})
    imported = import_results([path], store(tmp_path), dry_run=True)
    assert "1000000000000 choices of parameters" in imported.failures[0].error.message


def test_a_long_line_of_blanks_in_a_summary_is_passed_over(tmp_path: Path) -> None:
    """A pattern that tries every way to part the blanks would not come to an end."""
    path = write(tmp_path / "mlperf_log_summary.txt", SUMMARY.replace("\n\n", f"\n{' ' * 200_000}\n", 1))
    plain = write(tmp_path / "plain" / "mlperf_log_summary.txt", SUMMARY)
    found, wanted = (import_into(tmp_path, each).added[0].document for each in (path, plain))
    assert {**found, "source": None} == {**wanted, "source": None}


def test_logs_of_other_names_in_one_folder_are_all_read(tmp_path: Path) -> None:
    for name in ("monday.txt", "tuesday.txt"):
        write(tmp_path / "logs" / name, SUMMARY.replace("SUT name : board", f"SUT name : {name}"))
    imported = import_into(tmp_path, tmp_path / "logs")
    assert sorted(r.document["system"]["name"] for r in imported.added) == ["monday.txt", "tuesday.txt"]


def test_what_was_cut_on_its_way_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = asv_results(tmp_path / "asv")
    text = path.read_bytes()
    with tarfile.open(tmp_path / "cut.tar.gz", "w:gz") as tar:
        tar.add(path, "a.json")
    packed = (tmp_path / "cut.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(packed[: len(packed) // 2])
    path.write_bytes(text[: len(text) // 2])
    archive, file = (f.error for f in import_results([tmp_path / "cut.tar.gz", path], store(tmp_path)).failures)
    assert "cut.tar.gz was not unpacked: it is truncated" in archive.message
    assert "Fetch or pack it again" in archive.hint and "component" not in archive.hint
    assert "line 1: it is not JSON: it ends" in file.message and "cut off" in file.hint
