# SPDX-License-Identifier: Apache-2.0
"""The table of commands, and where the command line begins.

Names and one-line helps stand here, so that `cr --help` imports no command and no click: it costs little more
than the interpreter. Everything else goes through the click group of `cli.group`.
"""

from __future__ import annotations

import os
import sys

# What is here for checking alone: `typing` and `collections.abc` take longer to import than the rest of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: command -> (section, module under codereef.cli.commands, one-line help)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("Solutions", "solutions", "Detect, lock and install everything a solution needs."),
    "benchmark": ("Solutions", "measuring", "Measure a solution and keep the result."),
    "run": ("Solutions", "measuring", "Run a solution on a few inputs, or a command of yours in its environment."),
    "validate": ("Solutions", "measuring", "Measure accuracy only."),
    "pitfalls": ("Solutions", "pitfalls", "Measure what classic mistakes in the processing would do."),
    "explore": ("Solutions", "exploring", "Measure many choices of options and variants, and find the best."),
    "plan": ("Solutions", "solutions", "Show what init would reuse, fetch and build."),
    "lock": ("Solutions", "locking", "Write, refresh or check a lock, and install nothing."),
    "outdated": ("Solutions", "locking", "Show what of a lock is not the newest."),
    "diff": ("Solutions", "locking", "Show what two locks have otherwise."),
    "tree": ("Solutions", "solutions", "Show the graph of a solution."),
    "why": ("Solutions", "solutions", "Say why something is in the graph of a solution."),
    "why-failed": ("Solutions", "failures", "Say why a step failed, run it again, make a report."),
    "shell": ("Solutions", "environments", "Open a shell in the environment of a solution."),
    "env": ("Solutions", "environments", "Show the environment of a solution."),
    "pack": ("Solutions", "packing", "Write a solution with all it needs into one file."),
    "results": ("Results", "results", "List the results of this machine, or plot them."),
    "compare": ("Results", "results", "Compare two results: faster, slower or no measurable difference."),
    "reproduce": ("Results", "reproducing", "Measure a result again from its lock, and say whether it holds."),
    "export": ("Results", "exporting", "Write results or a lock in the formats of other tools."),
    "import": ("Results", "interchange", "Read results of other tools, and keep them apart."),
    "push": ("Results", "portal", "Upload results to a portal, after showing what is sent."),
    "search": ("Components", "components", "Search components by name, tag and summary."),
    "show": ("Components", "components", "Show a component or a result."),
    "versions": ("Components", "components", "List the versions of a component."),
    "lint": ("Components", "components", "Check components before publishing them."),
    "repo": ("Components", "repositories", "Add, list, update, trust and remove repositories."),
    "registry": ("Components", "registry", "Publish components as a registry of static files."),
    "key": ("Components", "keys", "Make and show the keys that you sign components with."),
    "detect": ("This machine", "machine", "Show the software and the machine that were detected."),
    "doctor": ("This machine", "machine", "Check that this machine can initialise and measure."),
    "terms": ("This machine", "terms", "List and withdraw the terms you accepted."),
    "store": ("This machine", "store", "List, measure, verify, repair and empty the store."),
    "config": ("This machine", "settings", "Show and change settings."),
    "portal": ("This machine", "portal", "Serve components and results as web pages."),
    "completion": ("This machine", "settings", "Print the shell completion script."),
}

ABOUT = "How fast and how accurate is this model, on this runtime, on this machine."
OPTIONS = (("-V, --version", "Print the version and exit."), ("-h, --help", "Show this message and exit."))
EXAMPLES = """\
Examples:
  cr init demo-object-detection
  cr benchmark demo-object-detection
  cr compare latest 1a2b3c
"""


def overview(columns: int) -> str:
    """Return the help of `cr` itself: every command, by section.

    Args:
        columns: width of the terminal; at most 100 are used.
    """
    width = min(columns, 100) - 2
    lines = ["Usage: cr [OPTIONS] COMMAND [ARGS]...", "", *_wrapped("  ", ABOUT, 2, width)]
    sections: dict[str, list[tuple[str, str]]] = {"Options": list(OPTIONS)}
    for name, (section, _, text) in COMMANDS.items():
        sections.setdefault(section, []).append((name, text))
    for section, rows in sections.items():
        indent = max(len(name) for name, _ in rows) + 4
        lines += ["", f"{section}:"]
        for name, text in rows:
            lines += _wrapped(f"  {name}".ljust(indent), text, indent, width)
    return "\n".join([*lines, "", *(f"  {line}" for line in EXAMPLES.splitlines())])


def _wrapped(line: str, text: str, indent: int, width: int) -> Iterator[str]:
    """Yield `text` behind `line`, broken at blanks and indented where it is longer than the terminal is wide."""
    empty = True
    for word in text.split(" "):
        if not empty and len(line) + 1 + len(word) > width:
            yield line
            line, empty = " " * indent, True
        line, empty = f"{line}{'' if empty else ' '}{word}", False
    yield line


def columns() -> int:
    """Return how wide the terminal is: `COLUMNS`, else what it says itself, else 80."""
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return 80


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; no exception leaves here unless `--debug` is given."""
    try:
        # While a shell asks for completions, no argument is given either.
        if list(arguments) in ([], ["-h"], ["--help"]) and "_CR_COMPLETE" not in os.environ:
            sys.stdout.write(overview(columns()) + "\n")
            sys.stdout.flush()
            return 0
        if "_CR_COMPLETE" not in os.environ:
            from codereef.cli.direct import answer

            if answer(arguments):
                return 0
        from codereef.cli.group import cli

        result = cli.main(args=list(arguments), prog_name="cr", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except BaseException as error:
        from codereef.cli.edge import report_error

        return report_error(error, arguments)
