# SPDX-License-Identifier: Apache-2.0
"""What every command needs: the home, the settings, the index, and what was detected; each loaded on first use."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from codereef import config
from codereef.home import Home
from codereef.repo.index import Index, Repository, load_index
from codereef.repo.sources import may_run, repositories, sources
from codereef.witness import looked

if TYPE_CHECKING:
    from codereef.detect import Detected, Report
    from codereef.install.download import Settings
    from codereef.install.nodes import Options
    from codereef.store import Store
    from codereef.workspace.trust import Unknown


@dataclass
class Session:
    """One command's view of the client.

    Attributes:
        home: the client's folder.
        offline: use no network, whatever the settings say.
        python: interpreter to prefer, or None.
        data: folder by dataset, of data that the user brings; wins over the environment and the settings.
        fresh: begin builds anew instead of going on where failed ones stopped.
        run_system_commands: run the system's package manager instead of showing its command.
        ask: asks a person whether publishers may be trusted; None where nobody can be asked.
    """

    home: Home
    offline: bool = False
    python: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    #: Take Python distributions from packs alone, and ask no package index.
    alone: bool = False
    fresh: bool = False
    run_system_commands: bool = False
    #: What is kept in the store as long as this session lives (`workspace.storage.use`).
    in_use: ExitStack = field(default_factory=ExitStack, repr=False)
    ask: Callable[[Sequence[Unknown]], bool] | None = field(default=None, repr=False)

    @cached_property
    def repositories(self) -> tuple[Repository, ...]:
        """The repositories that components come from, those that win first."""
        return tuple(repositories(self.home))

    @cached_property
    def index(self) -> Index:
        """Every component of every repository."""
        return load_index(self.repositories, self.home.cache, offline=self._offline)

    @cached_property
    def usable(self) -> Index:
        """The index that graphs are made from: without detectors of publishers that are not trusted.

        A detector's commands run at every resolve, before anybody could be asked.
        """
        return load_index(
            self.repositories,
            self.home.cache,
            admit=lambda repository, kind, key: kind != "soft" or may_run(repository, key),
            offline=self._offline,
        )

    def forget(self) -> None:
        """Read the repositories again when they are next asked for: the user has changed whom he trusts."""
        for name in ("repositories", "index", "usable", "settings"):
            self.__dict__.pop(name, None)

    @cached_property
    def _offline(self) -> bool:
        return self.offline or bool(config.value(self.home, "offline"))

    @cached_property
    def store(self) -> Store:
        from codereef.store import Store

        return Store(self.home.store, once=True)

    @cached_property
    def settings(self) -> Settings:
        """How to fetch."""
        from codereef.install.download import Settings

        values = {name: value for name, (value, _) in config.effective(self.home).items()}
        packs = [
            self.home.repos / source.name for source in sources(self.home) if source.kind == "pack" and source.trusted
        ]
        wheels = tuple(pack / "wheels" for pack in packs if (pack / "wheels").is_dir())
        return Settings(
            mirrors=tuple(values["mirrors"]),
            offline=self.offline or values["offline"],
            jobs=values["jobs"],
            per_host=values["per_host"],
            timeout=values["timeout"],
            retries=values["retries"],
            wheels=wheels,
            no_index=bool(wheels) and (self.alone or self.offline or values["offline"]),
        )

    @cached_property
    def options(self) -> Options:
        """What the user decides about builds."""
        from codereef.install.nodes import Options

        return Options(fresh=self.fresh, run_system_commands=self.run_system_commands, failures=self.home.failures)

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

    def require_trust(self, components: Collection[tuple[str, str]]) -> None:
        """Refuse to run code of components whose publisher the user has not trusted, or ask where that is possible.

        Args:
            components: (repository, reference) of components with code that would run.

        Raises:
            UsageError: naming them and the command that trusts the repository.
        """
        from codereef.workspace.trust import require_trust

        require_trust(self, components)


def workspace_folder(directory: Path, solution: str) -> Path:
    """Return the folder of a solution's lock: `directory` itself where it holds that lock, else `directory/<solution>`."""
    from codereef.lock.model import FILE_NAME

    own = directory / FILE_NAME
    looked(str(own.absolute()))
    if own.is_file() and directory.name == solution:
        return directory
    return directory / solution
