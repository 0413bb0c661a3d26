# SPDX-License-Identifier: Apache-2.0
"""Comparing two results, rows and CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codereef.errors import UsageError
from codereef.record.compare import compare_results, rank_results, series_by_process
from codereef.record.history import Result
from codereef.record.summary import cpu_name, newest_comparable, row, to_csv

from tests.record.results import LOCK, document, lock_document, metric, result


def series(seed: int, factor: float = 1.0, count: int = 400) -> list[float]:
    return [float(v) for v in factor * (0.010 + np.random.default_rng(seed).gamma(4.0, 0.0001, count))]


def test_two_series_of_one_distribution_do_not_differ(tmp_path: Path) -> None:
    outcome = compare_results(result(tmp_path, series(1)), result(tmp_path, series(2)))
    assert outcome.verdict == "no measurable difference"
    assert outcome.ratio == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("factor", "verdict"), [(1.05, "slower"), (0.95, "faster")])
def test_five_percent_are_seen(tmp_path: Path, factor: float, verdict: str) -> None:
    outcome = compare_results(result(tmp_path, series(1)), result(tmp_path, series(2, factor)))
    assert outcome.verdict == verdict
    assert outcome.interval is not None and outcome.ratio is not None
    assert outcome.interval[0] < outcome.ratio < outcome.interval[1]
    assert outcome.ratio == pytest.approx(factor, abs=0.01)
    assert (
        f"{outcome.b[:12]} against {outcome.a[:12]}: {verdict}. Median latency is {outcome.ratio:.3f} times A's, 95 % interval"
        in outcome.sentence
    )
    assert "(p < 0.001; 400 and 400 samples)" in outcome.sentence


def test_few_samples_give_no_verdict(tmp_path: Path) -> None:
    outcome = compare_results(result(tmp_path, [0.01, 0.011]), result(tmp_path, [0.02, 0.021]))
    assert (outcome.verdict, outcome.ratio, outcome.interval) == ("too few repetitions to say", None, None)
    assert outcome.sentence.endswith("too few repetitions to say (2 and 2 samples).")


def test_the_same_comparison_always_gives_the_same_answer(tmp_path: Path) -> None:
    a, b = result(tmp_path, series(1)), result(tmp_path, series(2, 1.02))
    assert compare_results(a, b) == compare_results(a, b)
    json.dumps(compare_results(a, b).as_dict())


def test_a_result_without_samples_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no latency samples \(run, crashed\)"):
        compare_results(result(tmp_path), result(tmp_path, (), action="run", status="crashed"))


@pytest.mark.parametrize("wrong", [0, -0.01, 1e308, 10**400])
def test_samples_that_are_no_times_are_refused_and_break_nothing(tmp_path: Path, wrong: float) -> None:
    made = result(tmp_path, (), samples={"latency": {"unit": "s", "values": [wrong] * 30}})
    for pair in ((made, result(tmp_path, series(1))), (result(tmp_path, series(1)), made)):
        with pytest.raises(UsageError, match="latency samples that are no times"):
            compare_results(*pair)
        with pytest.raises(UsageError, match="latency samples that are no times"):
            rank_results([*pair, result(tmp_path, series(2))])


def test_what_differs_is_listed(tmp_path: Path) -> None:
    b = document(
        lock=lock_document("1.21.0"),
        runtime={"name": "onnxruntime", "version": "1.21.0"},
        options={"threads": 2, "max_seconds": 20.0},
        comparability="sha256:" + "1" * 64,
        machine={**document()["machine"], "class": {"cpu": {"model": "Chip 4000"}, "cores": [1, 2]}},
        metrics={"mAP": metric(0.48, "", "higher")},
    )
    outcome = compare_results(result(tmp_path), result(tmp_path, **b))
    listed = {d.what: (d.a, d.b) for d in outcome.differences}
    assert listed["runtime.version"] == ("1.20.0", "1.21.0")
    assert listed["graph lib.onnxruntime"][0].startswith("1.20.0 ")
    assert listed["graph lib.onnxruntime"][1].startswith("1.21.0 ")
    assert listed["option threads"] == ("1", "2")
    assert listed["option max_seconds"] == ("10.0", "20.0")
    assert listed["machine cpu.model"] == ("Chip 3000", "Chip 4000")
    assert listed["machine cores"] == ("–", "1, 2")
    assert not any("pictures" in what for what in listed), "what is the same is not listed"
    assert outcome.unlike == (
        "option max_seconds is 10.0 in A and 20.0 in B",
        "option threads is 1 in A and 2 in B",
    )
    known = compare_results(result(tmp_path), result(tmp_path, **b), effort={"max_seconds"})
    assert known.unlike == ("option threads is 1 in A and 2 in B",), "an option of effort makes nothing unlike"
    assert outcome.accuracy == ("mAP: 0.5000 in A, 0.4800 in B (-0.0200).",)


def test_equal_results_differ_in_nothing(tmp_path: Path) -> None:
    outcome = compare_results(result(tmp_path, series(1)), result(tmp_path, series(1), warnings=["later"]))
    assert (outcome.differences, outcome.unlike) == ((), ())
    assert outcome.ratio == 1.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "model:other@1.0.0"}, "model is model:net@1.0.0 in A and model:other@1.0.0 in B"),
        ({"dataset": "dataset:other@1.0.0"}, "dataset is dataset:pictures@1.0.0 in A"),
        ({"options": {"threads": 1, "batch": 4}}, "option batch is – in A and 4 in B"),
        ({}, "the files of the model or the dataset, its processing or the way of measuring are not the same"),
    ],
)
def test_results_that_are_not_on_one_ranking_are_told_apart(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    outcome = compare_results(result(tmp_path), result(tmp_path, **{"comparability": "sha256:" + "1" * 64, **change}))
    assert reason in outcome.unlike[0]


def forked(
    folder: Path, seed: int, factor: float = 1.0, shift: float = 0.004, count: int = 7, **changes: Any
) -> Result:
    """A result of several processes of 50 samples each, of which one crashed without any."""
    rng = np.random.default_rng(seed)
    values = [
        v * (1 + rng.normal(0, shift)) for i in range(count) for v in [np.array(series(seed * 99 + i, factor, 50))]
    ]
    counts: list[dict[str, Any]] = [{"status": "ok", "counts": {"latency": 50}} for _ in values]
    counts.insert(2, {"status": "crashed", "counts": {"latency": 0}})
    flat = np.concatenate(values).tolist()
    return result(folder, flat, processes=counts, **changes)


def later(hour: int) -> dict[str, Any]:
    return {"started_at": f"2026-01-01T{hour}:00:00Z", "ended_at": f"2026-01-01T{hour}:01:00Z"}


def test_processes_of_a_result_are_told_apart(tmp_path: Path) -> None:
    one = forked(tmp_path, 1)
    assert [len(values) for values in series_by_process(one)] == [50] * 7
    assert [len(values) for values in series_by_process(result(tmp_path, series(1)))] == [400]


def test_results_of_several_processes_are_compared_by_these(tmp_path: Path) -> None:
    a, b, c = (forked(tmp_path, i, f, **later(10 + i)) for i, f in ((1, 1.0), (2, 1.0), (3, 1.06)))
    same, slower = compare_results(a, b), compare_results(a, c)
    assert same.verdict == "no measurable difference" and slower.verdict == "slower"
    assert slower.processes == (7, 7) and "350 and 350 samples of 7 and 7 processes" in slower.sentence
    assert slower.p_value == pytest.approx(2 / 3432)
    assert same.detectable is not None and f"{same.detectable * 100:.1f} % would be found in 19 of 20" in same.reach
    few = compare_results(forked(tmp_path, 4, count=3), forked(tmp_path, 5, 1.5, count=3))
    assert few.verdict == "too few repetitions to say" and "5 processes of each" in few.reach


TURNS = {"turns": "0123456789abcdef"}


def test_results_whose_processes_took_turns_are_compared_in_pairs(tmp_path: Path) -> None:
    a, b = forked(tmp_path, 1, shift=0.03, **TURNS), forked(tmp_path, 2, shift=0.03, **TURNS)
    turns = compare_results(a, b)
    assert turns.paired and turns.floor == 0.01 and "pairs of processes" in turns.method
    assert "interleave" not in turns.reach and "7 and 7 processes that took turns" in turns.sentence
    apart = compare_results(a, forked(tmp_path, 2, shift=0.03))
    assert not apart.paired and apart.floor > 0.05, "at the same time, but by another command"
    assert apart.verdict == "no measurable difference" and "--interleave" in apart.reach


def test_what_earlier_runs_differ_by_is_nothing_between_results_that_took_turns(tmp_path: Path) -> None:
    earlier = [
        forked(tmp_path, i, f, **later(10 + i), metrics={"latency_p50": metric(f)}) for i, f in enumerate((1.0, 1.4), 1)
    ]
    a, b = (forked(tmp_path, i, f, **later(15), **TURNS) for i, f in ((3, 1.0), (4, 1.06)))
    found = compare_results(a, b, earlier)
    assert (found.verdict, found.noise_floor, found.runs) == ("slower", 0.01, 1)
    c = forked(tmp_path, 5, 1.06, **later(16))
    assert compare_results(a, c, earlier).noise_floor > 0.3
    ranking = rank_results([a, b, c], earlier)
    assert {e.id: e.verdict for e in ranking.entries} == {a.id: "", b.id: "slower", c.id: "no measurable difference"}
    assert "Student's t on pairs of processes that took turns or Mann-Whitney U" in ranking.method


def test_what_loadgen_keeps_of_a_server_run_is_said(tmp_path: Path) -> None:
    load = {"driver": "mlperf-loadgen", "valid": True}
    a, b = forked(tmp_path, 1, load=load, scenario="server"), forked(tmp_path, 2)
    assert [note for note in compare_results(a, b).notes if "times of the calls" in note] == [
        "A: LoadGen keeps no latencies from the arrival; what is compared are the times of the calls"
    ]


def test_several_results_are_held_against_the_first(tmp_path: Path) -> None:
    made = [forked(tmp_path, i, f, **later(10 + i)) for i, f in enumerate((1.0, 1.3, 1.0, 0.8), 1)]
    ranking = rank_results(made)
    assert [
        (entry.id, entry.verdict, entry.tied) for entry in ranking.entries if entry.id not in (made[0].id, made[2].id)
    ] == [
        (made[3].id, "faster", False),
        (made[1].id, "slower", False),
    ]
    assert [entry.median for entry in ranking.entries] == sorted(entry.median for entry in ranking.entries)
    by_id = {entry.id: entry for entry in ranking.entries}
    assert (by_id[made[0].id].verdict, by_id[made[0].id].p_value) == ("", None)
    assert by_id[made[2].id].tied and by_id[made[2].id].verdict == "no measurable difference"
    assert by_id[made[1].id].p_value == pytest.approx(3 * 2 / 3432), "corrected for three comparisons"
    json.dumps(ranking.as_dict())


def test_many_results_of_five_processes_are_too_few_to_say(tmp_path: Path) -> None:
    made = [forked(tmp_path, i, f, count=5, **later(10 + i)) for i, f in enumerate((1.0, 1.3, 0.7), 1)]
    assert {entry.verdict for entry in rank_results(made).entries} == {"", "too few repetitions to say"}


def stage(step: str, digest: str, side: str = "input") -> dict[str, Any]:
    return {"side": side, "step": step, "implementation": "pillow", "digest": digest, "items": 8}


def test_steps_and_load_that_differ_are_listed(tmp_path: Path) -> None:
    load = {"driver": "codereef", "valid": True, "settings": {"rate": 10.0}, "queries": 5}
    a = result(tmp_path, stages=[stage("resize", "1")], load=load)
    b = result(
        tmp_path,
        stages=[{**stage("resize", "2"), "implementation": "opencv"}],
        load={**load, "settings": {"rate": 20.0}, "queries": 7},
    )
    outcome = compare_results(a, b)
    assert {d.what: (d.a, d.b) for d in outcome.differences} == {
        "load settings.rate": ("10.0", "20.0"),
        "step 1 input resize": ("pillow", "opencv"),
    }
    assert outcome.parting == "Steps part at input resize: resize by pillow in A, resize by opencv in B."


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_line_a_result_and_intervals_in_columns_of_their_own(tmp_path: Path) -> None:
    one, two = result(tmp_path), result(tmp_path, metrics={"latency_p99": metric(None)})
    rows = read(to_csv([one, two]))
    assert [r["id"] for r in rows] == [one.id, two.id]
    assert (rows[0]["latency_p50"], rows[0]["latency_p50_lo"], rows[0]["latency_p50_hi"]) == (
        "0.011",
        "0.0105",
        "0.0115",
    )
    assert (rows[0]["mAP"], rows[0]["mAP_lo"]) == ("0.5", "")
    assert (rows[1]["latency_p50"], rows[1]["latency_p99"]) == ("", "")
    assert rows[0]["cpu"] == "Chip 3000"
    assert None not in rows[0] and None not in rows[0].values()


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_csv_cells_cannot_be_formulas(tmp_path: Path, text: str) -> None:
    rows = read(to_csv([result(tmp_path, runtime={"name": text, "version": "1"})]))
    assert rows[0]["runtime"].startswith("'")


def test_csv_survives_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    text = 'a,"b"\nc;d'
    assert read(to_csv([result(tmp_path, precision=text)]))[0]["precision"] == text


def test_a_row_has_the_first_accuracy_metric_there_is(tmp_path: Path) -> None:
    assert (row(result(tmp_path)).label, row(result(tmp_path)).accuracy_metric) == ("onnxruntime 1.20.0 fp32", "mAP")
    assert row(result(tmp_path, metrics={"top5": metric(1.0), "top1": metric(None)})).accuracy_metric == "top5"
    assert row(result(tmp_path, metrics={})).accuracy_metric == ""


def test_a_machine_without_a_known_processor_is_called_by_its_target(tmp_path: Path) -> None:
    assert cpu_name(result(tmp_path, machine={**document()["machine"], "class": {}})) == "linux-x86_64-gnu"


def test_a_plot_takes_the_newest_good_benchmark_of_each_configuration(tmp_path: Path) -> None:
    old, new = result(tmp_path), result(tmp_path, warnings=["new"])
    other = result(tmp_path, configuration={**document()["configuration"], "id": "other"})
    crashed = result(tmp_path, status="crashed")
    without = result(tmp_path, metrics={"latency_p50": metric(1.0)}, warnings=["no accuracy"])
    assert [r.id for r in newest_comparable([old, other, new, crashed, without])] == [new.id, other.id]
    assert newest_comparable([crashed, without]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "dataset:other@1.0.0"},
        {"options": {"threads": 2}},
        {"scenario": "offline"},
        {"machine": {**document()["machine"], "class_digest": "sha256:" + "1" * 64}},
    ],
)
def test_a_plot_shows_no_answers_to_another_question(tmp_path: Path, change: dict[str, object]) -> None:
    fitting = result(tmp_path, model="model:other@1.0.0", configuration={**document()["configuration"], "id": "other"})
    odd, newest = result(tmp_path, **change), result(tmp_path)
    assert [r.id for r in newest_comparable([odd, fitting, newest])] == [fitting.id, newest.id]


def test_the_lock_of_a_result_is_the_one_of_its_configuration() -> None:
    assert [c["id"] for c in LOCK["configurations"]] == ["default"]
