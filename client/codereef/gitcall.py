# SPDX-License-Identifier: Apache-2.0
"""How the system's own git is called safely, for whoever calls it: repositories of components and recipes' sources."""

from __future__ import annotations

from collections.abc import Mapping

# An address cannot name a command (`ext::`) or a helper.
_TRANSPORTS = "file:git:http:https:ssh"
# Where these point elsewhere, as inside a hook of git, the command would work on another repository.
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_PREFIX")
#: Options before git's verb: a transfer slower than 100 bytes/s for a minute is given up.
SLOWEST = ("-c", "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=60")


def git_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for git: nothing is asked, it answers in English, and only known transports are spoken."""
    kept = {name: value for name, value in environ.items() if name not in _ELSEWHERE}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": _TRANSPORTS, "LC_ALL": "C"}
