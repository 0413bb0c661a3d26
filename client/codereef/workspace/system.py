# SPDX-License-Identifier: Apache-2.0
"""Packages of the system that a plan needs: shown, or installed when the user has said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codereef.errors import InstallError
from codereef.install.failures import Recorder
from codereef.install.progress import Progress

if TYPE_CHECKING:
    from codereef.workspace.plan import Plan
    from codereef.workspace.session import Session


def with_system_packages(session: Session, plan: Plan, progress: Progress) -> Plan:
    """Return the plan, made again with what the system's package manager has installed where it had to.

    Raises:
        NeedsYouError: it has to be run, and the user has not said that cr may.
        InstallError: it failed, or detection does not find what it has installed.
    """
    from codereef.install.system import ask_for, needed, run
    from codereef.workspace.plan import make_plan

    wanted = needed(plan.lock, session.usable, plan.lock.nodes)
    if wanted is None:
        return plan
    if not session.options.run_system_commands or plan.wish is None:
        raise ask_for(wanted)
    session.store.prepare()
    run(wanted, session.store.logs, progress, Recorder(session.options.failures, plan.lock, session.usable))
    again = make_plan(session, plan.wish, plan.folder.parent)
    left = needed(again.lock, session.usable, again.lock.nodes)
    if left is not None:
        raise InstallError(
            f"{wanted.manager} has installed {', '.join(wanted.packages)}, and detection does not find "
            f"{', '.join(left.nodes)} yet.",
            hint="`cr detect CAPABILITY` says what was looked at; the recipe may name the wrong packages.",
            context={"nodes": list(left.nodes)},
        )
    return again
