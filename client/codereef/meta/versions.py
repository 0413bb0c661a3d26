# SPDX-License-Identifier: Apache-2.0
"""Version constraints: PEP 440 specifiers and the semver spellings that people write.

    ^1.2          >=1.2,<2          ~1.4          >=1.4,<1.5
    ^0.3.1        >=0.3.1,<0.4      ~1.4.2        >=1.4.2,<1.5
    1.x  1.2.*    ==1.*  ==1.2.*    >=1.10 <=1.13 >=1.10,<=1.13
    1.2.3         ==1.2.3           *             anything

Sources: PEP 440 (specifiers), semver.org and the npm documentation (caret, tilde and x-ranges).
"""

from __future__ import annotations

import re
from functools import lru_cache

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from codereef.errors import UsageError

_TOKEN = re.compile(r"(===|==|~=|!=|<=|>=|<|>|\^|~|=)?\s*([0-9A-Za-z*][0-9A-Za-z.*+!_-]*)")
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


@lru_cache(maxsize=4096)
def parse_constraint(text: str) -> SpecifierSet:
    """Read a constraint in PEP 440 or semver spelling.

    Raises:
        UsageError: the text is no constraint; alternatives (`||`) are not supported.
    """
    whole = text.strip()
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
                hint="Examples: >=1.10,<2 · ^1.2 · ~1.4 · 1.x · ==1.2.3. Alternatives (||) are not supported.",
                context={"constraint": text},
            )
        parts.append(_translate(match[1] or "", match[2], text))
        position = match.end()
    try:
        return SpecifierSet(",".join(part for part in parts if part))
    except InvalidSpecifier:
        raise UsageError(
            f"`{text}` is not a version constraint.",
            hint="Examples: >=1.10,<2 · ^1.2 · ~1.4 · 1.x · ==1.2.3.",
            context={"constraint": text},
        ) from None


def satisfies(version: str, constraint: str | None) -> bool:
    """Tell whether `version` meets `constraint`; None and "" allow everything, pre-releases included."""
    if not constraint:
        return True
    return parse_constraint(constraint).contains(parse_version(version), prereleases=True)


def preference(version: str) -> tuple[bool, Version]:
    """Return a sort key by which the version to be preferred is the greatest: stable before pre-release, then newest."""
    parsed = parse_version(version)
    return (not parsed.is_prerelease, parsed)
