# SPDX-License-Identifier: Apache-2.0
"""What the search knows of the graph so far: variables, facts, and what is learned.

Dependencies are loaded as late as possible. When a variable comes down to one candidate, that candidate's
are loaded. When one of these takes part in a conflict, the variable is *widened*: the dependencies of all its
candidates are loaded and equal ones merged, so that what is learned rules out every candidate with the same
fault at once. Graphs without conflicts therefore cost one look-up per selected variable.
"""

from __future__ import annotations

from collections.abc import Sequence

from codereef.solve.engine_proof import Incompatibility
from codereef.solve.terms import Clause, Dependency, Problem, RankedProblem

#: (variable, states that remain, why): what follows for another variable.
Consequence = tuple[int, int, Incompatibility]


class KnownGraph:
    """The known part of a problem. Variables are renumbered in the order in which they are met.

    Per variable there are lists of the same length; the search reads and writes them directly.

    Args:
        problem: the graph.
        ranked: the same where it says which answers are better, otherwise None.
    """

    def __init__(self, problem: Problem, ranked: RankedProblem | None) -> None:
        self.problem = problem
        self.ranked = ranked
        self.names: list[int] = []
        self.index: dict[int, int] = {}
        self.absent: list[int] = []  # the bit of the state "unselected"
        self.domain: list[int] = []  # the states that are left
        self.pairs: list[list[tuple[int, int, int, Incompatibility]]] = []
        self.fired: list[dict[int, list[Consequence]]] = []  # domain -> what follows from it
        self.watches: list[list[Incompatibility]] = []
        self.loaded: list[dict[int, Sequence[Dependency]]] = []
        self.needed: list[dict[int, tuple[int, ...]]] = []  # candidate's bit -> variables, in declared order
        self.facts: list[dict[Dependency, list[Incompatibility]]] = []
        self.widened: list[bool] = []
        self.tied: list[Sequence[int] | None] = []  # classes, None where each candidate is one, in order
        self.in_walk: list[bool] = []
        self.last: list[int] = []  # the place in the trail where the domain last shrank, -1 for nowhere
        #: Variables to look at although they did not shrink, and those to look at again when the search goes back.
        self.pending: list[int] = []
        self.late: list[int] = []
        self.lookups = 0
        self.reusable: list[tuple[int, int]] = []  # (variable, states that do not reuse what is there)

        self.installing: list[tuple[int, int]] = []  # (variable, states that have to be installed)
        #: The count of variables that are not reused: an extra variable whose state `i` reads "at most i".
        self.reuse_limit = self.add_limit() if ranked is not None else -1

    #: States of an extra variable that counts; the highest reads "any number".
    LIMIT_STATES = 1024

    def add_limit(self) -> int:
        """Return a new extra variable that bounds a count; it is never part of an answer."""
        return self._append(-1, self.LIMIT_STATES, (1 << self.LIMIT_STATES) - 1)

    def _append(self, name: int, count: int, domain: int) -> int:
        variable = len(self.names)
        self.names.append(name)
        self.absent.append(1 << count)
        self.domain.append(domain)
        self.pairs.append([])
        self.fired.append({})
        self.watches.append([])
        self.loaded.append({})
        self.needed.append({})
        self.facts.append({})
        self.widened.append(False)
        self.tied.append(None)
        self.in_walk.append(False)
        self.last.append(-1)
        return variable

    def variable(self, name: int) -> int:
        """Return the engine's number of the problem's variable `name`, making it known if it is new."""
        known = self.index.get(name)
        if known is not None:
            return known
        count = self.problem.count(name)
        variable = self.index[name] = self._append(name, count, (2 << count) - 1)
        if self.ranked is not None:
            everything = (1 << count) - 1
            classes = self.ranked.classes(name)
            if any(mask & everything != 1 << rank for rank, mask in enumerate(classes)):
                self.tied[variable] = [mask & everything for mask in classes]
            installing = self.ranked.installs(name) & everything
            if installing:
                self.installing.append((variable, installing))
            there = self.ranked.reuse(name) & everything
            if there and there != everything:
                self.reusable.append((variable, everything & ~there))
                # With "at most 0" this is all there is to it; higher limits are counted by the search.
                self.attach(Incompatibility(((self.reuse_limit, 1), (variable, everything & ~there))))
                self.examine(variable)
        return variable

    def examine(self, variable: int) -> None:
        """Have a variable looked at that has new facts: now, and again whenever the search goes back."""
        self.pending.append(variable)
        self.late.append(variable)

    def add_fact(self, owner: int, dependers: int, dependency: Dependency) -> Incompatibility | None:
        """State a dependency of `dependers` (or of the user, owner -1); None if it forbids nothing."""
        target = self.variable(dependency.variable)
        absent = self.absent[target]
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
        terms = tuple(term for term in terms if term[1] != 2 * self.absent[term[0]] - 1)
        fact = Incompatibility(terms, owner=owner, dependers=dependers, dependency=dependency)
        if terms:
            self.attach(fact)
            if owner < 0:
                self.examine(target)
        return fact

    def add_clause(self, clause: Clause) -> Incompatibility | None:
        """State a clause, without attaching it; None if it forbids nothing."""
        terms = []
        for name, mask in clause.terms:
            variable = self.variable(name)
            states = mask & (self.absent[variable] - 1)
            if not states:
                return None
            terms.append((variable, states))
        return Incompatibility(tuple(terms), clause=clause)

    def attach(self, item: Incompatibility) -> None:
        """Put `item` where propagation finds it: with one or two terms in the pairs, otherwise watched.

        A pair (outside, other, keep, item) of a variable reads: when no state in `outside` is left for the
        variable, only the states in `keep` remain for `other`. With `outside` 0 that is always. Of what is
        watched the first two terms are; they must be the last to hold among those that hold already.
        """
        literals = [(variable, (2 * self.absent[variable] - 1) & ~states) for variable, states in item.terms]
        first, first_out = literals[0]
        if len(literals) == 1:
            self.pairs[first].append((0, first, first_out, item))
            self.fired[first].clear()
            return
        second, second_out = literals[1]
        if len(literals) == 2:
            self.pairs[first].append((first_out, second, second_out, item))
            self.pairs[second].append((second_out, first, first_out, item))
            self.fired[first].clear()
            self.fired[second].clear()
        else:
            item.literals = literals
            self.watches[first].append(item)
            self.watches[second].append(item)

    def ask(self, variable: int, candidate: int) -> Sequence[Dependency]:
        """Return the distinct dependencies of a candidate, asking the problem once."""
        known = self.loaded[variable].get(candidate)
        if known is None:
            asked = self.problem.dependencies(self.names[variable], candidate)
            known = self.loaded[variable][candidate] = tuple(dict.fromkeys(asked))
            self.needed[variable][1 << candidate] = tuple(self.variable(d.variable) for d in known if d.required)
            self.lookups += 1
        return known

    def consequences(self, variable: int, domain: int) -> list[Consequence]:
        """Return what follows from a domain, and remember it; loads a candidate that is alone in it."""
        if not domain & (domain - 1) and domain < self.absent[variable] and self.names[variable] >= 0:
            candidate = domain.bit_length() - 1
            if not self.widened[variable] and candidate not in self.loaded[variable]:
                facts = self.facts[variable]
                for dependency in self.ask(variable, candidate):
                    fact = self.add_fact(variable, domain, dependency)
                    if fact is not None:
                        facts.setdefault(dependency, []).append(fact)
        following = [(other, keep, item) for outside, other, keep, item in self.pairs[variable] if not domain & outside]
        self.fired[variable][domain] = following
        return following

    def widest(self, item: Incompatibility) -> Incompatibility:
        """Return the incompatibility that says the same of as many candidates as possible."""
        if item.owner >= 0 and not self.widened[item.owner]:
            self.widen(item.owner)
        return item.wider or item

    def widen(self, variable: int) -> None:
        """Load every candidate of `variable` and merge equal dependencies into one incompatibility each."""
        self.widened[variable] = True
        groups: dict[Dependency, int] = {}
        for candidate in range(self.absent[variable].bit_length() - 1):
            for dependency in self.ask(variable, candidate):
                groups[dependency] = groups.get(dependency, 0) | 1 << candidate
        facts = self.facts[variable]
        for dependency, dependers in groups.items():
            narrow = facts.get(dependency, [])
            if len(narrow) == 1 and narrow[0].dependers == dependers:
                continue
            wide = self.add_fact(variable, dependers, dependency)
            for fact in narrow:
                fact.wider = wide
            if wide is not None:
                self.examine(self.index[dependency.variable])
        facts.clear()
        self.examine(variable)
