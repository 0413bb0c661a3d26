# SPDX-License-Identifier: Apache-2.0
"""What is known to the client but not used for graphs: detectors of repositories that the user has not trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codereef.repo.index import load_index
from codereef.workspace.session import Session

if TYPE_CHECKING:
    from codereef.solve.elsewhere import Elsewhere


def look(session: Session) -> list[Elsewhere]:
    """Return the repositories of which the resolver must leave something out, with what would change that.

    Nothing is fetched: what a registry has is read from what was fetched before.
    """
    found: list[Elsewhere] = []
    for repository in session.repositories:
        whole = load_index([repository], session.home.cache, offline=True)
        barred = {key for key in (row.key for row in whole.rows("soft")) if key not in session.usable}
        if barred:
            from codereef.solve.elsewhere import Elsewhere

            found.append(
                Elsewhere(
                    f"the repository `{repository.name}`, which you have not trusted",
                    f"`cr repo trust {repository.name}`, once you have looked at it",
                    whole,
                )
            )
    return found
