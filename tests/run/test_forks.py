# SPDX-License-Identifier: Apache-2.0
"""Several processes of one measurement: what each is told, and what they say together."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
from codereef.run.forks import join
from codereef.run.process import Answer
from codereef.target.local import Outcome

from tests.run.test_measure import OPTIONS, measured

#: A program whose process number i takes samples around 0.010 + i / 1000 seconds; the first also scores.
CODE = """
process = request.get('process', {'index': 0, 'count': 1})
i = process['index']
values = [0.010 + i / 1000 + (n % 7) / 1e5 for n in range(60)]
metric = lambda value, unit='s', direction='lower': {
    'value': value, 'unit': unit, 'direction': direction, 'interval': None, 'method': 'm', 'samples': 60}
metrics = {'latency_p50': metric(sorted(values)[30]), 'latency_mean': metric(sum(values) / 60), 'load_time': metric(1.0 + i)}
if i == 0:
    metrics['top1'] = metric(0.5, '', 'higher')
response = {
    'status': 'ok', 'metrics': metrics, 'samples': {'latency': {'unit': 's', 'values': values}},
    'runtime': {'name': 'onnxruntime', 'version': '1.20.1'}, 'warnings': ['said by each', f'said by {i}'],
    'load': {'driver': 'own', 'valid': i != 1, 'reasons': [] if i != 1 else ['too short'], 'queries': 60},
}
(out / 'response.json').write_text(json.dumps(response))
"""


def test_one_process_is_not_told_of_others(tmp_path: Path) -> None:
    code = "(out / 'predictions.json').write_text(json.dumps(request.get('process', 'none')))\n" + CODE
    done = measured(tmp_path, code)
    assert done.predictions == "none"
    assert "processes" not in done.document


def test_each_process_is_told_which_of_how_many_it_is(tmp_path: Path) -> None:
    done = measured(tmp_path, CODE, processes=3)
    series = done.document["samples"]["latency"]["values"]
    assert [round(min(series[n : n + 60]), 3) for n in (0, 60, 120)] == [0.010, 0.011, 0.012]
    assert [process["counts"]["latency"] for process in done.document["processes"]] == [60, 60, 60]
    assert [process["metrics"]["load_time"] for process in done.document["processes"]] == [1.0, 2.0, 3.0]


def test_the_interval_holds_what_lies_between_processes(tmp_path: Path) -> None:
    metrics = measured(tmp_path, CODE, processes=3).document["metrics"]
    low, high = metrics["latency_p50"]["interval"]
    # Within a process the values lie within 0.06 ms of each other; the processes are 1 ms apart.
    assert low < 0.0105 and high > 0.0115
    assert metrics["latency_p50"]["samples"] == 180
    assert metrics["latency_mean"]["value"] == pytest.approx(statistics.fmean([0.01003, 0.01103, 0.01203]), rel=2e-3)


def test_what_each_process_gives_once_is_a_median_with_an_interval(tmp_path: Path) -> None:
    load_time = measured(tmp_path, CODE, processes=3).document["metrics"]["load_time"]
    assert load_time["value"] == 2.0
    assert load_time["samples"] == 3
    assert load_time["interval"] == [1.0, 3.0]
    assert load_time["confidence"] == pytest.approx(0.75)


def test_what_is_the_same_in_all_is_not_estimated(tmp_path: Path) -> None:
    code = CODE.replace("'load_time': metric(1.0 + i)", "'load_time': metric(7.0)")
    load_time = measured(tmp_path, code, processes=3).document["metrics"]["load_time"]
    assert (load_time["value"], load_time["interval"]) == (7.0, None)


def test_what_one_process_gives_alone_stays_as_it_is(tmp_path: Path) -> None:
    assert measured(tmp_path, CODE, processes=3).document["metrics"]["top1"]["value"] == 0.5


def test_figures_of_loadgen_are_not_computed_anew_from_the_times_of_the_calls(tmp_path: Path) -> None:
    # In the scenario server LoadGen counts from the arrival, which is not in the samples: here ten times as long.
    code = CODE.replace("'driver': 'own'", "'driver': 'mlperf-loadgen'").replace(
        "metric(sorted(values)[30])", "metric(sorted(values)[30] * 10)"
    )
    document = measured(tmp_path, code, processes=3).document
    median = document["metrics"]["latency_p50"]
    assert median["value"] == pytest.approx(0.1103, rel=1e-2)
    assert median["samples"] == 3 and median["method"].startswith("median of 3 processes")
    assert len(document["samples"]["latency"]["values"]) == 180
    assert any("processes differ by more than chance" in warning for warning in document["warnings"])


def test_a_value_that_only_a_later_process_can_give_is_kept(tmp_path: Path) -> None:
    code = CODE.replace("metric(1.0 + i)", "metric(7.0 if i == 2 else None)")
    assert measured(tmp_path, code, processes=3).document["metrics"]["load_time"]["value"] == 7.0


@pytest.mark.parametrize("level", [95, 0, "high"])
def test_a_confidence_that_is_no_level_is_not_taken_for_one(tmp_path: Path, level: Any) -> None:
    kinds = {int: "integer", str: "string"}
    own = {"type": kinds[type(level)], "default": level, "summary": "Something of its own."}
    options = {"options": {**OPTIONS, "confidence": own}}
    metrics = measured(tmp_path, CODE, options, processes=2).document["metrics"]
    assert metrics["latency_p50"]["confidence"] == 0.95


def test_rules_are_kept_only_where_every_process_kept_them(tmp_path: Path) -> None:
    load = measured(tmp_path, CODE, processes=3).document["load"]
    assert (load["valid"], load["reasons"], load["queries"]) == (False, ["too short"], 180)
    assert measured(tmp_path, CODE, processes=1).document["load"]["valid"] is True


#: Options that processes share, as the programs declare them, and what each process says of its share.
SHARED = {
    "min_seconds": {"type": "number", "default": 0.5, "summary": "Shortest time."},
    "max_seconds": {"type": "number", "default": 5.0, "summary": "Longest time."},
    "min_samples": {"type": "integer", "default": 100, "summary": "Fewest."},
    "max_samples": {"type": "integer", "default": 1000, "summary": "Most."},
}
SHARES = CODE.replace(
    "'queries': 60},",
    "'queries': 60, 'settings': {'threads': 2, 'seed': 1 + i, **{name: request['options'][name] / process['count']\n"
    "        for name in ('min_seconds', 'max_seconds')}, **{name: -(-request['options'][name] // process['count'])\n"
    "        for name in ('min_samples', 'max_samples')}}},",
)


@pytest.mark.parametrize("processes", [1, 7])
def test_the_settings_of_a_load_are_those_of_all_processes(tmp_path: Path, processes: int) -> None:
    document = measured(tmp_path, SHARES, {"options": {**OPTIONS, **SHARED}}, processes=processes).document
    settings = document["load"]["settings"]
    assert {name: settings[name] for name in SHARED} == {name: document["options"][name] for name in SHARED}
    assert settings["max_seconds"] == 5.0
    # What is not shared is what the first one says.
    assert (settings["threads"], settings["seed"]) == (2, 1)


def test_the_settings_of_a_run_that_ended_early_are_those_that_were_asked_for(tmp_path: Path) -> None:
    code = SHARES + "\nif i == 2:\n    os.abort()\n"
    document = measured(tmp_path, code, {"options": {**OPTIONS, **SHARED}}, processes=7).document
    assert document["status"] == "crashed"
    assert document["load"]["settings"]["max_seconds"] == 5.0


def test_no_more_samples_are_called_for_than_there_may_be(tmp_path: Path) -> None:
    given = {"min_samples": "1000", "max_samples": "300"}
    settings = measured(tmp_path, SHARES, {"options": {**OPTIONS, **SHARED}}, processes=7, given=given).document[
        "load"
    ]["settings"]
    assert (settings["min_samples"], settings["max_samples"]) == (300, 300)


def test_settings_of_a_program_without_such_options_stay_as_it_says_them(tmp_path: Path) -> None:
    code = CODE.replace("'queries': 60}", "'queries': 60, 'settings': {'max_seconds': 2.5, 'rate': 'high'}}")
    own = {"max_seconds": {"type": "string", "default": "long", "summary": "In words."}}
    for options in (OPTIONS, {**OPTIONS, **own}):
        settings = measured(tmp_path, code, {"options": options}, processes=3).document["load"]["settings"]
        assert settings == {"max_seconds": 2.5, "rate": "high"}


def test_warnings_are_said_once(tmp_path: Path) -> None:
    warnings = measured(tmp_path, CODE, processes=3).document["warnings"]
    assert warnings.count("said by each") == 1
    assert {"said by 0", "said by 1", "said by 2"} <= set(warnings)


def test_a_process_that_crashes_ends_the_run_and_keeps_the_earlier_ones(tmp_path: Path) -> None:
    code = CODE + "\nif i == 1:\n    os.unlink(out / 'response.json'); os.abort()\n"
    document = measured(tmp_path, code, processes=3).document
    assert document["status"] == "crashed"
    assert "(process 2)" in document["error"]
    assert [process["status"] for process in document["processes"]] == ["ok", "crashed"]
    assert len(document["samples"]["latency"]["values"]) == 60
    assert document["metrics"]["top1"]["value"] == 0.5


def test_nonsense_of_one_process_fails_the_run(tmp_path: Path) -> None:
    code = CODE + "\nif i == 1:\n    (out / 'response.json').write_text(json.dumps({**response, 'metrics': [1]}))\n"
    document = measured(tmp_path, code, processes=3).document
    assert document["status"] == "failed"
    assert "does not follow the result schema" in document["error"]


@pytest.mark.parametrize("action", ["run", "validate"])
def test_only_benchmarks_take_several_processes(tmp_path: Path, action: str) -> None:
    done: Any = measured(tmp_path, CODE, processes=3, action=action)
    assert "processes" not in done.document


#: A program whose series, those of NAMES, have two modes: three of ten samples are around 30 ms.
TWO_MODES = """
values = [(0.030 if n % 10 in (2, 5, 7) else 0.010) * (1 + n * 7 % 13 / 1e3) for n in range(300)]
samples = {name: {'unit': 's', 'values': values} for name in NAMES}
response = {'status': 'ok', 'metrics': {}, 'samples': samples, 'warnings': ['said by the program'],
            'runtime': {'name': 'onnxruntime', 'version': '1.20.1'}}
