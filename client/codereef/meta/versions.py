# SPDX-License-Identifier: Apache-2.0
"""Version constraints: PEP 440 specifiers and the semver spellings that people write.

    ^1.2          >=1.2,<2          ~1.4          >=1.4,<1.5
    ^0.3.1        >=0.3.1,<0.4      ~1.4.2        >=1.4.2,<1.5
    1.x  1.2.*    ==1.*  ==1.2.*    >=1.10 <=1.13 >=1.10,<=1.13
    1.2.3         ==1.2.3           *             anything
    1.2 - 1.4     >=1.2,<1.5        <2 || >=3     either of the two
    1.2 - 1.4.2   >=1.2,<=1.4.2

Sources: PEP 440 (specifiers), semver.org and the npm documentation (caret, tilde, x and hyphen ranges, `||`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from codereef.errors import UsageError

_TOKEN = re.compile(r"(===|==|~=|!=|<=|>=|<|>|\^|~|=)?\s*([0-9A-Za-z*][0-9A-Za-z.*+!_-]*)")
_RANGE = re.compile(r"(?P<low>[0-9][^\s,]*)\s+-\s+(?P<high>[0-9][^\s,]*)")
_EXAMPLES = "Examples: >=1.10,<2 · ^1.2 · ~1.4 · 1.x · 1.2 - 1.4 · ==1.2.3 · <2 || >=3."
_NUMBERS = re.compile(r"^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(.*)$")


@lru_cache(maxsize=4096)
def parse_version(text: str) -> Version:
    """Read a PEP 440 version.

    Raises:
        UsageError: the text is no version.
    """
    try:
        return Version(text)
    except InvalidVersion:
        raise UsageError(
            f"`{text}` is not a version.", hint="Versions follow PEP 440, such as 1.4.2 or 2.0rc1."
        ) from None


def _bump(numbers: list[int], position: int) -> str:
    return ".".join(str(value) for value in [*numbers[:position], numbers[position] + 1])


def _translate(operator: str, version: str, whole: str) -> str:
    if version in ("*", "x", "X"):
        if operator not in ("", "=", "=="):
            raise UsageError(
                f"`{whole}`: `{operator}` cannot be combined with `{version}`.", hint="Write * alone for any version."
            )
        return ""
    wildcard = re.match(r"^(\d+(?:\.\d+)*)(?:\.[xX*])+$", version)
    if wildcard:
        if operator not in ("", "=", "==", "!="):
            raise UsageError(
                f"`{whole}`: `{operator}` cannot be combined with `{version}`.",
                hint="Write `1.x`, or a plain version after the operator.",
            )
        return f"{'!=' if operator == '!=' else '=='}{wildcard[1]}.*"
    if operator in ("^", "~"):
        match = _NUMBERS.match(version)
        if match is None or "!" in match[4]:
            raise UsageError(
                f"`{whole}` is not a version constraint.",
                hint="Write ^1.2 or ~1.4.2; an epoch needs >= and < written out.",
            )
        numbers = [int(part) for part in match.group(1, 2, 3) if part is not None]
        if operator == "~":
            return f">={version},<{_bump(numbers, min(1, len(numbers) - 1))}"
        first = next((i for i, value in enumerate(numbers) if value), len(numbers) - 1)
        return f">={version},<{_bump(numbers, first)}"
    return f"{'==' if operator in ('', '=') else operator}{version}"


@dataclass(frozen=True)
class Constraint:
    """What versions are allowed: those that meet all specifiers of one of the alternatives.

    Attributes:
        alternatives: at least one; an empty set of specifiers allows everything.
    """

    alternatives: tuple[SpecifierSet, ...]

    def contains(self, version: Version) -> bool:
        """Tell whether a version is allowed; pre-releases are versions like others."""
        return any(specifiers.contains(version, prereleases=True) for specifiers in self.alternatives)

    @property
    def exact(self) -> str:
        """Return the one version that is allowed, or "" where that is not plain from the specifiers."""
        if len(self.alternatives) != 1 or len(self.alternatives[0]) != 1:
            return ""
        (specifier,) = self.alternatives[0]
        exact = specifier.operator in ("==", "===") and not specifier.version.endswith(".*")
        return specifier.version if exact else ""


def _hyphen(match: re.Match[str]) -> str:
    """Return a range as two comparisons; a short upper end means everything that begins with it, as in npm."""
    high = match["high"]
    numbers = re.fullmatch(r"(\d+)(?:\.(\d+))?", high)
    if numbers is None:
        return f">={match['low']} <={high}"
    parts = [int(part) for part in numbers.groups() if part is not None]
    return f">={match['low']} <{_bump(parts, len(parts) - 1)}"


@lru_cache(maxsize=4096)
def parse_constraint(text: str) -> Constraint:
    """Read a constraint in PEP 440 or semver spelling.

    Raises:
        UsageError: the text is no constraint.
    """
    parts = text.split("||")
    if len(parts) > 1 and not all(part.strip() for part in parts):
        raise UsageError(
            f"`{text}` is not a version constraint: an alternative beside || is empty.",
            hint=_EXAMPLES,
            context={"constraint": text},
        )
    return Constraint(tuple(_specifiers(part, text) for part in parts))


def _specifiers(part: str, text: str) -> SpecifierSet:
    whole = _RANGE.sub(_hyphen, part.strip())
    parts: list[str] = []
    position = 0
    while position < len(whole):
        if whole[position] in ", \t":
            position += 1
            continue
        match = _TOKEN.match(whole, position)
        if match is None:
            raise UsageError(
                f"`{text}` is not a version constraint (stopped at `{whole[position:]}`).",
                hint=_EXAMPLES,
                context={"constraint": text},
            )
        parts.append(_translate(match[1] or "", match[2], text))
        position = match.end()
    try:
        return SpecifierSet(",".join(part for part in parts if part))
    except InvalidSpecifier:
        raise UsageError(
            f"`{text}` is not a version constraint.", hint=_EXAMPLES, context={"constraint": text}
        ) from None


@lru_cache(maxsize=65536)
def _meets(version: str, constraint: str) -> bool:
    return parse_constraint(constraint).contains(parse_version(version))


def satisfies(version: str, constraint: str | None) -> bool:
    """Tell whether `version` meets `constraint`; None and "" allow everything, pre-releases included.

    A version "" is one that nobody knows yet (software that is expected on another machine): it meets all.
    """
    return not constraint or not version or _meets(version, constraint)


@lru_cache(maxsize=65536)
def preference(version: str) -> tuple[bool, Version]:
    """Return a sort key by which the version to be preferred is the greatest: stable before pre-release, then newest.

    The version "" that nobody knows yet is less than all others.
    """
    if not version:
        return (False, parse_version("0.dev0"))
    parsed = parse_version(version)
    return (not parsed.is_prerelease, parsed)
