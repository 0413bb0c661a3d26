# SPDX-License-Identifier: Apache-2.0
"""MLPerf: real submissions of v0.5, what LoadGen writes today, and logs that are damaged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from codereef.errors import MetadataError, NotFoundError
from codereef.interchange.importing import import_results
from codereef.interchange.mlperf_logs import percentile_name

from tests.conftest import Mirror
from tests.interchange.files import SUMMARY, entry, import_into, store, submission, write

V05 = "v0.5-dividiti-tflite-raw.tar.gz"


def figures(archive: Path) -> dict[str, tuple[dict[str, int], float]]:
    """Read the raw archive with regular expressions alone: nanoseconds by percentile, and accuracy in percent."""
    found: dict[str, tuple[dict[str, int], float]] = {}
    with tarfile.open(archive) as tar:
        texts = {m.name: tar.extractfile(m).read().decode() for m in tar if m.isfile()}  # type: ignore[union-attr]
    for name, text in texts.items():
        if name.endswith("mlperf_log_summary.txt"):
            scenario = name.split("/performance/")[0]
            latencies = {
                p: int(ns) for p, ns in re.findall(r"^(\d\d\.\d\d) percentile latency \(ns\) +: (\d+)$", text, re.M)
            }
            latencies |= {p: int(ns) for p, ns in re.findall(r"^(M\w+) latency \(ns\) +: (\d+)$", text, re.M)}
            percent = re.match(r"accuracy=([\d.]+)%", texts[f"{scenario}/accuracy/accuracy.txt"])
            assert percent is not None
            found[scenario.split("/", 1)[1]] = (latencies, float(percent[1]))
    return found


def test_every_real_result_of_v05_is_imported_with_its_figures(tmp_path: Path, mirror: Mirror) -> None:
    archive = mirror.path(V05)
    expected = figures(archive)
    assert len(expected) == 168
    imported = import_into(tmp_path, archive)
    assert [name.rsplit("/", 1)[1] for name in imported.unknown] == ["LICENSE.md"] and imported.beside == ()
    documents = {}
    for result in imported.added:
        names = [file["name"] for file in result.document["source"]["files"]]
        assert [Path(name).name for name in names[:2]] == ["accuracy.txt", "mlperf_log_summary.txt"]
        assert names[2].split("/")[2] == "systems"
        documents[names[0].rsplit("/", 2)[0]] = result.document
    assert documents.keys() == expected.keys()
    for scenario, (latencies, percent) in expected.items():
        d = documents[scenario]
        division, submitter, _, system, benchmark, _ = scenario.split("/")
        assert (d["source"]["division"], d["source"]["organisation"], d["source"]["round"]) == (
            division,
            submitter,
            "v0.5",
        )
        assert (d["system"]["name"], d["benchmark"], d["scenario"]) == (system, benchmark, "SingleStream")
        assert d["valid"] is True
        assert d["metrics"]["accuracy"]["value"] == pytest.approx(percent / 100, abs=1e-12)
        assert d["metrics"]["accuracy"]["samples"] in (500, 50_000)
        assert len(latencies) == 9
        for name, nanoseconds in latencies.items():
            metric = f"latency_{name.lower()}" if name[0] == "M" else percentile_name(name)
            assert d["metrics"][metric]["value"] == pytest.approx(nanoseconds / 1e9, rel=1e-12)
            assert d["metrics"][metric]["unit"] == "s"
    assert Counter(d["system"]["facts"]["system_name"] for d in documents.values()).keys() == {
        "Raspberry Pi 4 (rpi4)", "Firefly-RK3399 (firefly)", "Linaro HiKey960 (hikey960)",
    }  # fmt: skip


@pytest.mark.slow
def test_a_folder_and_an_archive_of_it_give_the_same_results(tmp_path: Path, mirror: Mirror) -> None:
    archive = mirror.path(V05)
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "somewhere", filter="data")
    first = import_into(tmp_path, tmp_path / "somewhere")
    second = import_into(tmp_path, archive)
    assert len(first.added) == 168 and second.added == ()
    assert {r.id for r in second.present} == {r.id for r in first.added}
    assert len(list(store(tmp_path).all())) == 168


def test_a_dry_run_keeps_nothing(tmp_path: Path) -> None:
    submission(tmp_path / "round")
    imported = import_into(tmp_path, tmp_path / "round", dry_run=True)
    assert len(imported.added) == 1
    assert list(store(tmp_path).all()) == [] and not (tmp_path / "external").exists()


def test_what_lies_around_a_run_goes_with_it(tmp_path: Path) -> None:
    scenario = submission(tmp_path / "round")
    write(scenario / "measurements.json", json.dumps({"weight_data_types": "int8"}))
    write(scenario / "accuracy" / "mlperf_log_accuracy.json", "[]")
    write(scenario / "TEST01" / "performance" / "run_1" / "mlperf_log_summary.txt", SUMMARY)
    imported = import_into(tmp_path, tmp_path / "round")
    (result,) = imported.added
    d = result.document
    assert d["system"]["facts"]["framework"] == "Engine 1"
    assert d["parameters"]["measurements.weight_data_types"] == "int8"
    assert d["parameters"]["qsl_rng_seed"] == 3133965575612453542
    assert d["metrics"]["latency_p99_9"]["value"] == 0.008
    assert d["metrics"]["throughput"]["value"] == 612.5
    assert d["metrics"]["accuracy"]["value"] == 0.6575
    assert len(imported.beside) == 2


def test_a_submission_is_found_from_any_folder_of_it(tmp_path: Path) -> None:
    submission(tmp_path / "round")
    imported = import_into(tmp_path, tmp_path / "round" / "open" / "lab" / "results" / "board")
    d = imported.added[0].document
    assert (d["source"]["organisation"], d["system"]["name"], d["benchmark"]) == ("lab", "board", "net")


@pytest.mark.parametrize(
    ("text", "metric", "value"),
    [
        ("mAP=22.911%", "mAP", 0.22911),
        ("AUC=80.25%", "AUC", 0.8025),
        ('{"exact_match": 82.7, "f1": 90.25}', "F1", 0.9025),
        ("Accuracy: mean = 0.86170, kidney = 0.9, tumor = 0.8", "dice", 0.8617),
        ("Word Error Rate: 7.4, accuracy=92.5%", "accuracy", 0.925),
        ("BLEU: 23.9", "bleu", 23.9),
    ],
)
def test_accuracy_is_read_in_the_forms_of_the_benchmarks(tmp_path: Path, text: str, metric: str, value: float) -> None:
    submission(tmp_path / "round", accuracy=f"loading\n{text}\nhash=abc\n")
    d = import_into(tmp_path, tmp_path / "round").added[0].document
    assert d["metrics"][metric]["value"] == pytest.approx(value, abs=1e-12)


def test_accuracy_of_an_unknown_form_is_kept_as_it_is_written(tmp_path: Path) -> None:
    submission(tmp_path / "round", accuracy="quality: rather good\n")
    d = import_into(tmp_path, tmp_path / "round").added[0].document
    assert d["reported"]["accuracy.txt"] == "quality: rather good"
    assert not {"accuracy", "mAP"} & d["metrics"].keys()


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (SUMMARY.replace("90.00 percentile latency (ns)   : 2000000", "90.00 percentile latency (ns)   : 2OOOOOO"), 22),
        (SUMMARY.replace("Result is : VALID", "Result is : MAYBE"), 8),
        (SUMMARY[: SUMMARY.index("Result is")], 7),
        (SUMMARY.replace("9000000", "inf"), 19),
    ],
)
def test_a_damaged_summary_is_named_with_its_line_and_costs_no_other(tmp_path: Path, summary: str, line: int) -> None:
    submission(tmp_path / "good")
    submission(tmp_path / "bad", summary)
    imported = import_results([tmp_path / "bad", tmp_path / "good"], store(tmp_path))
    assert len(imported.added) == 1
    (failure,) = imported.failures
    assert isinstance(failure.error, MetadataError)
    assert f"mlperf_log_summary.txt, line {line}:" in failure.error.message
    assert failure.error.context["line"] == line


def detail(**changes: object) -> str:
    values: dict[str, object] = {
        "loadgen_version": "5.0 @ abc", "sut_name": "board", "effective_scenario": "SingleStream",
        "effective_test_mode": "PerformanceOnly", "effective_min_duration_ms": 600000, "result_validity": "VALID",
        "result_query_count": 1000, "result_90.00_percentile_latency_ns": 2000000,
        "early_stopping_latency_ss": 2100000, "early_stopping_latency_ms": 0,
    }  # fmt: skip
    return "".join(entry(key, value) for key, value in {**values, **changes}.items() if value is not None)


def test_the_detail_log_is_taken_before_the_summary(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    write(folder / "mlperf_log_summary.txt", SUMMARY.replace("VALID", "INVALID"))
    write(folder / "mlperf_log_detail.txt", "noise of a runtime\n" + detail())
    d = import_into(tmp_path, folder).added[0].document
    assert d["metrics"]["latency_p90_early_stopping"]["value"] == 0.0021
    assert "latency_p99_early_stopping" not in d["metrics"]
    assert d["metrics"]["latency_p90"]["samples"] == 1000
    assert d["valid"] is True and any("do not agree" in reason for reason in d["reasons"])
    assert (d["source"]["tool_version"], d["parameters"]["min_duration_ms"]) == ("5.0 @ abc", 600000)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (detail() + ":::MLLOG {broken\n", 11, "no JSON"),
        (detail() + ':::MLLOG ["a"]\n', 11, "no `key`"),
        (entry("a", 1) + entry("result_mean_latency_ns", "fast"), 2, "no number"),
        (entry("submission_org", "lab"), 1, "effective_scenario"),
    ],
)
def test_a_damaged_detail_log_is_named_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = write(tmp_path / "mlperf_log_detail.txt", text)
    imported = import_results([path], store(tmp_path))
    assert imported.added == ()
    assert f"line {line}:" in imported.failures[0].error.message and said in imported.failures[0].error.message


def test_a_named_file_of_no_known_format_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="no result of a known format"):
        import_results([write(tmp_path / "notes.txt", "hello")], store(tmp_path))
    with pytest.raises(NotFoundError, match=r"no file and no folder .*absent"):
        import_results([tmp_path / "absent"], store(tmp_path))


def test_an_unsafe_archive_is_refused_and_others_are_read(tmp_path: Path) -> None:
    submission(tmp_path / "round")
    evil = write(tmp_path / "evil.txt", SUMMARY)
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as tar:
        tar.add(evil, "../../mlperf_log_summary.txt")
    imported = import_results([tmp_path / "evil.tar.gz", tmp_path / "round"], store(tmp_path))
    assert len(imported.added) == 1
    assert "outside of the folder" in imported.failures[0].error.message


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    submission(tmp_path / "round")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mlperf_log_summary.txt").symlink_to(
        next((tmp_path / "round").rglob("mlperf_log_summary.txt"))
    )
    assert import_into(tmp_path, tmp_path / "other").added == ()


LOADGEN = """
import array, sys
import mlperf_loadgen as lg
settings = lg.TestSettings()
settings.scenario, settings.mode = getattr(lg.TestScenario, sys.argv[1]), lg.TestMode.PerformanceOnly
settings.min_duration_ms, settings.min_query_count, settings.server_target_qps = 0, 700, 5000
def issue(samples):
    kept = [array.array("B", b"abcd") for _ in samples]
    lg.QuerySamplesComplete([lg.QuerySampleResponse(s.id, *k.buffer_info()) for s, k in zip(samples, kept)])
