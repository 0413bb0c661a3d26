# SPDX-License-Identifier: Apache-2.0
"""Turns that the client gives: a line on standard output says that one is over, a line on standard input begins one.

docs/formats/program-contract.md has the exchange.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TextIO

from codereef.errors import RunError

#: What is written when a turn is over.
OVER = json.dumps({"turn": "over"})


@dataclass
class ClientTurns:
    """The turns of this process; see `load.core.Turns`.

    Attributes:
        seconds: length of a turn.
        output: where the client reads.
        input: where it answers.
        waited: seconds that others have run meanwhile, up to now.
    """

    seconds: float
    output: TextIO
    input: TextIO
    waited: float = 0.0

    def over(self) -> None:
        """Let the others run, and return when it is this process's turn again.

        Raises:
            RunError: there is nobody left who gives turns.
        """
        begin = time.monotonic()
        try:
            self.output.write(OVER + "\n")
            self.output.flush()
            answered = self.input.readline()
        except (OSError, ValueError) as error:
            raise RunError(f"the client that gives turns cannot be reached ({error})") from error
        if not answered:
            raise RunError("the client that gives turns has gone")
        self.waited += time.monotonic() - begin
