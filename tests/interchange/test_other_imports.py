# SPDX-License-Identifier: Apache-2.0
"""MLPerf Tiny, hyperfine, Google Benchmark, asv and Collective Knowledge: what they really write, and damaged files."""

from __future__ import annotations

import csv
import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from codereef.cli.commands import interchange as command
from codereef.interchange.importing import FORMATS, import_results

from tests.conftest import Mirror
from tests.interchange.files import import_into, lacking, store, write


def test_the_command_offers_every_format() -> None:
    assert tuple(FORMATS) == command.FORMATS


def test_every_row_of_the_real_tiny_summary_is_imported(tmp_path: Path, mirror: Mirror) -> None:
    path = tmp_path / "tiny_results_v1.2" / "summary.csv"
    path.parent.mkdir()
    shutil.copy(mirror.path("summary.csv"), path)
    imported = import_into(tmp_path, path)
    documents = {r.document["source"]["entry"]: r.document for r in imported.added}
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(documents) == 73
    for number, row in enumerate(rows, 1):
        d = documents[f"row {number}"]
        assert d["source"]["round"] == "v1.2"
        assert (d["source"]["organisation"], d["system"]["name"], d["benchmark"]) == (
            row["Organization"], row["SystemDesc"], row["Model"],
        )  # fmt: skip
        assert d["metrics"]["throughput"]["value"] == float(row["Result"])
        if row["Model"] == "ad":
            assert d["metrics"]["AUC"]["value"] == float(row["Accuracy"]) < 1
        else:
            assert d["metrics"]["accuracy"]["value"] == pytest.approx(float(row["Accuracy"]) / 100)
        energy = d["metrics"].get("energy_per_inference")
        if row["HasPower"] == "True":
            assert energy["unit"] == "J" and energy["value"] == pytest.approx(float(row["Power"]) * 1e-6)
        else:
            assert energy is None
    assert sum("energy_per_inference" in d["metrics"] for d in documents.values()) == 18


TINY = "Organization,Division,SystemDesc,Model,MlperfModel,Result,ResultUnit,Accuracy\n"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("lab,closed,board,ic,ic,many,inf./sec.,80\n", "line 3: `Result` is 'many'"),
        ("lab,closed,board,ic,ic,5,furlongs,80\n", "line 3: the unit of the result is 'furlongs'"),
        ("lab,closed,board,ic\n", "line 3: it has more or fewer cells"),
        ("lab,closed,board,ic,ic,5,inf./sec.,80,9,9\n", "line 3: it has more or fewer cells"),
    ],
)
def test_a_wrong_row_of_a_tiny_summary_is_named(tmp_path: Path, row: str, said: str) -> None:
    path = write(tmp_path / "summary.csv", f"{TINY}lab,closed,board,ad,ad,5,inf./sec.,0.8\n{row}")
    imported = import_results([path], store(tmp_path))
    assert imported.added == () and said in imported.failures[0].error.message


def test_what_hyperfine_writes_is_imported_with_its_samples(tmp_path: Path) -> None:
    hyperfine = shutil.which("hyperfine")
    if hyperfine is None:
        lacking("hyperfine")
    path = tmp_path / "times.json"
    subprocess.run(
        [hyperfine, "-N", "--ignore-failure", "--runs", "5", "--export-json", str(path), "true", "false"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    raw = json.loads(path.read_text(encoding="utf-8"))["results"]
    good, failing = sorted(
        (r.document for r in import_into(tmp_path, path).added), key=lambda d: str(d["source"]["entry"])
    )
    assert (good["benchmark"], failing["benchmark"]) == ("true", "false")
    assert good["samples"]["time"] == {"unit": "s", "values": raw[0]["times"]}
    assert good["metrics"]["time_median"]["value"] == raw[0]["median"]
    assert good["metrics"]["time_median"]["method"] == "as reported by hyperfine"
    assert good["reasons"] == [] and failing["reasons"] == ["5 of 5 runs ended with another exit code than 0"]


def test_memory_and_parameters_of_hyperfine_are_kept(tmp_path: Path) -> None:
    result = {
        "command": "sort 3", "mean": 0.5, "stddev": None, "median": 0.5, "user": 0.1, "system": 0.0, "min": 0.5,
        "max": 0.5, "times": [0.5], "memory_usage_byte": [1048576], "exit_codes": [0], "parameters": {"n": "3"},
    }  # fmt: skip
    path = write(tmp_path / "a.json", json.dumps({"results": [result]}))
    d = import_into(tmp_path, path).added[0].document
    assert d["samples"]["peak_rss"] == {"unit": "B", "values": [1048576.0]}
    assert d["parameters"] == {"n": "3"} and "time_stddev" not in d["metrics"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"results": [{"command": "a", "times": [1, "x"]}]}', "result 1 has something that is no number"),
        ('{"results": [{"command": "a", "mean": true}]}', "`mean` of result 1"),
        ('{"results": [{"command": "a",\n "mean": }]}', "line 2: it is not JSON"),
        ('{"results": [{"command": "a", "mean": NaN}]}', "NaN is not JSON"),
        ('{"results": [{"command": "a"}, 5]}', "result 2 is no object"),
    ],
)
def test_a_damaged_export_of_hyperfine_is_named(tmp_path: Path, text: str, said: str) -> None:
    imported = import_results([write(tmp_path / "a.json", text)], store(tmp_path))
    assert imported.added == () and said in imported.failures[0].error.message