output = lg.LogOutputSettings()
output.outdir = sys.argv[2]
log = lg.LogSettings()
log.log_output, log.enable_trace = output, False
lg.StartTestWithLogSettings(
    lg.ConstructSUT(issue, lambda: None), lg.ConstructQSL(64, 64, lambda s: None, lambda s: None), settings, log, ""
)
"""


@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Server", "Offline"])
def test_summary_and_detail_log_of_todays_loadgen_say_the_same(tmp_path: Path, scenario: str) -> None:
    pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen is not installed")
    folders = [tmp_path / "summary", tmp_path / "detail"]
    for folder in folders:
        folder.mkdir()
    subprocess.run([sys.executable, "-c", LOADGEN, scenario, str(folders[0])], check=True, timeout=60)
    (folders[0] / "mlperf_log_detail.txt").rename(folders[1] / "mlperf_log_detail.txt")
    documents = [import_into(tmp_path, folder).added[0].document for folder in folders]
    assert [d["scenario"] for d in documents] == [scenario] * 2
    assert documents[0]["valid"] == documents[1]["valid"]
    both = documents[0]["metrics"].keys() & documents[1]["metrics"].keys()
    # In multi-stream the summary has latencies of queries, the detail log those of samples too.
    prefix = "query_" if scenario == "MultiStream" else ""
    assert {f"{prefix}latency_p50", f"{prefix}latency_p99"} <= both
    for name in both:
        # The summary rounds rates to two digits.
        values = [d["metrics"][name]["value"] for d in documents]
        assert values[0] == pytest.approx(values[1], rel=1e-3), name
