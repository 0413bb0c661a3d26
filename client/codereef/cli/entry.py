# SPDX-License-Identifier: Apache-2.0
"""The entry point of `cr` and `codereef`; `cr --version` is answered before anything is imported."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from codereef import __version__

        sys.stdout.write(f"cr {__version__}\n")
        return 0
    try:
        from codereef.cli.app import run
    except KeyboardInterrupt:
        # Too early for the edge to tell it.
        sys.stderr.write("error: Interrupted.\n")
        return 130

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
