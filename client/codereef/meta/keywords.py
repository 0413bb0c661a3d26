# SPDX-License-Identifier: Apache-2.0
"""The part of JSON Schema 2020-12 that our schemas are written in.

`verdicts` and `violations` read schemas through this module, so that neither meets a keyword that it does not
know. https://json-schema.org/draft/2020-12 has the meaning of each; a test holds ours against `jsonschema`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any] | bool
#: Returns the schema that a `$ref` names, given the document that it stands in, with the document it was found in.
Resolve = Callable[[str, Mapping[str, Any]], tuple[Schema, Mapping[str, Any]]]

#: Keywords that say nothing about a document; `format` is one of them unless a validator is told otherwise.
ANNOTATIONS = frozenset(
    ("$schema", "$id", "$defs", "$comment", "title", "description", "default", "examples", "deprecated", "format")
)
ASSERTIONS = frozenset(
    (
        *("$ref", "type", "enum", "const", "allOf", "anyOf", "oneOf", "not", "if", "then", "else"),
        *("minLength", "maxLength", "pattern"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("items", "minItems", "maxItems", "uniqueItems"),
        *("properties", "patternProperties", "additionalProperties", "propertyNames"),
        *("required", "dependentRequired", "minProperties", "maxProperties"),
    )
)
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


class UnknownKeywordError(ValueError):
    """A schema says something that the validator does not understand, and would silently not check."""


def assertions(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of a schema that say something about a document, in the schema's order.

    Raises:
        UnknownKeywordError: one of them is not supported.
    """
    for keyword in schema:
        if keyword not in ASSERTIONS and keyword not in ANNOTATIONS:
            raise UnknownKeywordError(f"the validator does not know the keyword `{keyword}`")
    return {keyword: value for keyword, value in schema.items() if keyword in ASSERTIONS}


def is_type(value: object, name: str) -> bool:
    """Tell whether a value is of a type of JSON; 1.0 is an integer too, and true is no number."""
    if name == "object":
        return isinstance(value, dict)
    if name == "array":
        return isinstance(value, list)
    if name == "string":
        return isinstance(value, str)
    if name == "boolean":
        return isinstance(value, bool)
    if name == "null":
        return value is None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return name == "number" or isinstance(value, int) or value.is_integer()


def same(a: object, b: object) -> bool:
    """Tell whether two values of JSON are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    return a == b


def repeated(values: Sequence[object]) -> bool:
    """Tell whether an entry stands twice."""
    if all(isinstance(value, str) for value in values):
        return len(set(values)) < len(values)
    return any(same(value, other) for i, value in enumerate(values) for other in values[:i])
