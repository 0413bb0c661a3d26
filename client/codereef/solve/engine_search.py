# SPDX-License-Identifier: Apache-2.0
"""The search itself: unit propagation, decisions, conflict analysis and backjumping over bit masks.

It is conflict-driven clause learning (J. Marques-Silva and K. Sakallah, "GRASP", 1996; two watched literals
from M. Moskewicz et al., "Chaff", 2001) on variables with many values, in the form PubGrub gave it for
packages: a variable is decided only once something requires it, its candidates in order of preference, and
what is learned keeps the steps that led to it.

Dependencies are loaded as late as possible. When a variable comes down to one candidate, that candidate's
are loaded. When one of these takes part in a conflict, the variable is *widened*: the dependencies of all its
candidates are loaded and equal ones merged, so that what is learned rules out every candidate with the same
fault at once. Graphs without conflicts therefore cost one look-up per selected variable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from codereef.solve.answers import NoSolution, Solution, Statistics, StepLimitError
from codereef.solve.derivation import Node
from codereef.solve.engine_proof import Incompatibility, build_derivation, resolve
from codereef.solve.terms import Dependency, Problem


class Search:
    """One run of the engine. Variables are renumbered in the order in which they are met.

    Args:
        problem: the graph.
        roots: what the user asks for.
        max_steps: upper bound on decisions plus conflicts, or None.
    """

    def __init__(self, problem: Problem, roots: Sequence[Dependency], max_steps: int | None) -> None:
        self._problem = problem
        self._roots = roots
        self._max_steps = max_steps
        # Per variable, all lists of the same length.
        self._names: list[int] = []
        self._index: dict[int, int] = {}
        self._absent: list[int] = []
        self._domain: list[int] = []
        self._history: list[list[tuple[int, int]]] = []  # (place in the trail, domain from there on)
        self._pairs: list[list[tuple[int, int, int, Incompatibility]]] = []
        self._watches: list[list[Incompatibility]] = []
        self._loaded: list[dict[int, Sequence[Dependency]]] = []
        self._facts: list[dict[Dependency, list[Incompatibility]]] = []
        self._widened: list[bool] = []
        self._direct: list[bool] = []
        self._blamed: list[int] = []  # conflicts that the variable took part in
        # The trail: what shrank, why and at which level.
        self._trail: list[int] = []
        self._reasons: list[Incompatibility | None] = []
        self._levels: list[int] = []
        self._level_start: list[int] = [0]
        self._late: list[list[int]] = [[]]  # per level, variables to look at again below it
        self._queue: deque[int] = deque()
        self._queued: list[bool] = []
        self._touched: set[int] = set()
        self._heap: list[tuple[int, int]] = []
        self._single: list[int] = []
        self._decisions = self._conflicts = self._learned = self._propagations = self._pairs_loaded = 0

    def run(self) -> Solution | NoSolution:
        """Search until there is an answer or a proof that there is none.

        Raises:
            StepLimitError: `max_steps` was reached.
        """
        for root in self._roots:
            fact = self._add_fact(-1, 0, root)
            if fact is not None and not fact.terms:
                return self._no_solution(fact)
        for variable in range(len(self._names)):
            self._direct[variable] = True
        while True:
            conflict = self._propagate()
            if conflict is None:
                if not self._load_singles() and not self._decide():
                    return self._solution()
                continue
            self._conflicts += 1
            learned, level = self._analyse(conflict)
            if not learned.terms:
                return self._no_solution(learned)
            self._check_limit()
            self._backjump(level)
            self._assert(learned)

    # --- the graph -----------------------------------------------------------------------------------------

    def _variable(self, name: int) -> int:
        """Return the engine's number of the problem's variable `name`, making it known if it is new."""
        known = self._index.get(name)
        if known is not None:
            return known
        variable = self._index[name] = len(self._names)
        absent = 1 << self._problem.count(name)
        self._names.append(name)
        self._absent.append(absent)
        self._domain.append(2 * absent - 1)
        self._history.append([(-1, 2 * absent - 1)])
        self._pairs.append([])
        self._watches.append([])
        self._loaded.append({})
        self._facts.append({})
        self._widened.append(False)
        self._direct.append(False)
        self._blamed.append(0)
        self._queued.append(False)
        return variable

    def _add_fact(self, owner: int, dependers: int, dependency: Dependency) -> Incompatibility | None:
        """State a dependency of `dependers` (or of the user, owner -1); None if it forbids nothing."""
        target = self._variable(dependency.variable)
        absent = self._absent[target]
        everything = 2 * absent - 1 if dependency.required else absent - 1
        bad = everything & ~(dependency.allowed & (absent - 1))
        if not bad:
            return None
        terms: tuple[tuple[int, int], ...]
        if owner < 0:
            terms = ((target, bad),)
        elif target == owner:
            bad &= dependers
            if not bad:
                return None
            terms = ((owner, bad),)
        else:
            terms = ((owner, dependers), (target, bad))
        # A term that always holds says nothing.
        terms = tuple(term for term in terms if term[1] != 2 * self._absent[term[0]] - 1)
        fact = Incompatibility(terms, owner=owner, dependers=dependers, dependency=dependency)
        if terms:
            self._attach(fact)
            if owner < 0:
                self._enqueue(target)
        return fact

    def _attach(self, item: Incompatibility) -> None:
        """Put `item` where propagation finds it: with one or two terms in the pairs, otherwise watched.

        A pair (outside, other, keep, item) of a variable reads: when no state in `outside` is left for the
        variable, only the states in `keep` remain for `other`. With `outside` 0 that is always.
        """
        literals = [(variable, (2 * self._absent[variable] - 1) & ~states) for variable, states in item.terms]
        first, first_out = literals[0]
        if len(literals) == 1:
            self._pairs[first].append((0, first, first_out, item))
            return
        second, second_out = literals[1]
        if len(literals) == 2:
            self._pairs[first].append((first_out, second, second_out, item))
            self._pairs[second].append((second_out, first, first_out, item))
        else:
            item.literals = literals
            self._watches[first].append(item)
            self._watches[second].append(item)

    def _ask(self, variable: int, candidate: int) -> Sequence[Dependency]:
        """Return the distinct dependencies of a candidate, asking the problem once."""
        known = self._loaded[variable].get(candidate)
        if known is None:
            asked = self._problem.dependencies(self._names[variable], candidate)
            known = self._loaded[variable][candidate] = tuple(dict.fromkeys(asked))
            self._pairs_loaded += 1
        return known

    def _load(self, variable: int, candidate: int) -> bool:
        """Load the dependencies of one candidate; say if that states anything new."""
        if self._widened[variable] or candidate in self._loaded[variable]:
            return False
        new = False
        for dependency in self._ask(variable, candidate):
            fact = self._add_fact(variable, 1 << candidate, dependency)
            if fact is not None:
                self._facts[variable].setdefault(dependency, []).append(fact)
                new = True
        return new

    def _load_singles(self) -> bool:
        """Load the dependencies of candidates that are alone in their variable; say if that is news."""
        new = False
        single, self._single = self._single, []
        for variable in single:
            domain = self._domain[variable]
            alone = not domain & (domain - 1) and domain != self._absent[variable]
            if alone and self._load(variable, domain.bit_length() - 1):
                self._enqueue(variable)
                new = True
        return new

    def _widen(self, variable: int) -> None:
        """Load every candidate of `variable` and merge equal dependencies into one incompatibility each."""
        self._widened[variable] = True
        groups: dict[Dependency, int] = {}
        for candidate in range(self._absent[variable].bit_length() - 1):
            for dependency in self._ask(variable, candidate):
                groups[dependency] = groups.get(dependency, 0) | 1 << candidate
        facts = self._facts[variable]
        for dependency, dependers in groups.items():
            narrow = facts.get(dependency, [])
            if len(narrow) == 1 and narrow[0].dependers == dependers:
                continue
            wide = self._add_fact(variable, dependers, dependency)
            for fact in narrow:
                fact.wider = wide
            if wide is not None:
                self._late[-1].append(self._index[dependency.variable])
        facts.clear()
        self._late[-1].append(variable)

    # --- propagation ---------------------------------------------------------------------------------------

    def _enqueue(self, variable: int) -> None:
        if not self._queued[variable]:
            self._queued[variable] = True
            self._queue.append(variable)

    def _assign(self, variable: int, domain: int, reason: Incompatibility | None) -> None:
        """Shrink `variable` to `domain`, at the current level."""
        place = len(self._trail)
        self._trail.append(variable)
        self._reasons.append(reason)
        self._levels.append(len(self._level_start) - 1)
        self._history[variable].append((place, domain))
        self._domain[variable] = domain
        self._touched.add(variable)
        if not domain & (domain - 1) and domain != self._absent[variable]:
            self._single.append(variable)
        if not self._queued[variable]:
            self._queued[variable] = True
            self._queue.append(variable)

    def _propagate(self) -> Incompatibility | None:
        """Shrink domains until nothing follows any more; return an incompatibility that is violated, if any."""
        queue, queued, domains, assign = self._queue, self._queued, self._domain, self._assign
        before = len(self._trail)
        conflict: Incompatibility | None = None
        while queue and conflict is None:
            variable = queue.popleft()
            queued[variable] = False
            domain = domains[variable]
            for outside, other, keep, item in self._pairs[variable]:
                if not domain & outside:
                    now = domains[other]
                    rest = now & keep
                    if rest != now:
                        if not rest:
                            conflict = item
                            break
                        assign(other, rest, item)
            else:
                if self._watches[variable]:
                    conflict = self._propagate_watched(variable)
        self._propagations += len(self._trail) - before
        for variable in queue:
            queued[variable] = False
        queue.clear()
        return conflict

    def _propagate_watched(self, variable: int) -> Incompatibility | None:
        """Visit the learned incompatibilities that watch `variable`."""
        domains = self._domain
        domain = domains[variable]
        watching = self._watches[variable]
        kept: list[Incompatibility] = []
        for place, item in enumerate(watching):
            literals = item.literals
            if literals[0][0] != variable:
                literals[0], literals[1] = literals[1], literals[0]
            if domain & literals[0][1]:
                kept.append(item)
                continue
            other, keep = literals[1]
            now = domains[other]
            rest = now & keep
            if rest == now:
                kept.append(item)
                continue
            for index in range(2, len(literals)):
                candidate, outside = literals[index]
                if domains[candidate] & outside:
                    literals[0], literals[index] = literals[index], literals[0]
                    self._watches[candidate].append(item)
                    break
            else:
                kept.append(item)
                if not rest:
                    kept.extend(watching[place + 1 :])
                    self._watches[variable] = kept
                    return item
                self._assign(other, rest, item)
        self._watches[variable] = kept
        return None

    # --- decisions and conflicts ---------------------------------------------------------------------------

    def _decide(self) -> bool:
        """Choose the best candidate of the required variable with the fewest left; False if none is open."""
        heap = self._heap
        for variable in self._touched:
            domain = self._domain[variable]
            if domain < self._absent[variable] and domain & (domain - 1):
                heappush(heap, self._priority(variable, domain))
        self._touched.clear()
        while heap:
            entry = heappop(heap)
            variable = entry[1]
            domain = self._domain[variable]
            # Entries are never removed from the heap, so most are out of date.
            if domain < self._absent[variable] and domain & (domain - 1) and entry == self._priority(variable, domain):
                self._check_limit()
                if self._rejected(variable, domain & -domain):
                    return True
                self._decisions += 1
                self._level_start.append(len(self._trail))
                self._late.append([])
                self._assign(variable, domain & -domain, None)
                return True
        return False

    def _rejected(self, variable: int, choice: int) -> bool:
        """Rule out the candidate `choice` (one bit) if what is decided already forbids it; say if so.

        That costs less than to decide it and to go back, and it keeps all decisions.
        """
        self._load(variable, choice.bit_length() - 1)
        for outside, other, keep, item in self._pairs[variable]:
            if not choice & outside and not self._domain[other] & keep:
                wide = self._widest(item)
                states = next(states for owner, states in wide.terms if owner == variable)
                rest = self._domain[variable] & ~states
                if not rest:
                    # All are forbidden alike, which the propagation of the other variable reports.
                    self._enqueue(other)
                else:
                    self._assign(variable, rest, wide)
                self._touched.add(variable)
                return True
        return False

    def _priority(self, variable: int, domain: int) -> tuple[int, int]:
        """Order of decisions: what the user asked for, then what took part in many conflicts, then few
        candidates, then first met.

        Conflicts count by the power of two. Deciding their variables first brings the next dead end of the
        same kind near the top of the trail, where little is lost by going back.
        """
        rank = domain.bit_count() - (self._blamed[variable].bit_length() << 20)
        return (rank - (1 << 40) if self._direct[variable] else rank, variable)

    def _satisfier(self, variable: int, states: int) -> int:
        """Return the place in the trail from which `variable` is within `states`."""
        place = -1
        for since, domain in reversed(self._history[variable]):
            if domain & ~states:
                break
            place = since
        return place

    def _analyse(self, conflict: Incompatibility) -> tuple[Incompatibility, int]:
        """Resolve `conflict` back to the first cut with one variable of its level.

        Returns:
            What is learned, the variable to assert first and one of the level to go back to second; and that
            level. Its terms are empty if the problem has no solution.
        """
        conflict = self._widest(conflict)
        terms = dict(conflict.terms)
        for variable in terms:
            self._blame(variable)
        places = {variable: self._satisfier(variable, states) for variable, states in conflict.terms}
        chain: list[tuple[int, Incompatibility]] = [(-1, conflict)]
        # The heap holds negated places; an entry counts only while `places` agrees.
        heap = [-place for place in places.values()]
        heapify(heap)
        trail, levels = self._trail, self._levels
        while terms:
            place = -heappop(heap)
            pivot = trail[place]
            if places.get(pivot) != place:
                continue
            while heap and places.get(trail[-heap[0]]) != -heap[0]:
                heappop(heap)
            below = levels[-heap[0]] if heap else 0
            if below < levels[place]:
                order = [pivot] + ([trail[-heap[0]]] if heap else [])
                order += [variable for variable in terms if variable not in order]
                ordered = tuple((variable, terms[variable]) for variable in order)
                return self._learn(ordered, chain), below
            reason = self._reasons[place]
            # A decision comes first in its level, so it is never the later one of two.
            assert reason is not None
            cause = self._widest(reason)
            chain.append((pivot, cause))
            self._blame(pivot)
            resolve(terms, cause, pivot, self._absent[pivot])
            for variable, _ in cause.terms:
                if variable in terms:
                    since = self._satisfier(variable, terms[variable])
                    if places.get(variable) != since:
                        places[variable] = since
                        heappush(heap, -since)
                else:
                    del places[variable]
        return self._learn((), chain), 0

    def _blame(self, variable: int) -> None:
        self._blamed[variable] += 1
        self._touched.add(variable)

    def _widest(self, item: Incompatibility) -> Incompatibility:
        if item.owner >= 0 and not self._widened[item.owner]:
            self._widen(item.owner)
        return item.wider or item

    def _learn(self, terms: tuple[tuple[int, int], ...], chain: list[tuple[int, Incompatibility]]) -> Incompatibility:
        if len(chain) == 1:
            # Nothing was resolved: the conflict itself is what was missed at a lower level.
            return chain[0][1]
        learned = Incompatibility(terms, chain=tuple(chain))
        self._learned += 1
        if terms:
            self._attach(learned)
        return learned

    def _assert(self, learned: Incompatibility) -> None:
        """After a backjump, rule out the one term of `learned` that does not hold any more."""
        for variable, states in learned.terms:
            rest = self._domain[variable] & ~states
            if rest:
                if rest != self._domain[variable]:
                    self._assign(variable, rest, learned)
                return

    def _backjump(self, level: int) -> None:
        """Undo everything above `level`, which is below the current one."""
        start = self._level_start[level + 1]
        for variable in reversed(self._trail[start:]):
            history = self._history[variable]
            history.pop()
            self._domain[variable] = history[-1][1]
            self._touched.add(variable)
        del self._trail[start:], self._reasons[start:], self._levels[start:], self._level_start[level + 1 :]
        # Facts that were loaded higher up may have consequences here already.
        for late in self._late[level + 1 :]:
            for variable in late:
                self._enqueue(variable)
                self._late[level].append(variable)
        del self._late[level + 1 :]
        if level == 0:
            self._late[0].clear()

    def _check_limit(self) -> None:
        if self._max_steps is not None and self._decisions + self._conflicts >= self._max_steps:
            raise StepLimitError(
                f"resolving was stopped after {self._max_steps} steps, of which {self._conflicts} were dead ends,"
                " before an answer or a proof was found",
                hint="narrow the requirements, for example by naming exact versions, or allow more steps",
                context={"max_steps": self._max_steps, "conflicts": self._conflicts},
            )

    # --- answers -------------------------------------------------------------------------------------------

    def _statistics(self) -> Statistics:
        return Statistics(
            decisions=self._decisions,
            conflicts=self._conflicts,
            learned=self._learned,
            propagations=self._propagations,
            variables=len(self._names),
            loaded=self._pairs_loaded,
        )

    def _solution(self) -> Solution:
        """Collect what the roots reach; a variable that nothing requires stays out."""
        selected: dict[int, int] = {}
        reached = deque(root.variable for root in self._roots if root.required)
        while reached:
            name = reached.popleft()
            if name in selected:
                continue
            variable = self._index[name]
            selected[name] = candidate = self._domain[variable].bit_length() - 1
            reached.extend(item.variable for item in self._loaded[variable][candidate] if item.required)
        return Solution(selected, self._statistics())

    def _no_solution(self, proof: Incompatibility) -> NoSolution:
        derivation: Node = build_derivation(proof, self._names, self._absent)
        return NoSolution(derivation, self._statistics())
