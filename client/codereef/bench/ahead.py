# SPDX-License-Identifier: Apache-2.0
"""Items prepared ahead of the model by several threads, in the order of the dataset and with bounded memory.

Threads and not processes: Pillow and NumPy leave the interpreter's lock while they decode and compute, tensors need
no copy to get here, and forking a process that holds a runtime's threads is not safe.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

_MOST = 8


def workers_for(asked: int) -> int:
    """Number of workers: what was asked for, or for 0 the processors this process may use, up to 8."""
    if asked:
        return asked
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        usable = os.cpu_count() or 1
    return min(_MOST, usable)


def prepared_ahead(
    make: Callable[[int, Given], Made], items: Iterable[Given], workers: int
) -> Iterator[tuple[Given, Made]]:
    """Yield each item with what `make` makes of its place and itself, in their order.

    Args:
        make: called in threads of its own, `workers` at once; with one worker in the caller's.
        items: what it is called with.
        workers: at least 1. At most twice as many results exist at any time.

    Raises:
        Whatever `make` raises for the first item in their order; items behind it are dropped.
    """
    numbered = enumerate(items)
    if workers == 1:
        for place, item in numbered:
            yield item, make(place, item)
        return
    waiting: deque[tuple[Given, Future[Made]]] = deque()
    executor = ThreadPoolExecutor(workers, thread_name_prefix="prepare")
    try:
        for place, item in islice(numbered, 2 * workers - 1):
            waiting.append((item, executor.submit(make, place, item)))
        while waiting:
            item, future = waiting.popleft()
            made = future.result()
            for place, following in islice(numbered, 1):
                waiting.append((following, executor.submit(make, place, following)))
            yield item, made
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
