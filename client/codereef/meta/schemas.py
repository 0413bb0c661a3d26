# SPDX-License-Identifier: Apache-2.0
"""The JSON Schemas, and validation whose messages a component's author can act on.

Every problem names the file, the JSON path, what was found, what was expected and, for an unknown key, the
nearest known one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codereef.embedded import data_root
from codereef.errors import MetadataError
from codereef.meta.reference import nearest

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

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
def _validator(name: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    resources = [(schema["$id"], Resource.from_contents(schema)) for schema in map(load_schema, SCHEMA_NAMES)]
    registry: Any = Registry().with_resources(resources)
    return Draft202012Validator(load_schema(name), registry=registry)


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


# The errors of jsonschema are typed as `Any` below: its annotations allow an "unset" value everywhere, which an
# error that was raised never has.
def _best(error: Any) -> Any:
    """Follow `oneOf` and `anyOf` into the branch the author most likely meant."""
    while error.context:
        branches: dict[int, list[Any]] = {}
        for child in error.context:
            branches.setdefault(int(child.schema_path[0]), []).append(child)

        def score(children: list[Any]) -> tuple[int, int, int]:
            wrong_tag = sum(1 for c in children if c.validator in ("const", "required") and len(c.relative_path) <= 1)
            return (wrong_tag, -max(len(c.absolute_path) for c in children), len(children))

        chosen = min(branches.values(), key=score)
        error = max(chosen, key=lambda child: len(child.absolute_path))
    return error


def _known_branches(error: Any) -> list[str] | None:
    """For a processing step, the names of all steps."""
    if error.validator != "oneOf" or not isinstance(error.instance, Mapping):
        return None
    names = [
        next(iter(branch["properties"])) for branch in error.validator_value if len(branch.get("properties", {})) == 1
    ]
    return names if len(names) == len(error.validator_value) else None


def _describe(original: Any) -> Iterator[Problem]:
    names = _known_branches(original)
    if names is not None:
        keys = list(original.instance)
        unknown = [key for key in keys if key not in names]
        path = json_path(list(original.absolute_path))
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
        branch = names.index(keys[0])
        children = [child for child in original.context or [] if child.schema_path[0] == branch]
        for child in children:
            yield from _describe(child)
        return
    error = _best(original)
    path = json_path(list(error.absolute_path))
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = list(error.schema.get("properties", {}))
        for key in sorted(set(error.instance) - set(known)):
            near = nearest(key, known)
            yield Problem(
                path,
                f"unknown key `{key}`; known keys are {', '.join(known)}.",
                f"Did you mean `{near[0]}`?" if near else "",
            )
        return
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        yield Problem(path, f"missing key{'s' if len(missing) > 1 else ''} {', '.join(f'`{key}`' for key in missing)}.")
        return
    wanted = error.validator_value
    if error.validator == "type":
        expected = f"expected {wanted if isinstance(wanted, str) else ' or '.join(wanted)}"
    elif error.validator == "enum":
        expected = f"expected one of {', '.join(map(_shown, wanted))}"
    elif error.validator == "const":
        expected = f"expected {_shown(wanted)}"
    elif error.validator == "pattern":
        expected = f"expected text matching {wanted}"
    else:
        expected = str(error.message)
    hint = ""
    if error.validator == "enum" and isinstance(error.instance, str):
        near = nearest(error.instance, [str(value) for value in error.validator_value])
        hint = f"Did you mean `{near[0]}`?" if near else ""
    about = error.schema.get("description", "") if isinstance(error.schema, Mapping) else ""
    yield Problem(
        path, f"found {_shown(error.instance)}, {expected}." + (f" ({about.rstrip('.')})" if about else ""), hint
    )


def _place(document: Any, path: Iterable[str | int]) -> list[int]:
    """Return a path as positions, which sort in document order."""
    place: list[int] = []
    for part in path:
        place.append(part if isinstance(part, int) else list(document).index(part))
        document = document[part]
    return place


def problems(document: object, schema: str) -> list[Problem]:
    """Return everything wrong in `document` by the schema of that name, in document order."""
    found = sorted(_validator(schema).iter_errors(document), key=lambda error: _place(document, error.absolute_path))
    return list(dict.fromkeys(problem for error in found for problem in _describe(error)))


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
        raise MetadataError(
            f"{source} is not JSON: {error.msg.lower()} at line {error.lineno}, column {error.colno}.",
            hint="A comma too many or too few is the usual cause.",
            context={"file": str(source), "line": error.lineno, "column": error.colno},
        ) from None
    except (ValueError, RecursionError) as error:
        raise MetadataError(
            f"{source} cannot be read as JSON: {error}.",
            hint="The file must be UTF-8 text, with numbers and nesting of ordinary size.",
            context={"file": str(source)},
        ) from None
