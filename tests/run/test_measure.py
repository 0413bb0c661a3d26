# SPDX-License-Identifier: Apache-2.0
"""One measurement, with small real programs that end well, end badly or write nonsense."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from codereef.errors import OptionError, RunError, UsageError
from codereef.home import Home
from codereef.install.execute import Installed
from codereef.lock.build import build_lock
from codereef.lock.model import Lock, environment_key
from codereef.meta.schemas import problems
from codereef.record.history import History
from codereef.repo.index import Index
from codereef.run.measure import TURN_SECONDS, Measured, Order, measure, measure_all
from codereef.run.process import Process, Update
from codereef.solve.candidates import Request

from tests.solve.worlds import dataset, found, model, package, program, soft, solution, solved

OPTIONS = {
    "threads": {"type": "integer", "default": 1, "summary": "Threads."},
    "note": {"type": "string", "default": "", "summary": "Any text."},
}
HEAD = "import json, os, sys, time, pathlib\nrequest = json.load(open(sys.argv[1]))\nout = pathlib.Path(request['output'])\n"
METRIC = {"value": 0.01, "unit": "s", "direction": "lower", "interval": None, "method": "median", "samples": 1}
GOOD = {
    "status": "ok",
    "metrics": {"latency_p50": METRIC},
    "samples": {"latency": {"unit": "s", "values": [0.01]}},
    "runtime": {"name": "onnxruntime", "version": "1.20.1"},
    "warnings": ["read /home/joe/notes/a.txt"],
}
WRITE = "(out / 'response.json').write_text(json.dumps(" + repr(GOOD) + "))\n"
PARTIAL = "(out / 'samples.partial.json').write_text(json.dumps({'samples': {'latency': {'unit': 's', 'values': [0.5, 0.25]}}}))\n"


def world(tmp_path: Path, code: str, options: dict[str, Any], **keys: Any) -> tuple[Lock, Index, Installed]:
    """A lock whose program is this code, its components, and where they are installed."""
    needs = {
        "model": {"needs": "model:net"},
        "data": {"needs": "dataset:pictures"},
        "python": {"needs": "compiler.python"},
    }
    components = [
        solution(deps=needs, actions={"benchmark": {"options": {"threads": 2}}}),
        program(options=options, **keys),
        model(),
        dataset(),
        package("ort-wheel", "lib.onnxruntime", ["1.20.0"]),
        soft("python", "compiler.python"),
    ]
    lock = build_lock(components[0], [solved(components, [found("compiler.python", "3.11.2", "python")])], Request())
    environments = {name: replace(e, install_key=environment_key(e)) for name, e in lock.environments.items()}
    lock = replace(lock, environments=environments)
    (tmp_path / "program").mkdir(exist_ok=True)
    (tmp_path / "program" / "main.py").write_text(HEAD + code)
    folders = {key: tmp_path / ("program" if "program:" in key else "data") for key in lock.nodes}
    installed = Installed(folders, {name: Path(sys.executable) for name in environments}, ())
    return lock, Index(tuple(components)), installed


def measured(tmp_path: Path, code: str, program_keys: dict[str, Any] | None = None, **more: Any) -> Measured:
    """Measure with a program of this code; whatever comes of it must be a result that can be kept."""
    keys = {"options": OPTIONS, **(program_keys or {})}
    lock, index, installed = world(tmp_path, code, **keys)
    apart = {name: more.pop(name) for name in ("meter", "on_update") if name in more}
    order = Order(**{"action": "benchmark", "given": {}, **more})
    done = measure(lock, lock.configurations[0], index, installed, Home(tmp_path / "home"), order, **apart)
    assert problems(json.loads(json.dumps(done.document)), "result") == []
    assert History(tmp_path / "results").add(done.document).id
    return done


def test_a_good_run_is_a_result_with_its_samples_and_its_lock(tmp_path: Path) -> None:
    done = measured(tmp_path, WRITE + "(out / 'predictions.json').write_text('[1, 2]')\n")
    d = done.document
    assert (d["status"], d["action"], d["scenario"], d["options"]) == (
        "ok",
        "benchmark",
        "single-stream",
        {"threads": 2, "note": ""},
    )
    assert d["samples"]["latency"]["values"] == [0.01]
    assert d["runtime"] == {"name": "onnxruntime", "version": "1.20.1"}
    assert d["lock"]["configurations"][0]["id"] == "default"
    assert "error" not in d
    assert done.predictions == [1, 2]


def test_what_the_program_says_is_kept_without_paths(tmp_path: Path) -> None:
    done = measured(tmp_path, WRITE, given={"note": "/home/joe/private/x"})
    assert "read …/a.txt" in done.document["warnings"]
    assert done.document["options"]["note"] == "…/x"
    assert "joe" not in json.dumps(done.document)
    assert str(tmp_path) not in json.dumps(done.document)


def test_the_program_is_handed_what_it_needs(tmp_path: Path) -> None:
    done = measured(
        tmp_path, "(out / 'predictions.json').write_text(json.dumps(request))\n" + WRITE, given={"threads": "3"}
    )
    request = done.predictions
    assert request["format"] == "codereef-request/1"
    assert request["runtime"] == {"threads": 3}
    assert request["options"] == {"note": ""}
    assert (request["model"]["file"], request["model"]["format"]) == ("net.onnx", "onnx")
    assert request["action"] == "benchmark"


ECHO = "(out / 'predictions.json').write_text(json.dumps(request))\n" + WRITE
ASKED = {"scenarios": ["single-stream", "server"]}


def test_a_program_that_knows_scenarios_is_told_which(tmp_path: Path) -> None:
    done = measured(tmp_path, ECHO, ASKED, scenario="server")
    assert done.predictions["scenario"] == done.document["scenario"] == "server"
    with pytest.raises(UsageError, match="no scenario `offline`"):
        measured(tmp_path, ECHO, ASKED, scenario="offline")


def test_another_scenario_is_another_ranking(tmp_path: Path) -> None:
    keys = {measured(tmp_path, WRITE, ASKED, scenario=name).document["comparability"] for name in ASKED["scenarios"]}
    assert len(keys) == 2


def test_a_program_of_its_own_scenario_is_told_none_and_says_which(tmp_path: Path) -> None:
    load = {"driver": "mine", "valid": True, "settings": {"scenario": "batches-of-ten"}}
    code = "answer = " + repr({**GOOD, "load": load}) + "\n(out / 'response.json').write_text(json.dumps(answer))\n"
    done = measured(tmp_path, "(out / 'predictions.json').write_text(json.dumps(request))\n" + code)
    assert "scenario" not in done.predictions
    assert done.document["scenario"] == "batches-of-ten"
    assert done.document["load"] == load


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("print('boom', file=sys.stderr); sys.exit(3)", "failed", "ended with exit code 3"),
        ("os.abort()", "crashed", "SIGABRT"),
        ("raise MemoryError", "out-of-memory", "ran out of memory"),
        ("pass", "failed", "it ended well but wrote no response that can be read"),
        ("(out / 'response.json').write_text('{')", "failed", "wrote no response that can be read"),
        ("(out / 'response.json').write_text('[]')", "failed", "wrote no response that can be read"),
        (
            '(out / \'response.json\').write_text(\'{"status": "ok", "metrics": {"a": NaN}}\')',
            "failed",
            "wrote no response",
        ),
        (
            '(out / \'response.json\').write_text(\'{"status": "failed", "error": "no /home/joe/x/y.onnx"}\')',
            "failed",
            "no …/y.onnx",
        ),
    ],
)
def test_a_run_that_goes_wrong_is_a_result_too(tmp_path: Path, code: str, status: str, error: str) -> None:
    done = measured(tmp_path, PARTIAL + code)
    assert done.document["status"] == status
    assert error in done.document["error"]
    assert "joe" not in done.document["error"]


def test_samples_taken_before_the_end_are_kept(tmp_path: Path) -> None:
    assert measured(tmp_path, PARTIAL + "os.abort()").document["samples"]["latency"]["values"] == [0.5, 0.25]


def test_a_time_out_is_a_result_with_the_samples_so_far(tmp_path: Path) -> None:
    done = measured(tmp_path, PARTIAL + "time.sleep(60)", timeout=0.7)
    assert done.document["status"] == "timeout"
    assert done.document["samples"]["latency"]["values"] == [0.5, 0.25]


def test_the_last_words_of_the_program_are_in_the_error(tmp_path: Path) -> None:
    done = measured(tmp_path, "sys.exit('cannot open /home/joe/data/x.onnx')")
    assert done.document["error"].endswith("it last said: cannot open …/x.onnx")
    assert done.tail == ("cannot open /home/joe/data/x.onnx",)


def test_progress_is_told_and_other_output_is_passed_over(tmp_path: Path) -> None:
    updates: list[Update] = []
    lines = "print('hello'); print('[1]'); print('{}'); print(json.dumps({'phase': 'warm-up', 'done': 2, 'total': 5, 'progress': 0.4}))\n"
    measured(tmp_path, lines + WRITE, on_update=updates.append)
    assert updates == [Update("warm-up", 2, 5, 0.4)]


PHASED = (
    "begin = time.monotonic(); time.sleep(1.3)\n"
    "response = " + repr(GOOD) + "\n"
    "response['phase'] = {'begin': begin, 'end': time.monotonic(), 'queries': 13, 'affinity': '0-1'}\n"
    "(out / 'response.json').write_text(json.dumps(response)); time.sleep(0.3)\n"
)


@pytest.mark.slow
def test_the_machine_is_watched_while_queries_run(tmp_path: Path) -> None:
    document = measured(tmp_path, PHASED).document
    during = document["environment"]["during"]
    assert (during["of"], during["affinity"]) == ("measuring", "0-1")
    assert 1 <= during["readings"] <= 4
    assert set(document["metrics"]) == {"latency_p50", "energy_machine", "power_machine"}
    assert "phase" not in document


@pytest.mark.slow
def test_a_meter_measures_the_program_s_phase(tmp_path: Path) -> None:
    class Clock:
        """25 W, as a counter that any process of this machine can read."""

        unit: Any = "J"
        name = "external meter"

        def read(self) -> float:
            return time.monotonic() * 25

    metrics = measured(tmp_path, PHASED, meter=Clock()).document["metrics"]
    power, energy = metrics["power_machine"], metrics["energy_machine"]
    assert power["interval"][0] <= 25 <= power["interval"][1]
    assert power["value"] == pytest.approx(25, rel=1e-3)
    assert 1.3 * 25 / 13 * 0.99 < energy["value"] < 2.0 * 25 / 13
    code = PHASED.replace("'queries': 13,", "'queries': 13, 'shared': True,")
    shared = measured(tmp_path, code, meter=Clock()).document["metrics"]["energy_machine"]
    assert shared["value"] is None and "measured in turns" in shared["reason"]


@pytest.mark.parametrize("phase", ["'x'", "{'begin': 'a'}", "{'begin': 5, 'end': 1, 'queries': 1}", "[1]"])
def test_a_phase_that_makes_no_sense_is_passed_over(tmp_path: Path, phase: str) -> None:
    code = f"(out / 'response.json').write_text(json.dumps({{**{GOOD!r}, 'phase': {phase}}}))\n"
    document = measured(tmp_path, code).document
    assert document["status"] == "ok" and set(document["metrics"]) == {"latency_p50"}
    assert document["environment"]["during"]["of"] == "program"


def test_a_wrong_option_stops_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no option `thread`"):
        measured(tmp_path, WRITE, given={"thread": "1"})


REFUSAL = {"status": "refused", "error": "no provider NPU here", "hint": "it has CPU"}
REFUSE = "(out / 'response.json').write_text(json.dumps(" + repr(REFUSAL) + "))\n"


@pytest.mark.parametrize("action", ["benchmark", "validate", "run"])
@pytest.mark.parametrize("end", ["", "sys.exit(1)"])
def test_what_a_program_refuses_is_the_users_to_change_and_no_result(tmp_path: Path, action: str, end: str) -> None:
    with pytest.raises(OptionError) as caught:
        measured(tmp_path, REFUSE + end, action=action, processes=3)
    error = caught.value
    assert (error.exit_code, error.message, error.hint) == (
        2,
        "default cannot be run with these options: no provider NPU here.",
        "It has CPU.",
    )
    assert error.context == {"configuration": "default"}
    assert not (tmp_path / "results").exists()


def test_a_refusal_without_a_reason_says_that(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="options: the program does not say why") as caught:
        measured(tmp_path, '(out / \'response.json\').write_text(\'{"status": "refused", "hint": null}\')\n')
    assert caught.value.hint == ""


@pytest.mark.parametrize(
    ("code", "status"),
    [(REFUSE + "os.abort()", "crashed"), (REFUSE + "raise MemoryError", "out-of-memory")],
)
def test_a_program_that_crashed_has_refused_nothing(tmp_path: Path, code: str, status: str) -> None:
    assert measured(tmp_path, code).document["status"] == status


def test_a_later_process_that_refuses_has_failed(tmp_path: Path) -> None:
    later = f"if request.get('process', {{}}).get('index'):\n    {REFUSE}"
    document = measured(tmp_path, WRITE + later, processes=3).document
    assert (document["status"], document["error"]) == ("failed", "no provider NPU here")
    assert [process["status"] for process in document["processes"]] == ["ok", "failed"]
    assert document["samples"]["latency"]["values"] == [0.01]


def test_a_graph_without_an_interpreter_cannot_run(tmp_path: Path) -> None:
    components = [
        solution(deps={"model": {"needs": "model:net"}, "data": {"needs": "dataset:pictures"}}),
        program(),
        model(),
        dataset(),
        package("ort-wheel", "lib.onnxruntime", ["1.20.0"]),
    ]
    lock = build_lock(components[0], [solved(components)], Request())
    with pytest.raises(RunError, match="has no Python environment"):
        measure(
            lock,
            lock.configurations[0],
            Index(tuple(components)),
            Installed({}, {}, ()),
            Home(tmp_path),
            Order("run", {}),
        )


def in_turns(
    tmp_path: Path, code: str, *, interleave: bool, processes: int = 2, **keys: Any
) -> list[tuple[int, Measured]]:
    lock, index, installed = world(tmp_path, HEAD_OF_TURNS + code, OPTIONS, **keys)
    both = [lock.configurations[0]] * 2
    order = Order("benchmark", {}, processes=processes)
    return list(measure_all(lock, both, index, installed, Home(tmp_path / "home"), order, interleave=interleave))


#: Each process writes when it ran into a series of its own.
HEAD_OF_TURNS = (
    "GOOD = " + repr(GOOD) + "\n"
    "GOOD['samples'] = {'when': {'unit': 's', 'values': [time.monotonic()]}}\n"
    "(out / 'response.json').write_text(json.dumps(GOOD))\n"
)


def moments(measured: Measured) -> list[float]:
    values: list[float] = measured.document["samples"]["when"]["values"]
    return values


def test_configurations_follow_each_other_or_take_turns(tmp_path: Path) -> None:
    (_, first), (_, second) = in_turns(tmp_path, "", interleave=False)
    assert max(moments(first)) < min(moments(second))
    assert "turns" not in first.document
    (_, first), (_, second) = in_turns(tmp_path, "", interleave=True)
    a, b = moments(first), moments(second)
    assert a[0] < b[0] < b[1] < a[1], "and nobody is always the first"
    # What they share tells `cr compare` that they took turns.
    assert first.document["turns"] == second.document["turns"]


def test_one_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    once = "mark = pathlib.Path(sys.argv[0]).with_name('mark')\nif not mark.exists():\n    mark.touch(); os.abort()\n"
    (_, first), (_, second) = in_turns(tmp_path, once, interleave=True)
    assert (first.document["status"], second.document["status"]) == ("crashed", "ok")
    assert len(second.document["processes"]) == 2


#: The first process of all writes a result, the second one refuses; each leaves a mark.
SECOND_REFUSES = (
    "mark = pathlib.Path(sys.argv[0]).with_name('count')\n"
    "n = int(mark.read_text()) if mark.exists() else 0\nmark.write_text(str(n + 1))\n"
    f"if n == 1:\n    {REFUSE}"
)


@pytest.mark.parametrize("interleave", [False, True])
def test_a_refusal_ends_what_was_asked_after_what_was_measured_before(tmp_path: Path, interleave: bool) -> None:
    lock, index, installed = world(tmp_path, WRITE + SECOND_REFUSES, OPTIONS)
    three = [lock.configurations[0]] * 3
    order = Order("benchmark", {}, processes=1)
    kept = []
    with pytest.raises(OptionError, match="no provider NPU here"):
        for number, done in measure_all(
            lock, three, index, installed, Home(tmp_path / "home"), order, interleave=interleave
        ):
            kept.append((number, done.document["status"]))
    # In turns there are results only at the end.
    assert kept == ([] if interleave else [(0, "ok")])
    assert (tmp_path / "program" / "count").read_text() == "2", "nothing is begun after a refusal"


def test_an_interrupt_keeps_what_every_configuration_has(tmp_path: Path) -> None:
    third = (
        "mark = pathlib.Path(sys.argv[0]).with_name('count')\n"
        "n = int(mark.read_text()) if mark.exists() else 0\nmark.write_text(str(n + 1))\n"
        "import signal\nif n == 2: os.kill(os.getppid(), signal.SIGINT); time.sleep(60)\n"
    )
    (_, first), (_, second) = in_turns(tmp_path, third, interleave=True)
    assert (first.document["status"], second.document["status"]) == ("interrupted", "interrupted")
    assert len(moments(first)) == 1 and "after 1 of 2 processes" in first.document["error"]
    assert problems(json.loads(json.dumps(first.document)), "result") == []


#: Works in three turns of a process; what it was asked for is among its warnings.
TURNS = """
def over():
    print(json.dumps({"turn": "over"}), flush=True)
    if not sys.stdin.readline(): sys.exit(7)
