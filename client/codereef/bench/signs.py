# SPDX-License-Identifier: Apache-2.0
"""What the series of several processes show together, in a sentence each.

A sign in one of many processes is what chance gives: each test errs about once in a hundred. So of more than two
processes at least two have to show it.
"""

from __future__ import annotations

from collections.abc import Sequence

from codereef.bench.series import OUTLIER_COUNT, OUTLIER_SHARE, Signs, signs

Course = tuple[Sequence[float], Sequence[float]]
_NO_COURSE: Course = ((), ())


def signs_of_processes(
    series: Sequence[Sequence[float]], name: str = "latency", courses: Sequence[Course] = ()
) -> tuple[str, ...]:
    """Return a sentence for each sign that a reader of numbers over several processes must know.

    Args:
        series: raw samples in seconds, one series a process; those without samples are left out.
        name: of the series.
        courses: of each process, readings of the clock and of the temperature while it was measured, where known.
    """
    known = [*courses, *[_NO_COURSE] * (len(series) - len(courses))]
    found = [signs(values, name, *course) for values, course in zip(series, known) if len(values)]
    if not found:
        return ()
    n, least = len(found), 2 if len(found) > 2 else 1

    def where(shown: Sequence[Signs]) -> str:
        return f"in {len(shown)} of {n} processes"

    said = []
    settling = [each for each in found if not each.warm_up.settled]
    warm = [each for each in found if each.warm_up.settled and each.warm_up.end]
    if len(settling) >= least:
        said.append(f"still warming up {where(settling)}: the median {name} fell until the middle of them or longer")
    if len(warm) >= least:
        worst = max(warm, key=lambda each: each.warm_up.excess).warm_up
        said.append(
            f"a warm-up is among the samples {where(warm)}: at most, the first {worst.end} are "
            f"{worst.excess * 100:.1f} % slower"
        )
    throttled = [each.throttling for each in found if each.throttling is not None]
    if len(throttled) >= least:
        word = "throttled" if any(each.certain for each in throttled) else "perhaps throttled"
        said.append(
            f"{word} in {len(throttled)} of {n} processes: the median {name} rose by up to "
            f"{max(each.slower for each in throttled) * 100:.1f} % while the machine slowed down or became warmer"
        )
    changes = [each.drift.change for each in found if each.drift is not None and not each.drift.steady]
    if len(changes) >= least:
        said.append(
            f"not steady in {len(changes)} of {n} processes: the median {name} changed by up to "
            f"{max(changes, key=abs) * 100:+.1f} % from the first half to the second"
        )
    modes = [each for each in found if each.modes is not None]
    if len(modes) >= least:
        shown = modes[0].modes
        assert shown is not None
        said.append(
            f"more than one mode {where(modes)}: such as {shown.share * 100:.0f} % of the samples around "
            f"{shown.low * 1e3:.4g} ms and {100 - shown.share * 100:.0f} % around {shown.high * 1e3:.4g} ms; "
            "a single percentile says little of either"
        )
    # The rarer of two modes is far from the other, and is no outlier.
    plain = [each for each in found if each.modes is None]
    count, samples = sum(each.outliers.count for each in plain), sum(each.samples for each in plain)
    if count >= OUTLIER_COUNT and count > OUTLIER_SHARE * samples:
        said.append(
            f"outliers: {count:,} of {samples:,} samples of {name} ({count / samples * 100:.1f} %) lie far from the "
            "median of their process; they are kept"
        )
    return tuple(said)
