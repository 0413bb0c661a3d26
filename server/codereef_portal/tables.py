# SPDX-License-Identifier: Apache-2.0
"""Every table, imported in one place, so that `Base.metadata` is whole wherever it is compared."""

from __future__ import annotations

from codereef_portal.boards import models as boards
from codereef_portal.components import models as components
from codereef_portal.results import models as results

ALL_TABLES = frozenset(
    value.__tablename__
    for module in (components, results, boards)
    for value in vars(module).values()
    if hasattr(value, "__tablename__")
)
