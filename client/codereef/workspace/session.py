# SPDX-License-Identifier: Apache-2.0
"""What every command needs: the home, the settings, the index, and what was detected; each loaded on first use."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from codereef import config
from codereef.errors import UsageError
from codereef.home import Home
from codereef.repo.index import Index, load_index
from codereef.repo.sources import repositories

if TYPE_CHECKING:
    from codereef.detect import Detected, Report
    from codereef.install.download import Settings
    from codereef.store import Store


@dataclass
class Session:
    """One command's view of the client.

    Attributes:
        home: the client's folder.
        offline: use no network, whatever the settings say.
        python: interpreter to prefer, or None.
    """

    home: Home
    offline: bool = False
    python: str | None = None
    _cache: dict[str, object] = field(default_factory=dict, repr=False)

    @cached_property
    def index(self) -> Index:
        """Every component of every repository."""
        return load_index(repositories(self.home), self.home.cache)

    @cached_property
    def usable(self) -> Index:
        """The index that graphs are made from: without detectors of repositories that are not trusted.

        A detector's commands run at every resolve, before anybody could be asked.
        """
        return load_index(
            repositories(self.home),
            self.home.cache,
            admit=lambda component: component.kind != "soft" or self._trusted(component.repository),
        )

    @cached_property
    def store(self) -> Store:
        from codereef.store import Store

        return Store(self.home.store)

    @cached_property
    def settings(self) -> Settings:
        """How to fetch."""
        from codereef.install.download import Settings

        values = {name: value for name, (value, _) in config.effective(self.home).items()}
        return Settings(
            mirrors=tuple(values["mirrors"]),
            offline=self.offline or values["offline"],
            jobs=values["jobs"],
            timeout=values["timeout"],
            retries=values["retries"],
        )

    @cached_property
    def host(self) -> str:
        """Triple of this machine."""
        from codereef.detect.platform import host_target

        return host_target()

    def detected(self, capabilities: Collection[str] | None = None) -> tuple[Detected, ...]:
        """Return what this machine has, with the preferred interpreter first."""
        return self.report(capabilities).found

    def report(self, capabilities: Collection[str] | None = None) -> Report:
        """Return what this machine has, and what was looked at and rejected."""
        from codereef.detect import detect_report

        softs = [component.meta for component in self.usable.of_kind("soft")]
        return detect_report(softs, environ=os.environ, cache_dir=self.home.cache, capabilities=capabilities)

    def _trusted(self, repository: str) -> bool:
        known = self._cache.get("trust")
        if not isinstance(known, dict):
            known = {r.name: r.trusted for r in repositories(self.home)}
            self._cache["trust"] = known
        return bool(known.get(repository, False))

    def require_trust(self, components: Collection[tuple[str, str]]) -> None:
        """Refuse to run code of components whose repository the user has not trusted.

        Args:
            components: (repository, reference) of components with code that would run.

        Raises:
            UsageError: naming them and the command that trusts the repository.
        """
        foreign = sorted(
            {(repository, reference) for repository, reference in components if not self._trusted(repository)}
        )
        if foreign:
            names = sorted({repository for repository, _ in foreign})
            raise UsageError(
                f"Code of {', '.join(reference for _, reference in foreign[:5])} would run, and you have not trusted the repository `{names[0]}`.",
                hint=f"Look at it; then `cr repo trust {names[0]}`.",
                context={"repositories": names},
            )


def workspace_folder(directory: Path, solution: str) -> Path:
    """Return the folder of a solution's lock: `directory` itself where it holds that lock, else `directory/<solution>`."""
    from codereef.lock.model import FILE_NAME

    own = directory / FILE_NAME
    if own.is_file() and directory.name == solution:
        return directory
    return directory / solution
