# SPDX-License-Identifier: Apache-2.0
"""Limits on how many variables may be in some set of states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from codereef.solve.engine_proof import Incompatibility


class AtMost:
    """At most so many of some variables may be within their states.

    The limit is itself a variable, whose state `i` reads "at most i" and whose highest reads "any number".
    What is learned thus names the limit that it holds under, and the search can assume one after the other.

    Args:
        limit: the engine's variable of the limit.
        states: number of its states.
        entries: (variable, states) to count; may grow later.
    """

    def __init__(self, limit: int, states: int, entries: list[tuple[int, int]]) -> None:
        self.limit = limit
        self.entries = entries
        self._highest = states - 1

    def exceeding(self, domains: Sequence[int]) -> Iterator[tuple[int, int, Incompatibility]]:
        """Yield (variable, states, why) of everything that the limit rules out."""
        allowed = domains[self.limit].bit_length() - 1
        if allowed == self._highest:
            return
        counted = [entry for entry in self.entries if not domains[entry[0]] & ~entry[1]]
        if len(counted) < allowed:
            return
        limit = (self.limit, (2 << allowed) - 1)
        if len(counted) > allowed:
            item = Incompatibility((limit, *counted[: allowed + 1]))
            yield (*counted[allowed], item)
            return
        for variable, states in self.entries:
            if domains[variable] & states and domains[variable] & ~states:
                yield variable, states, Incompatibility((limit, *counted, (variable, states)))
