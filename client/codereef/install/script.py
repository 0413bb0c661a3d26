# SPDX-License-Identifier: Apache-2.0
"""The `script` back-end: a recipe's own commands, one after the other, in the sandbox."""

from __future__ import annotations

from .work import Work


def build(work: Work) -> None:
    """Run the commands of the recipe; they fill `work.prefix`.

    They begin anew after a failure, in the folder as it was left: only the recipe knows what can be kept.

    Raises:
        InstallError: a command failed.
    """
    commands = work.recipe["run"]
    for number, words in enumerate(commands, 1):
        command = [work.expand(word) for word in words]
        if command[0].startswith("./"):
            command[0] = str(work.source / command[0][2:])
        work.run(command, work.source, f"command {number} of {len(commands)} failed")
