# SPDX-License-Identifier: Apache-2.0
"""Conditions and variants: which parts of a component's metadata hold for one choice."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from codereef.errors import MetadataError
from codereef.meta.versions import satisfies

MAX_ASSIGNMENTS = 512

#: What a condition's key has on one machine: a value, or several (features of a processor, versions found).
Fact = str | Sequence[str]
# Not `str.format`: a template comes from a component, which must not reach into Python objects.
_TEMPLATE = re.compile(r"\{([^{}]*)\}")


def holds(when: Mapping[str, Any] | None, facts: Mapping[str, Fact]) -> bool:
    """Tell whether a `when` condition holds.

    Args:
        when: condition by key; a list of values means any of these. None always holds.
        facts: variant values, `version`, `target.*`, and where the machine is known `detected.*` and
            `machine.*`, by key. A key without a fact does not hold; of a fact with several values one is enough.
    """
    if not when:
        return True
    for key, wanted in when.items():
        found = facts.get(key)
        if found is None:
            return False
        have = [found] if isinstance(found, str) else found
        choices = [wanted] if isinstance(wanted, str) else list(wanted)
        if is_constraint_key(key):
            if not any(satisfies(version, str(choice)) for version in have for choice in choices):
                return False
        elif not any(value in choices for value in have):
            return False
    return True


def is_constraint_key(key: str) -> bool:
    """Tell whether a condition's key is compared with a version constraint, and not with values."""
    return key == "version" or (key.startswith("detected.") and "#" not in key)


def needs_machine(when: Mapping[str, Any] | None) -> bool:
    """Tell whether a condition asks for what only the machine itself can say."""
    return any(key.startswith(("detected.", "machine.")) for key in when or ())


def excluded(meta: Mapping[str, Any], facts: Mapping[str, Fact]) -> str | None:
    """Return why a component excludes a choice of its variants, or None where it does not.

    Args:
        meta: the component's metadata.
        facts: variant values, version and facts of the machine.
    """
    for entry in meta.get("excludes", ()):
        if holds(entry["when"], facts):
            shown = ", ".join(f"{k}={v if isinstance(v, str) else '|'.join(v)}" for k, v in entry["when"].items())
            return str(entry.get("reason") or f"excluded with {shown}")
    return None


def select(items: Iterable[Mapping[str, Any]], facts: Mapping[str, Fact]) -> list[dict[str, Any]]:
    """Return the items whose `when` holds, without the `when` itself."""
    return [
        {key: value for key, value in item.items() if key != "when"} for item in items if holds(item.get("when"), facts)
    ]


def assignments(variants: Mapping[str, Mapping[str, Any]], source: str) -> Iterator[dict[str, str]]:
    """Yield every assignment of the variants, defaults first, then by how few values differ from them.

    Raises:
        MetadataError: there are more than 512 assignments.
    """
    names = list(variants)
    values = [[v["default"], *(x for x in v["values"] if x != v["default"])] for v in variants.values()]
    total = 1
    for choices in values:
        total *= len(choices)
    if total > MAX_ASSIGNMENTS:
        raise MetadataError(
            f"{source} has {total} combinations of variants; at most {MAX_ASSIGNMENTS} are supported.",
            hint="Split the component, or turn options that change no dependency into program options.",
        )
    ranked = sorted(
        itertools.product(*(range(len(choices)) for choices in values)), key=lambda row: (sum(1 for i in row if i), row)
    )
    for row in ranked:
        yield {name: values[i][row[i]] for i, name in enumerate(names)}


def configuration_id(variants: Mapping[str, str]) -> str:
    """Write variant values as `name=value,name=value`, sorted; `default` when there are none."""
    return ",".join(f"{name}={value}" for name, value in sorted(variants.items())) or "default"


def expand(template: str, variants: Mapping[str, str], source: str) -> str:
    """Replace `{name}` by the value of the component's own variant.

    Raises:
        MetadataError: the component has no such variant.
    """
    unknown = [name for name in template_names(template) if name not in variants]
    if unknown:
        raise MetadataError(
            f"{source}: `{template}` names a variant that the component does not have.",
            hint=f"Its variants are {', '.join(variants) or 'none'}.",
        )
    return _TEMPLATE.sub(lambda match: variants[match[1]], template)


def template_names(template: str) -> list[str]:
    """Return what stands in braces in a template."""
    return _TEMPLATE.findall(template)