(out / 'response.json').write_text(json.dumps(response))
"""


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("name", ["latency", "inference"])
def test_signs_of_the_measured_series_are_data_and_the_sentences_warnings(
    tmp_path: Path, name: str, processes: int
) -> None:
    code = TWO_MODES.replace("NAMES", repr([name, "warmup"]))
    document = measured(tmp_path, code, processes=processes).document
    assert list(document["signs"]) == [name]
    found = document["signs"][name]
    assert found["shown"] == {"modes": [*range(1, processes + 1)]}
    assert [(one["process"], one["samples"]) for one in found["processes"]] == [
        (number, 300) for number in found["shown"]["modes"]
    ]
    assert found["processes"][0]["modes"]["high"] == pytest.approx(0.030, rel=0.02)
    where = f" in {processes} of {processes} processes: in the first of them, " if processes > 1 else ": "
    [said] = [text for text in document["warnings"] if "mode" in text]
    assert said.startswith(f"more than one mode{where}71 % of the samples of {name} lie around 10.0")
    assert "said by the program" in document["warnings"]


def test_how_processes_differ_is_data_too(tmp_path: Path) -> None:
    document = measured(tmp_path, CODE, processes=3).document
    between = document["signs"]["latency"]["between"]
    assert between["medians"] == pytest.approx([0.01003, 0.01103, 0.01203]) and between["uneven"]
    assert any(text.startswith("processes differ by more than chance") for text in document["warnings"])
    assert "between" not in measured(tmp_path, CODE, processes=1).document["signs"]["latency"]


def test_a_series_of_no_measured_name_is_only_compared_between_processes(tmp_path: Path) -> None:
    document = measured(tmp_path, CODE.replace("latency", "first"), processes=3).document
    found = document["signs"]["first"]
    assert (found["processes"], found["shown"], found["between"]["processes"]) == ([], {}, 3)
    assert any("the median first of 3 processes lies between" in text for text in document["warnings"])


@pytest.mark.parametrize("processes", [1, 3])
def test_one_process_and_several_are_throttled_where_the_clock_fell_with_rising_latency(processes: int) -> None:
    rising = [0.010 * (1 + n / 1000) + n % 7 / 1e5 for n in range(300)]
    response = {"status": "ok", "metrics": {}, "samples": {"latency": {"unit": "s", "values": rising}}}
    answer = Answer(Outcome("ok", 0, 1.0, ()), response, {}, None)
    joined = join([answer] * processes, {}, [([3e6, 2e6], [50.0, 80.0])] * processes)
    assert joined.signs["latency"]["shown"]["throttling"] == [*range(1, processes + 1)]
    assert any("while the clock fell by 33 % and it became 30 degrees warmer" in text for text in joined.warnings)
    assert "throttling" not in join([answer] * processes, {}, []).signs["latency"]["shown"]


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize(
    "samples",
    [
        {"unit": "B", "values": [1.0] * 60},
        {"unit": "s", "values": [-1.0] * 60},
        {"unit": "s", "values": [1, 10**400] * 30},
        {"unit": "s", "values": [5e-324, 1e308] * 30},
        {"unit": "s", "values": []},
    ],
    ids=["no times", "negative", "no floats", "beyond any clock", "none"],
)
def test_nothing_is_looked_for_in_what_are_no_times(tmp_path: Path, samples: dict[str, Any], processes: int) -> None:
    answer = {"status": "ok", "metrics": {}, "samples": {"latency": samples}, "warnings": []}
    code = f"(out / 'response.json').write_text(json.dumps({answer!r}))\n"
    document = measured(tmp_path, code, processes=processes).document
    assert "signs" not in document
