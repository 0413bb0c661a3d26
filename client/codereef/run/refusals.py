# SPDX-License-Identifier: Apache-2.0
"""What a program refuses: an option or a scenario that it cannot have here, or with this model.

Only the program can find these: whether the runtime has the provider, whether the model takes the batch. Whoever asked
for it is told as of any other wrong option; a result of it would say nothing about the model or the machine.
"""

from __future__ import annotations

from codereef.errors import OptionError
from codereef.run.process import Answer


def refusal_of(answer: Answer, configuration: str) -> OptionError | None:
    """Return the error for a process whose program refused what was asked, or None where it did not.

    Args:
        answer: of the process; one that crashed or was ended refused nothing, whatever it wrote before.
        configuration: identity of the configuration that it is of.
    """
    said = answer.response
    if said.get("status") != "refused" or answer.outcome.status not in ("ok", "failed"):
        return None
    why = str(said.get("error") or "the program does not say why")
    return OptionError(
        f"{configuration} cannot be run with these options: {_ended(why)}",
        hint=_sentence(str(said.get("hint") or "")),
        context={"configuration": configuration},
    )


def _sentence(words: str) -> str:
    """Return the words of a program, which begin small and have no full stop, as a sentence for people."""
    return _ended(words[:1].upper() + words[1:])


def _ended(words: str) -> str:
    return words if not words or words.endswith((".", "!", "?")) else f"{words}."
