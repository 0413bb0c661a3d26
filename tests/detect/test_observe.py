# SPDX-License-Identifier: Apache-2.0
"""The machine as it is seen from outside while a program is measured."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from codereef.detect.machine import machine_class
from codereef.detect.observe import Observation
from codereef.detect.state import NOT_AVAILABLE, machine_state, state_warnings

from tests.detect.trees import CANARY, cloud_container, laptop, rapl_server, raspberry_pi_4, write

CLOCK = "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq"
HEAT = "sys/class/thermal/thermal_zone0/temp"


def watched(root: Path, changes: list[dict[str, str]]) -> dict[str, Any]:
    """Watch a written machine; each change lasts longer than two looks at it."""
    with Observation(root=root, every_s=0.02) as observation:
        time.sleep(0.05)
        begin = time.monotonic()
        for change in changes:
            write(root, change)
            time.sleep(0.08)
        end = time.monotonic()
        time.sleep(0.05)
    return observation.during([{"begin": begin, "end": end, "queries": 1, "affinity": "0-3"}])


def test_a_pi_that_gets_hot_and_slow_is_seen_although_it_recovers(tmp_path: Path) -> None:
    root = raspberry_pi_4(tmp_path)
    before = machine_state(root)
    during = watched(
        root,
        [{CLOCK: "1500000"}, {CLOCK: "600000", HEAT: "107000"}, {CLOCK: "1500000", HEAT: "60000"}],
    )
    assert during["fastest_khz"] == {"min": 600000, "median": 1500000, "max": 1500000}
    (sensor,) = during["temperatures"]
    assert (sensor["sensor"], sensor["max"], sensor["limit_celsius"]) == ("cpu-thermal", 107.0, 110.0)
    assert sensor["min"] == 48.2 and during["affinity"] == "0-3" and during["of"] == "measuring"
    machine = machine_class(None, root, arch="aarch64")
    after = machine_state(root)
    found = state_warnings(before, after, machine, during)
    assert any("between 0.60 and 1.50 GHz while queries ran" in text for text in found)
    assert any("read 107 °C, and its limit is 110 °C" in text for text in found)
    quiet = state_warnings(before, after, machine)
    assert not any("GHz" in text or "°C" in text for text in quiet), "before and after alone do not show it"


def test_only_the_fastest_core_counts_for_idle_ones_sleep(tmp_path: Path) -> None:
    root = laptop(tmp_path)
    other = "sys/devices/system/cpu/cpufreq/policy{}/scaling_cur_freq"
    idle = {other.format(n): "400000" for n in range(1, 8)}
    during = watched(root, [idle])
    assert during["fastest_khz"]["min"] == 3900000


def test_throttling_and_stolen_time_are_counted_over_the_phase(tmp_path: Path) -> None:
    root = laptop(tmp_path / "laptop")
    counter = "sys/devices/system/cpu/cpu{}/thermal_throttle/core_throttle_count"
    before = machine_state(root)
    during = watched(root, [{counter.format(0): "5", counter.format(3): "4"}])
    assert during["throttle_count"] == 5
    found = state_warnings(before, machine_state(root), machine_class(None, root, arch="x86_64"), during)
    assert any("slowed by heat 5 times during the measurement, 5 of them while queries ran" in text for text in found)
    root = cloud_container(tmp_path / "container")
    during = watched(root, [{"proc/stat": "cpu  1150 0 520 90200 110 0 20 320 0 0\nprocs_running 2\n"}])
    assert during["ticks"] == {"total": 410, "idle": 200, "iowait": 10, "steal": 20}
    assert during["throttle_count"] == during["fastest_khz"] == during["temperatures"] == NOT_AVAILABLE


def test_what_lies_outside_the_phase_does_not_count(tmp_path: Path) -> None:
    root = raspberry_pi_4(tmp_path)
    with Observation(root=root, every_s=0.02) as observation:
        write(root, {HEAT: "90000"})
        time.sleep(0.1)
        write(root, {HEAT: "50000"})
        time.sleep(0.05)
        begin = time.monotonic()
        time.sleep(0.1)
        end = time.monotonic()
        write(root, {HEAT: "95000"})
        time.sleep(0.1)
    phase = {"begin": begin, "end": end, "queries": 1}
    during: Any = observation.during([phase])
    assert during["temperatures"][0]["max"] == 50.0
    whole: Any = observation.during([{}])
    assert whole["of"] == "program" and whole["temperatures"][0]["max"] == 95.0
    assert whole["affinity"] == NOT_AVAILABLE


@pytest.mark.parametrize("make", [raspberry_pi_4, laptop, cloud_container, rapl_server])
def test_nothing_private_is_seen(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    text = json.dumps(watched(make(tmp_path), []))
    assert CANARY not in text and str(tmp_path) not in text


def test_what_looking_at_this_machine_costs_is_told() -> None:
    """The processor time of all looks; how little that is, bench/watching.py measures."""
    begin = time.process_time()
    with Observation(every_s=0.05) as observation:
        time.sleep(0.5)
    taken = time.process_time() - begin
    during: Any = observation.during([{}])
    assert during["readings"] >= 2
    assert 0 < during["cost_cpu_seconds"] <= taken + 1e-6  # it is rounded


def test_no_thread_stays_behind_when_the_program_fails(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(RuntimeError), Observation(root=laptop(tmp_path)):
        raise RuntimeError("could not be started")
    assert threading.active_count() == before
