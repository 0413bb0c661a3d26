# SPDX-License-Identifier: Apache-2.0
"""Sentences about a machine's state that may have bent a measurement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

LOAD_PER_CORE = 0.5
STEAL_SHARE = 0.01
FREQUENCY_DROP = 0.10
SWAP_MIB = 16
NEAR_LIMIT_CELSIUS = 5.0
_FIRMWARE = ("voltage too low", "clock capped", "throttled", "soft limit of temperature")

State = Mapping[str, object]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _part(state: State, name: str) -> Mapping[str, object]:
    value = state.get(name)
    return value if isinstance(value, Mapping) else {}


def _items(state: State, name: str) -> Sequence[Mapping[str, object]]:
    value = state.get(name)
    return cast("Sequence[Mapping[str, object]]", value) if isinstance(value, list) else ()


def _cores(machine: State) -> float | None:
    return _number(_part(machine, "cpu").get("logical_cores"))


def _governor(before: State, after: State) -> Iterator[str]:
    policies = [*_items(before, "frequency"), *_items(after, "frequency")]
    names = {str(policy.get("governor")) for policy in policies} - {"performance", "not available"}
    if names:
        yield (
            f"The frequency governor is {' and '.join(sorted(names))}, not performance: "
            "the processor may have changed its clock during the measurement."
        )


def _load(before: State, machine: State) -> Iterator[str]:
    loads, cores = before.get("load"), _cores(machine)
    load = _number(loads[0]) if isinstance(loads, list) and loads else None
    if load is not None and cores and load / cores > LOAD_PER_CORE:
        yield f"The machine was busy before the start: a load of {load:.2f} on {cores:.0f} logical cores."


def _steal(before: State, after: State) -> Iterator[str]:
    start, end = _part(before, "ticks"), _part(after, "ticks")
    counts = [_number(side.get(name)) for side in (start, end) for name in ("steal", "total")]
    if all(count is not None for count in counts):
        steal0, total0, steal1, total1 = cast("list[float]", counts)
        share = (steal1 - steal0) / (total1 - total0) if total1 > total0 else 0.0
        if share > STEAL_SHARE:
            yield f"The hypervisor gave {share:.1%} of the processor time to others during the measurement."


def _frequency(before: State, after: State) -> Iterator[str]:
    earlier = {policy.get("policy"): policy for policy in _items(before, "frequency")}
    worst: tuple[float, float, float] | None = None
    limited = False
    for policy in _items(after, "frequency"):
        old = _number(earlier.get(policy.get("policy"), {}).get("current_khz"))
        new = _number(policy.get("current_khz"))
        if old and new and 1 - new / old > FREQUENCY_DROP and (worst is None or new / old < worst[0]):
            worst = (new / old, old, new)
        top, hardware = _number(policy.get("max_khz")), _number(policy.get("hardware_max_khz"))
        limited = limited or bool(top and hardware and top < hardware)
    if worst is not None:
        yield (
            f"The processor's clock was {worst[2] / 1e6:.2f} GHz after the measurement "
            f"and {worst[1] / 1e6:.2f} GHz before it."
        )
    if limited:
        yield "The processor's clock is limited to less than the hardware allows."


def _heat(before: State, after: State, during: State) -> Iterator[str]:
    start, end = _number(before.get("throttle_count")), _number(after.get("throttle_count"))
    if start is not None and end is not None and end > start:
        inside = _number(during.get("throttle_count"))
        part = f", {inside:.0f} of them while queries ran" if inside is not None else ""
        yield f"The processor was slowed by heat {end - start:.0f} times during the measurement{part}."
    # What was seen meanwhile is nearer to the truth than what the sensor says when all is over.
    for sensor in _items(during, "temperatures") or _items(after, "temperatures"):
        value, limit = _number(sensor.get("max", sensor.get("celsius"))), _number(sensor.get("limit_celsius"))
        if value is not None and limit is not None and value >= limit - NEAR_LIMIT_CELSIUS:
            yield f"The sensor {sensor.get('sensor')} read {value:.0f} °C, and its limit is {limit:.0f} °C."


def _clock(during: State) -> Iterator[str]:
    spread = _part(during, "fastest_khz")
    low, high = _number(spread.get("min")), _number(spread.get("max"))
    if low and high and 1 - low / high > FREQUENCY_DROP:
        yield (
            f"The clock of the fastest core lay between {low / 1e6:.2f} and {high / 1e6:.2f} GHz "
            "while queries ran: the processor may have been throttled."
        )


def _slowed(before: State, after: State) -> Iterator[str]:
    """Warn of what slows a processor without a counter; `codereef.detect.sensors` says what the bits mean."""
    first, last = (_flags(state.get("firmware_throttling")) for state in (before, after))
    seen = (first | last | last >> 16 & ~(first >> 16)) & 0xF
    names = [name for bit, name in enumerate(_FIRMWARE) if seen >> bit & 1]
    if names:
        yield f"The firmware slowed the processor: {', '.join(names)}."
    if any(_number(state.get("cooling_state")) for state in (before, after)):
        yield "The kernel was slowing the processor for the sake of its temperature."


def _flags(value: object) -> int:
    try:
        return int(value, 16) if isinstance(value, str) else 0
    except ValueError:
        return 0  # not available


def _power(before: State, after: State) -> Iterator[str]:
    for state in (before, after):
        power = _part(state, "power")
        if power.get("battery") == "discharging" or power.get("mains") is False:
            yield "The machine ran on its battery."
            return


def _memory(before: State, after: State) -> Iterator[str]:
    used = [_number(_part(state, "memory").get("swap_used_mib")) or 0.0 for state in (before, after)]
    if max(used) > SWAP_MIB:
        yield f"Swap was in use ({max(used):.0f} MiB): some memory may have been on disk."


def _confined(before: State, machine: State) -> Iterator[str]:
    cores = _cores(machine)
    limit = _number(_part(before, "limits").get("cpus"))
    if limit is not None and cores and limit < cores:
        yield f"A control group limits this process to {limit:g} of {cores:.0f} logical cores."
    allowed = _number(before.get("affinity_cpus"))
    if allowed is not None and cores and allowed < cores:
        yield f"This process may run on {allowed:.0f} of {cores:.0f} logical cores only."


def state_warnings(before: State, after: State, machine: State, during: State | None = None) -> tuple[str, ...]:
    """Return warnings for people, in a fixed order; empty when nothing was found.

    Args:
        before: `codereef.detect.state.machine_state` before the measurement.
        after: the same after it.
        machine: `codereef.detect.machine.machine_class`.
        during: `codereef.detect.observe.Observation.during`, where somebody watched.
    """
    found = [
        *_governor(before, after),
        *_load(before, machine),
        *_steal(before, after),
        *_frequency(before, after),
        *_heat(before, after, during or {}),
        *_clock(during or {}),
        *_slowed(before, after),
        *_power(before, after),
        *_memory(before, after),
        *_confined(before, machine),
    ]
    return tuple(dict.fromkeys(found))
