# SPDX-License-Identifier: Apache-2.0
"""Queries made of prepared inputs: several inferences a query, several samples an inference.

Samples of one inference are joined along axis 0 before anything is timed, as MLPerf permits: its scenarios with
several samples a query hand out samples that lie side by side in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from codereef.errors import OptionError

Array = npt.NDArray[Any]
Feeds = dict[str, Array]


@dataclass(frozen=True)
class Query:
    """One query: the numbers of its samples, and its inferences, each the tensors of one call."""

    samples: tuple[int, ...]
    parts: tuple[Feeds, ...]


def join(feeds: Sequence[Mapping[str, Array]]) -> Feeds:
    """Join the tensors of several samples along axis 0."""
    return {name: np.concatenate([each[name] for each in feeds]) for name in feeds[0]}


def split(outputs: Mapping[str, Array], size: int) -> list[Feeds]:
    """The outputs of `size` joined samples, one by one."""
    return [
        {name: array[i * len(array) // size : (i + 1) * len(array) // size] for name, array in outputs.items()}
        for i in range(size)
    ]


def make_queries(feeds: Sequence[Feeds], samples_per_query: int, batch: int) -> tuple[Query, ...]:
    """Make queries that go through all samples in order, as many as there are whole queries of them, at least one.

    Args:
        feeds: the tensors of each sample.
        samples_per_query: samples of a query, a multiple of `batch`; where there are fewer, they are used again.
        batch: samples of an inference.
    """
    queries = []
    for first in range(0, max(1, len(feeds) // samples_per_query) * samples_per_query, samples_per_query):
        samples = tuple(i % len(feeds) for i in range(first, first + samples_per_query))
        groups = [samples[i : i + batch] for i in range(0, samples_per_query, batch)]
        parts = tuple(feeds[group[0]] if batch == 1 else join([feeds[i] for i in group]) for group in groups)
        queries.append(Query(samples, parts))
    return tuple(queries)


def caller(invoke: Callable[[Feeds], Any], queries: Sequence[Query]) -> tuple[Callable[[Any], Any], list[Any]]:
    """What answers a query, and what it is handed, without a layer where a query is a single inference."""
    if all(len(query.parts) == 1 for query in queries):
        return invoke, [query.parts[0] for query in queries]

    def answer(parts: tuple[Feeds, ...]) -> list[Any]:
        return [invoke(part) for part in parts]

    return answer, [query.parts for query in queries]


def answers_of(query: Query, answer: Any, batch: int) -> Iterable[tuple[int, Feeds]]:
    """The outputs of each sample of an answered query, by the number of the sample."""
    parts = answer if isinstance(answer, list) else [answer]
    outputs = [each for part in parts for each in (split(part, batch) if batch > 1 else [part])]
    return zip(query.samples, outputs)


def check_batch(single: Mapping[str, Array], joined: Mapping[str, Array], batch: int) -> None:
    """Check that a model answers for every one of the samples that it was handed at once.

    Args:
        single: outputs for one sample.
        joined: outputs for `batch` samples.
        batch: how many.

    Raises:
        OptionError: an output did not grow with the batch.
    """
    for name, array in joined.items():
        wanted: Optional[int] = len(single[name]) * batch if single[name].ndim else None
        if wanted is None or array.ndim == 0 or len(array) != wanted:
            raise OptionError(
                f"output {name} is {list(array.shape)} for {batch} samples and {list(single[name].shape)} for one; "
                "the model does not answer for each of them",
                hint="measure it with batch=1",
            )
