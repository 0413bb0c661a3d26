# SPDX-License-Identifier: Apache-2.0
"""The trail of the search, and the level that each of its entries follows from.

After a dead end the search goes back by as little as resolves it, so that what was decided below stays (A. Nadel
and V. Ryvchin, "Chronological Backtracking", 2018). What was learned may then follow from far lower levels than
the one it is drawn in. Its own level is kept apart from its place: conflicts are analysed by levels, and what is
undone although it follows from what is left is drawn again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from codereef.solve.engine_graph import KnownGraph
from codereef.solve.engine_proof import Incompatibility

#: How far the search looks ahead of the walk.
GENERATIONS = 3


class Levels:
    """The state of a search.

    Args:
        graph: what is known; its domains are what is left at the end of the trail.
        max_steps: upper bound on decisions plus conflicts, or None.
    """

    def __init__(self, graph: KnownGraph, max_steps: int | None) -> None:
        self.graph = graph
        self.max_steps = max_steps
        self.decisions = self.conflicts = 0
        self._learned = self._undone = 0
        self._proof: Incompatibility | None = None
        # (variable, its domain before, why it shrank or None for a decision, the place where it shrank before)
        self._trail: list[tuple[int, int, Incompatibility | None, int]] = []
        # Places that follow from lower levels than the one they stand in, and these; what is to be drawn again when
        # such a place is undone; from where on the levels are to be found out, -1 for nowhere.
        self._low_places: list[int] = []
        self._low_levels: list[int] = []
        self._early: list[tuple[int, Incompatibility]] = []
        self._unsettled = -1
        # (level, variables that have been looked at there because of facts that were loaded above it)
        self._looked: list[tuple[int, list[int]]] = []
        # What was found violated on the way back.
        self._missed: Incompatibility | None = None
        self._head = 0  # up to here the trail is propagated
        # Per level: where it starts in the trail; length and position of the walk and position of its second round.
        self._levels: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)]
        self._order: list[int] = []
        self._position = 0
        self._round = 0

    def _held(self, variable: int, states: int, before: int = 1 << 60) -> tuple[int, int]:
        """Return the level that makes a term hold, and the place in the trail, before `before`, where it came to.

        The place may be far above the level: what is learned late may follow from few decisions.
        """
        trail, levels = self._trail, self._levels
        place = self.graph.last[variable]
        while place >= before:
            place = trail[place][3]
        level = first = -1
        everything = 2 * self.graph.absent[variable] - 1
        while states != everything:
            while place >= 0 and not trail[place][1] & ~states:
                place = trail[place][3]
            if place < 0:
                break
            if first < 0:
                first = place
            level = max(level, self._level_at(place))
            _, _, reason, place = trail[place]
            # What stands in this level or below follows from no higher one.
            if reason is None or level + 1 == len(levels) or place < levels[level + 1][0]:
                break
            reason = reason.wider or reason
            for owner, mask in reason.terms:
                if owner == variable:
                    states |= mask
        return max(level, 0), first

    def _level_at(self, place: int) -> int:
        """Return the level that what happened at a place of the trail follows from."""
        index = bisect_left(self._low_places, place)
        if index < len(self._low_places) and self._low_places[index] == place:
            return self._low_levels[index]
        return bisect_right(self._levels, (place, 1 << 60, 0, 0)) - 1

    def _reason_level(self, item: Incompatibility, variable: int, before: int) -> int:
        top = len(self._levels) - 1
        level = 0
        for other, states in item.terms:
            if other != variable:
                level = max(level, self._held(other, states, before)[0])
                if level >= top:
                    break
        return level

    def _settle_levels(self) -> None:
        """Find the levels of what happened after something was learned, which may be lower than where it stands."""
        start, self._unsettled = self._unsettled, -1
        top = len(self._levels) - 1
        if start < 0 or not top:
            return
        for place in range(start, len(self._trail)):
            variable, _, reason, _ = self._trail[place]
            assert reason is not None
            level = self._reason_level(reason.wider or reason, variable, place)
            if level < top:
                self._low_places.append(place)
                self._low_levels.append(level)

    def _append(self, variable: int, rest: int, item: Incompatibility) -> None:
        """Leave `rest` of the domain of a variable because of `item`."""
        graph = self.graph
        self._trail.append((variable, graph.domain[variable], item, graph.last[variable]))
        graph.last[variable] = len(self._trail) - 1
        graph.domain[variable] = rest

    def _shrink(self, variable: int, rest: int, item: Incompatibility) -> None:
        """The same where `item` may have followed from lower levels already."""
        if self._unsettled >= 0:
            self._settle_levels()
        place = len(self._trail)
        top = len(self._levels) - 1
        if top:
            level = self._reason_level(item, variable, place)
            if level < top:
                self._early.append((place, item))
                self._low_places.append(place)
                self._low_levels.append(level)
        self._append(variable, rest, item)
        self._unsettled = len(self._trail)

    def _apply(self, item: Incompatibility) -> None:
        """Draw what follows from an incompatibility that propagation may not visit."""
        domain = self.graph.domain
        free = [term for term in item.terms if domain[term[0]] & ~term[1]]
        if item.literals:
            self._watch(item, [variable for variable, _ in free])
        if not free:
            if self._missed is None:
                self._missed = item
            self._early.append((len(self._trail), item))
        elif len(free) == 1:
            variable, states = free[0]
            rest = domain[variable] & ~states
            if rest != domain[variable]:
                self._shrink(variable, rest, item)
            elif len(self._levels) > 1:
                # It holds thanks to this variable, which may be undone before the others are.
                self._early.append((len(self._trail), item))

    def _watch(self, item: Incompatibility, free: list[int]) -> None:
        """Watch two free variables, or else those that are undone first."""
        literals = item.literals
        before = [literals[0][0], literals[1][0]]
        if before[0] in free and before[1] in free:
            return
        states = dict(item.terms)
        place = {v: (1, 0, 0) if v in free else (0, *self._held(v, states[v])) for v in states}
        literals.sort(key=lambda literal: place[literal[0]], reverse=True)
        after = [literals[0][0], literals[1][0]]
        watches = self.graph.watches
        for variable in before:
            if variable not in after:
                watches[variable].remove(item)
        for variable in after:
            if variable not in before:
                watches[variable].append(item)

    def _take_back(self, start: int) -> None:
        """Undo the decision at a place of the trail, before anything but its direct consequences followed."""
        domains, last = self.graph.domain, self.graph.last
        for variable, old, _, place in reversed(self._trail[start:]):
            domains[variable] = old
            last[variable] = place
        del self._trail[start:], self._levels[-1]

    def _rule_out(self, variable: int, item: Incompatibility) -> Incompatibility | None:
        """Leave what `item` allows of a variable; return it, as wide as possible, if that is nothing."""
        wide = self.graph.widest(item)
        states = next(mask for owner, mask in wide.terms if owner == variable)
        rest = self.graph.domain[variable] & ~states
        if not rest:
            return wide
        self._shrink(variable, rest, wide)
        return None

    def _look_ahead(self, variable: int) -> Incompatibility | None:
        """Rule out the best candidate of a variable that the walk will meet, if its own dependencies forbid it.

        The walk meets it a whole generation later, and would then go back all that way. What it needs itself is
        looked at too. Candidates that have been loaded before need no look: propagation watches them.
        """
        graph = self.graph
        domains = graph.domain
        ahead = [(variable, domains[variable])]
        for generation in range(GENERATIONS):
            further: list[tuple[int, int]] = []
            for variable, domain in ahead:
                choice = domain & -domain
                if graph.widened[variable] or graph.tied[variable] is not None or domain & graph.absent[variable]:
                    continue
                if choice in graph.fired[variable] or graph.names[variable] < 0:
                    continue
                following = graph.consequences(variable, choice)
                for other, keep, item in following:
                    if not domains[other] & keep and other != variable:
                        if not generation:
                            return self._rule_out(variable, item)
                        # Once all of its candidates are known, propagation rules out what cannot be.
                        graph.widen(variable)
                        break
                else:
                    further += [(other, domains[other] & keep) for other, keep, _ in following]
            ahead = further
        return None
