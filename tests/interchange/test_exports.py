# SPDX-License-Identifier: Apache-2.0
"""Exports, each read back by somebody else: our importer, an independent reader, pyarrow, YAML, MLflow's own code."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from codereef.errors import NotFoundError, UsageError
from codereef.interchange.to_mlflow import write_runs
from codereef.interchange.to_mlperf import NOTICE, write_submission
from codereef.interchange.to_parquet import write_tables
from codereef.interchange.to_phoronix import to_json, to_xml
from codereef.record.history import Result, result_id
from codereef.record.privacy import scrub

from tests.interchange.files import import_into
from tests.interchange.test_mlperf_import import LOADGEN
from tests.record.results import document, metric

#: Where a clone of mlcommons/inference lies, for the test with the official submission checker.
CHECKER = os.environ.get("CODEREEF_MLPERF_INFERENCE", "")


def result(**changes: Any) -> Result:
    """Return a result that need not be in a history; the driver's own log is no key of older schemas."""
    made = document(**changes)
    return Result(result_id(made), made)


def timed(count: int = 200, **changes: Any) -> Result:
    """Return a valid single-stream result whose latencies are 1, 2, 3 ... ms."""
    values = [n / 1000 for n in range(1, count + 1)]
    load = {
        "driver": "codereef", "version": "1", "valid": True, "reasons": [], "queries": count, "samples": count,
        "settings": {"min_seconds": 600.0, "min_samples": 100, "max_samples": 100000, "percentile": 0.9},
    }  # fmt: skip
    metrics = {
        "latency_p50": metric(0.1, interval=[0.09, 0.11]),
        "latency_early_stopping": metric(0.185),
        "throughput": metric(9.5, "1/s", "higher"),
        "top1": {**metric(0.6575, "", "higher"), "samples": 50000},
        "latency_p99": {**metric(None), "reason": "too few"},
    }
    return result(latencies=values, **{"load": load, "metrics": metrics, "task": "image-classification", **changes})


def read_log(path: Path) -> dict[str, Any]:
    """Read a detail log the way the submission checker does: the first value of each key, strictly."""
    found: dict[str, Any] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(":::MLLOG")
    for line in lines:
        entry = json.loads(line[len(":::MLLOG") :])
        assert set(entry) == {"key", "value", "time_ms", "namespace", "event_type", "metadata"}
        assert entry["metadata"]["is_error"] is False
        found.setdefault(entry["key"], entry["value"])
    return found


def scenario_folder(root: Path) -> Path:
    (folder,) = (root / "open" / "lab" / "results").glob("*/*/*")
    return folder


def write_one(folder: Path, *results: Result) -> Path:
    write_submission(results, folder, submitter="lab", division="open")
    return scenario_folder(folder)


def test_a_submission_has_the_files_and_keys_that_the_checker_reads(tmp_path: Path) -> None:
    one = timed()
    place = write_one(tmp_path / "out", one)
    assert place.relative_to(tmp_path / "out").parts[3:] == ("chip-3000-onnxruntime-1.20.0", "net-fp32", "SingleStream")
    assert {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()} == {
        "performance/run_1/mlperf_log_detail.txt", "performance/run_1/mlperf_log_summary.txt",
        "accuracy/mlperf_log_detail.txt", "accuracy/mlperf_log_summary.txt", "accuracy/accuracy.txt",
        "accuracy/mlperf_log_accuracy.json", "measurements.json", "user.conf", "README.md",
    }  # fmt: skip
    log = read_log(place / "performance" / "run_1" / "mlperf_log_detail.txt")
    assert (log["effective_scenario"], log["effective_test_mode"], log["result_validity"]) == (
        "SingleStream", "PerformanceOnly", "VALID",
    )  # fmt: skip
    assert log["early_stopping_latency_ss"] == 185_000_000 and log["early_stopping_met"] is True
    # LoadGen's percentile is the value at floor(n q): of 1 to 200 ms that is 181 for 90 %.
    assert log["result_90.00_percentile_latency_ns"] == 181_000_000
    assert (log["result_min_latency_ns"], log["result_max_latency_ns"]) == (1_000_000, 200_000_000)
    assert log["effective_min_duration_ms"] == 600_000 and log["effective_min_query_count"] == 100
    assert log["result_query_count"] == 200 and log["num_errors"] == 0
    accuracy = read_log(place / "accuracy" / "mlperf_log_detail.txt")
    assert accuracy["effective_test_mode"] == "AccuracyOnly" and accuracy["qsl_reported_total_count"] == 50000
    assert (place / "accuracy" / "accuracy.txt").read_text(encoding="utf-8") == (
        f"accuracy=65.750%, good=32875, total=50000\nhash={one.id}\n"
    )
    system = json.loads(
        (tmp_path / "out" / "open" / "lab" / "systems" / "chip-3000-onnxruntime-1.20.0.json").read_text()
    )
    assert (system["submitter"], system["division"], system["framework"]) == ("lab", "open", "onnxruntime 1.20.0")
    assert system["host_storage_type"] == "not recorded"
    lock = json.loads((tmp_path / "out" / "open" / "lab" / "src" / f"{one.short}.cr.lock").read_text())
    assert lock == one.document["lock"]


