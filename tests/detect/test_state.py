# SPDX-License-Identifier: Apache-2.0
"""The machine's state and the warnings that come of it."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from codereef.detect.machine import machine_class
from codereef.detect.state import NOT_AVAILABLE, machine_state, state_warnings

from tests.detect.trees import CANARY, cloud_container, laptop, rapl_server, raspberry_pi_4, write


def test_a_raspberry_pi_tells_its_state(tmp_path: Path) -> None:
    state: Any = machine_state(raspberry_pi_4(tmp_path))
    assert state["frequency"] == [
        {
            "policy": 0,
            "driver": NOT_AVAILABLE,
            "governor": "ondemand",
            "current_khz": 1500000,
            "min_khz": 600000,
            "max_khz": 1500000,
            "hardware_max_khz": 1500000,
        }
    ]
    assert state["temperatures"] == [{"sensor": "cpu-thermal", "celsius": 48.2, "limit_celsius": 110.0}]
    assert state["load"] == [0.1, 0.05, 0.01]
    assert state["ticks"] == {"total": 91610, "idle": 90000, "iowait": 100, "steal": 0}
    assert state["memory"] == {"available_mib": 2929, "swap_used_mib": 0}
    assert (state["affinity_cpus"], state["aslr"], state["uptime_hours"]) == (4, 2, 2)
    assert state["power"]["battery"] == NOT_AVAILABLE
    assert state["turbo"] == state["throttle_count"] == NOT_AVAILABLE


def test_a_laptop_tells_its_battery_and_not_its_mouse_s(tmp_path: Path) -> None:
    state: Any = machine_state(laptop(tmp_path))
    assert state["power"] == {"mains": False, "battery": "discharging", "battery_percent": 61}
    assert state["turbo"] is True
    assert state["throttle_count"] == 16
    assert state["temperatures"] == [{"sensor": "coretemp Package id 0", "celsius": 97.0, "limit_celsius": 100.0}]


def test_a_container_tells_its_limits(tmp_path: Path) -> None:
    state: Any = machine_state(cloud_container(tmp_path))
    assert state["limits"] == {"cpus": 1.5, "memory_mib": 2048, "cpuset": "none"}
    assert state["affinity_cpus"] == 2


def test_a_container_tells_which_processors_it_may_use(tmp_path: Path) -> None:
    root = cloud_container(tmp_path)
    state: Any = machine_state(root)
    assert state["affinity"] == "0,2" and state["limits"]["cpuset"] == "none"
    write(root, {"sys/fs/cgroup/docker/cpuset.cpus.effective": "0-2"})
    assert machine_state(root)["limits"] == {"cpus": 1.5, "memory_mib": 2048, "cpuset": "0-2"}


def test_control_groups_of_the_first_version_tell_their_processors_too(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/box\n3:cpuset:/box\n0::/\n",
        "sys/fs/cgroup/cpuset/cpuset.cpus": "0-7",
        "sys/fs/cgroup/cpuset/box/cpuset.cpus": "",
        "sys/fs/cgroup/cpuset/box/cpuset.effective_cpus": "4-5",
    }
    state: Any = machine_state(write(tmp_path, files))
    assert state["limits"] == {"cpus": "none", "memory_mib": "none", "cpuset": "4-5"}


def test_a_server_tells_what_its_kernel_was_told_about_its_processors(tmp_path: Path) -> None:
    state: Any = machine_state(rapl_server(tmp_path))
    assert state["processors"] == {
        "online": "0-63",
        "isolated": "2-3",
        "nohz_full": NOT_AVAILABLE,
        "smt": "off",
        "idle_driver": NOT_AVAILABLE,
    }
    write(tmp_path, {"sys/devices/system/cpu/isolated": "", "sys/devices/system/cpu/nohz_full": "(null)"})
    state = machine_state(tmp_path)
    assert (state["processors"]["isolated"], state["processors"]["nohz_full"]) == ("none", NOT_AVAILABLE)


def test_a_card_in_a_narrow_slot_tells_its_link(tmp_path: Path) -> None:
    here = "sys/bus/pci/devices/0000:01:00.0"
    files = {
        "class": "0x030200",
        "vendor": "0x10de",
        "device": "0x2330",
        "current_link_width": "4",
        "max_link_width": "16",
    }
    state: Any = machine_state(write(tmp_path, {f"{here}/{name}": text for name, text in files.items()}))
    assert state["links"] == [
        {"id": "10de:2330", "speed": NOT_AVAILABLE, "width": "4", "most_speed": NOT_AVAILABLE, "most_width": "16"}
    ]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_this_machine_tells_its_clock_and_what_a_reading_costs() -> None:
    state: Any = machine_state()
    clock = state["clock"]
    assert 1 <= clock["timer_resolution_ns"] <= 1000
    assert 5 <= clock["timer_call_ns"] < 20_000
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    if source.exists():
        assert clock["source"] == source.read_text().strip() and clock["source"] in clock["available"]
    assert len(os.sched_getaffinity(0)) == state["affinity_cpus"]


def test_what_is_missing_is_never_zero(tmp_path: Path) -> None:
    state = machine_state(tmp_path)
    state = {name: value for name, value in state.items() if name != "time"}
    leaves = [leaf for v in state.values() for leaf in (v.values() if isinstance(v, dict) else [v])]
    assert set(leaves) == {NOT_AVAILABLE}


@pytest.mark.parametrize("make", [raspberry_pi_4, laptop, cloud_container])
def test_nothing_private_reaches_the_state(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    text = json.dumps(machine_state(make(tmp_path)))
    assert CANARY not in text and str(tmp_path) not in text


def test_the_state_of_this_machine_is_cheap() -> None:
    machine_state()
    times = []
    for _ in range(7):
        start = time.process_time()
        machine_state()
        times.append(time.process_time() - start)
    assert min(times) < 0.020


def _quiet(tmp_path: Path) -> tuple[dict[str, Any], Any]:
    root = raspberry_pi_4(tmp_path)
    (root / "sys/devices/system/cpu/cpufreq/policy0/scaling_governor").write_text("performance\n")
    return machine_state(root), machine_class(None, root, arch="aarch64")


def test_a_quiet_machine_gives_no_warning(tmp_path: Path) -> None:
    state, machine = _quiet(tmp_path)
    assert state_warnings(state, state, machine) == ()


def test_a_machine_that_tells_nothing_gives_no_warning(tmp_path: Path) -> None:
    state = machine_state(tmp_path)
    assert state_warnings(state, state, machine_class(None, tmp_path, arch="x86_64")) == ()


def test_a_laptop_gives_every_warning_it_deserves(tmp_path: Path) -> None:
    root = laptop(tmp_path)
    state = machine_state(root)
    found = state_warnings(state, state, machine_class(None, root, arch="x86_64"))
    for part in ("governor is powersave", "busy before the start: a load of 5.50 on 8", "97 °C", "battery", "Swap"):
        assert any(part in sentence for sentence in found), part
    assert len(found) == 5


def _change(state: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    changed = copy.deepcopy(state)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        (("frequency", 0, "current_khz"), 1000000, "1.00 GHz after the measurement and 1.50 GHz"),
        (("frequency", 0, "max_khz"), 900000, "limited to less"),
        (("frequency", 0, "governor"), "schedutil", "governor is schedutil"),
        (("temperatures", 0, "celsius"), 106.0, "106 °C, and its limit is 110 °C"),
        (("memory", "swap_used_mib"), 100, "Swap was in use (100 MiB)"),
        (("power", "battery"), "discharging", "battery"),
        (("firmware_throttling",), "0x50000", "firmware slowed the processor: voltage too low, throttled"),
        (("firmware_throttling",), "0x2", "firmware slowed the processor: clock capped"),
        (("cooling_state",), 2, "for the sake of its temperature"),
    ],
)
def test_a_change_for_the_worse_gives_its_warning(
    tmp_path: Path, path: tuple[Any, ...], value: object, part: str
) -> None:
    state, machine = _quiet(tmp_path)
    found = state_warnings(state, _change(state, path, value), machine)
    assert len(found) == 1 and part in found[0]


def test_stolen_time_is_told_as_a_share(tmp_path: Path) -> None:
    state, machine = _quiet(tmp_path)
    ticks = state["ticks"]
    little = _change(state, ("ticks",), {**ticks, "total": ticks["total"] + 1000, "steal": 9})
    much = _change(state, ("ticks",), {**ticks, "total": ticks["total"] + 1000, "steal": 50})
    assert state_warnings(state, little, machine) == ()
    assert "gave 5.0% of the processor time" in state_warnings(state, much, machine)[0]


def test_slowing_by_heat_and_confinement_are_told(tmp_path: Path) -> None:
    root = cloud_container(tmp_path)
    state, machine = machine_state(root), machine_class(None, root, arch="x86_64")
    before, after = {**state, "throttle_count": 3}, {**state, "throttle_count": 7}
    found = state_warnings(before, after, machine)
    assert [part for part in found if "slowed by heat 4 times" in part]
    assert [part for part in found if "1.5 of 4 logical cores" in part]
    assert [part for part in found if "may run on 2 of 4" in part]


def test_what_the_firmware_did_before_the_measurement_is_no_matter(tmp_path: Path) -> None:
    state, machine = _quiet(tmp_path)
    long_ago = {**state, "firmware_throttling": "0x50000"}
    assert state_warnings(long_ago, long_ago, machine) == ()
    assert "clock capped" in state_warnings(long_ago, {**state, "firmware_throttling": "0x70000"}, machine)[0]


def test_a_clock_that_is_steady_while_queries_run_is_no_matter(tmp_path: Path) -> None:
    state, machine = _quiet(tmp_path)
    steady = {"fastest_khz": {"min": 1400000, "median": 1500000, "max": 1500000}, "throttle_count": 0}
    assert state_warnings(state, state, machine, steady) == ()
    low = {"fastest_khz": {"min": 1000000, "median": 1500000, "max": 1500000}}
    assert "between 1.00 and 1.50 GHz" in state_warnings(state, state, machine, low)[0]
