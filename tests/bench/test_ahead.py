# SPDX-License-Identifier: Apache-2.0
"""Items prepared ahead: order, bounds, errors."""

from __future__ import annotations

import threading
import time

import pytest
from codereef.bench.ahead import prepared_ahead, workers_for


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_whatever_takes_long(workers: int) -> None:
    def make(place: int, item: int) -> tuple[int, int]:
        time.sleep(0.01 if place % 3 == 0 else 0)
        return place, item * item

    found = list(prepared_ahead(make, range(20), workers))
    assert found == [(i, (i, i * i)) for i in range(20)]


def test_no_more_results_wait_than_twice_the_workers() -> None:
    lock, alive, most = threading.Lock(), 0, 0

    def make(place: int, item: int) -> int:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return item

    for _ in prepared_ahead(make, range(100), 3):
        time.sleep(0.001)  # the reader is slower, so everything that may wait does
        with lock:
            alive -= 1
    assert 3 < most <= 6


@pytest.mark.parametrize("workers", [1, 4])
def test_the_first_error_in_order_is_raised_and_the_rest_is_dropped(workers: int) -> None:
    started = []

    def make(place: int, item: int) -> int:
        started.append(place)
        if place >= 5:
            time.sleep(0.02 if place == 5 else 0)
            raise ValueError(f"item {place}")
        return item

    found = []
    with pytest.raises(ValueError, match="item 5"):
        for item, _ in prepared_ahead(make, range(1000), workers):
            found.append(item)
    assert found == [0, 1, 2, 3, 4]
    assert max(started) < 5 + 2 * workers
    assert not [t for t in threading.enumerate() if t.name.startswith("prepare")]


def test_a_reader_that_leaves_ends_the_workers() -> None:
    for item, _ in prepared_ahead(lambda place, given: given, range(1000), 4):
        if item == 3:
            break
    deadline = time.monotonic() + 5
    while any(t.name.startswith("prepare") for t in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [t for t in threading.enumerate() if t.name.startswith("prepare")]


def test_workers_are_those_asked_for_or_one_a_processor() -> None:
    assert workers_for(3) == 3
    assert 1 <= workers_for(0) <= 8
