# SPDX-License-Identifier: Apache-2.0
"""What must not be in a result: host name, user name, paths, hardware addresses, credentials."""

from __future__ import annotations

import getpass
import platform
import re
from functools import lru_cache

_FILE_URL = re.compile(r"\bfile://(?=/)", re.IGNORECASE)
_QUOTED_PATH = re.compile(r"""(["'`])/[^"'`\n]*/([^"'`/\n]+)/?\1""")
# A home folder has a person's name for its last part.
_HOME = re.compile(r"(?<![\w./])~?/(?:home|Users)/[^/\s\"'`:]+/?(?![^\s\"'`:,;)])")
_PATH = re.compile(r"(?<![\w./])~?(?:/[\w.+@%~-]+){2,}/?")
_WINDOWS_PATH = re.compile(r"\b[A-Za-z]:\\(?:[^\\\s]+\\)*[^\\\s]*")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_MAC = re.compile(r"(?<![0-9a-fA-F:-])[0-9a-fA-F]{2}(?:([:-])[0-9a-fA-F]{2})(?:\1[0-9a-fA-F]{2}){4}(?![0-9a-fA-F:-])")

#: How a text begins that can only be a path: `org/name` may be anything.
_BEGINS_PATH = re.compile(r"[/~]|\.\.?/|[A-Za-z]:\\")


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    names = {platform.node(), platform.node().split(".")[0]}
    try:
        names.add(getpass.getuser())
    except (OSError, KeyError):
        pass
    # Names such as "root" or "pi" are no secret and would take words out of ordinary text.
    return tuple(sorted((name for name in names if len(name) > 4), key=len, reverse=True))


def _quoted(match: re.Match[str]) -> str:
    # In quotes a path may hold blanks. A home folder's last part is a name and goes too.
    home = re.fullmatch(r"/(?:home|Users)/[^/]+/?", match[0][1:-1])
    return f"{match[1]}…{match[1]}" if home else f"{match[1]}…/{match[2]}{match[1]}"


def scrub(text: str) -> str:
    """Return free text without paths (their last part stays), host and user name, MAC addresses and credentials."""
    text = _CREDENTIALS.sub("", text)
    text = _FILE_URL.sub("", text)
    text = _QUOTED_PATH.sub(_quoted, text)
    text = _HOME.sub("…", text)
    text = _PATH.sub(lambda match: "…/" + match[0].rstrip("/").rsplit("/", 1)[-1], text)
    text = _WINDOWS_PATH.sub(lambda match: "…\\" + match[0].rsplit("\\", 1)[-1], text)
    text = _MAC.sub("…", text)
    for name in _names():
        text = re.sub(rf"\b{re.escape(name)}\b", "…", text, flags=re.IGNORECASE)
    return text


def placeless(text: str) -> str:
    """Return a path without its folders, so that two machines have one name for one file; other text as it is."""
    return re.split(r"[/\\]", text.rstrip("/\\"))[-1] if _BEGINS_PATH.match(text) else text
