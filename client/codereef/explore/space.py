# SPDX-License-Identifier: Apache-2.0
"""The space of an exploration: dimensions resolved by name, and the points they make.

A dimension is an option of the program (`threads`) or a variant of the solution (`precision`). What the user does
not name stays as it is: options at their value of the action, configurations all those that the lock has, as
`cr benchmark` measures them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from codereef.errors import LockError, UsageError
from codereef.explore.values import expand, listed, split_dimension, twice
from codereef.lock.model import LockedConfiguration
from codereef.meta.reference import nearest
from codereef.run.options import merge_options

#: A larger space is only sampled from: at a second a point this is three hours a round.
MOST_POINTS = 10_000
_KINDS = ("option", "variant")


@dataclass(frozen=True)
class Measurable:
    """A configuration, and the program that measures it.

    Attributes:
        configuration: of the lock, for this machine.
        program: the program's `cr.json`.
        action: the solution's action `benchmark`, whose options override the program's defaults.
    """

    configuration: LockedConfiguration
    program: Mapping[str, Any]
    action: Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """One point of the space.

    Attributes:
        name: what tells it from the others, as `threads=2,precision=int8`; unique in its space.
        configuration: id of the configuration in the lock.
        options: options of the program that are given, as text by name; those of `--option` among them.
    """

    name: str
    configuration: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Space:
    """Every point there is: each configuration with each choice of options.

    Attributes:
        configurations: ids, in the lock's order, with what their points are called by.
        options: values by option that is varied.
        fixed: options that are given and the same everywhere.
    """

    configurations: tuple[tuple[str, str], ...]
    options: Mapping[str, tuple[str, ...]]
    fixed: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        size = len(self.configurations)
        for values in self.options.values():
            size *= len(values)
        return size

    def __getitem__(self, number: int) -> Point:
        """Return a point by its number; the last option changes fastest."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        chosen: list[tuple[str, str]] = []
        for name, values in reversed(list(self.options.items())):
            number, at = divmod(number, len(values))
            chosen.append((name, values[at]))
        identifier, called = self.configurations[number]
        options = dict(reversed(chosen))
        name = ",".join(filter(None, [called, *(f"{key}={value}" for key, value in options.items())]))
        return Point(name or identifier, identifier, {**self.fixed, **options})


def make_space(
    vary: Sequence[str],
    measurables: Sequence[Measurable],
    *,
    solution: str,
    only: Mapping[str, Sequence[str]],
    fixed: Mapping[str, str],
    lock_variants: Mapping[str, Sequence[str]],
) -> Space:
    """Return the space that a user means.

    Args:
        vary: entries `NAME=VALUES`; `option:NAME` or `variant:NAME` where a name is both.
        measurables: the configurations of the lock that run on this machine, at least one.
        solution: its name, for messages.
        only: permitted values by variant, of `--variant`.
        fixed: options that are the same everywhere, of `--option`.
        lock_variants: the solution's own values by variant, which a lock may lack.

    Raises:
        UsageError: a name nobody knows or that is two things, a value out of range, a dimension or
            a value given twice.
        LockError: the lock has no configuration with a value; the hint has the command that adds it.
    """
    if not vary:
        raise UsageError(
            "Nothing is varied.", hint=f"For example `cr explore {solution} --vary threads=1,2,4 --repeat 5`."
        )
    options: dict[str, tuple[str, ...]] = {}
    variants: dict[str, list[str]] = {}
    for entry in vary:
        name, text = split_dimension(entry)
        kind, name = _resolve(name, measurables, lock_variants, solution)
        if name in options or name in variants:
            raise UsageError(f"--vary {name} is given twice.", hint=f"Write all its values after one {name}=.")
        if kind == "option":
            if name in fixed:
                raise UsageError(
                    f"Option {name} is both fixed by --option and varied.", hint="Leave one of the two out."
                )
            declared = measurables[0].program["options"][name]
            options[name] = tuple(expand(name, text, numeric=declared["type"] in ("integer", "number")))
        else:
            if name in only:
                raise UsageError(
                    f"Variant {name} is both chosen by --variant and varied.", hint="Leave one of the two out."
                )
            values = expand(name, text, numeric=False)
            variants[name] = (
                sorted({m.configuration.variants[name] for m in measurables}) if values == ["all"] else values
            )
    chosen = _configurations(measurables, variants, only, solution, lock_variants)
    space = Space(
        _called([m.configuration for m in chosen], variants),
        {k: _typed(k, v, chosen[0]) for k, v in options.items()},
        fixed,
    )
    _check_options(space, chosen)
    return space


