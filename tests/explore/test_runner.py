# SPDX-License-Identifier: Apache-2.0
"""Carrying out: what is kept, who measures what, failures; with real small programs where one is measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from codereef.errors import CancelledError, CrError, LockError, RunError, StorageError
from codereef.explore.document import Exploration, Explorations, Subject, begin
from codereef.explore.here import Here
from codereef.explore.jobs import Finished, Job
from codereef.explore.runner import Keeper, carry_out, require_success, without_accuracy
from codereef.explore.search import Repetition
from codereef.explore.space import Point
from codereef.home import Home
from codereef.install.execute import Installed
from codereef.lock.build import build_lock
from codereef.lock.model import environment_key
from codereef.record.history import History
from codereef.repo.index import Index
from codereef.run.process import Update
from codereef.solve.candidates import Request

from tests.explore.parts import search
from tests.record.results import DIGEST, document
from tests.run.test_measure import GOOD, HEAD
from tests.solve.worlds import dataset, found, model, package, program, soft, solution, solved

pytestmark = pytest.mark.slow


class Quiet:
    """Watches and remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def going(self, exploration: Exploration, job: Job, update: Update) -> None:
        self.said.append(f"going {update.phase}")

    def measured(self, exploration: Exploration, finished: Finished, repetition: Repetition) -> None:
        self.said.append(f"{finished.machine} {finished.job.name} {finished.job.round} {repetition.status}")

    def refused(self, machine: str, error: CrError) -> None:
        self.said.append(f"refused {machine}")


def exploration(points: int, repeat: int = 3, kind: str = "grid") -> Exploration:
    subject = Subject("solution:demo@1.0.0", DIGEST, DIGEST, "linux-x86_64-gnu")
    made = [Point(f"p{i}", "default", {"threads": str(i + 1)}) for i in range(points)]
    return begin(subject, search(kind, repeat), made, "a" * 32)


def keeper(folder: Path) -> Keeper:
    return Keeper(History(folder / "results").add, Explorations(folder / "explorations").save)


class Several:
    """Machines that answer at once; `answer` says what becomes of a job."""

    def __init__(self, names: Sequence[str], answer: Callable[[str, Job, int], Finished]) -> None:
        self.there, self.answer = list(names), answer
        self.running: dict[str, Job] = {}
        self.count = 0

    def names(self) -> Sequence[str]:
        return self.there

    def start(self, machine: str, job: Job) -> None:
        assert machine not in self.running, "one at a time"
        self.running[machine] = job

    def wait(self, on_update: Callable[[Job, Update], None]) -> Sequence[Finished]:
        machine = sorted(self.running)[self.count % len(self.running)]
        self.count += 1
        return [self.answer(machine, self.running.pop(machine), self.count)]


def good(machine: str, job: Job, count: int) -> Finished:
    made = document([0.01 * (job.point + 1)], started_at=f"2026-01-01T10:{count // 60:02}:{count % 60:02}Z")
    return Finished(job, machine, 1.0, made)


def test_each_round_stays_on_one_machine_so_that_each_point_is_measured_on_each_as_often(tmp_path: Path) -> None:
    watcher = Quiet()
    done = carry_out(exploration(5, repeat=4), Several(["a", "b"], good), keeper(tmp_path), watcher, {})
    places = {(line.split()[0], line.split()[2]) for line in watcher.said}
    assert len(places) == 4, "four rounds, each on one machine"
    assert {machine for machine, _ in places} == {"a", "b"}
    assert done.complete and all(len(found) == 4 for found in done.measured)


def test_a_machine_that_goes_away_costs_its_measurement_and_another_goes_on(tmp_path: Path) -> None:
    def answer(machine: str, job: Job, count: int) -> Finished:
        if machine == "b":
            several.there.remove("b")
            return Finished(job, machine, 1.0, error="its worker went away", lost=True)
        return good(machine, job, count)

    several = Several(["a", "b"], answer)
    done = carry_out(exploration(3), several, keeper(tmp_path), Quiet(), {})
    statuses = [r.status for found in done.measured for r in found]
    assert statuses.count("lost") == 1 and statuses.count("ok") == 9


def test_a_point_that_failed_once_is_not_tried_by_two_machines_at_once(tmp_path: Path) -> None:
    def answer(machine: str, job: Job, count: int) -> Finished:
        return Finished(job, machine, 1.0, error="no") if job.point == 0 else good(machine, job, count)

    names = [f"m{i}" for i in range(2)]
    done = carry_out(exploration(6, repeat=8), Several(names, answer), keeper(tmp_path), Quiet(), {})
    assert len(done.measured[0]) == 2
    assert [len(found) for found in done.measured[1:]] == [8] * 5