GOOGLE = """
#include <benchmark/benchmark.h>
static void BM_Fill(benchmark::State& state) {
  for (auto _ : state) { for (int i = 0; i < state.range(0); ++i) benchmark::DoNotOptimize(i); }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Fill)->Arg(64)->Repetitions(3)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_Fill)->Arg(8);
static void BM_Bad(benchmark::State& state) { state.SkipWithError("no such thing"); for (auto _ : state) {} }
BENCHMARK(BM_Bad);
BENCHMARK_MAIN();
"""


@pytest.mark.slow
def test_what_google_benchmark_writes_is_imported_with_its_samples(tmp_path: Path) -> None:
    if shutil.which("g++") is None or not Path("/usr/include/benchmark/benchmark.h").is_file():
        lacking("libbenchmark-dev or g++")
    write(tmp_path / "fill.cc", GOOGLE)
    path = tmp_path / "report.json"
    subprocess.run(
        ["g++", "-O1", "fill.cc", "-o", "fill", "-lbenchmark", "-lpthread"], cwd=tmp_path, check=True, timeout=120
    )
    arguments = [f"--benchmark_out={path}", "--benchmark_out_format=json", "--benchmark_min_time=0.01"]
    subprocess.run([tmp_path / "fill", *arguments], check=True, capture_output=True, timeout=60)
    raw = [
        b for b in json.loads(path.read_text(encoding="utf-8"))["benchmarks"] if b["run_name"].startswith("BM_Fill/64")
    ]
    documents = {r.document["benchmark"]: r.document for r in import_into(tmp_path, path).added}
    assert documents.keys() == {"BM_Fill/64/repeats:3", "BM_Fill/8", "BM_Bad"}
    repeated = documents["BM_Fill/64/repeats:3"]
    expected = [b["real_time"] * 1e-6 for b in raw if b["run_type"] == "iteration"]
    assert len(expected) == 3 and repeated["samples"]["real_time"]["values"] == pytest.approx(expected)
    median = next(b for b in raw if b.get("aggregate_name") == "median")
    assert repeated["metrics"]["cpu_time_median"]["value"] == pytest.approx(median["cpu_time"] * 1e-6)
    assert repeated["metrics"]["items_per_second_median"]["unit"] == "1/s"
    assert 0 <= repeated["metrics"]["real_time_cv"]["value"] < 10 and repeated["metrics"]["real_time_cv"]["unit"] == ""
    assert documents["BM_Fill/8"]["metrics"]["real_time"]["samples"] == 1
    assert documents["BM_Bad"]["valid"] is False and documents["BM_Bad"]["reasons"] == ["failed: no such thing"]


@pytest.mark.parametrize(
    ("benchmark", "said"),
    [
        ({"name": "a", "real_time": 1, "cpu_time": 1, "time_unit": "fortnight"}, "the unit of a is 'fortnight'"),
        ({"name": "a", "real_time": "1", "cpu_time": 1}, "`real_time` of a is '1'"),
        ({"real_time": 1}, "benchmark 1 has no `name`"),
    ],
)
def test_a_damaged_report_of_google_benchmark_is_named(tmp_path: Path, benchmark: dict[str, Any], said: str) -> None:
    text = json.dumps({"context": {"num_cpus": 2}, "benchmarks": [benchmark]})
    imported = import_results([write(tmp_path / "a.json", text)], store(tmp_path))
    assert imported.added == () and said in imported.failures[0].error.message