def _resolve(
    written: str, measurables: Sequence[Measurable], variants: Mapping[str, Sequence[str]], solution: str
) -> tuple[str, str]:
    """Return whether a name is an option or a variant, and the name."""
    prefix, colon, rest = written.partition(":")
    wanted, name = (prefix, rest) if colon and prefix in _KINDS else ("", written)
    program = measurables[0].program
    declared = program.get("options", {})
    is_option, is_variant = name in declared and wanted != "variant", name in variants and wanted != "option"
    if is_option and is_variant:
        raise UsageError(
            f"`{name}` is an option of {program['name']} and a variant of {solution}.",
            hint=f"Write option:{name}= or variant:{name}=.",
            context={"name": name},
        )
    if not is_option and not is_variant:
        near = nearest(name, [*declared, *variants])
        raise UsageError(
            f"`{name}` is neither an option of {program['name']} nor a variant of {solution}.",
            hint=f"Did you mean `{near[0]}`?"
            if near
            else f"Its variants are {', '.join(variants) or 'none'}, its options {', '.join(declared) or 'none'}.",
            context={"name": name, "options": list(declared), "variants": list(variants)},
        )
    return ("option" if is_option else "variant"), name


def _configurations(
    measurables: Sequence[Measurable],
    varied: Mapping[str, Sequence[str]],
    only: Mapping[str, Sequence[str]],
    solution: str,
    known: Mapping[str, Sequence[str]],
) -> list[Measurable]:
    """Return the configurations to measure; every combination of varied values must have one."""
    for name, values in {**only, **varied}.items():
        wrong = [value for value in values if value != "all" and value not in known.get(name, ())]
        if wrong or name not in known:
            raise UsageError(
                f"Variant {name} of {solution} cannot be `{wrong[0]}`."
                if name in known
                else f"{solution} has no variant `{name}`.",
                hint=f"It can be {', '.join(known[name])}."
                if name in known
                else f"Its variants are {', '.join(known)}.",
                context={"variant": name, "values": list(known.get(name, ()))},
            )
    permitted = [
        m
        for m in measurables
        if all("all" in values or m.configuration.variants.get(name) in values for name, values in only.items())
    ]
    had = {item for m in measurables for item in m.configuration.variants.items()}
    # A value that only the solution knows is told even beside one that the lock has.
    missing = [f"{n}={v}" for n, values in only.items() for v in values if v != "all" and (n, v) not in had]
    chosen: dict[str, Measurable] = {}
    for values in product(*varied.values()):
        assignment = dict(zip(varied, values))
        fitting = [m for m in permitted if assignment.items() <= m.configuration.variants.items()]
        if not fitting:
            missing.append(",".join(f"{name}={value}" for name, value in assignment.items()))
        chosen.update((m.configuration.id, m) for m in fitting)
    if missing:
        raise LockError(
            f"The lock has no configuration with {listed(missing, 3)}.",
            hint=f"`{_init_command(solution, measurables, varied, only, known)}` adds it.",
            context={"missing": missing},
        )
    if not chosen:
        raise LockError(
            "The lock has no configuration with these variants.",
            hint=f"`{_init_command(solution, measurables, varied, only, known)}` adds it.",
        )
    # In the lock's order, whatever order the values were given in: the same space is the same document.
    return [m for m in measurables if m.configuration.id in chosen]


def _init_command(
    solution: str,
    measurables: Sequence[Measurable],
    varied: Mapping[str, Sequence[str]],
    only: Mapping[str, Sequence[str]],
    known: Mapping[str, Sequence[str]],
) -> str:
    """Return the command that makes a lock with what it has and with what is missing: init replaces configurations."""
    words = [f"cr init {solution}"]
    for name, values in known.items():
        have = {m.configuration.variants.get(name) for m in measurables}
        wanted = {*varied.get(name, ()), *only.get(name, ())}
        both = values if "all" in wanted else [value for value in values if value in have | wanted]
        if both:
            words.append(f"--variant {name}={','.join(both)}")
    return " ".join(words)


def _called(configurations: Sequence[LockedConfiguration], varied: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return each configuration's id and what tells it from the others."""
    names = dict.fromkeys(name for c in configurations for name in c.variants)
    telling = [n for n in names if n in varied or len({c.variants.get(n) for c in configurations}) > 1]
    return tuple((c.id, ",".join(f"{n}={c.variants[n]}" for n in telling if n in c.variants)) for c in configurations)


def _typed(name: str, values: Sequence[str], measurable: Measurable) -> tuple[str, ...]:
    """Return the values as the program reads them, to which `1` and `01` are one: that would be one point twice."""
    found: dict[str, None] = {}
    for value in values:
        read = merge_options(measurable.program, measurable.action, {name: value})[name]
        text = str(read).lower() if isinstance(read, bool) else str(read)
        if text in found:
            raise twice(name, value)
        found[text] = None
    return tuple(found)


def _check_options(space: Space, chosen: Sequence[Measurable]) -> None:
    """Raise `UsageError` unless every program takes every value."""
    for measurable in chosen:
        merge_options(measurable.program, measurable.action, space.fixed)
        for name, values in space.options.items():
            for value in values:
                merge_options(measurable.program, measurable.action, {**space.fixed, name: value})