def test_a_submission_says_that_it_is_unofficial_and_not_written_by_loadgen(tmp_path: Path) -> None:
    place = write_one(tmp_path / "out", timed())
    for readme in (tmp_path / "out" / "README.md", place / "README.md"):
        text = readme.read_text(encoding="utf-8")
        assert text.startswith(NOTICE) and "UNOFFICIAL" in text
        assert "Result not verified by MLCommons Association." in text
    log = read_log(place / "performance" / "run_1" / "mlperf_log_detail.txt")
    assert log["loadgen_version"].startswith("not LoadGen: written by codereef")
    assert log["effective_qsl_rng_seed"] == 0


def test_a_result_without_a_verdict_or_an_estimate_is_not_called_valid(tmp_path: Path) -> None:
    place = write_one(tmp_path / "out", result(latencies=[0.01] * 100))
    log = read_log(place / "performance" / "run_1" / "mlperf_log_detail.txt")
    assert (log["result_validity"], log["early_stopping_met"], log["early_stopping_latency_ss"]) == (
        "INVALID",
        False,
        0,
    )
    assert "no verdict" in log["result_invalid_reason"]


def test_what_is_exported_is_imported_with_the_same_figures(tmp_path: Path) -> None:
    write_one(tmp_path / "out", timed())
    d = import_into(tmp_path, tmp_path / "out").added[0].document
    assert (d["source"]["organisation"], d["benchmark"], d["scenario"], d["valid"]) == (
        "lab",
        "net-fp32",
        "SingleStream",
        True,
    )
    assert d["metrics"]["latency_p90_early_stopping"]["value"] == 0.185
    assert d["metrics"]["accuracy"]["value"] == 0.6575 and d["metrics"]["throughput"]["value"] == 9.5
    assert d["parameters"]["measurements.weight_data_types"] == "fp32"


def test_the_summary_says_what_the_detail_log_says(tmp_path: Path) -> None:
    place = write_one(tmp_path / "out", timed())
    folder = place / "performance" / "run_1"
    summary = tmp_path / "alone" / "mlperf_log_summary.txt"
    summary.parent.mkdir()
    summary.write_bytes((folder / "mlperf_log_summary.txt").read_bytes())
    d, both = (import_into(tmp_path, path).added[0].document for path in (summary, place))
    shared = (d["metrics"].keys() & both["metrics"].keys()) - {"accuracy"}
    assert len(shared) >= 11
    assert {n: d["metrics"][n]["value"] for n in shared} == {n: both["metrics"][n]["value"] for n in shared}


@pytest.mark.parametrize(
    ("scenario", "key"),
    [("offline", "result_samples_per_second"), ("server", "result_completed_samples_per_sec")],
)
def test_scenarios_by_throughput_have_the_key_of_their_scenario(tmp_path: Path, scenario: str, key: str) -> None:
    place = write_one(tmp_path / "out", timed(scenario=scenario))
    assert read_log(place / "performance" / "run_1" / "mlperf_log_detail.txt")[key] == 9.5
    summary = (place / "performance" / "run_1" / "mlperf_log_summary.txt").read_text(encoding="utf-8")
    assert "amples per second : 9.5" in summary