def asv_results(folder: Path, **changes: Any) -> Path:
    """Write results of asv as version 2 has them: two parameters, one choice that failed."""
    document = {
        "commit_hash": "3753e2a7", "env_name": "virtualenv-py3.11", "date": 1795858751000,
        "params": {"machine": "box"}, "requirements": {"numpy": "2.0"}, "version": 2, "durations": {},
        "result_columns": [
            "result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b", "stats_q_25",
            "stats_q_75", "stats_number", "stats_repeat", "samples", "profile",
        ],
        "results": {
            "suite.time_sum": [
                [1e-6, 2e-6, 3e-6, None], [["10", "100"], ["'a'", "'b'"]], "v", 1795858753451, 0.3,
                [0.9e-6, -math.inf, 2e-6, None], [1.1e-6, math.inf, 4e-6, None], [1e-6, 2e-6, 3e-6, None],
                [1e-6, 2e-6, 3e-6, None], [5, 5, 5, None], [2, 2, 2, None], [[1e-6, 1e-6], [2e-6], [3e-6], None],
            ],
            "suite.peakmem_list": [[24682496], [], "v", 1795858752722, 0.3],
            "suite.track_size": [[7], [], "v", 1795858752722, 0.3],
            "suite.time_broken": [None, [["1", "2"]], "v", 1795858752722, 0.3],
        },
    }  # fmt: skip
    known = {
        "suite.time_sum": {"param_names": ["n", "kind"], "unit": "seconds"},
        "suite.track_size": {"unit": "items"},
        "version": 2,
    }
    write(folder / "benchmarks.json", json.dumps(known))
    write(folder / "box" / "machine.json", json.dumps({"cpu": "Chip 3000", "version": 1}))
    return write(folder / "box" / "3753e2a7-virtualenv-py3.11.json", json.dumps({**document, **changes}))


def test_results_of_asv_are_imported_for_each_choice_of_parameters(tmp_path: Path) -> None:
    asv_results(tmp_path / "results")
    documents = {r.document["source"]["entry"]: r.document for r in import_into(tmp_path, tmp_path / "results").added}
    assert len(documents) == 7
    first = documents["suite.time_sum, n=10, kind='a'"]
    assert first["metrics"]["time"]["interval"] == [0.9e-6, 1.1e-6] and first["metrics"]["time"]["confidence"] == 0.99
    assert first["samples"]["time"] == {"unit": "s", "values": [1e-6, 1e-6]}
    assert (first["system"]["name"], first["system"]["facts"]["cpu"]) == ("box", "Chip 3000")
    assert first["parameters"]["commit"] == "3753e2a7" and first["parameters"]["param.kind"] == "'a'"
    # The last parameter is the fastest, and an interval without bounds is none.
    assert documents["suite.time_sum, n=10, kind='b'"]["metrics"]["time"]["value"] == 2e-6
    assert documents["suite.time_sum, n=10, kind='b'"]["metrics"]["time"]["interval"] is None
    failed = documents["suite.time_sum, n=100, kind='b'"]
    assert failed["valid"] is False and failed["metrics"] == {}
    assert documents["suite.peakmem_list"]["metrics"]["memory"]["unit"] == "B"
    assert documents["suite.track_size"]["metrics"]["value"]["unit"] == "items"


def test_a_benchmark_of_asv_that_failed_as_a_whole_is_one_failed_result(tmp_path: Path) -> None:
    rows = {"s.time_many": [None, [["1", "2", "3"], ["'a'", "'b'"]]], "s.time_plain": [None, []]}
    asv_results(tmp_path / "results", results=rows)
    found = {r.document["source"]["entry"]: r.document for r in import_into(tmp_path, tmp_path / "results").added}
    assert sorted(found) == ["s.time_many", "s.time_plain"]
    many = found["s.time_many"]
    assert many["valid"] is False and many["metrics"] == {} and many["samples"] == {}
    assert many["reasons"] == ["failed or skipped: asv gives no value for any of the 6 choices of parameters"]
    assert not [name for name in many["parameters"] if name.startswith("param.")]
    assert found["s.time_plain"]["reasons"] == ["failed or skipped: asv gives no value"]


def test_asv_results_of_another_version_and_shape_are_named(tmp_path: Path) -> None:
    path = asv_results(tmp_path / "results", version=1)
    assert "of version 1, and version 2 is read" in import_results([path], store(tmp_path)).failures[0].error.message
    path = asv_results(tmp_path / "results", results={"suite.time_a": [[1.0], [["1", "2"]]]})
    assert "1 results for 2 choices" in import_results([path], store(tmp_path)).failures[0].error.message