spans = []
asked = request.get("turns")
for n in range(3):
    if asked: over()
    spans.append(time.monotonic()); time.sleep(0.03); spans.append(time.monotonic())
GOOD["samples"] = {"when": {"unit": "s", "values": spans}}
GOOD["warnings"] = [f"asked for {asked}"]
(out / 'response.json').write_text(json.dumps(GOOD))
"""


def test_programs_that_can_take_turns_within_a_process(tmp_path: Path) -> None:
    (_, first), (_, second) = in_turns(tmp_path, TURNS, interleave=True, turns=True)
    assert {d.document["status"] for d in (first, second)} == {"ok"}
    assert first.document["turns"] == second.document["turns"]
    assert first.document["warnings"][0] == f"asked for {{'seconds': {TURN_SECONDS}}}"
    a, b = ([tuple(moments(one)[i : i + 2]) for i in range(0, 12, 2)] for one in (first, second))
    spans = sorted([*a, *b])
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans)), "one at a time"
    by_turns = [[(a[i], b[i]) for i in (0, 1, 2)], [(b[i], a[i]) for i in (3, 4, 5)]]
    assert spans == [span for rounds in by_turns for both in rounds for span in both], "and nobody is always the first"


def test_only_programs_that_declare_it_are_asked_for_turns(tmp_path: Path) -> None:
    (_, first), _ = in_turns(tmp_path, TURNS, interleave=True)
    assert first.document["warnings"][0] == "asked for None"
    (_, alone), _ = in_turns(tmp_path, TURNS, interleave=False, turns=True)
    assert alone.document["warnings"][0] == "asked for None"


@pytest.mark.parametrize("when", ["spans", "asked"], ids=["within its turns", "before its first"])
def test_one_that_crashes_in_its_turn_leaves_the_others_theirs(tmp_path: Path, when: str) -> None:
    once = f"    mark = pathlib.Path(sys.argv[0]).with_name('mark')\n    if {when} and not mark.exists(): mark.touch(); os.abort()\n"
    code = TURNS.replace("    if asked: over()\n", once + "    if asked: over()\n")
    (_, first), (_, second) = in_turns(tmp_path, code, interleave=True, turns=True)
    assert (first.document["status"], second.document["status"]) == ("crashed", "ok")
    assert len(moments(second)) == 12


def test_an_interrupt_ends_all_that_take_turns(tmp_path: Path) -> None:
    code = TURNS.replace(
        "    spans.append",
        "    if n == 1: import signal; os.kill(os.getppid(), signal.SIGINT); time.sleep(60)\n    spans.append",
        1,
    )
    found = in_turns(
        tmp_path,
        "(out / 'samples.partial.json').write_text(json.dumps({'samples': {'when': {'unit': 's', 'values': [1.0]}}}))\n(out / 'response.json').unlink()\n"
        + code,
        interleave=True,
        turns=True,
    )
    assert [one.document["status"] for _, one in found] == ["interrupted", "interrupted"]
    assert [moments(one) for _, one in found] == [[1.0], [1.0]], "what both had saved is kept"


def test_an_interrupt_between_two_turns_keeps_as_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, calls = Process.proceed, list[Process | None]()

    def proceed(process: Process) -> bool:
        calls.append(process)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return own(process)

    monkeypatch.setattr(Process, "proceed", proceed)
    saved = (
        "(out / 'samples.partial.json').write_text(json.dumps({'samples': {'when': {'unit': 's', 'values': [1.0]}}}))\n"
    )
    found = in_turns(tmp_path, saved + "(out / 'response.json').unlink()\n" + TURNS, interleave=True, turns=True)
    assert [one.document["status"] for _, one in found] == ["interrupted", "interrupted"]
    assert [moments(one) for _, one in found] == [[1.0], [1.0]]
    calls.clear()
    calls.extend([None, None, None])  # so that the next is the fourth, before any has been started
    with pytest.raises(KeyboardInterrupt):
        in_turns(tmp_path, TURNS, interleave=True, turns=True)


def test_a_rule_about_one_run_is_measured_in_one_process(tmp_path: Path) -> None:
    options = {**OPTIONS, "note": {**OPTIONS["note"], "alone": ["by the rules"]}}
    keys = {"processes": 3, "options": options}

    def processes(**more: Any) -> int:
        lock, index, installed = world(tmp_path, WRITE, **keys)
        order = Order("benchmark", **{"given": {}, **more})
        done = measure(lock, lock.configurations[0], index, installed, Home(tmp_path / "home"), order)
        return len(done.document.get("processes", ())) or 1

    assert processes() == 3
    assert processes(given={"note": "by the rules"}) == 1
    assert processes(given={"note": "by the rules"}, processes=2) == 2