def test_multi_stream_reports_latencies_of_queries(tmp_path: Path) -> None:
    place = write_one(tmp_path / "out", timed(scenario="multi-stream"))
    log = read_log(place / "performance" / "run_1" / "mlperf_log_detail.txt")
    assert log["early_stopping_latency_ms"] == 185_000_000
    assert log["result_99.00_percentile_per_query_latency_ns"] == 199_000_000


def test_the_newest_of_one_system_model_and_scenario_is_taken(tmp_path: Path) -> None:
    older, newer = timed(), timed(started_at="2026-02-01T10:00:00Z")
    failed = timed(status="crashed", error="segfault")
    written = write_submission([older, newer, failed], tmp_path / "out", submitter="lab", division="open")
    assert [r.id for r in written.results] == [newer.id]
    assert any(f"{older.short} is left out" in note for note in written.notes)
    assert any("1 results are left out" in note for note in written.notes)


def test_a_submission_is_written_into_no_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="is there already"):
        write_submission([timed()], tmp_path / "out", submitter="lab", division="open")
    with pytest.raises(UsageError, match="cannot be a submitter's folder"):
        write_submission([timed()], tmp_path / "new", submitter="../lab", division="open")
    with pytest.raises(NotFoundError, match="No result can be written"):
        write_submission([timed(status="failed", error="no")], tmp_path / "new", submitter="lab", division="open")
    assert not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def real_log(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A detail log of LoadGen itself, with the seeds of MLPerf v6.1 and a duration of a second."""
    pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen is not installed")
    folder = tmp_path_factory.mktemp("loadgen")
    seeds = (
        "settings.qsl_rng_seed, settings.sample_index_rng_seed, settings.schedule_rng_seed = "
        "2085463073848966840, 2747215439041700203, 16159082839903944936\nsettings.min_duration_ms = 1000\ndef issue"
    )
    script = LOADGEN.replace("def issue", seeds, 1).replace("ConstructQSL(64, 64", "ConstructQSL(50000, 1024")
    subprocess.run([sys.executable, "-c", script, "SingleStream", str(folder)], check=True, timeout=120)
    return (folder / "mlperf_log_detail.txt").read_text(encoding="utf-8")


def driven(log: str, **changes: Any) -> Result:
    load = {"driver": "mlperf-loadgen", "version": "6", "valid": True, "log": log, "settings": {}}
    return timed(load=load, **changes)


def test_a_log_of_loadgen_itself_is_written_unchanged(tmp_path: Path, real_log: str) -> None:
    place = write_one(tmp_path / "out", driven(real_log))
    detail = place / "performance" / "run_1" / "mlperf_log_detail.txt"
    assert detail.read_text(encoding="utf-8") == real_log
    summary = (detail.parent / "mlperf_log_summary.txt").read_text(encoding="utf-8")
    values = {e["key"]: e["value"] for e in (json.loads(line[len(":::MLLOG") :]) for line in real_log.splitlines())}
    assert f"90.0th percentile latency (ns) : {values['result_90.00_percentile_latency_ns']}\n" in summary


def test_a_log_without_the_paths_that_results_lose_is_still_a_log(tmp_path: Path, real_log: str) -> None:
    kept = scrub(real_log)
    assert kept != real_log  # it lists the sources of LoadGen
    counts = [{"status": "ok", "counts": {}, "metrics": {}}] * 3
    place = write_one(tmp_path / "out", driven(kept, processes=counts))
    assert (place / "performance" / "run_1" / "mlperf_log_detail.txt").read_text(encoding="utf-8") == kept
    readme = (place / "README.md").read_text(encoding="utf-8")
    assert "LoadGen's own of the first of 3 processes, but for paths and names of the machine" in readme


def check(folder: Path, tmp_path: Path) -> tuple[int, list[str]]:
    """Run the official submission checker; returns its exit code and its errors."""
    tools = Path(CHECKER) / "tools" / "submission"
    command = [sys.executable, "-m", "submission_checker.main", "--input", str(folder), "--version", "v6.1"]
    done = subprocess.run(
        [*command, "--csv", str(tmp_path / "summary.csv")], cwd=tools, capture_output=True, text=True, timeout=120
    )
    lines = [line.partition(" ERROR] ")[2] for line in done.stderr.splitlines() if " ERROR] " in line]
    return done.returncode, [line for line in lines if "Checks failed" not in line]


@pytest.mark.skipif(not CHECKER, reason="CODEREEF_MLPERF_INFERENCE does not name a clone of mlcommons/inference")
def test_the_official_checker_misses_only_the_duration_of_a_submission(tmp_path: Path, real_log: str) -> None:
    write_one(tmp_path / "out", driven(real_log))
    code, errors = check(tmp_path / "out", tmp_path)
    assert code == 1
    assert [
        e.partition("txt ")[2].partition(" in ")[0] for e in errors if "NoResults" not in e and "SUMMARY" not in e
    ] == ["Test duration less than 600s"]


@pytest.mark.skipif(not CHECKER, reason="CODEREEF_MLPERF_INFERENCE does not name a clone of mlcommons/inference")
def test_the_official_checker_reads_our_log_and_misses_seeds_and_inputs_alone(tmp_path: Path) -> None:
    write_one(tmp_path / "out", timed())
    _, errors = check(tmp_path / "out", tmp_path)
    found = [e.partition("txt ")[2].partition(" ")[0] for e in errors if "NoResults" not in e and "SUMMARY" not in e]
    assert found == ["performance_sample_count,", "qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed"]


def test_runs_are_in_the_layout_of_mlflows_file_store(tmp_path: Path) -> None:
    one = timed()
    assert write_runs([one], tmp_path / "mlruns") == (one.id[:32],)
    (experiment,) = (p for p in (tmp_path / "mlruns").iterdir() if p.name != ".trash")
    meta = yaml.safe_load((experiment / "meta.yaml").read_text(encoding="utf-8"))
    assert (meta["name"], meta["experiment_id"], len(experiment.name)) == ("solution:demo@1.0.0", experiment.name, 18)
    run = experiment / one.id[:32]
    meta = yaml.safe_load((run / "meta.yaml").read_text(encoding="utf-8"))
    assert (meta["run_id"], meta["status"], meta["lifecycle_stage"]) == (one.id[:32], 3, "active")
    assert meta["end_time"] - meta["start_time"] == 60_000
    assert (run / "metrics" / "latency_p50").read_text() == f"{meta['end_time']} 0.1 0\n"
    assert (run / "metrics" / "latency_p50_hi").read_text() == f"{meta['end_time']} 0.11 0\n"
    assert not (run / "metrics" / "latency_p99").exists()
    assert (run / "params" / "option.threads").read_text() == "1"
    kept = json.loads((run / "artifacts" / "result.json").read_text(encoding="utf-8"))
    assert result_id(kept["document"]) == kept["id"] == one.id


def test_writing_runs_again_adds_what_is_new_and_changes_nothing(tmp_path: Path) -> None:
    one, other = timed(), timed(status="crashed", error="segfault")
    write_runs([one], tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    write_runs([one, other], tmp_path)
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert {p: after[p] for p in before} == before
    (added,) = {p.parent for p in after.keys() - before.keys() if p.name == "meta.yaml"}
    assert yaml.safe_load((added / "meta.yaml").read_text())["status"] == 4


def test_mlflow_itself_reads_the_runs(tmp_path: Path) -> None:
    python = os.environ.get("CODEREEF_MLFLOW_PYTHON", "")
    if not python:
        pytest.skip("CODEREEF_MLFLOW_PYTHON does not name a Python that has mlflow or mlflow-skinny")
    one = timed()
    write_runs([one], tmp_path)
    script = (
        "import sys; from mlflow.tracking import MlflowClient; c = MlflowClient(sys.argv[1])\n"
        "(r,) = c.search_runs([e.experiment_id for e in c.search_experiments()])\n"
        "print(r.info.run_id, r.info.status, r.data.metrics['latency_p50'], r.data.params['runtime'],"
        " r.data.tags['codereef.result'], *[a.path for a in c.list_artifacts(r.info.run_id)])"
    )
    environ = {**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true"}
    done = subprocess.run(
        [python, "-c", script, tmp_path.as_uri()], env=environ, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == [one.id[:32], "FINISHED", "0.1", "onnxruntime", one.id, "result.json"]


def test_parquet_has_a_row_for_each_result_and_each_sample(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    results = [timed(), result(latencies=[0.25, 0.125]), result(latencies=())]
    write_tables(results, tmp_path)
    rows = pq.read_table(tmp_path / "results.parquet").to_pylist()
    assert [row["id"] for row in rows] == [r.id for r in results]
    assert (rows[0]["latency_p50"], rows[0]["latency_p50_lo"], rows[0]["latency_p99"]) == (0.1, 0.09, None)
    assert rows[1]["mAP"] == 0.5 and rows[0]["mAP"] is None
    assert json.loads(rows[0]["options"]) == results[0].document["options"]
    samples = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    assert len(samples) == 202
    assert samples[200:] == [
        {"id": results[1].id, "series": "latency", "place": n, "value": v, "unit": "s"}
        for n, v in enumerate([0.25, 0.125])
    ]


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="pyarrow") as caught:
        write_tables([timed()], tmp_path)
    assert "codereef[parquet]" in caught.value.hint


def phoronix_results() -> list[Result]:
    each = [{"status": "ok", "counts": {}, "metrics": {"latency_p50": value}} for value in (0.09, 0.11)]
    return [timed(), timed(processes=each, started_at="2026-02-01T10:00:00Z")]


def test_the_phoronix_json_names_tests_by_the_suites_hash(tmp_path: Path) -> None:
    one, two = phoronix_results()
    found = json.loads(to_json([one, two]))
    assert len(found["systems"]) == 2
    test = next(t for t in found["results"].values() if t["arguments"].endswith(" latency_p50"))
    assert (test["identifier"], test["scale"], test["proportion"]) == ("codereef/demo-1.0.0", "ms", "LIB")
    first, second = test["results"].values()
    assert first == {"value": 100.0}
    assert second["raw_values"] == pytest.approx([90.0, 110.0])
    parts = ("codereef/demo-1.0", test["arguments"], test["description"], "1.0.0", "ms")
    assert found["results"][hashlib.sha1(",".join(parts).encode()).hexdigest()] is test
    assert not any(t["arguments"].endswith(" latency_p99") for t in found["results"].values())


def test_the_phoronix_result_file_says_what_the_json_says(tmp_path: Path) -> None:
    results = phoronix_results()
    root = ElementTree.fromstring(to_xml(results))
    found = json.loads(to_json(results))
    assert [child.tag for child in root][:3] == ["Generated", "System", "System"]
    assert {s.findtext("Identifier") for s in root.iter("System")} == set(found["systems"])
    values = {
        (test.findtext("Arguments"), entry.findtext("Identifier")): (
            float(entry.findtext("Value") or "nan"),
            [float(text) for text in (entry.findtext("RawString") or "").split(":") if text],
        )
        for test in root.iter("Result")
        for entry in test.iter("Entry")
    }
    assert values == {
        (test["arguments"], system): (entry["value"], entry.get("raw_values", []))
        for test in found["results"].values()
        for system, entry in test["results"].items()
    }


def test_the_phoronix_result_file_is_well_formed_whatever_names_hold(tmp_path: Path) -> None:
    """XML 1.0 has no form at all for control characters, and a parser ends at the first."""
    one = timed()
    document = json.loads(json.dumps(one.document))
    document["machine"]["class"]["cpu"] = {"model": "Chip\x00 \x1b[1mbold\x1b[0m \ufffe\ud800 <&> é 🐠"}
    document["configuration"]["id"] = "a\x08b"
    root = ElementTree.fromstring(to_xml([Result(one.id, document)]).encode())
    hardware = root.findtext("System/Hardware") or ""
    assert "Chip\ufffd \ufffd[1mbold\ufffd[0m \ufffd\ufffd <&> é 🐠" in hardware
    assert "a\ufffdb" in (root.findtext("Result/Arguments") or "")