def ck_point(folder: Path, **changes: Any) -> Path:
    """Write an experiment of Collective Knowledge with one point of three repetitions."""
    run = "##characteristics#run#"
    point = {
        f"{run}execution_time#all": [0.5, 0.75, 1.0], f"{run}execution_time#mean": 0.75,
        f"{run}execution_time#min": 0.5, f"{run}execution_time#max": 1.0,
        f"{run}time_fw_ms#all": [12.5], f"{run}time_fw_ms#mean": 12.5,
        f"{run}memory_mbytes#all": [97.5], f"{run}memory_mbytes#min": 97.5,
        f"{run}accuracy_top1#all": [0.753941], f"{run}accuracy_top1#mean": 0.753941,
        f"{run}per_layer_info@0#time_ms#all": [1.0], f"{run}run_success_bool#all": [True],
        "##choices#env#CK_BATCH_SIZE#all_unique": ["1"], "##features#platform#cpu#name#all_unique": ["Chip 3000"],
        "##features#platform#os#serial_number#all_unique": ["secret"], "##pipeline_state#fail_bool#all": [False],
    }  # fmt: skip
    write(
        folder / ".cm" / "meta.json", json.dumps({"meta": {"dataset_species": "ImageNet", "deps_summary": {"a": "b"}}})
    )
    control = {
        "author_email": "somebody@example.org",
        "iso_datetime": "2018-04-04T09:43:43",
        "version": ["1", "9", "4"],
    }
    write(folder / ".cm" / "info.json", json.dumps({"data_name": "nets-on-a-chip", "control": control}))
    write(folder / "ckp-0123456789abcdef.0001.json", "{}")
    return write(folder / "ckp-0123456789abcdef.flat.json", json.dumps({**point, **changes}))


def test_a_point_of_an_experiment_of_ck_is_imported_in_si_units(tmp_path: Path) -> None:
    ck_point(tmp_path / "experiment" / "entry")
    imported = import_into(tmp_path, tmp_path / "experiment")
    (result,) = imported.added
    d = result.document
    assert (d["benchmark"], d["source"]["tool_version"], d["valid"]) == ("nets-on-a-chip", "1.9.4", None)
    assert d["samples"]["execution_time"] == {"unit": "s", "values": [0.5, 0.75, 1.0]}
    assert d["metrics"]["execution_time_mean"]["value"] == 0.75
    assert d["metrics"]["time_fw_ms_mean"]["value"] == 0.0125 and d["metrics"]["time_fw_ms_mean"]["unit"] == "s"
    assert d["metrics"]["memory_mbytes_min"] == {**d["metrics"]["memory_mbytes_min"], "value": 97.5e6, "unit": "B"}
    assert d["metrics"]["accuracy_top1_mean"]["direction"] == "higher"
    assert d["parameters"] == {"dataset_species": "ImageNet", "choices.env.CK_BATCH_SIZE": "1"}
    assert d["system"]["facts"] == {"cpu.name": "Chip 3000"}
    text = json.dumps(d)
    assert "secret" not in text and "example.org" not in text and "per_layer" not in text
    assert len(imported.beside) == 1


def test_a_failed_and_a_damaged_point_of_ck_are_told(tmp_path: Path) -> None:
    path = ck_point(
        tmp_path / "entry",
        **{"##pipeline_state#fail_bool#all": [True], "##pipeline_state#fail_reason#all": ["no board"]},
    )
    d = import_into(tmp_path, path.parent).added[0].document
    assert d["valid"] is False and d["reasons"] == ["failed: no board"]
    path = ck_point(tmp_path / "entry", **{"##characteristics#run#execution_time#mean": "soon"})
    assert "execution_time#mean` is 'soon'" in import_results([path], store(tmp_path)).failures[0].error.message


def test_only_the_format_that_is_asked_for_is_read(tmp_path: Path) -> None:
    ck_point(tmp_path / "all" / "entry")
    asv_results(tmp_path / "all" / "results")
    imported = import_into(tmp_path, tmp_path / "all", format_="asv")
    assert {r.document["source"]["format"] for r in imported.added} == {"asv"}


def test_progress_counts_what_is_read(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        ck_point(tmp_path / "all" / name)
    steps: list[tuple[int, int]] = []
    import_into(tmp_path, tmp_path / "all", on_step=lambda done, total, label: steps.append((done, total)))
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
