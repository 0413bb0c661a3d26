# SPDX-License-Identifier: Apache-2.0
"""Takes secrets out of text that is shown or written: credentials in addresses, tokens in queries."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#'\"<>]*@")
_QUERY = re.compile(
    r"(?i)([?&;](?:[a-z0-9_.-]*(?:token|secret|password|passwd|signature|credential|api[_-]?key|access[_-]?key)"
    r"[a-z0-9_.-]*|sig|key|auth|code)=)[^\s&;#'\"<>]+"
)
_HEADER = re.compile(r"(?i)\b(authorization['\"]?\s*[:=]\s*['\"]?(?:basic|bearer|token)?\s*)[^\s'\",]+")


def redact(text: str) -> str:
    """Return `text` with the user and password of every address, and secret-looking query values, as `***`."""
    text = _USERINFO.sub(r"\1***@", text)
    text = _QUERY.sub(r"\1***", text)
    return _HEADER.sub(r"\1***", text)
