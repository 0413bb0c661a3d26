# SPDX-License-Identifier: Apache-2.0
"""What a series shows over all processes that took it: as data, and in a sentence each for people.

A sign in one of many processes is what chance gives: each test errs about once in a hundred. So of more than two
processes at least two have to show it before anybody is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from codereef.bench.processes import Between
from codereef.bench.series import Signs, signs

Course = tuple[Sequence[float], Sequence[float]]
_NO_COURSE: Course = ((), ())
_OUTLIER_SHARE, _OUTLIER_COUNT = 0.01, 3


@dataclass(frozen=True)
class SeriesSigns:
    """What a series shows.

    Attributes:
        name: of the series.
        each: what it shows in every process that has samples of it, by the number of the process, from 1.
        between: how the processes differ; None where that was not looked for.
    """

    name: str
    each: Mapping[int, Signs]
    between: Optional[Between] = None

    @property
    def single_mode(self) -> dict[int, Signs]:
        """Of `each`, those with one mode: the rarer of two is far from the other, and is no outlier."""
        return {number: one for number, one in self.each.items() if one.modes is None}

    @property
    def shown(self) -> dict[str, tuple[int, ...]]:
        """The signs of which a reader of the numbers must know, each with the processes that show it.

        `settling` is a warm-up that did not end in the first half.
        """
        has: dict[str, Callable[[Signs], bool]] = {
            "settling": lambda one: not one.warm_up.settled,
            "warm_up": lambda one: one.warm_up.settled and one.warm_up.end > 0,
            "throttling": lambda one: one.throttling is not None,
            "drift": lambda one: one.drift is not None and not one.drift.steady,
            "modes": lambda one: one.modes is not None,
        }
        found = {sign: tuple(n for n, one in self.each.items() if test(one)) for sign, test in has.items()}
        least = 2 if len(self.each) > 2 else 1
        shown = {sign: numbers for sign, numbers in found.items() if len(numbers) >= least}
        count, samples = _outliers_of(self.single_mode)
        if count >= _OUTLIER_COUNT and count > _OUTLIER_SHARE * samples:
            shown["outliers"] = tuple(n for n, one in self.single_mode.items() if one.outliers.count)
        return shown

    def as_dict(self) -> dict[str, object]:
        """They as JSON data (`signs` in schemas/result.json)."""
        data: dict[str, object] = {
            "shown": {sign: list(numbers) for sign, numbers in self.shown.items()},
            "processes": [{"process": number, **one.as_dict()} for number, one in self.each.items()],
        }
        if self.between is not None:
            data["between"] = self.between.as_dict()
        return data

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each sign of which a reader of the numbers must know."""
        said = [_apart(self.between, self.name)] if self.between is not None and self.between.uneven else []
        for sign, numbers in self.shown.items():
            head, text = _SENTENCES[sign](self, [self.each[number] for number in numbers])
            where = f" in {len(numbers)} of {len(self.each)} processes" if len(self.each) > 1 else ""
            said.append(f"{head}{where}: {text}")
        return tuple(said)


def signs_of_processes(
    series: Sequence[Sequence[float]],
    name: str = "latency",
    courses: Sequence[Course] = (),
    between: Optional[Between] = None,
) -> SeriesSigns:
    """Look for every sign in what each process measured.

    Args:
        series: raw samples in seconds, one series a process, in the order of the processes; those without samples
            are left out.
        name: of the series.
        courses: of each process, readings of the clock and of the temperature while it was measured, where known.
        between: how the processes differ, where that is known.
    """
    known = [*courses, *[_NO_COURSE] * (len(series) - len(courses))]
    each = {n: signs(values, *course) for n, (values, course) in enumerate(zip(series, known), 1) if len(values)}
    return SeriesSigns(name, each, between)


def _outliers_of(each: Mapping[int, Signs]) -> tuple[int, int]:
    """How many outliers there are in all, and of how many samples."""
    return sum(one.outliers.count for one in each.values()), sum(one.samples for one in each.values())


def _apart(between: Between, name: str) -> str:
    low, high = min(between.medians), max(between.medians)
    return (
        f"processes differ by more than chance: the median {name} of {between.processes} processes lies between "
        f"{low * 1e3:.4g} and {high * 1e3:.4g} ms ({between.spread * 100:.1f} % apart)"
    )


def _in_the(which: str, found: Sequence[Signs]) -> str:
    return f"in the {which} of them, " if len(found) > 1 else ""


def _settling(of: SeriesSigns, found: Sequence[Signs]) -> tuple[str, str]:
    return "still warming up", f"the median {of.name} fell until the middle of the series or longer"


def _warm_up(of: SeriesSigns, found: Sequence[Signs]) -> tuple[str, str]:
    one = max(found, key=lambda each: each.warm_up.excess)
    return "a warm-up is among the samples", (
        f"{_in_the('worst', found)}the first {one.warm_up.end} of {one.samples} are {one.warm_up.excess * 100:.1f} % slower"
    )


def _throttled(of: SeriesSigns, found: Sequence[Signs]) -> tuple[str, str]:
    seen = [each.throttling for each in found if each.throttling is not None]
    one = max(seen, key=lambda each: (each.certain, each.slower))
    causes = [f"the clock fell by {-one.clock * 100:.0f} %"] if one.certain and one.clock is not None else []
    if one.warmer is not None and one.warmer > 0:
        causes.append(f"it became {one.warmer:.0f} degrees warmer")
    return "throttled" if one.certain else "perhaps throttled", (
        f"{_in_the('worst', found)}the median {of.name} rose by {one.slower * 100:.1f} % while {' and '.join(causes)}"
    )


def _drift(of: SeriesSigns, found: Sequence[Signs]) -> tuple[str, str]:
    change = max((each.drift.change for each in found if each.drift is not None), key=abs)
    return "not steady", (
        f"{_in_the('worst', found)}the median {of.name} changed by {change * 100:+.1f} % from the first half to the second"
    )


def _modes(of: SeriesSigns, found: Sequence[Signs]) -> tuple[str, str]:
    one = next(each.modes for each in found if each.modes is not None)
    return "more than one mode", (
        f"{_in_the('first', found)}{one.share * 100:.0f} % of the samples of {of.name} lie around {one.low * 1e3:.4g} ms "
        f"and {100 - one.share * 100:.0f} % around {one.high * 1e3:.4g} ms; a single percentile says little of either"
    )


def _outliers(of: SeriesSigns, found: Sequence[Signs]) -> tuple[str, str]:
    count, samples = _outliers_of(of.single_mode)
    one = found[0].outliers
    far = (
        f"outside {one.low * 1e3:.4g} to {one.high * 1e3:.4g} ms"
        if len(of.each) == 1
        else "far from the median of their process"
    )
    return "outliers", (
        f"{count:,} of {samples:,} samples of {of.name} ({count / samples * 100:.1f} %) lie {far}; they are kept"
    )


_SENTENCES: Mapping[str, Callable[[SeriesSigns, Sequence[Signs]], tuple[str, str]]] = {
    "settling": _settling,
    "warm_up": _warm_up,
    "throttling": _throttled,
    "drift": _drift,
    "modes": _modes,
    "outliers": _outliers,
}
