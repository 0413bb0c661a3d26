# SPDX-License-Identifier: Apache-2.0
"""What in a document breaks a schema, and where: for the few documents of which `verdicts` says no.

Every keyword that fails gives one violation. Those of `anyOf` and `oneOf` hold what each branch missed, from
which `schemas` picks the branch that the author meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from codereef.meta.keywords import Resolve, Schema, assertions, is_type, repeated, same

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Violation:
    """A value that breaks a keyword of its schema.

    Attributes:
        path: keys and positions that lead to the value.
        keyword: the one that it breaks; "" where the schema is `false`.
        wanted: what the schema says behind that keyword.
        found: the value.
        schema: the schema that the keyword stands in.
        branches: for `anyOf` and `oneOf`, what each branch says.
    """

    path: Path
    keyword: str
    wanted: Any
    found: Any
    schema: Mapping[str, Any]
    branches: tuple[tuple[Violation, ...], ...] = ()


def violations(
    value: Any, schema: Schema, document: Mapping[str, Any], resolve: Resolve, path: Path = ()
) -> Iterator[Violation]:
    """Yield what in `value` breaks `schema`, in the order of the schema's keywords.

    Args:
        value: parsed JSON.
        schema: what it must follow.
        document: the document that `schema` stands in.
        resolve: finds what a `$ref` names.
        path: where `value` stands.
    """
    if isinstance(schema, bool):
        if not schema:
            yield Violation(path, "", False, value, {})
        return
    for keyword, wanted in assertions(schema).items():
        inner = _Inner(value, document, resolve, path)
        if keyword in _DEEPER:
            yield from _DEEPER[keyword](inner, wanted, schema)
        elif keyword in ("anyOf", "oneOf"):
            branches = tuple(tuple(inner.here(branch)) for branch in wanted)
            fitting = sum(not branch for branch in branches)
            if not fitting or (keyword == "oneOf" and fitting > 1):
                yield Violation(path, keyword, wanted, value, schema, branches if not fitting else ())
        elif keyword == "not":
            if not any(inner.here(wanted)):
                yield Violation(path, keyword, wanted, value, schema)
        elif keyword in _BROKEN and _BROKEN[keyword](value, wanted):
            yield Violation(path, keyword, wanted, value, schema)


@dataclass(frozen=True)
class _Inner:
    """The value at hand, and the way to what is inside it."""

    value: Any
    document: Mapping[str, Any]
    resolve: Resolve
    path: Path

    def here(self, schema: Schema) -> Iterator[Violation]:
        return violations(self.value, schema, self.document, self.resolve, self.path)

    def below(self, key: str | int, schema: Schema) -> Iterator[Violation]:
        return violations(self.value[key], schema, self.document, self.resolve, (*self.path, key))


def _ref(inner: _Inner, wanted: str, _: Mapping[str, Any]) -> Iterator[Violation]:
    target, document = inner.resolve(wanted, inner.document)
    return violations(inner.value, target, document, inner.resolve, inner.path)


def _all_of(inner: _Inner, wanted: list[Schema], _: Mapping[str, Any]) -> Iterator[Violation]:
    for schema in wanted:
        yield from inner.here(schema)


def _if(inner: _Inner, wanted: Schema, schema: Mapping[str, Any]) -> Iterator[Violation]:
    return inner.here(schema.get("else" if any(inner.here(wanted)) else "then", True))


def _items(inner: _Inner, wanted: Schema, _: Mapping[str, Any]) -> Iterator[Violation]:
    if not isinstance(inner.value, list):
        return
    kind = wanted.get("type") if isinstance(wanted, Mapping) and len(wanted) == 1 else None
    # Samples are many, and each is only to be a number.
    if isinstance(kind, str) and all(is_type(value, kind) for value in inner.value):
        return
    for i in range(len(inner.value)):
        yield from inner.below(i, wanted)


def _properties(inner: _Inner, wanted: Mapping[str, Schema], _: Mapping[str, Any]) -> Iterator[Violation]:
    if isinstance(inner.value, dict):
        for key in wanted:
            if key in inner.value:
                yield from inner.below(key, wanted[key])


def _pattern_properties(inner: _Inner, wanted: Mapping[str, Schema], _: Mapping[str, Any]) -> Iterator[Violation]:
    if isinstance(inner.value, dict):
        for pattern, schema in wanted.items():
            for key in inner.value:
                if re.search(pattern, key):
                    yield from inner.below(key, schema)


def unknown_keys(found: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return the keys of an object that neither `properties` nor `patternProperties` of a schema name."""
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    return [key for key in found if key not in known and not any(re.search(pattern, key) for pattern in patterns)]


def _additional(inner: _Inner, wanted: Schema, schema: Mapping[str, Any]) -> Iterator[Violation]:
    if not isinstance(inner.value, dict):
        return
    unknown = unknown_keys(inner.value, schema)
    if wanted is False:
        if unknown:
            yield Violation(inner.path, "additionalProperties", wanted, inner.value, schema)
        return
    for key in unknown:
        yield from inner.below(key, wanted)


def _names(inner: _Inner, wanted: Schema, _: Mapping[str, Any]) -> Iterator[Violation]:
    if isinstance(inner.value, dict):
        for key in inner.value:
            # The key itself is what is wrong; it stands where the object stands.
            yield from violations(key, wanted, inner.document, inner.resolve, inner.path)


_DEEPER: dict[str, Callable[[_Inner, Any, Mapping[str, Any]], Iterator[Violation]]] = {
    "$ref": _ref,
    "allOf": _all_of,
    "if": _if,
    "items": _items,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "propertyNames": _names,
}


def _number(value: object) -> bool:
    return is_type(value, "number")


_BROKEN: dict[str, Callable[[Any, Any], bool]] = {
    "type": lambda v, w: not any(is_type(v, name) for name in ([w] if isinstance(w, str) else w)),
    "enum": lambda v, w: not any(same(v, other) for other in w),
    "const": lambda v, w: not same(v, w),
    "minLength": lambda v, w: isinstance(v, str) and len(v) < w,
    "maxLength": lambda v, w: isinstance(v, str) and len(v) > w,
    "pattern": lambda v, w: isinstance(v, str) and not re.search(w, v),
    "minimum": lambda v, w: _number(v) and v < w,
    "maximum": lambda v, w: _number(v) and v > w,
    "exclusiveMinimum": lambda v, w: _number(v) and v <= w,
    "exclusiveMaximum": lambda v, w: _number(v) and v >= w,
    "minItems": lambda v, w: isinstance(v, list) and len(v) < w,
    "maxItems": lambda v, w: isinstance(v, list) and len(v) > w,
    "uniqueItems": lambda v, w: bool(w) and isinstance(v, list) and repeated(v),
    "required": lambda v, w: isinstance(v, dict) and not all(key in v for key in w),
    "dependentRequired": lambda v, w: (
        isinstance(v, dict) and any(key in v and not all(k in v for k in keys) for key, keys in w.items())
    ),
    "minProperties": lambda v, w: isinstance(v, dict) and len(v) < w,
    "maxProperties": lambda v, w: isinstance(v, dict) and len(v) > w,
}
