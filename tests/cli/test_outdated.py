# SPDX-License-Identifier: Apache-2.0
"""What `cr outdated` says comes next: an upgrade only where it would move something."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from codereef.cli.commands.locking import outdated
from codereef.workspace.outdated import Row


@pytest.mark.parametrize(("fits", "upgrade"), [("2.0", True), ("1.0", False), ("", False)])
def test_an_upgrade_is_named_only_where_something_newer_fits(
    fits: str, upgrade: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row("lib.a", "capability", "1.0", fits, "3.0", ("linux-x86_64-gnu",))
    found = SimpleNamespace(lock=SimpleNamespace(solution="solution:demo@1.0.0"), rows=(row,), notes=())
    monkeypatch.setattr("codereef.cli.commands.locking.session", lambda **_: None)
    monkeypatch.setattr("codereef.workspace.outdated.outdated", lambda *_: found)
    done = CliRunner().invoke(outdated, ["demo"])
    assert done.exit_code == 0, done.output
    assert ("Next: cr lock demo --upgrade" in done.output) is upgrade
    assert ("Nothing newer fits" in done.output) is not upgrade
