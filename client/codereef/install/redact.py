# SPDX-License-Identifier: Apache-2.0
"""Takes secrets out of text that is shown or written.

Secrets are the credentials in addresses, tokens in queries and headers, and the values of environment variables
whose names say that they hold one: what a build or an installer prints of these must not reach a log.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache

MASK = "***"
_SHORTEST = 6  # a shorter value stands in innocent words too

_USERINFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#'\"<>]*@")
_QUERY = re.compile(
    r"(?i)([?&;](?:[a-z0-9_.-]*(?:token|secret|password|passwd|signature|credential|api[_-]?key|access[_-]?key)"
    r"[a-z0-9_.-]*|sig|key|auth|code)=)[^\s&;#'\"<>]+"
)
_HEADER = re.compile(r"(?i)\b(authorization['\"]?\s*[:=]\s*['\"]?(?:basic|bearer|token)?\s*)[^\s'\",]+")
_ASSIGNED = re.compile(
    r"(?i)\b([A-Z0-9_]*(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?)\s*=\s*)"
    r"(?!['\"]?\*\*\*)['\"]?[^\s'\"]+['\"]?"
)
_SECRET_NAME = re.compile(
    r"(?i)(token|secret|passwd|password|passphrase|credential|cookie|session_?id|api_?key|access_?key|private_?key"
    r"|_key$|_auth$|^auth|_pat$|_pass$|_pw$)"
)
# Paths and sockets, whose names only sound like secrets.
_NO_SECRET = frozenset({"SSH_AUTH_SOCK", "XAUTHORITY", "GIT_ASKPASS", "SSH_ASKPASS", "DBUS_SESSION_BUS_ADDRESS"})


@cache
def is_secret(name: str) -> bool:
    """Whether an environment variable of that name is taken to hold a secret."""
    return name not in _NO_SECRET and _SECRET_NAME.search(name) is not None


def secret_values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of secret variables, the longest first, so that one within another leaves nothing."""
    found = {value for name, value in environ.items() if is_secret(name) and len(value) >= _SHORTEST}
    # The password of an address that a variable holds, such as a proxy or an index, may be printed alone.
    for value in environ.values():
        if "://" not in value:
            continue
        for match in re.finditer(r"://[^\s/?#@:]*:([^\s/?#@]+)@", value):
            if len(match[1]) >= _SHORTEST:
                found.add(match[1])
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def redact(text: str, secrets: Sequence[str] | None = None) -> str:
    """Return `text` with the secrets of addresses, headers, assignments and the environment as `***`.

    Args:
        text: what a program said, or a command.
        secrets: values to take out (`secret_values`); those of this process's environment by default.
    """
    text = _USERINFO.sub(r"\1" + MASK + "@", text)
    text = _QUERY.sub(r"\1" + MASK, text)
    text = _HEADER.sub(r"\1" + MASK, text)
    text = _ASSIGNED.sub(r"\1" + MASK, text)
    for value in secret_values(os.environ) if secrets is None else secrets:
        if value in text:
            text = text.replace(value, MASK)
    return text
