# SPDX-License-Identifier: Apache-2.0
"""Options of a program: declared by it, set by the solution's action, overridden by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codereef.errors import UsageError
from codereef.meta.reference import nearest

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _typed(name: str, text: str, declared: Mapping[str, Any]) -> Any:
    kind = declared["type"]
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            value = float(text)
            if value != value or value in (float("inf"), float("-inf")):
                raise ValueError
            return value
        if kind == "boolean":
            if text.lower() not in _TRUE + _FALSE:
                raise ValueError
            return text.lower() in _TRUE
    except ValueError:
        raise UsageError(
            f"Option {name}: `{text}` is not {'an' if kind == 'integer' else 'a'} {kind}.",
            hint=declared["summary"],
            context={"option": name, "found": text},
        ) from None
    return text


_TYPES: dict[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "boolean": (bool,), "string": (str,)}


def _check(name: str, value: Any, declared: Mapping[str, Any]) -> Any:
    kind = declared["type"]
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        raise UsageError(
            f"Option {name}: `{value}` is not {'an' if kind == 'integer' else 'a'} {kind}.",
            hint=declared["summary"],
            context={"option": name, "found": value},
        )
    low, high, values = declared.get("minimum"), declared.get("maximum"), declared.get("values")
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = " and ".join(
            part
            for part in (f"at least {low}" if low is not None else "", f"at most {high}" if high is not None else "")
            if part
        )
        raise UsageError(f"Option {name}: {value} is out of range; it must be {bounds}.", hint=declared["summary"])
    if values is not None and value not in values:
        raise UsageError(f"Option {name}: `{value}` is not one of {', '.join(values)}.", hint=declared["summary"])
    # 5 in a cr.json and 5 of a user are one number, also in a digest, which tells 5 from 5.0.
    return float(value) if kind == "number" and isinstance(value, int) else value


def merge_options(program: Mapping[str, Any], action: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Return the options in force.

    Args:
        program: the program's `cr.json`.
        action: the solution's action, whose `options` override the program's defaults.
        given: what the user wrote after `--option`, as text by name.

    Raises:
        UsageError: an option nobody declares, or a value of the wrong type or out of range.
    """
    declared: Mapping[str, Mapping[str, Any]] = program.get("options", {})
    values = {name: entry["default"] for name, entry in declared.items()}
    own: Mapping[str, Any] = action.get("options", {})
    for name, value in {**own, **given}.items():
        if name not in declared:
            near = nearest(name, declared)
            raise UsageError(
                f"{program['name']} has no option `{name}`{'' if name in given else ', which the solution sets'}.",
                hint=f"Did you mean `{near[0]}`?" if near else f"Its options are {', '.join(declared) or 'none'}.",
                context={"option": name, "known": list(declared)},
            )
        values[name] = _typed(name, given[name], declared[name]) if name in given else value
    return {name: _check(name, value, declared[name]) for name, value in values.items()}


def measured_options(program: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the options of a program whose value changes what is measured (`"effect": "measured"`)."""
    return tuple(name for name, declared in program.get("options", {}).items() if declared.get("effect") == "measured")


def scenario_of(program: Mapping[str, Any], action: Mapping[str, Any], given: str | None) -> str:
    """Return the load pattern in force: the user's, else the solution's, else `single-stream`.

    Args:
        program: the program's `cr.json`.
        action: the solution's action.
        given: what the user asked for.

    Raises:
        UsageError: the program does not have it.
    """
    wanted: str = given or action.get("scenario", "single-stream")
    known: Sequence[str] = program.get("scenarios", ())
    if wanted in known or (given is None and not known):
        return wanted
    name = program["name"]
    if not known:
        raise UsageError(
            f"{name} decides its own scenario; it does not take `{wanted}`.", hint="Leave `--scenario` out."
        )
    near = nearest(wanted, known)
    raise UsageError(
        f"{name} has no scenario `{wanted}`{'' if given else ', which the solution names'}.",
        hint=f"Did you mean `{near[0]}`?" if near else f"It has {', '.join(known)}.",
        context={"scenario": wanted, "known": list(known)},
    )


def effort_options(program: Mapping[str, Any]) -> frozenset[str]:
    """Return the other options of a program: those that only say how long and how often it measures."""
    return frozenset(program.get("options", {})) - frozenset(measured_options(program))