def test_a_machine_that_refuses_is_left_out_and_when_all_do_that_is_the_error(tmp_path: Path) -> None:
    def answer(machine: str, job: Job, count: int) -> Finished:
        return (
            Finished(job, machine, 0.0, refused=LockError("It is another lock."))
            if machine == "b"
            else good(machine, job, count)
        )

    watcher = Quiet()
    done = carry_out(exploration(3), Several(["a", "b"], answer), keeper(tmp_path), watcher, {})
    assert watcher.said.count("refused b") == 1
    assert [len(found) for found in done.measured] == [3, 3, 3]
    with pytest.raises(LockError, match="another lock"):
        carry_out(exploration(3), Several(["b"], answer), keeper(tmp_path), watcher, {})


def test_halving_waits_for_a_rung_before_the_next_one_begins(tmp_path: Path) -> None:
    watcher = Quiet()
    done = carry_out(exploration(8, 2, "halving"), Several(["a", "b", "c"], good), keeper(tmp_path), watcher, {})
    rounds = [int(line.split()[2]) for line in watcher.said]
    assert max(rounds[:16]) == 1 and min(rounds[16:]) == 2
    assert len(rounds) == 16 + 16 + 16 and done.complete


def test_accuracy_is_measured_in_the_first_repetition_of_each_point_alone(tmp_path: Path) -> None:
    given: list[Mapping[str, str]] = []

    def answer(machine: str, job: Job, count: int) -> Finished:
        given.append(job.given)
        return good(machine, job, count)

    start = exploration(2)
    carry_out(start, Several(["a"], answer), keeper(tmp_path), Quiet(), {"default": {"accuracy": "off"}})
    assert ["accuracy" in entry for entry in given] == [False, False, True, True, True, True]
    chosen = replace(start, points=tuple(replace(p, options={**p.options, "accuracy": "on"}) for p in start.points))
    given.clear()
    carry_out(chosen, Several(["a"], answer), keeper(tmp_path), Quiet(), {"default": {"accuracy": "off"}})
    assert {entry["accuracy"] for entry in given} == {"on"}, "what the user chose stays"


@pytest.mark.parametrize(
    ("declared", "option"),
    [
        ({}, {}),
        ({"accuracy": {"type": "string", "values": ["on", "off"]}}, {"accuracy": "off"}),
        ({"accuracy": {"type": "boolean"}}, {"accuracy": "false"}),
        ({"accuracy": {"type": "string", "values": ["all", "some"]}}, {}),
    ],
)
def test_the_accuracy_pass_is_left_out_where_the_program_has_an_option_for_it(
    declared: dict[str, Any], option: dict[str, str]
) -> None:
    assert without_accuracy({"options": declared}) == option


def test_the_document_is_written_after_each_measurement_and_read_back_whole(tmp_path: Path) -> None:
    kept, seen = Explorations(tmp_path / "explorations"), []

    def answer(machine: str, job: Job, count: int) -> Finished:
        (saved,) = kept.all()
        seen.append(sum(map(len, saved.measured)))
        return good(machine, job, count)

    done = carry_out(exploration(3), Several(["a"], answer), keeper(tmp_path), Quiet(), {})
    assert seen == list(range(9))
    assert kept.all() == [done]
    assert {r.result for found in done.measured for r in found} == {r.id for r in History(tmp_path / "results").all()}


def test_an_interrupted_measurement_is_not_kept(tmp_path: Path) -> None:
    def answer(machine: str, job: Job, count: int) -> Finished:
        made = document(status="interrupted") if count == 3 else document([0.1 * count])
        return Finished(job, machine, 1.0, made)

    with pytest.raises(CancelledError):
        carry_out(exploration(3), Several(["a"], answer), keeper(tmp_path), Quiet(), {})
    (saved,) = Explorations(tmp_path / "explorations").all()
    assert sum(map(len, saved.measured)) == 2 and not saved.complete


def test_two_processes_do_not_carry_out_one_exploration(tmp_path: Path) -> None:
    kept, one = Explorations(tmp_path), exploration(2)
    with (
        kept.carrying_out(one),
        pytest.raises(StorageError, match="is being carried out by another process"),
        kept.carrying_out(one),
    ):
        pass
    with kept.carrying_out(one):
        pass


