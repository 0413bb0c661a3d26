# SPDX-License-Identifier: Apache-2.0
"""References to components, `kind:name@version`, and what a dependency may ask for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from codereef.errors import UsageError

KINDS = ("soft", "package", "model", "dataset", "program", "target", "solution", "dashboard")

_REFERENCE = re.compile(r"^(?:(?P<kind>[a-z]+):)?(?P<name>[a-z0-9][a-z0-9._-]*)(?:@(?P<version>\S+))?$")


@dataclass(frozen=True, order=True)
class Reference:
    """A component by kind and name, and by version where one is meant."""

    kind: str
    name: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" + (f"@{self.version}" if self.version else "")

    @property
    def unversioned(self) -> str:
        return f"{self.kind}:{self.name}"


def parse_reference(text: str, *, default_kind: str | None = None) -> Reference:
    """Read `kind:name[@version]`.

    Args:
        text: what the user or a component wrote.
        default_kind: kind of a bare name; without it a bare name is an error.

    Raises:
        UsageError: the text is no reference, or its kind is unknown.
    """
    match = _REFERENCE.match(text.strip())
    kind = (match["kind"] or default_kind) if match else None
    if match is None or kind is None:
        raise UsageError(
            f"`{text}` is not a component reference.",
            hint="Write kind:name or kind:name@version, such as model:shapes-ssd@1.0.0.",
            context={"reference": text},
        )
    if kind not in KINDS:
        near = nearest(kind, KINDS)
        raise UsageError(
            f"`{kind}` in `{text}` is not a kind of component.",
            hint=f"Did you mean `{near[0]}`?" if near else f"Kinds are {', '.join(KINDS)}.",
            context={"reference": text, "kinds": list(KINDS)},
        )
    return Reference(kind, match["name"], match["version"])


def is_capability(needs: str) -> bool:
    """Tell whether `needs` names a capability (`lib.onnxruntime`) and not a component (`model:x`)."""
    return ":" not in needs


def nearest(word: str, known: Iterable[str], *, count: int = 3) -> list[str]:
    """Return up to `count` of `known` that look like `word`, best first."""
    import difflib

    candidates = sorted(set(known))
    close = difflib.get_close_matches(word, candidates, n=count, cutoff=0.6)
    inside = [name for name in candidates if len(word) >= 3 and (word in name or name in word)]
    return list(dict.fromkeys([*close, *inside]))[:count]
