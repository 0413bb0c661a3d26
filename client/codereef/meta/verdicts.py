# SPDX-License-Identifier: Apache-2.0
"""Whether a document follows a schema, yes or no, as fast as plain Python can tell.

A schema becomes a function once: what it says about text, numbers, arrays and objects is sorted out then, so
that a value meets only the questions for its own type. `violations` says what is wrong where the answer is no.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from codereef.meta.keywords import Resolve, Schema, assertions, is_type, repeated, same

Check = Callable[[Any], bool]


class Compiler:
    """Makes functions of schemas, one for each place that a `$ref` leads to.

    Args:
        resolve: finds what a `$ref` names.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        # By identity, with the schema itself, so that no other can come to have the same identity.
        self._made: dict[int, tuple[Schema, Check]] = {}
        self._open: dict[int, list[Check]] = {}

    def check(self, schema: Schema, document: Mapping[str, Any]) -> Check:
        """Return a function that tells whether a value follows `schema`, which stands in `document`.

        Raises:
            UnknownKeywordError: the schema uses a keyword that is not supported.
        """
        if isinstance(schema, bool):
            return _always if schema else _never
        known = self._made.get(id(schema))
        if known is not None:
            return known[1]
        if id(schema) in self._open:
            # A schema that leads to itself: what it will become is looked up when it is called.
            made = self._open[id(schema)]
            return lambda value: made[0](value)
        self._open[id(schema)] = made = []
        function = self._compile(assertions(schema), document)
        made.append(function)
        del self._open[id(schema)]
        self._made[id(schema)] = (schema, function)
        return function

    def _compile(self, words: dict[str, Any], document: Mapping[str, Any]) -> Check:
        wanted = words.pop("type", None)
        checks = self._any_type(words, document)
        by_type: dict[str, Check | None] = {
            "string": _text(words),
            "number": _number(words),
            "array": self._array(words, document),
            "object": self._object(words, document),
        }
        if isinstance(wanted, str) and wanted in by_type:
            return _both(_only(wanted, by_type[wanted]), checks)
        checks += [_where(name, inner) for name, inner in by_type.items() if inner is not None]
        if wanted is not None:
            names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
            checks.insert(0, lambda value: any(is_type(value, name) for name in names))
        return _both(checks[0], checks[1:]) if checks else _always

    def _any_type(self, words: dict[str, Any], document: Mapping[str, Any]) -> list[Check]:
        """Return the checks that do not depend on the type of the value."""
        checks: list[Check] = []

        def inner(schema: Schema) -> Check:
            return self.check(schema, document)

        if "enum" in words:
            checks.append(_one_of(words["enum"]))
        if "const" in words:
            checks.append(_one_of([words["const"]]))
        if "$ref" in words:
            checks.append(self.check(*self._resolve(words["$ref"], document)))
        checks += map(inner, words.get("allOf", ()))
        if "anyOf" in words:
            any_of = [inner(schema) for schema in words["anyOf"]]
            checks.append(lambda value: any(branch(value) for branch in any_of))
        if "oneOf" in words:
            one_of = [inner(schema) for schema in words["oneOf"]]
            checks.append(lambda value: sum(branch(value) for branch in one_of) == 1)
        if "not" in words:
            refused = inner(words["not"])
            checks.append(lambda value: not refused(value))
        if "if" in words:
            condition, then, otherwise = (inner(words.get(word, True)) for word in ("if", "then", "else"))
            checks.append(lambda value: (then if condition(value) else otherwise)(value))
        return checks

    def _array(self, words: dict[str, Any], document: Mapping[str, Any]) -> Check | None:
        least, most = words.get("minItems", 0), words.get("maxItems")
        unique = words.get("uniqueItems", False)
        items = self.check(words["items"], document) if "items" in words else None
        if not least and most is None and not unique and items is None:
            return None

        def check(value: list[Any]) -> bool:
            if len(value) < least or (most is not None and len(value) > most):
                return False
            if items is not None:
                for item in value:
                    if not items(item):
                        return False
            return not unique or not repeated(value)

        return check

    def _object(self, words: dict[str, Any], document: Mapping[str, Any]) -> Check | None:
        least, most = words.get("minProperties", 0), words.get("maxProperties")
        required = frozenset(words.get("required", ()))
        known = {key: self.check(schema, document) for key, schema in words.get("properties", {}).items()}
        patterns = [
            (re.compile(pattern).search, self.check(schema, document))
            for pattern, schema in words.get("patternProperties", {}).items()
        ]
        other = self.check(words.get("additionalProperties", True), document)
        names = self.check(words.get("propertyNames", True), document)
        needed = {key: frozenset(keys) for key, keys in words.get("dependentRequired", {}).items()}
        plain = not patterns and not needed and names is _always and most is None
        if plain and not least and not required and not known and other is _always:
            return None
        find = known.get

        def plain_check(value: dict[str, Any]) -> bool:
            if len(value) < least or not required <= value.keys():
                return False
            for key, item in value.items():  # noqa: SIM110 - all() takes twice as long, and this is all that we do
                if not find(key, other)(item):
                    return False
            return True

        def check(value: dict[str, Any]) -> bool:
            if len(value) < least or (most is not None and len(value) > most) or not required <= value.keys():
                return False
            for key, item in value.items():
                if not names(key) or (key in needed and not needed[key] <= value.keys()):
                    return False
                matching = [inner for search, inner in patterns if search(key)]
                if key in known:
                    matching.append(known[key])
                if not all(inner(item) for inner in matching or (other,)):
                    return False
            return True

        return plain_check if plain else check


def _always(_: Any) -> bool:
    return True


def _never(_: Any) -> bool:
    return False


def _both(first: Check, others: list[Check]) -> Check:
    if not others:
        return first
    if len(others) == 1:
        second = others[0]
        return lambda value: first(value) and second(value)
    checks = [first, *others]
    return lambda value: all(check(value) for check in checks)


_CLASSES: dict[str, Any] = {"string": str, "array": list, "object": dict}


def _only(name: str, inner: Check | None) -> Check:
    """Return the check of a value that must be of one type."""
    if name == "number":
        if inner is None:
            return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)
        return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and inner(value)
    class_ = _CLASSES[name]
    if inner is None:
        return lambda value: isinstance(value, class_)
    return lambda value: isinstance(value, class_) and inner(value)


def _where(name: str, inner: Check) -> Check:
    """Return a check that concerns values of one type only."""
    return lambda value: inner(value) if is_type(value, name) else True


def _one_of(allowed: list[Any]) -> Check:
    if all(isinstance(value, str) for value in allowed):
        words = frozenset(allowed)
        return lambda value: isinstance(value, str) and value in words
    return lambda value: any(same(value, other) for other in allowed)


def _text(words: dict[str, Any]) -> Check | None:
    least, most = words.get("minLength", 0), words.get("maxLength")
    search = re.compile(words["pattern"]).search if "pattern" in words else None
    if not least and most is None:
        return None if search is None else lambda value: search(value) is not None
    return lambda value: (
        len(value) >= least and (most is None or len(value) <= most) and (search is None or search(value) is not None)
    )


def _number(words: dict[str, Any]) -> Check | None:
    infinite = float("inf")
    least, most = words.get("minimum", -infinite), words.get("maximum", infinite)
    above, below = words.get("exclusiveMinimum"), words.get("exclusiveMaximum")
    if above is None and below is None and least == -infinite and most == infinite:
        return None
    return lambda value: (
        least <= value <= most and (above is None or value > above) and (below is None or value < below)
    )
