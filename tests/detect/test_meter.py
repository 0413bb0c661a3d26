# SPDX-License-Identifier: Apache-2.0
"""Power of the whole machine: the user's meter, the battery, and the energy made of their readings."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from codereef.detect.energy import Phase, Reading, machine_energy
from codereef.detect.meter import Battery, Meter, Unreadable, number_in, parse_meter
from codereef.detect.observe import Observation
from codereef.detect.tree import Tree
from codereef.errors import UsageError

from tests.detect.trees import cloud_container, laptop, raspberry_pi_4, write

SUPPLY = "sys/class/power_supply"
#: A meter as a program: joules since it was first asked, at 40 W.
JOULES = (
    "import pathlib, sys, time\n"
    "start = pathlib.Path(sys.argv[1])\n"
    "if not start.exists(): start.write_text(repr(time.monotonic()))\n"
    "print('meter 7 says'); print((time.monotonic() - float(start.read_text())) * 40, 'J')\n"
)


def test_a_meter_is_a_command_in_words_or_a_file(tmp_path: Path) -> None:
    assert parse_meter([]) is None
    assert parse_meter(["watts", f"file:{tmp_path}/power"]) == Meter("W", file=tmp_path / "power")
    meter = parse_meter(["joules", "sh", "-c", "echo 5; echo $HOME"])
    assert meter is not None and meter.unit == "J"
    assert Path(meter.command[0]).is_absolute() and meter.command[1:] == ("-c", "echo 5; echo $HOME")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["kilowatts", "sh"], "names no meter"),
        (["joules"], "names no meter"),
        (["joules", "no-such-program-anywhere"], "there is no such program"),
        (["watts", "file:relative/path"], "not one absolute path"),
        (["watts", "file:/a", "more"], "not one absolute path"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_runs(words: list[str], expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as caught:
        parse_meter(words)
    assert "cr config set meter" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.5", 12.5),
        ("Power: 3 W\n\n", 3.0),
        ("1\n2\n", 2.0),
        (".5e1 J", 5.0),
        ("-4", -4.0),
        ("a\nb 7", 7.0),
        ("usb-2: 3.5W", 3.5),
    ],
)
def test_the_number_is_the_first_of_the_last_line(text: str, expected: float) -> None:
    assert number_in(text) == expected


@pytest.mark.parametrize("text", ["", "no number", "1e999", "5\nnone", "ttyUSB0"])
def test_what_holds_no_number_is_not_read_as_one(text: str) -> None:
    with pytest.raises(Unreadable):
        number_in(text)


def test_words_of_a_command_are_never_read_by_a_shell(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    meter = parse_meter(["joules", sys.executable, "-c", "import sys; print(len(sys.argv[1]))", f"; touch {trap} #"])
    assert meter is not None and meter.read() == len(f"; touch {trap} #")
    assert not trap.exists()


@pytest.mark.parametrize(
    ("code", "expected"),
    [("raise SystemExit(3)", "ended with exit status 3"), ("print('hello')", "printed no number")],
)
def test_a_meter_that_fails_says_how(code: str, expected: str) -> None:
    with pytest.raises(Unreadable, match=expected):
        Meter("J", (sys.executable, "-c", code)).read()


def test_a_meter_s_file_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="cannot be read"):
        Meter("W", file=tmp_path / "none").read()


def test_a_battery_in_use_tells_its_power(tmp_path: Path) -> None:
    root = laptop(tmp_path)
    assert Battery(Tree(root)).read() == 9.5
    (root / SUPPLY / "BAT0/power_now").write_text("-9500000\n")
    assert Battery(Tree(root)).read() == 9.5, "some drivers count what flows out as negative"
    (root / SUPPLY / "BAT0/power_now").unlink()
    write(root / SUPPLY, {"BAT0/current_now": "500000", "BAT0/voltage_now": "12000000"})
    assert Battery(Tree(root)).read() == pytest.approx(6.0)
    write(root / SUPPLY, {"BAT1/type": "Battery", "BAT1/status": "Discharging", "BAT1/power_now": "1000000"})
    assert Battery(Tree(root)).read() == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"AC/online": "1"}, "runs on mains power"),
        ({"BAT0/status": "Full"}, "no battery is in use"),
        ({"BAT0/type": "UPS"}, "no battery, and no meter is set up"),
        ({"BAT0/power_now": "?"}, "does not tell its power"),
    ],
)
def test_a_battery_that_tells_nothing_says_why(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    root = laptop(tmp_path)
    write(root / SUPPLY, files)
    with pytest.raises(Unreadable, match=expected):
        Battery(Tree(root)).read()


def counted(
    *readings: tuple[float, float, float], phases: list[Phase] | None = None, unit: str = "J"
) -> dict[str, Any]:
    """Energy of readings (began, ended, value) in a phase from 10 to 20 s with 100 queries."""
    meter = Meter("J" if unit == "J" else "W", ("meter",))
    return machine_energy(meter, [Reading(*r) for r in readings], phases or [Phase(10.0, 20.0, 100)])


def test_joules_lie_between_the_readings_inside_and_outside_the_phase() -> None:
    # 10 W all the time, read at odd times.
    found = counted((8, 8, 80), (12, 12, 120), (18, 18, 180), (21, 21, 210))
    assert found["power_machine"]["value"] == pytest.approx(10.0)
    assert found["energy_machine"]["value"] == pytest.approx(1.0)
    assert found["energy_machine"]["interval"] == pytest.approx([0.6, 1.3])
    assert found["power_machine"]["interval"] == pytest.approx([6.0, 13.0])
    assert found["energy_machine"]["samples"] == 4


def test_a_reading_that_straddles_an_end_of_the_phase_counts_neither_inside_nor_outside() -> None:
    found = counted((8, 8, 80), (9.5, 10.5, 100), (21, 21, 210))
    assert found["energy_machine"]["interval"] == pytest.approx([0.0, 1.3])


def test_watts_are_averaged_and_bounded_by_the_lowest_and_the_highest() -> None:
    found = counted((5, 5, 99), (11, 11, 8), (15, 15, 9), (19, 19, 13), (25, 25, 1), unit="W")
    assert found["power_machine"]["value"] == pytest.approx(10.0)
    assert found["power_machine"]["interval"] == pytest.approx([8.0, 13.0])
    assert found["energy_machine"]["value"] == pytest.approx(1.0)


def test_phases_of_several_processes_are_summed() -> None:
    phases = [Phase(10.0, 20.0, 100), Phase(30.0, 35.0, 50)]
    found = counted((5, 5, 0), (10, 10, 100), (20, 20, 200), (30, 30, 900), (35, 35, 950), phases=phases)
    assert found["power_machine"]["value"] == pytest.approx(150 / 15)
    assert found["energy_machine"]["value"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("readings", "unit", "expected"),
    [
        ([(12, 12, 1), (21, 21, 2)], "J", "before or after the phase"),
        ([(8, 8, 1), (12, 12, 2)], "J", "before or after the phase"),
        ([(8, 8, 5), (21, 21, 2)], "J", "went down"),
        ([(8, 8, 5), (15, 15, 2), (21, 21, 2)], "W", "1 readings of the power in a phase of 10.0 s are too few"),
        ([], "W", "too few"),
    ],
)
def test_readings_that_do_not_tell_the_energy_give_a_reason(
    readings: list[tuple[float, float, float]], unit: str, expected: str
) -> None:
    for metric in counted(*readings, unit=unit).values():
        assert metric["value"] is None and metric["interval"] is None
        assert metric["reason"].startswith("not available: ") and expected in metric["reason"]


@pytest.mark.slow
def test_a_real_meter_is_read_while_a_phase_runs(tmp_path: Path) -> None:
    """A program that tells joules at 40 W, read twice a second; the phase lasts 1.2 s."""
    script = tmp_path / "meter.py"
    script.write_text(JOULES)
    meter = parse_meter(["joules", sys.executable, str(script), str(tmp_path / "start")])
    with Observation(meter, meter_every_s=0.2) as observation:
        time.sleep(0.3)
        begin = time.monotonic()
        time.sleep(1.2)
        end = time.monotonic()
        time.sleep(0.3)
    phase = {"begin": begin, "end": end, "queries": 30}
    found: Any = observation.metrics([phase])
    power, energy = found["power_machine"], found["energy_machine"]
    low, high = power["interval"]
    assert low <= 40.0 <= high, "the true power lies within the bounds"
    assert power["value"] == pytest.approx(40.0, rel=0.3)
    assert energy["value"] == pytest.approx(power["value"] * (end - begin) / 30)
    assert "external meter, whole machine" in power["method"] and str(tmp_path) not in str(found)


def test_a_meter_that_breaks_off_costs_the_energy_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "joules"
    file.write_text("5\n")
    with Observation(Meter("J", file=file), every_s=0.05, meter_every_s=0.05) as observation:
        begin = time.monotonic()
        time.sleep(0.2)
        file.unlink()
        time.sleep(0.2)
        end = time.monotonic()
    phase = {"begin": begin, "end": end, "queries": 3}
    found: Any = observation.metrics([phase])
    assert "cannot be read" in found["energy_machine"]["reason"]
    assert observation.during([phase])["readings"] != 0


def test_a_battery_is_read_where_no_meter_is_set_up(tmp_path: Path) -> None:
    with Observation(root=laptop(tmp_path), meter_every_s=0.05) as observation:
        begin = time.monotonic()
        time.sleep(0.4)
        end = time.monotonic()
    found: Any = observation.metrics([{"begin": begin, "end": end, "queries": 2}])
    assert found["power_machine"]["value"] == pytest.approx(9.5)
    assert found["energy_machine"]["value"] == pytest.approx(9.5 * (end - begin) / 2)
    assert "battery, whole machine" in found["power_machine"]["method"]


@pytest.mark.parametrize("make", [raspberry_pi_4, cloud_container])
def test_a_machine_without_any_of_it_says_how_to_set_up_a_meter(tmp_path: Path, make: Any) -> None:
    with Observation(root=make(tmp_path)) as observation:
        pass
    found: Any = observation.metrics([{"begin": 0.0, "end": 1.0, "queries": 1}])
    assert "cr config set meter" in found["energy_machine"]["reason"]


def test_without_a_phase_there_is_no_energy_of_one(tmp_path: Path) -> None:
    with Observation(root=tmp_path) as observation:
        pass
    assert observation.metrics([{}]) == {} == observation.metrics([])
    assert observation.metrics([{"begin": 2.0, "end": 1.0}, {"begin": "x", "end": None}]) == {}


def test_the_meter_sees_little_of_the_user_s_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "5")
    meter = Meter("J", (sys.executable, "-c", "import os; print(len(os.environ.get('SECRET_TOKEN', '')))"))
    assert meter.read() == 0.0
    assert os.environ["SECRET_TOKEN"] == "5"
