# SPDX-License-Identifier: Apache-2.0
"""The JSON Schemas, and validation whose messages a component's author can act on.

Every problem names the file, the JSON path, what was found, what was expected and, for an unknown key, the
nearest known one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from codereef.embedded import data_root
from codereef.errors import MetadataError
from codereef.meta.keywords import Schema
from codereef.meta.reference import nearest
from codereef.meta.verdicts import Check, Compiler
from codereef.meta.violations import Violation, unknown_keys, violations

SCHEMA_NAMES = (
    "common",
    "soft",
    "package",
    "model",
    "dataset",
    "program",
    "target",
    "solution",
    "dashboard",
    "lock",
    "result",
    "external",
    "pack",
    "pitfalls",
    "exploration",
)


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a document."""

    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" + (f" {self.hint}" if self.hint else "")


def load_schema(name: str) -> dict[str, Any]:
    """Return one of the published schemas by name (a kind, `lock`, `result` or `common`)."""
    document: dict[str, Any] = json.loads((data_root() / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    return document


@cache
def _kept(name: str) -> dict[str, Any]:
    return load_schema(name)


def _resolve(reference: str, document: Mapping[str, Any]) -> tuple[Schema, Mapping[str, Any]]:
    """Return what a `$ref` names: `#/$defs/x` in the same document, or `urn:codereef:schema:NAME:1#/$defs/x`."""
    address, _, pointer = reference.partition("#")
    if address:
        document = _kept(address.split(":")[3])
        if document["$id"] != address:
            raise LookupError(f"no schema is called {address}")
    found: Any = document
    for part in pointer.split("/")[1:]:
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found, document


_COMPILER = Compiler(_resolve)


@cache
def _verdict(name: str) -> Check:
    return _COMPILER.check(_kept(name), _kept(name))


def follows(document: object, schema: str) -> bool:
    """Tell whether `document` follows the schema of that name; `problems` says what is wrong where it does not."""
    return _verdict(schema)(document)


def json_path(parts: Iterable[str | int]) -> str:
    """Write a path the way people read it: `$.files[0].sha256`."""
    text = "$"
    for part in parts:
        text += (
            f"[{part}]"
            if isinstance(part, int)
            else f".{part}"
            if part.replace("_", "a").replace("-", "a").isalnum()
            else f"[{part!r}]"
        )
    return text


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def _best(broken: Violation) -> Violation:
    """Follow `oneOf` and `anyOf` into the branch the author most likely meant."""
    while broken.branches:
        near = len(broken.path) + 1
        branch = min(broken.branches, key=partial(_unlikeliness, near=near))
        broken = max(branch, key=lambda inner: len(inner.path))
    return broken


def _unlikeliness(branch: tuple[Violation, ...], *, near: int) -> tuple[int, int, int]:
    """Rank a branch: the one meant has the right tag, breaks deep inside, and breaks little."""
    wrong_tag = sum(1 for inner in branch if inner.keyword in ("const", "required") and len(inner.path) <= near)
    return (wrong_tag, -max(len(inner.path) for inner in branch), len(branch))


def _known_branches(broken: Violation) -> list[str] | None:
    """For a processing step, the names of all steps."""
    if broken.keyword != "oneOf" or not isinstance(broken.found, Mapping):
        return None
    names = [next(iter(branch["properties"])) for branch in broken.wanted if len(branch.get("properties", {})) == 1]
    return names if len(names) == len(broken.wanted) else None


def _describe(original: Violation) -> Iterator[Problem]:
    names = _known_branches(original)
    if names is not None:
        keys = list(original.found)
        unknown = [key for key in keys if key not in names]
        path = json_path(original.path)
        if len(keys) != 1:
            yield Problem(
                path, f"a step is an object with exactly one key, found {len(keys)}: {', '.join(map(repr, keys))}."
            )
            return
        if unknown:
            near = nearest(unknown[0], names)
            yield Problem(
                path,
                f"unknown step `{unknown[0]}`; known steps are {', '.join(names)}.",
                f"Did you mean `{near[0]}`?" if near else "",
            )
            return
        for inner in original.branches[names.index(keys[0])]:
            yield from _describe(inner)
        return
    broken = _best(original)
    path = json_path(broken.path)
    if broken.keyword == "additionalProperties":
        known = list(broken.schema.get("properties", {}))
        for key in sorted(unknown_keys(broken.found, broken.schema)):
            near = nearest(key, known)
            yield Problem(
                path,
                f"unknown key `{key}`; known keys are {', '.join(known)}.",
                f"Did you mean `{near[0]}`?" if near else "",
            )
        return
    if broken.keyword == "required":
        missing = [key for key in broken.wanted if key not in broken.found]
        yield Problem(path, f"missing key{'s' if len(missing) > 1 else ''} {', '.join(f'`{key}`' for key in missing)}.")
        return
    hint = ""
    if broken.keyword == "enum" and isinstance(broken.found, str):
        near = nearest(broken.found, [str(value) for value in broken.wanted])
        hint = f"Did you mean `{near[0]}`?" if near else ""
    about = broken.schema.get("description", "")
    yield Problem(
        path, f"found {_shown(broken.found)}, {_expected(broken)}." + (f" ({about.rstrip('.')})" if about else ""), hint
    )


_LIMITS = {
    "minLength": "text of at least {} character{s}",
    "maxLength": "text of at most {} character{s}",
    "minimum": "a number that is at least {}",
    "maximum": "a number that is at most {}",
    "exclusiveMinimum": "a number greater than {}",
    "exclusiveMaximum": "a number less than {}",
    "minItems": "at least {} entr{ies}",
    "maxItems": "at most {} entr{ies}",
    "minProperties": "at least {} key{s}",
    "maxProperties": "at most {} key{s}",
}


def _expected(broken: Violation) -> str:
    wanted = broken.wanted
    if broken.keyword == "type":
        return f"expected {wanted if isinstance(wanted, str) else ' or '.join(wanted)}"
    if broken.keyword == "enum":
        return f"expected one of {', '.join(map(_shown, wanted))}"
    if broken.keyword == "const":
        return f"expected {_shown(wanted)}"
    if broken.keyword == "pattern":
        return f"expected text matching {wanted}"
    if broken.keyword == "uniqueItems":
        return "expected no entry twice"
    if broken.keyword in _LIMITS:
        one = wanted == 1
        return "expected " + _LIMITS[broken.keyword].format(wanted, s="" if one else "s", ies="y" if one else "ies")
    if broken.keyword == "dependentRequired":
        parts = [f"{', '.join(keys)} beside {key}" for key, keys in wanted.items() if key in broken.found]
        return f"expected {'; '.join(parts)}"
    if broken.keyword == "oneOf":
        return "which is of several forms at once, expected exactly one"
    return "which is not allowed here"


def _place(document: Any, path: Iterable[str | int]) -> list[int]:
    """Return a path as positions, which sort in document order."""
    place: list[int] = []
    for part in path:
        place.append(part if isinstance(part, int) else list(document).index(part))
        document = document[part]
    return place


def problems(document: object, schema: str) -> list[Problem]:
    """Return everything wrong in `document` by the schema of that name, in document order."""
    if follows(document, schema):
        return []
    law = _kept(schema)
    found = sorted(violations(document, law, law, _resolve), key=lambda broken: _place(document, broken.path))
    return list(dict.fromkeys(problem for broken in found for problem in _describe(broken)))


def check(document: object, schema: str, source: str | Path) -> None:
    """Raise unless `document` follows the schema.

    Args:
        document: parsed JSON.
        schema: name of the schema.
        source: file or address the document came from, for the message.

    Raises:
        MetadataError: with every problem in its context.
    """
    found = problems(document, schema)
    if found:
        more = f"\n  … and {len(found) - 8} more" if len(found) > 8 else ""
        raise MetadataError(
            f"{source} does not follow the {schema} schema:\n"
            + "\n".join(f"  {problem}" for problem in found[:8])
            + more,
            hint=f"`cr lint {source}` checks it again; docs/reference/{schema}.md lists every key.",
            context={
                "file": str(source),
                "schema": schema,
                "problems": [{"path": p.path, "message": p.message, "hint": p.hint} for p in found],
            },
        )


#: What may be left of a value where a document was cut: of a literal, a number, an escape in a string.
_CUT = re.compile(r"t(ru?)?|f(a(ls?)?)?|n(ul?)?|-|[.eE][-+]?|\\(u[0-9A-Fa-f]{0,4})?|")


_CUT_HINT = "It was cut off on its way, or a bracket or quotation mark is not closed; fetch or write it again."


def json_problem(error: json.JSONDecodeError) -> tuple[str, str]:
    """Return what is wrong with a document that is no JSON, before the words `at line`, and what to do about it."""
    if not error.doc.strip():
        return "nothing is there", "The file is empty: what should have written it did not. Write or fetch it again."
    rest = error.doc[error.pos :].rstrip()
    if error.msg.startswith("Unterminated string"):
        said = "it ends within a string that begins"
    elif _CUT.fullmatch(rest) or _CUT.fullmatch(error.doc[max(0, error.pos - 1) :].rstrip()):
        said = "it ends too early,"
    else:
        return error.msg.lower(), "A comma too many or too few is the usual cause."
    return said, _CUT_HINT


def parse_json(text: str | bytes, source: str | Path) -> Any:
    """Parse JSON strictly: duplicate keys, NaN and infinities are errors.

    Raises:
        MetadataError: naming the file, the line and the column.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in items:
            if key in result:
                raise MetadataError(
                    f"{source}: the key `{key}` stands twice in one object.",
                    hint="Keep one of the two.",
                    context={"file": str(source), "key": key},
                )
            result[key] = value
        return result

    def constant(name: str) -> Any:
        raise MetadataError(
            f"{source}: {name} is not JSON.", hint="Write a number or null.", context={"file": str(source)}
        )

    def number(digits: str) -> float:
        value = float(digits)
        if value in (float("inf"), float("-inf")):
            raise MetadataError(
                f"{source}: the number {digits[:40]} is too large.",
                hint="Write a number below 1e308.",
                context={"file": str(source)},
            )
        return value

    try:
        document = json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_float=number)
        # Half of a surrogate pair has no UTF-8 form, so the document could be read but never written or hashed.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
        return document
    except json.JSONDecodeError as error:
        said, hint = json_problem(error)
        raise MetadataError(
            f"{source} is not JSON: {said} at line {error.lineno}, column {error.colno}.",
            hint=hint,
            context={"file": str(source), "line": error.lineno, "column": error.colno},
        ) from None
    except (ValueError, RecursionError) as error:
        cut = isinstance(error, UnicodeDecodeError) and error.reason == "unexpected end of data"
        raise MetadataError(
            f"{source} cannot be read as JSON: {error}.",
            hint=_CUT_HINT if cut else "The file must be UTF-8 text, with numbers and nesting of ordinary size.",
            context={"file": str(source)},
        ) from None
