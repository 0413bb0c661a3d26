# SPDX-License-Identifier: Apache-2.0
"""`cr explore` on the demo: points, resume after a kill, Ctrl-C, failures, plot, and workers of Dask."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Cr

pytestmark = pytest.mark.slow

QUICK = ("-o", "max_seconds=0.2", "-o", "warmup_seconds=0.05", "-o", "accuracy_limit=5")
SOLUTION = "demo-object-detection"
TWO = ("--variant", "format=onnx", "--variant", "precision=fp32", "--vary", "threads=1,2")


@pytest.fixture
def own(ready: Cr, tmp_path: Path) -> Cr:
    """The initialised demo with a history and explorations of its own; the store is shared."""
    home = tmp_path / "home"
    home.mkdir()
    for entry in ready.home.iterdir():
        if entry.name not in ("results", "explorations", "measuring.lock"):
            (home / entry.name).symlink_to(entry)
    return Cr(home, ready.cwd)


def documents(client: Cr) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((client.home / "explorations").glob("*.json"))]


def measured(client: Cr) -> int:
    """How many repetitions the only exploration has."""
    found = documents(client)
    return sum(len(point["repetitions"]) for point in found[0]["points"]) if found else 0


def wait_for(client: Cr, count: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while measured(client) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_options_and_variants_are_explored_as_the_issue_writes_it(own: Cr) -> None:
    words = ("--vary", "threads=1,2", "precision=fp32,int8", "--variant", "format=onnx", "--repeat", "2", *QUICK)
    done = own("explore", SOLUTION, *words, "--plot", str(own.home / "a.svg"))
    lines = done.stdout.splitlines()
    assert lines[0].split("  ")[0] == "point" and "p50 ms [95 %]" in lines[0] and "frontier" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == [
        f"precision={p},threads={t}" for p in ("fp32", "int8") for t in (1, 2)
    ]
    assert any(line.endswith("yes") for line in lines[1:])
    assert "4 points, grid, 8 measurements to come" in done.stderr and "left" in done.stderr
    (document,) = documents(own)
    named = [r["result"] for point in document["points"] for r in point["repetitions"]]
    assert document["state"] == "complete" and len(set(named)) == 8
    for identity in named:
        result = json.loads((own.home / "results" / f"{identity}.json").read_text())
        assert result["status"] == "ok" and result["options"]["max_seconds"] == 0.2
    by_round = sorted(
        (r["round"], json.loads((own.home / "results" / f"{r['result']}.json").read_text())["started_at"])
        for point in document["points"]
        for r in point["repetitions"]
    )
    assert [started for _, started in by_round] == sorted(started for _, started in by_round), "rounds are in turn"
    text = " ".join(node.text or "" for node in ElementTree.parse(own.home / "a.svg").iter())
    for wanted in ("precision=int8,threads=2", "mAP", "latency_p50 in ms", "medians of up to 2 runs"):
        assert wanted in text
    again = own("explore", SOLUTION, *words)
    assert "is complete" in again.stderr and again.stdout == done.stdout and measured(own) == 8


def test_a_killed_exploration_goes_on_with_the_same_command_and_loses_one_measurement_at_most(own: Cr) -> None:
    words = ("explore", SOLUTION, *TWO, "--repeat", "3", *QUICK)
    process = own.start(*words)
    wait_for(own, 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.communicate()
    before = documents(own)[0]
    count, results = measured(own), len(list((own.home / "results").glob("*.json")))
    assert 2 <= count < 6 and count <= results <= count + 1 and before["state"] == "open"
    done = own.json(*words)
    after = documents(own)[0]
    assert len(documents(own)) == 1 and after["state"] == "complete" and measured(own) == 6
    for old, new in zip(before["points"], after["points"]):
        assert new["repetitions"][: len(old["repetitions"])] == old["repetitions"]
    assert [point["repeats"] for point in done["points"]] == [3, 3]
    assert len(list((own.home / "results").glob("*.json"))) == 6 + (results - count)


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(own: Cr) -> None:
    process = own.start("explore", SOLUTION, *TWO, "--repeat", "3", *QUICK)
    wait_for(own, 1, process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    identifier = next((own.home / "explorations").glob("*.json")).stem
    assert f"--resume {identifier}" in errors and "Traceback" not in errors
    kept = measured(own)
    assert 1 <= kept < 6
    assert {r["status"] for point in documents(own)[0]["points"] for r in point["repetitions"]} == {"ok"}
    done = own("explore", SOLUTION, "--resume")
    assert f"{kept} are there" in done.stderr and documents(own)[0]["state"] == "complete"
    assert measured(own) == 6


def test_points_that_fail_are_told_and_the_others_are_measured(own: Cr) -> None:
    words = ("--variant", "format=onnx", "--variant", "precision=fp32", "--vary", "threads=1", "max_seconds=0.2,60")
    more = ("-o", "relative_width=0", "-o", "min_samples=10000000", "-o", "max_samples=10000000")
    done = own(
        "explore", SOLUTION, *words, *more, "-o", "accuracy_limit=5", "--repeat", "2", "--timeout", "8", check=False
    )
    assert done.returncode == 9, done.stderr
    assert "1 of 2 points did not finish" in done.stderr and "timeout" in done.stderr
    assert "2 (timeout)" in done.stdout
    statuses = [[r["status"] for r in point["repetitions"]] for point in documents(own)[0]["points"]]
    assert statuses == [["ok", "ok"], ["timeout", "timeout"]]


@pytest.mark.parametrize("where", [(), ("--workers", "1")], ids=["here", "worker"])
def test_a_point_that_the_program_refuses_is_told_and_the_others_are_measured(own: Cr, where: tuple[str, ...]) -> None:
    words = ("--variant", "precision=fp32", "--vary", "delegate=default,off", "-o", "max_seconds=0.2", *where)
    done = own("explore", SOLUTION, *words, "-o", "accuracy_limit=5", "--repeat", "1", check=False)
    assert done.returncode == 9, done.stderr
    assert "onnxruntime has no option delegate" in done.stderr
    points = documents(own)[0]["points"]
    assert len(points) == 4
    for point in points:
        refused = "format=onnx" in point["configuration"]
        assert {r["status"] for r in point["repetitions"]} == {"failed" if refused else "ok"}, point
        assert all(bool(r.get("result")) != refused for r in point["repetitions"])


def test_halving_spends_its_measurements_on_the_better_half(own: Cr) -> None:
    words = ("--vary", "threads=1,2", "--variant", "format=onnx", "--search", "halving", "--objective", "throughput")
    done = own.json("explore", SOLUTION, *words, *QUICK)
    search = done["exploration"]["search"]
    assert (search["direction"], search["repeat"]) == ("higher", 1)
    assert sorted(point["repeats"] for point in done["points"]) == [1, 1, 3, 3]
    assert done["best"] in {point["point"] for point in done["points"] if point["repeats"] == 3}
    assert {point["rung"] for point in done["points"]} == {1, 2}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--vary", "thread=1"), 2, "Did you mean `threads`"),
        (("--vary", "threads=0"), 2, "out of range"),
        (("--vary", "precision=fp32", "size=500"), 6, "cr init demo-object-detection --variant format=onnx,tflite"),
        (("--vary", "threads=1,2", "--objective", "latency_p5"), 2, "Did you mean `latency_p50`"),
        (("--vary", "threads=1,2", "--samples", "3"), 2, "--search random"),
        (("--vary", "threads=1,2", "--budget", "30"), 2, "--search halving"),
        (("--vary", "threads=1,2", "--search", "random"), 2, "--samples 20"),
        (("--vary", "threads=1,2", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"), 2, "both given"),
        (("--vary", "threads=1,2", "--pinned"), 2, "--workers 2 --pinned"),
        (("--vary", "threads=1,2", "--plot", "a.png"), 2, "saved as SVG"),
        (("--vary", "threads=1,2", "--workers", "900", "--pinned"), 2, "900 pinned workers need"),
        (("--vary", "threads=1,2", "--scheduler", "tcp://127.0.0.1:1"), 10, "does not answer; it was tried for 15 s"),
        (("--vary", "threads=1,2", "--scheduler", "nonsense"), 2, "expected HOST:PORT"),
        (("--resume", "--scheduler", "nonsense"), 2, "expected HOST:PORT"),
        (("--vary", "threads=1,2,1"), 2, "--repeat"),
        (("--vary", "threads=1,2", "precision"), 2, "unexpected extra argument"),
        (("--vary",), 2, "requires an argument"),
        ((), 2, "Nothing is varied"),
        (("--resume", "--vary", "threads=1"), 2, "--resume takes everything"),
        (("--resume",), 4, "no exploration"),
        (("--resume", "abcdef"), 4, "There is no exploration `abcdef`"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_measured(
    own: Cr, words: tuple[str, ...], code: int, message: str
) -> None:
    done = own("explore", SOLUTION, *words, check=False)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr and not list((own.home / "results").glob("*.json"))


def test_an_exploration_of_another_lock_is_not_gone_on_with(own: Cr) -> None:
    own("explore", SOLUTION, *TWO, "--repeat", "1", *QUICK)
    path = next((own.home / "explorations").glob("*.json"))
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "lock_digest": "sha256:" + "0" * 64, "state": "open"}))
    done = own("explore", SOLUTION, "--resume", check=False)
    assert done.returncode == 6 and "The lock has changed since" in done.stderr


def test_workers_of_a_local_cluster_take_turns_and_their_results_are_kept(own: Cr) -> None:
    done = own("explore", SOLUTION, *TWO, "--repeat", "2", *QUICK, "--workers", "2")
    assert "take turns" in done.stderr
    assert measured(own) == 4 and documents(own)[0]["state"] == "complete"
    assert len(list((own.home / "results").glob("*.json"))) == 4
    assert not [pair for pair in zip(spans(own), spans(own)[1:]) if pair[0][1] > pair[1][0]], "one at a time"


def test_pinned_workers_measure_at_once_on_processors_of_their_own(own: Cr) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor cannot be shared out")
    words = ("-o", "max_seconds=3", "-o", "relative_width=0", "-o", "max_samples=10000000", "-o", "accuracy_limit=5")
    done = own("explore", SOLUTION, *TWO, "--repeat", "2", *words, "--workers", "2", "--pinned")
    assert "measure on this machine at the same time" in done.stderr
    assert documents(own)[0]["pinned"] and measured(own) == 4
    path = next((own.home / "explorations").glob("*.json"))
    path.write_text(json.dumps({**documents(own)[0], "state": "open"}))
    alone = own("explore", SOLUTION, "--resume", check=False)
    assert alone.returncode == 2 and "begun with --pinned" in alone.stderr
    assert [pair for pair in zip(spans(own), spans(own)[1:]) if pair[0][1] > pair[1][0]], "two at a time"


def spans(client: Cr) -> list[tuple[str, str]]:
    """When each result began and ended, in order."""
    found = [json.loads(path.read_text()) for path in (client.home / "results").glob("*.json")]
    return sorted((d["started_at"], d["ended_at"]) for d in found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Dask:
    """A real scheduler and real workers, as an administrator starts them."""

    def __init__(self, client: Cr, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.start("scheduler", "--host", "127.0.0.1", "--port", self.address.rpartition(":")[2], "--no-dashboard")

    def start(self, what: str, *words: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        with (self.folder / "dask.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + what, *words],
                cwd=cwd or self.folder,
                env={**self.client.environment(), "DASK_TEMPORARY_DIRECTORY": str(self.folder)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def worker(self, *, cwd: Path, resource: str = "measure=1") -> subprocess.Popen[bytes]:
        words = (self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--resources", resource)
        return self.start("worker", *words, cwd=cwd)

    def close(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def dask(own: Cr, tmp_path: Path) -> Iterator[Dask]:
    (tmp_path / "dask").mkdir()
    running = Dask(own, tmp_path / "dask")
    yield running
    running.close()


def test_workers_of_a_scheduler_measure_what_is_initialised_where_they_were_started(own: Cr, dask: Dask) -> None:
    dask.worker(cwd=own.cwd)
    dask.worker(cwd=own.cwd, resource="other=1")
    done = own("explore", SOLUTION, *TWO, "--repeat", "2", *QUICK, "--scheduler", dask.address)
    assert measured(own) == 4 and documents(own)[0]["state"] == "complete", done.stderr
    assert all(json.loads(p.read_text())["status"] == "ok" for p in (own.home / "results").glob("*.json"))


def test_a_worker_without_the_solution_is_told_what_to_do(own: Cr, dask: Dask, tmp_path: Path) -> None:
    dask.worker(cwd=tmp_path)
    done = own("explore", SOLUTION, *TWO, *QUICK, "--scheduler", dask.address, check=False)
    assert done.returncode == 6 and "has not been initialised here" in done.stderr
    assert f"cr init {SOLUTION}" in done.stderr


def test_a_worker_with_another_lock_is_told_what_to_do(own: Cr, dask: Dask, tmp_path: Path) -> None:
    lock = json.loads((own.cwd / SOLUTION / "cr.lock").read_text())
    lock["configurations"] = [c for c in lock["configurations"] if c["variants"]["format"] == "tflite"]
    kept = {key for c in lock["configurations"] for key in c["nodes"]}
    lock["nodes"] = {key: node for key, node in lock["nodes"].items() if key in kept}
    environments = {c.get("environment") for c in lock["configurations"]}
    lock["environments"] = {key: e for key, e in lock["environments"].items() if key in environments}
    (tmp_path / "other" / SOLUTION).mkdir(parents=True)
    (tmp_path / "other" / SOLUTION / "cr.lock").write_text(json.dumps(lock))
    dask.worker(cwd=tmp_path / "other")
    done = own("explore", SOLUTION, *TWO, *QUICK, "--scheduler", dask.address, check=False)
    assert done.returncode == 6 and "has no configuration format=onnx" in done.stderr, done.stderr
    assert f"cr init {SOLUTION} --locked" in done.stderr


def test_a_worker_that_is_killed_costs_one_measurement_and_another_one_goes_on(own: Cr, dask: Dask) -> None:
    first = dask.worker(cwd=own.cwd)
    process = own.start("explore", SOLUTION, *TWO, "--repeat", "3", *QUICK, "--scheduler", dask.address)
    wait_for(own, 2, process)
    os.killpg(first.pid, signal.SIGKILL)
    dask.worker(cwd=own.cwd)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    repetitions = [r for point in documents(own)[0]["points"] for r in point["repetitions"]]
    assert [r["status"] for r in repetitions].count("ok") == 6
    assert [r["status"] for r in repetitions].count("lost") <= 1


def test_a_scheduler_that_goes_away_ends_the_exploration_which_is_then_resumed_here(own: Cr, dask: Dask) -> None:
    dask.worker(cwd=own.cwd)
    process = own.start("explore", SOLUTION, *TWO, "--repeat", "3", *QUICK, "--scheduler", dask.address)
    wait_for(own, 1, process)
    os.killpg(dask.processes[0].pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 10 and "has gone" in errors and "Traceback" not in errors, errors
    own("explore", SOLUTION, "--resume")
    assert [[r["status"] for r in p["repetitions"]] for p in documents(own)[0]["points"]] == [["ok"] * 3] * 2


def test_ctrl_c_while_workers_measure_ends_cleanly(own: Cr) -> None:
    process = own.start("explore", SOLUTION, *TWO, "--repeat", "3", *QUICK, "--workers", "1")
    wait_for(own, 1, process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130 and "--resume" in errors and "Traceback" not in errors, errors
    own("explore", SOLUTION, "--resume")
    assert documents(own)[0]["state"] == "complete"
