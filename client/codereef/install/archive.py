# SPDX-License-Identifier: Apache-2.0
"""Archives that a recipe unpacks: see `codereef.archive`, which repositories use too."""

from codereef.archive import unpack

__all__ = ["unpack"]
