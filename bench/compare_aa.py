# SPDX-License-Identifier: Apache-2.0
"""How often the verdict of `cr compare` is wrong on two results of the same thing, and how often it sees 5 %.

    python bench/compare_aa.py [--processes 7] [--runs 400] [--slowdown 1.05] [RECORDING.json ...]

For each source of noise two results are drawn that differ in nothing (A/A), and two of which one is slower. Beside
the verdict stand what peers do with the same samples: Student's t and Mann-Whitney on all samples at p < 0.01, as
if they were independent, and Phoronix's rule that means further apart than the two standard errors differ.
False alarms come with an upper bound at 95 % confidence (Clopper & Pearson 1934).

Recordings (bench/record_noise.py) of processes that followed each other are taken in three ways: `shuffled`, any
processes; `in a row`, those of A and then those of B as they were measured, which is what two results are;
`alternating`, A and B by turns. Results in a row share their processes with their neighbours, so the bound is too
small for those. Recordings of two processes at a time that took turns, as `cr benchmark --interleave` lets them
(`bench/record_noise.py --turns`), are taken in `pairs`: some are drawn, without regard to when they were measured,
and A and B are the first of two by turns, as there.

Exit status 1 when in any source there are more false alarms than chance allows at 1 %, or in one of which it is
demanded the power is under 95 %. It is not demanded where the noise hides 5 % from any test with so few processes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import NormalDist, fmean, median, variance

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "client"))

from codereef.bench.compare import FASTER, PROCESSES, SLOWER, compare  # noqa: E402
from codereef.bench.distributions import beta_share, t_two_sided  # noqa: E402
from codereef.bench.ranks import mann_whitney  # noqa: E402

Series = list[list[float]]
LEVEL = 0.01
SAMPLES = 40  # of a process, where nothing else is said; as many as the recordings keep


@dataclass(frozen=True)
class Source:
    """Where pairs of results come from.

    Attributes:
        name: of it.
        pairs: yields pairs of results for a number of processes, seeded.
        turns: whether the processes of the two took turns.
        power: whether it is demanded that the slowdown is found.
    """

    name: str
    pairs: Callable[[int, int], Iterator[tuple[Series, Series]]]
    turns: bool = False
    power: bool = True


@dataclass
class Tally:
    """How often each rule found a difference where there was none, and the slowdown where there was."""

    runs: int = 0
    alarms: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)


def _process(random: Random, n: int, memory: float, second: float, drift: float) -> list[float]:
    """One process: gamma noise that remembers, a second mode 30 % above for a share, a rise by `drift`."""
    state, slow, values = random.gauss(0, 1), random.random() < second, []
    for i in range(n):
        state = memory * state + math.sqrt(1 - memory * memory) * random.gauss(0, 1)
        if random.random() < 0.25:  # modes last for some samples
            slow = random.random() < second
        values.append((1 + 0.03 * math.exp(0.5 * state)) * (1.3 if slow else 1.0) * (1 + drift * i / n))
    return values


def synthetic(
    name: str, *, shift: float = 0.005, memory: float = 0.0, second: float = 0.0, drift: float = 0.0, slow: float = 0.0,
    layouts: float = 0.0, meanwhile: float = 0.0, turns: bool = False, power: bool = True,
    samples: int = SAMPLES,
) -> Source:  # fmt: skip
    """Made-up noise; `shift` is the spread between processes, `slow` what lasts for many of them,
    `layouts` the share of processes that are 10 % slower altogether, `meanwhile` what meets a process of A and the
    next of B alike."""

    def pairs(count: int, runs: int) -> Iterator[tuple[Series, Series]]:
        random = Random(f"{name} {count}")
        lasting = random.gauss(0, 1)
        for _ in range(runs):
            series: Series = []
            both = 0.0
            for number in range(2 * count):
                both = random.gauss(0, meanwhile) if number % 2 == 0 else both
                lasting = 0.9 * lasting + math.sqrt(1 - 0.81) * random.gauss(0, 1)
                factor = math.exp(shift * random.gauss(0, 1) + slow * lasting + both)
                factor *= 1.1 if random.random() < layouts else 1.0
                series.append([factor * v for v in _process(random, samples, memory, second, drift)])
            yield (series[::2], series[1::2]) if turns else (series[:count], series[count:])

    return Source(name, pairs, turns, power)


def recorded(path: Path) -> Iterator[Source]:
    """A recording in the three ways of taking it."""
    data = json.loads(path.read_text(encoding="utf-8"))
    series: Series = [[float(v) for v in values] for values in data["processes"]]
    # On a machine where neighbours come and go nobody finds 5 %; false alarms are what can be asked of a verdict.
    name = f"{path.stem} (load {data['load'][0]:g} to {data['load'][1]:g})" if "load" in data else path.stem

    def shuffled(count: int, runs: int) -> Iterator[tuple[Series, Series]]:
        random = Random(path.stem)
        for _ in range(runs):
            drawn = random.sample(series, 2 * count)
            yield drawn[:count], drawn[count:]

    def windows(count: int) -> Iterator[Series]:
        return (series[i : i + 2 * count] for i in range(len(series) - 2 * count + 1))

    def pairs(count: int, runs: int) -> Iterator[tuple[Series, Series]]:
        random = Random(path.stem)
        for _ in range(runs):
            drawn = random.sample(range(0, len(series) - 1, 2), count)
            # Whose process began is by turns, as in the client.
            begins = [number % 2 for number in range(count)]
            yield (
                [series[i + second] for i, second in zip(drawn, begins, strict=True)],
                [series[i + 1 - second] for i, second in zip(drawn, begins, strict=True)],
            )

    if "turns" in data:
        yield Source(f"{name}, pairs", pairs, turns=True)
        return
    yield Source(f"{name}, shuffled", shuffled)
    yield Source(f"{name}, in a row", lambda count, runs: ((w[:count], w[count:]) for w in windows(count)))
    yield Source(f"{name}, alternating", lambda count, runs: ((w[::2], w[1::2]) for w in windows(count)), turns=True)


def sources(recordings: Sequence[Path]) -> Iterator[Source]:
    """Every source of noise."""
    yield synthetic("independent samples", shift=0.0)
    yield synthetic("remembering samples (0.8)", shift=0.0, memory=0.8)
    yield synthetic("two modes in each process", second=0.2, samples=200)
    yield synthetic("one process in five unlucky (10 %)", layouts=0.2, power=False)
    yield synthetic("drift in each process (8 %)", drift=0.08)
    yield synthetic("process shifts 0.5 %", shift=0.005)
    yield synthetic("process shifts 0.9 %", shift=0.009)
    yield synthetic("process shifts 2 %", shift=0.02, power=False)
    yield synthetic("shifts 0.5 %, 1 % of it lasting", slow=0.01, power=False)
    yield synthetic("shifts 0.5 %, 1 % lasting, turns", slow=0.01, turns=True, power=False)
    yield synthetic("shifts 0.9 %, 10 % meanwhile, turns", shift=0.009, meanwhile=0.1, turns=True)
    yield synthetic("shifts 1.2 %, 30 % meanwhile, turns", shift=0.012, meanwhile=0.3, turns=True)
    yield synthetic("one in five unlucky (10 %), turns", layouts=0.2, turns=True, power=False)
    for path in recordings:
        yield from recorded(path)


def rules(a: Series, b: Series, turns: bool) -> dict[str, int]:
    """What each rule says of b against a: -1 faster, 0 no difference, 1 slower."""
    one, two = [v for s in a for v in s], [v for s in b for v in s]
    parts = variance(one) / len(one), variance(two) / len(two)
    apart, error = fmean(two) - fmean(one), math.sqrt(sum(parts))
    direction = 1 if apart > 0 else -1
    t = t_two_sided(apart / error, len(one) + len(two) - 2) < LEVEL
    u, p = mann_whitney(one, two)
    verdict = compare(a, b, confidence=None, interleaved=turns).verdict
    return {
        "cr compare": {FASTER: -1, SLOWER: 1}.get(verdict, 0),
        "t-test": direction if t else 0,
        "Mann-Whitney": (1 if u < len(one) * len(two) / 2 else -1) if p < LEVEL else 0,
        "Phoronix": direction if abs(apart) > math.sqrt(parts[0]) + math.sqrt(parts[1]) else 0,
    }


def tally(source: Source, processes: int, runs: int, slowdown: float) -> Tally:
    """Draw pairs from a source and count."""
    counted = Tally()
    for a, b in source.pairs(processes, runs):
        counted.runs += 1
        slower = [[slowdown * v for v in values] for values in b]
        for name, said in rules(a, b, source.turns).items():
            counted.alarms[name] = counted.alarms.get(name, 0) + (said != 0)
        for name, said in rules(a, slower, source.turns).items():
            counted.found[name] = counted.found.get(name, 0) + (said == 1)
    return counted


def upper_bound(events: int, runs: int, confidence: float = 0.95) -> float:
    """One-sided upper bound of a proportion (Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404)."""
    if events == runs:
        return 1.0
    low, high = events / runs, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        # The chance of at most so many events at this proportion.
        low, high = (
            (middle, high) if 1 - beta_share(middle, events + 1, runs - events) > 1 - confidence else (low, middle)
        )
    return high


def power_limit(recording: Path, processes: int, slowdown: float) -> float:
    """The power that even a test which knew the true spread between processes, or pairs, could have at 1 % false alarms."""
    data = json.loads(recording.read_text(encoding="utf-8"))
    logs = [math.log(median(values)) for values in data["processes"]]
    # Of results in turns it is the spread of the ratios of pairs.
    spread = variance([b - a for a, b in zip(logs[::2], logs[1::2])]) if "turns" in data else 2 * variance(logs)
    error = math.sqrt(spread / processes)
    return NormalDist().cdf(math.log(slowdown) / error - NormalDist().inv_cdf(1 - LEVEL / 2))


def main() -> int:
    """Print the table; 1 when a goal is missed where it is held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--runs", type=int, default=400, help="pairs of results a source")
    parser.add_argument("--slowdown", type=float, default=1.05)
    arguments = parser.parse_args()
    paths = arguments.recordings or sorted((ROOT / "tests" / "bench" / "data").glob("*.json"))
    print(f"{arguments.processes} processes a result, slowdown {arguments.slowdown:g}; false alarms % / found %")
    names = ("cr compare", "t-test", "Mann-Whitney", "Phoronix")
    print(f"{'source':52} {'pairs':>5} {'<= %':>6}  " + "  ".join(f"{name:>13}" for name in names))
    good = True
    limits = {path.stem: power_limit(path, arguments.processes, arguments.slowdown) for path in paths}
    for source in sources(paths):
        seen = tally(source, arguments.processes, arguments.runs, arguments.slowdown)
        shares = [(100 * seen.alarms[name] / seen.runs, 100 * seen.found[name] / seen.runs) for name in names]
        bound = 100 * upper_bound(seen.alarms["cr compare"], seen.runs)
        limit = limits.get(source.name.split(" ")[0].rstrip(","))
        print(
            f"{source.name:52} {seen.runs:5} {bound:6.2f}  "
            + "  ".join(f"{wrong:5.1f} / {found:5.1f}" for wrong, found in shares),
            flush=True,
        )
        alarms = seen.alarms["cr compare"]
        # The chance of so many alarms or more if one in a hundred were wrong.
        good &= alarms == 0 or beta_share(LEVEL, alarms, seen.runs - alarms + 1) > 0.05
        # Nobody can find what the noise hides: power is demanded where an all-knowing test would have it.
        if source.power and (limit is None or limit > 0.999):
            good &= shares[0][1] >= 95
    for name, limit in limits.items():
        asked = "" if limit > 0.999 else "; no power was demanded of it"
        print(f"{name}: a test that knew the noise exactly would find {100 * limit:.0f} %{asked}")
    print("goals held" if good else "GOALS MISSED")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
