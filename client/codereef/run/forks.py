# SPDX-License-Identifier: Apache-2.0
"""The processes of one measurement, joined into one answer, with what their series show.

One process has one memory layout, one set of neighbours, one moment. So a measurement is spread over several,
one after the other; what lies between them is part of the uncertainty that is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from codereef.bench.processes import Between, combine_single, summarise_processes
from codereef.bench.signs import Course, SeriesSigns, signs_of_processes
from codereef.meta.schemas import problems
from codereef.run.process import Answer

#: A driver whose figures are its own: its samples are the times of the calls, without the waiting before them.
_LOADGEN = "mlperf-loadgen"
#: What a load measured: times of queries, or of inferences in the scenario offline. A warm-up shows what it is.
_MEASURED = ("latency", "inference")
#: What a clock can tell of a query, in seconds; a program may write other numbers.
_SHORTEST, _LONGEST = 1e-12, 1e9
#: Settings of a load that processes share: each says its share of the option of that name.
_SHARED = ("min_seconds", "max_seconds", "min_samples", "max_samples")
_OF_SERIES = re.compile(r"(?P<series>.+)_(?:p(?P<percent>\d+(?:\.\d+)?)|mean)")


@dataclass(frozen=True)
class Joined:
    """What the processes of a run say together; the shapes are those of a response.

    Attributes:
        metrics: by name.
        samples: series by name, one process after the other.
        warnings: sentences for people.
        load: how queries were sent; empty where no program says it.
        processes: what is kept of each process; empty where there was one.
        signs: what series show, by name; the sentences are among the warnings.
    """

    metrics: Mapping[str, Any]
    samples: Mapping[str, Any]
    warnings: Sequence[str]
    load: Mapping[str, Any] = field(default_factory=dict)
    processes: Sequence[Mapping[str, Any]] = ()
    signs: Mapping[str, Any] = field(default_factory=dict)


def sound(answer: Answer) -> bool:
    """Return whether the metrics, samples, warnings and load of an answer are what a result can hold."""
    document = {**answer.response, "samples": answer.samples}
    parts = tuple(f"$.{part}" for part in ("metrics", "samples", "warnings", "load"))
    return not any(problem.path.startswith(parts) for problem in problems(document, "result"))


def as_said(answer: Answer) -> Joined:
    """Return what one process said, as it is; what no result can hold is found later."""
    response = answer.response
    return Joined(response.get("metrics", {}), answer.samples, response.get("warnings", []), response.get("load", {}))


def join(answers: Sequence[Answer], options: Mapping[str, Any], courses: Sequence[Course] = ()) -> Joined:
    """Join the answers of processes that were asked the same; that of a single one stays as it is.

    A metric of a series (`latency_p90`, `latency_mean`) is computed anew from the series of all of them; of any
    other that several processes gave, the median is taken; what one process gave alone stays as it is. Figures of
    MLPerf LoadGen do not follow from the samples, which do not count from the arrival; of them the median is taken.

    Args:
        answers: at least one, each `sound`, in the order they ran.
        options: options in force; `confidence` (0 to 1), `seed` and those that processes share (seconds and samples)
            are used where the program has them.
        courses: of each process, readings of the clock and of the temperature while it was measured, where known.
    """
    if len(answers) == 1:
        alone = as_said(answers[0])
        found = _signs(answers, courses, {})
        return replace(alone, warnings=_with_sentences(alone.warnings, found), signs=_data(found))
    confidence, seed = _level(options.get("confidence")), _seed(options.get("seed"))
    reported = any(answer.response.get("load", {}).get("driver") == _LOADGEN for answer in answers)
    series = [{name: list(entry["values"]) for name, entry in answer.samples.items()} for answer in answers]
    samples: dict[str, Any] = {}
    for answer in answers:
        for name, entry in answer.samples.items():
            samples.setdefault(name, {"unit": entry["unit"], "values": []})["values"].extend(entry["values"])
    said = [answer.response.get("metrics", {}) for answer in answers]
    metrics: dict[str, Any] = {}
    warnings = [text for answer in answers for text in answer.response.get("warnings", [])]
    for name in dict.fromkeys(name for one in said for name in one):
        given = [one[name] for one in said if name in one]
        known = [entry for entry in given if entry["value"] is not None]
        values = [entry["value"] for entry in known]
        metrics[name] = (known or given)[0]
        # What is the same in all, such as the model's size, is known and not estimated.
        if len(set(values)) > 1 and (reported or not _of_series(name, samples)):
            metrics[name] = _once_each(values, known[0])
    between: dict[str, Between] = {}
    for name, quantiles in _series_of(metrics, samples).items():
        parts = [one[name] for one in series if one.get(name)]
        if len(parts) > 1:
            summary = summarise_processes(parts, name, quantiles, confidence, seed)
            # `throughput` may be something else than one over the mean, as in the offline scenario.
            own = {key for key in summary.metrics if key in metrics and (_of_series(key, samples) or _inverse(said[0]))}
            if not reported:
                metrics.update({key: summary.metrics[key].as_dict() for key in summary.metrics if key in own})
            between[name] = summary.between
    found = _signs(answers, courses, between)
    load = _load([answer.response["load"] for answer in answers if answer.response.get("load")], options)
    return Joined(
        metrics,
        samples,
        list(dict.fromkeys([*_with_sentences(warnings, found), *_wide(metrics, options, load)])),
        load,
        tuple(_process(answer) for answer in answers),
        _data(found),
    )


def _signs(answers: Sequence[Answer], courses: Sequence[Course], between: Mapping[str, Between]) -> list[SeriesSigns]:
    """Return what each series shows: the measured ones all signs, others only how the processes differ."""
    found = []
    for name in dict.fromkeys([*between, *_MEASURED]):
        series = [_times(answer.samples.get(name)) if name in _MEASURED else [] for answer in answers]
        if any(series) or name in between:
            found.append(signs_of_processes(series, name, courses, between.get(name)))
    return found


def _times(entry: Mapping[str, Any] | None) -> list[float]:
    """Return the times of a series in seconds; none where it holds something else."""
    values = entry["values"] if entry is not None and entry["unit"] == "s" else []
    return list(map(float, values)) if all(v == 0 or _SHORTEST <= v <= _LONGEST for v in values) else []


def _with_sentences(warnings: Sequence[str], found: Sequence[SeriesSigns]) -> list[str]:
    return [*warnings, *(text for one in found for text in one.warnings)]


def _data(found: Sequence[SeriesSigns]) -> dict[str, Any]:
    return {one.name: one.as_dict() for one in found}


def _level(value: object) -> float:
    """Return a level of confidence; a program of others may call something else so."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1
    return float(value) if known else 0.95  # type: ignore[arg-type]


