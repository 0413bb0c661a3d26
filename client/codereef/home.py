# SPDX-License-Identifier: Apache-2.0
"""Where the client keeps things: `$CR_HOME`, or the user's data folder.

<home>/config.json     settings (`cr config`)
<home>/store/          content-addressed files and installed folders
<home>/results/        local history, one file a result
<home>/external/       results of other tools (`cr import`), one file each
<home>/explorations/   what was explored, and how far (`cr explore`)
<home>/queue/          results that wait for a portal
<home>/repos/          clones of git repositories, and repos.json
<home>/failures/       what is kept of steps that failed (`cr why-failed`)
<home>/cache/          indexes and detected facts; may be deleted at any time
<home>/portal/         database of a portal started here
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codereef.place import home_folder


@dataclass(frozen=True)
class Home:
    """The client's folder and the places in it."""

    root: Path

    @staticmethod
    def default(environ: Mapping[str, str] | None = None) -> Home:
        """Return the home of this user: `$CR_HOME`, else `$XDG_DATA_HOME/codereef`, else `~/.local/share/codereef`."""
        return Home(Path(home_folder(environ)))

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def reproduced(self) -> Path:
        return self.root / "reproduced"

    @property
    def external(self) -> Path:
        return self.root / "external"

    @property
    def explorations(self) -> Path:
        return self.root / "explorations"

    @property
    def queue(self) -> Path:
        return self.root / "queue"

    @property
    def repos(self) -> Path:
        return self.root / "repos"

    @property
    def failures(self) -> Path:
        return self.root / "failures"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def portal(self) -> Path:
        return self.root / "portal"
