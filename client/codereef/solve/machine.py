# SPDX-License-Identifier: Apache-2.0
"""What conditions can ask about a machine: what it is, what was detected on it, and its processor.

    target.arch                     parts of the triple, known of every machine
    detected.compiler.c             versions found on this machine; the condition is a version constraint
    detected.compiler.c#triple      a fact of what was found
    machine.cpu.features            a fact of this machine's class; of a list one value is enough

The last three are known of this machine only. Of another they are unknown, and a condition on what is unknown
does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from codereef.detect import Detected
from codereef.meta.selection import Fact
from codereef.solve.candidates import TargetFacts

#: Reads the facts of this machine's class; asked only when a condition needs one.
ReadMachine = Callable[[], Mapping[str, object]]


class ThisMachine(Mapping[str, Fact]):
    """The facts `detected.*` and `machine.*` of the machine this runs on; each is worked out when asked for."""

    def __init__(self, detected: Mapping[str, Sequence[Detected]], read: ReadMachine | None) -> None:
        """Prepare the facts.

        Args:
            detected: what was found and may be used, by capability.
            read: reads the facts of the machine's class; None where nobody can.
        """
        self._detected = detected
        self._read = read
        self._class: Mapping[str, object] | None = None

    def __getitem__(self, key: str) -> Fact:
        """Return the values of a fact.

        Raises:
            KeyError: it is not known.
        """
        head, _, rest = key.partition(".")
        values = self._of_software(rest) if head == "detected" else self._of_class(rest) if head == "machine" else ()
        if not values:
            raise KeyError(key)
        return values

    def __iter__(self) -> Iterator[str]:
        """Yield the capabilities found; the other facts are not counted up."""
        return (f"detected.{capability}" for capability in self._detected)

    def __len__(self) -> int:
        """Return how many capabilities were found."""
        return len(self._detected)

    def _of_software(self, rest: str) -> tuple[str, ...]:
        capability, _, fact = rest.partition("#")
        found = self._detected.get(capability, ())
        if not fact:
            return tuple(item.version for item in found)
        return tuple(text for item in found for text in _texts(item.facts.get(fact)))

    def _of_class(self, rest: str) -> tuple[str, ...]:
        if self._class is None:
            self._class = self._read() if self._read else {}
        value: object = self._class
        for part in rest.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return tuple(_texts(value))


def _texts(value: object) -> list[str]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, (str, int, float)):
        return [str(value)]
    if isinstance(value, Sequence):
        return [text for item in value for text in _texts(item)]
    return []


class Facts(Mapping[str, Fact]):
    """The facts that the conditions of one choice can ask for."""

    def __init__(
        self, variants: Mapping[str, str], version: str, machine: TargetFacts, here: Mapping[str, Fact] | None
    ) -> None:
        """Put the facts together.

        Args:
            variants: the choice's variant values.
            version: the version it provides.
            machine: the machine it is for.
            here: what this machine has, where it is the one; None for another.
        """
        self._own: dict[str, Fact] = {**variants, "version": version, **machine.facts()}
        self._here: Mapping[str, Fact] = here if here is not None else {}

    def __getitem__(self, key: str) -> Fact:
        """Return the values of a fact.

        Raises:
            KeyError: it is not known.
        """
        return self._own[key] if key in self._own else self._here[key]

    def __iter__(self) -> Iterator[str]:
        """Yield the keys of the facts."""
        yield from self._own
        yield from self._here

    def __len__(self) -> int:
        """Return how many facts there are."""
        return len(self._own) + len(self._here)
