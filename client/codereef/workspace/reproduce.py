# SPDX-License-Identifier: Apache-2.0
"""`cr reproduce`: a result's lock built again in a folder of its own, its program run again, the two compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from codereef.canonical import pretty_json
from codereef.disk import write_atomic
from codereef.errors import CancelledError, LockError, NotFoundError, OptionError, UsageError
from codereef.install.progress import Progress
from codereef.lock.model import FILE_NAME
from codereef.record.history import History, Result
from codereef.record.reproduction import Check, Reproduction, judge
from codereef.run.measure import Order, measure
from codereef.run.process import Update
from codereef.run.request import parts_of
from codereef.workspace.initialise import carry_out, make_plan
from codereef.workspace.session import Session
from codereef.workspace.wish import Wish


def reproduce(
    session: Session,
    result: Result,
    directory: Path,
    progress: Progress,
    *,
    timeout: float | None = None,
    on_update: Callable[[Update], None] = lambda _: None,
) -> tuple[Reproduction, Result | None]:
    """Build the graph of a result again, measure it with the same options, and judge.

    Args:
        session: the command's view.
        result: what is to be reproduced; of this machine or of another.
        directory: where the workspace is put, in a folder of the result's identity.
        progress: is told what is installed.
        timeout: seconds that each process may take.
        on_update: is told how far measuring has come.

    Returns:
        The judgement, and the new result where there is one; it is in the history.

    Raises:
        UsageError: the result is no finished measurement, or code of a repository that is not trusted would run.
        InstallError: something could not be installed, though the graph is the same.
    """
    document = result.document
    if document["status"] != "ok":
        raise UsageError(
            f"Result {result.short} ended as {document['status']}, so there is nothing to reproduce.",
            hint="`cr results` lists the others.",
        )
    name = document["solution"]["component"].split(":", 1)[1].split("@")[0]
    folder = directory / result.short
    path = folder / name / FILE_NAME
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, pretty_json(document["lock"]), what="the lock of the result")
    variants = {key: [value] for key, value in document["configuration"]["variants"].items()}
    try:
        plan = make_plan(session, Wish(name, variants, locked=True), folder)
    except (LockError, NotFoundError) as error:
        # The message names the node, what the lock had and what this machine has.
        return Reproduction(result.id, "", False, (Check("graph", False, error.message),)), None
    if not plan.lock.configurations:
        reason = f"the result is of {document['configuration']['target']}, and this machine is {session.host}"
        return Reproduction(result.id, "", False, (Check("graph", False, reason),)), None
    ready = carry_out(session, plan, progress)
    history = History(session.home.results)
    configuration = ready.lock.configurations[0]
    program = parts_of(ready.lock, configuration, session.index).program.meta
    order = Order(
        document["action"],
        _given(document["options"]),
        # A program that decides its own scenario takes none.
        scenario=document["scenario"] if "scenarios" in program else None,
        timeout=timeout,
        processes=len(document.get("processes", ())) or 1,
    )
    try:
        measured = measure(
            ready.lock, configuration, session.index, ready.installed, session.home, order, on_update=on_update
        )
    except OptionError as error:
        # An execution provider or a processor that the original had and this machine has not: as good as no graph.
        return Reproduction(result.id, "", False, (Check("run", False, error.message),)), None
    if measured.document["status"] == "interrupted":
        raise CancelledError("It was interrupted before it could be judged.", hint="Run the same command again.")
    before = list(history.all())
    again = history.add(measured.document)
    return judge(result, again, before), again


def _given(options: Mapping[str, Any]) -> dict[str, str]:
    """Return options as a user would write them."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in options.items()}
