# SPDX-License-Identifier: Apache-2.0
"""Settings: the command line wins over the environment, that over `<home>/config.json`, that over defaults."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codereef.canonical import pretty_json
from codereef.disk import write_atomic
from codereef.errors import MetadataError, UsageError
from codereef.home import Home
from codereef.meta.reference import nearest
from codereef.witness import looked


@dataclass(frozen=True)
class Key:
    """A setting: its environment variable, its default, what it does, and for a number the least it can be."""

    name: str
    variable: str
    default: Any
    summary: str
    minimum: float = 0.0


KEYS = (
    Key(
        "mirrors",
        "CR_MIRROR",
        [],
        "Folders or addresses that hold files by sha256, tried before a file's own addresses (several are separated by commas).",
    ),
    Key("offline", "CR_OFFLINE", False, "Use no network."),
    Key("jobs", "CR_JOBS", 8, "Downloads at a time.", 1),
    Key("per_host", "CR_PER_HOST", 4, "Downloads at a time from one host.", 1),
    Key("timeout", "CR_TIMEOUT", 30.0, "Seconds without an answer after which a connection is given up.", 0.001),
    Key("retries", "CR_RETRIES", 4, "How often a failed connection is tried again."),
    Key(
        "data",
        "CR_DATA",
        [],
        "Where data lies that you have to bring, as NAME=FOLDER (several are separated by commas).",
    ),
    Key(
        "meter",
        "CR_METER",
        [],
        "Power meter of the machine: `joules` or `watts`, then a command with its arguments that prints the number, or `file:PATH` (separated by commas).",
    ),
    Key("portal", "CR_PORTAL", "http://127.0.0.1:8642", "Address of the portal that results are pushed to."),
    Key(
        "share",
        "CR_SHARE",
        [],
        "Portals that you agreed to upload results to (`cr push` asks once for each).",
    ),
)
_BY_NAME = {key.name: key for key in KEYS}


def _typed(key: Key, value: Any, origin: str) -> Any:
    try:
        if isinstance(key.default, bool):
            if isinstance(value, bool):
                return value
            text = str(value).strip().lower()
            if text in ("1", "true", "yes", "on"):
                return True
            if text in ("", "0", "false", "no", "off"):
                return False
            raise ValueError
        if isinstance(key.default, list):
            parts = value if isinstance(value, list) else str(value).split(",")
            return [str(part).strip() for part in parts if str(part).strip()]
        if isinstance(key.default, (int, float)):
            if isinstance(value, bool) or (isinstance(key.default, int) and isinstance(value, float)):
                raise ValueError
            number = type(key.default)(value)
            if not math.isfinite(number):
                raise ValueError
            if number < key.minimum:
                raise UsageError(
                    f"{origin}: {value} is too small; the least is {key.minimum:g}.",
                    hint=key.summary,
                    context={"key": key.name},
                )
            return number
        return str(value)
    except (TypeError, ValueError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[type(key.default)]
        raise UsageError(f"{origin}: `{value}` is not {kind}.", hint=key.summary, context={"key": key.name}) from None


def _stored(home: Home) -> dict[str, Any]:
    looked(str(home.config))
    try:
        document = json.loads(home.config.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MetadataError(
            f"The settings at {home.config} cannot be read: {error}.", hint="Mend the file or delete it."
        ) from None
    if not isinstance(document, dict):
        raise MetadataError(f"The settings at {home.config} are not a JSON object.", hint="Mend the file or delete it.")
    return document


def key_named(name: str) -> Key:
    """Return a setting by name.

    Raises:
        UsageError: there is none; the nearest name is in the hint.
    """
    if name not in _BY_NAME:
        near = nearest(name, _BY_NAME)
        raise UsageError(
            f"There is no setting `{name}`.",
            hint=f"Did you mean `{near[0]}`?" if near else f"Settings are {', '.join(_BY_NAME)}.",
        )
    return _BY_NAME[name]


def effective(home: Home, environ: Mapping[str, str] | None = None) -> dict[str, tuple[Any, str]]:
    """Return each setting's value with where it comes from: the environment, the file, or the default."""
    environment = os.environ if environ is None else environ
    stored = _stored(home)
    result: dict[str, tuple[Any, str]] = {}
    for key in KEYS:
        if key.variable in environment:
            result[key.name] = (_typed(key, environment[key.variable], key.variable), f"environment ({key.variable})")
        elif key.name in stored:
            result[key.name] = (_typed(key, stored[key.name], str(home.config)), "config.json")
        else:
            result[key.name] = (key.default, "default")
    return result


def value(home: Home, name: str) -> Any:
    """Return the value of one setting."""
    return effective(home)[key_named(name).name][0]


def store_value(home: Home, name: str, text: str | None) -> Any:
    """Keep a setting, or forget it when `text` is None; return its value then.

    Raises:
        UsageError: no such setting, or a value of the wrong type.
    """
    from codereef.store.locks import locked

    key = key_named(name)
    with locked(home.root / "config.lock"):
        document = _stored(home)
        if text is None:
            document.pop(key.name, None)
        else:
            document[key.name] = _typed(key, text, key.name)
        write_atomic(home.config, pretty_json(document), what="the settings")
    return document.get(key.name, key.default)
