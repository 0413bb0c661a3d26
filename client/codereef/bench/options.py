# SPDX-License-Identifier: Apache-2.0
"""The options that the measuring programs share, typed and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from codereef.errors import OptionError, UsageError

#: Seconds of warm-up that each of several processes has at least, where so much was asked for.
_OWN_WARMUP = 0.25


@dataclass(frozen=True)
class Options:
    """Options of a program; the defaults are those of its cr.json.

    Attributes:
        threads: threads of one inference.
        max_seconds: budget of the measurement phase, seconds.
        min_samples: fewest latency samples, where the budget allows.
        max_samples: most latency samples.
        relative_width: measuring ends when the interval of the median is this fraction of it wide.
        confidence: level of all intervals, 0 to 1.
        warmup_seconds: length of the warm-up.
        warmup_samples: fewest warm-up inferences.
        input_limit: most images kept ready as tensors for measuring.
        accuracy_limit: images of the accuracy pass; 0 is all.
        limit: images of the action `run`.
        workers: items prepared at once in the accuracy pass; 0 is one for each processor, up to 8.
        seed: of the bootstrap and of the arrivals.
        stop: rule that ends measuring, within the limits above.
        statistic: what the rule `interval` looks at: a percentile, or the one that the scenario reports.
        min_seconds: shortest measuring time.
        relative_deviation: of the runs, which ends measuring by the rule `relative-deviation`.
        target_qps: queries a second of the scenario server.
        target_latency: bound on its latency in seconds; 0 is none.
        samples_per_query: of the scenario multi-stream.
        batch: samples of one inference.
        driver: what sends the queries.
        accuracy: scored in a pass of its own, on answers of the measured run, or not at all.
        cpus: processors that the program may use, such as `0,2-3`; empty for all.
        provider: execution provider of ONNX Runtime; empty for its default.
        delegate: delegate of LiteRT; empty for its default.
    """

    threads: int = 1
    max_seconds: float = 10.0
    min_samples: int = 1000
    max_samples: int = 10_000
    relative_width: float = 0.02
    confidence: float = 0.95
    warmup_seconds: float = 1.0
    warmup_samples: int = 3
    input_limit: int = 64
    accuracy_limit: int = 0
    limit: int = 4
    workers: int = 0
    seed: int = 1
    stop: str = "interval"
    statistic: str = "p50"
    min_seconds: float = 0.0
    relative_deviation: float = 0.025
    target_qps: float = 0.0
    target_latency: float = 0.0
    samples_per_query: int = 8
    batch: int = 1
    driver: str = "codereef"
    accuracy: str = "separate"
    cpus: str = ""
    provider: str = ""
    delegate: str = ""

    def shared_by(self, index: int, processes: int) -> Options:
        """The options of one of several processes, counted from 0, that share the time and the samples."""
        if processes == 1:
            return self
        return replace(
            self,
            max_seconds=self.max_seconds / processes,
            min_seconds=self.min_seconds / processes,
            # The clock of the processor is up after the first; caches and pools are each process's own.
            warmup_seconds=max(min(self.warmup_seconds, _OWN_WARMUP), self.warmup_seconds / processes),
            min_samples=-(-self.min_samples // processes),
            max_samples=-(-self.max_samples // processes),
            # Else each would get the same arrivals.
            seed=(self.seed + index) % 2**32,
        )


_LEAST = {
    "threads": 1, "max_seconds": 0.001, "min_samples": 1, "max_samples": 1, "relative_width": 0.0,
    "confidence": 0.5, "warmup_seconds": 0.0, "warmup_samples": 1, "input_limit": 1, "accuracy_limit": 0,
    "limit": 1, "workers": 0, "seed": 0, "min_seconds": 0.0, "relative_deviation": 0.0, "target_qps": 0.0, "target_latency": 0.0,
    "samples_per_query": 1, "batch": 1,
}  # fmt: skip
_MOST = {
    "confidence": 0.9999, "threads": 1024, "workers": 64, "max_samples": 10_000_000, "seed": 2**32 - 1, "target_qps": 1e6,
    "samples_per_query": 100_000, "batch": 100_000,
}  # fmt: skip
_VALUES = {
    "stop": ("interval", "count", "duration", "early-stopping", "relative-deviation"),
    "statistic": ("p50", "p90", "p99", "scenario"),
    "driver": ("codereef", "mlperf-loadgen"),
    "accuracy": ("separate", "sampled", "off"),
}
#: Options that are handed on to the runtime's adapter, which refuses those it does not know; not when empty.
_OF_RUNTIME = ("provider", "delegate")


def parse_options(given: Mapping[str, Any], runtime: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """Check options and split off those of the runtime.

    Args:
        given: the program's options.
        runtime: the runtime's options; its `threads` and the like count when the program's are silent about them.

    Returns:
        The options, and what is left for the runtime adapter.

    Raises:
        OptionError: an option is out of its range.
        UsageError: an option is unknown or of the wrong type. The client checks both by the program's cr.json, so
            that one is at fault and not who chose the option.
    """
    rest = dict(runtime)
    values = {**{name: rest.pop(name) for name in ("threads", *_OF_RUNTIME) if name in rest}, **given}
    known = {field.name: field.default for field in fields(Options)}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"unknown option {name}; known: {', '.join(known)}")
        if isinstance(known[name], str):
            checked[name] = _text(name, value)
            continue
        whole = isinstance(known[name], int)
        allowed = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise UsageError(f"option {name} must be {'an integer' if whole else 'a number'}, found {value!r}")
        if value < _LEAST[name] or value > _MOST.get(name, float("inf")):
            most = f" and at most {_MOST[name]:g}" if name in _MOST else ""
            raise OptionError(f"option {name} must be at least {_LEAST[name]:g}{most}, found {value!r}")
        checked[name] = value
    options = Options(**checked)
    rest.update({name: getattr(options, name) for name in _OF_RUNTIME if getattr(options, name)})
    return options, rest


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"option {name} must be text, found {value!r}")
    if name in _VALUES and value not in _VALUES[name]:
        raise OptionError(f"option {name} must be one of {', '.join(_VALUES[name])}, found {value!r}")
    return value