def _seed(value: object) -> int:
    return value if isinstance(value, int) else 1


def _once_each(values: Sequence[float], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metric of which each process gave one value."""
    combined = combine_single(values)
    return {
        **said,
        "value": combined.value,
        "interval": None if combined.interval is None else list(combined.interval),
        "confidence": combined.confidence,
        "method": f"{combined.method}; each: {said['method']}",
        "samples": combined.samples,
    }


def _inverse(said: Mapping[str, Any]) -> bool:
    """Return whether a process means by throughput what follows from the mean latency."""
    mean, throughput = (said.get(name, {}).get("value") for name in ("latency_mean", "throughput"))
    return bool(mean and throughput and abs(mean * throughput - 1) < 1e-6)


def _of_series(name: str, samples: Mapping[str, Any]) -> bool:
    match = _OF_SERIES.fullmatch(name)
    return match is not None and match["series"] in samples


def _series_of(metrics: Mapping[str, Any], samples: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return the series that metrics are of, with their quantiles."""
    found: dict[str, list[float]] = {}
    for name in metrics:
        match = _OF_SERIES.fullmatch(name)
        if match and match["series"] in samples:
            quantiles = found.setdefault(match["series"], [])
            if match["percent"]:
                quantiles.append(round(float(match["percent"]) / 100, 9))
    return {name: tuple(quantiles) for name, quantiles in found.items()}


def _wide(metrics: Mapping[str, Any], options: Mapping[str, Any], load: Mapping[str, Any]) -> list[str]:
    """Say so where the interval of what was measured for is wider than was asked for."""
    name = f"latency_{load.get('settings', {}).get('statistic', 'p50')}"
    metric, wanted = metrics.get(name) or {}, options.get("relative_width")
    if options.get("stop", "interval") != "interval" or not wanted:
        return []
    if not metric.get("value") or not metric.get("interval"):
        return []
    width = (metric["interval"][1] - metric["interval"][0]) / metric["value"]
    if width <= wanted:
        return []
    return [
        f"the {metric['confidence']:.0%} interval of {name} is {width:.1%} wide, {wanted:.1%} was asked for; "
        "the spread between the processes is part of it"
    ]


def _load(loads: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
    """Join how queries were sent: valid where every process kept to the rules; settings are those of the whole."""
    if not loads:
        return {}
    reasons = [reason for load in loads for reason in load.get("reasons", [])]
    joined = {**loads[0], "valid": all(load["valid"] for load in loads), "reasons": list(dict.fromkeys(reasons))}
    joined.update({key: sum(load.get(key, 0) for load in loads) for key in ("queries", "samples") if key in loads[0]})
    if "settings" in joined:
        joined["settings"] = _whole(joined["settings"], options)
    return joined


def _whole(settings: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of one process with what all of them share as it was asked for.

    The shares do not add up to it: counts are rounded up, and a run that ended early has not all of them.
    """
    whole = {**settings, **{name: options[name] for name in _SHARED if name in settings and _number(options.get(name))}}
    if all(_number(whole.get(name)) for name in ("min_samples", "max_samples")):
        whole["min_samples"] = min(whole["min_samples"], whole["max_samples"])
    return whole


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _process(answer: Answer) -> dict[str, Any]:
    said = answer.response.get("metrics", {})
    return {
        "status": answer.status,
        "counts": {name: len(entry["values"]) for name, entry in answer.samples.items()},
        "metrics": {name: entry["value"] for name, entry in said.items()},
    }
