# SPDX-License-Identifier: Apache-2.0
"""Commands that are answered without click where they are written in the plain way, for click takes longer than they do.

A `Form` says which words and options a command may have to be understood here. Whatever is not in it (another option,
`-x=`, `--`, `--help`, too many words, a value that is none) is not an error here: click reads it, and says what is
wrong. Both ways end in the same function, and a test compares what they print.
"""

from __future__ import annotations

from codereef.meta.kinds import KINDS

# What is here for checking alone: `typing` and `collections.abc` take longer to import than the rest of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    #: What was read: a list of words under "", a list of values by option, and the flags that were given.
    Given = Mapping[str, Sequence[str]]


class Form:
    """How a command may be written to be answered here.

    Args:
        run: answers it; False where it cannot.
        words: the least and the most words.
        flags: options without a value, each with the name it is given under.
        values: options with a value, each with the values it may have; any where there are none.
    """

    def __init__(
        self,
        run: Callable[[Given], bool],
        words: tuple[int, int],
        flags: Mapping[str, str],
        values: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.run = run
        self.words = words
        self.flags = flags
        self.values = values or {}

    def read(self, arguments: Sequence[str]) -> Given | None:
        """Return what the arguments say; None where they are not in this form."""
        given: dict[str, list[str]] = {"": []}
        rest = iter(arguments)
        for argument in rest:
            if not argument.startswith("-"):
                given[""].append(argument)
            elif argument in self.flags:
                given[self.flags[argument]] = [argument]
            else:
                name, sign, value = argument.partition("=")
                if name not in self.values:
                    return None
                if not sign:
                    value = next(rest, "")
                if not value or value.startswith("-") or (self.values[name] and value not in self.values[name]):
                    return None
                given.setdefault(name, []).append(value)
        least, most = self.words
        return given if least <= len(given[""]) <= most else None


def _search(given: Given) -> bool:
    from codereef.cli.searching import print_hits

    kinds = given.get("--kind", ())
    print_hits(tuple(given[""]), kinds[-1] if kinds else None, tuple(given.get("--tag", ())), "json" in given)
    return True


def _init(given: Given) -> bool:
    from codereef.cli.readiness import answered

    return answered(given[""][0], quiet="quiet" in given)


FORMS = {
    "init": Form(_init, (1, 1), {"-y": "yes", "--yes": "yes", "-q": "quiet", "--quiet": "quiet"}),
    "search": Form(
        _search,
        (0, 1000),
        {"--json": "json", "-q": "quiet", "--quiet": "quiet"},
        {"--kind": KINDS, "--tag": ()},
    ),
}


def answer(arguments: Sequence[str]) -> bool:
    """Answer a command line and return True; return False, and do nothing, where click has to read it."""
    form = FORMS.get(arguments[0]) if arguments else None
    given = form.read(arguments[1:]) if form is not None else None
    return form is not None and given is not None and form.run(given)