def here(tmp_path: Path, code: str, **limits: Any) -> Here:
    """Return this machine with a solution whose program has this code."""
    needs = {
        "model": {"needs": "model:net"},
        "data": {"needs": "dataset:pictures"},
        "python": {"needs": "compiler.python"},
    }
    threads = {"type": "integer", "default": 1, "summary": "Threads."}
    components = [
        solution(deps=needs, actions={"benchmark": {}}),
        program(options={"threads": threads}),
        model(),
        dataset(),
        package("ort-wheel", "lib.onnxruntime", ["1.20.0"]),
        soft("python", "compiler.python"),
    ]
    lock = build_lock(components[0], [solved(components, [found("compiler.python", "3.11.2", "python")])], Request())
    environments = {name: replace(e, install_key=environment_key(e)) for name, e in lock.environments.items()}
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "main.py").write_text(HEAD + code)
    folders = {key: tmp_path / ("program" if "program:" in key else "data") for key in lock.nodes}
    installed = Installed(folders, {name: Path(sys.executable) for name in environments}, ())
    lock = replace(lock, environments=environments)
    return Here(lock, Index(tuple(components)), installed, Home(tmp_path / "home"), **limits)


CRASHES = (
    "threads = request['runtime']['threads']\n"
    "if threads == 2: os.abort()\n"
    "if threads == 3: raise MemoryError\n"
    "if threads == 4: time.sleep(60)\n"
    "(out / 'response.json').write_text(json.dumps(" + repr(GOOD) + "))\n"
)


def test_points_whose_program_crashes_hangs_or_lacks_memory_are_recorded_and_the_others_measured(
    tmp_path: Path,
) -> None:
    machine = here(tmp_path, CRASHES, timeout=1.0)
    done = carry_out(exploration(5, repeat=3), machine, keeper(tmp_path), Quiet(), {})
    assert [[r.status for r in found] for found in done.measured] == [
        ["ok"] * 3,
        ["crashed"] * 2,
        ["out-of-memory"] * 2,
        ["timeout"] * 2,
        ["ok"] * 3,
    ]
    assert "SIGABRT" in done.measured[1][0].error
    kept = History(tmp_path / "results").named([done.measured[1][0].result])
    assert [r.document["status"] for r in kept.values()] == ["crashed"], "a crash is a result too"
    with pytest.raises(RunError, match="3 of 5 points did not finish: p1 \\(crashed: .*SIGABRT"):
        require_success(done)
    document_ = json.loads(next((tmp_path / "explorations").glob("*.json")).read_text())
    assert document_["state"] == "complete" and str(tmp_path) not in json.dumps(document_)


def test_a_point_that_the_program_refuses_has_failed_and_the_others_are_measured(tmp_path: Path) -> None:
    refuse = (
        "if request['runtime']['threads'] == 2:\n"
        "    (out / 'response.json').write_text(json.dumps({'status': 'refused', 'error': 'no two threads here'}))\n"
        "    sys.exit(1)\n"
    )
    machine = here(tmp_path, refuse + f"(out / 'response.json').write_text(json.dumps({GOOD!r}))\n")
    done = carry_out(exploration(2, repeat=2), machine, keeper(tmp_path), Quiet(), {})
    assert [[r.status for r in point] for point in done.measured] == [["ok", "ok"], ["failed", "failed"]]
    assert {(r.result, r.error) for r in done.measured[1]} == {
        ("", "default cannot be run with these options: no two threads here.")
    }
    assert len(list(History(tmp_path / "results").all())) == 2
    with pytest.raises(RunError, match="1 of 2 points did not finish: .*no two threads here"):
        require_success(done)


def test_an_interpreter_that_is_not_there_is_a_failure_of_each_point(tmp_path: Path) -> None:
    machine = here(tmp_path, "")
    machine.installed = replace(
        machine.installed, pythons=dict.fromkeys(machine.installed.pythons, Path("/nowhere/python"))
    )
    done = carry_out(exploration(2), machine, keeper(tmp_path), Quiet(), {})
    assert [[r.status for r in found] for found in done.measured] == [["failed"] * 2] * 2
    assert "could not be started" in done.measured[0][0].error


def test_a_metric_that_no_result_gives_is_an_error(tmp_path: Path) -> None:
    start = exploration(2, repeat=1)
    start = replace(start, search=replace(start.search, objective="throughput", direction="higher"))
    done = carry_out(start, Several(["a"], good), keeper(tmp_path), Quiet(), {})
    with pytest.raises(RunError, match="No result gives throughput"):
        require_success(done)
