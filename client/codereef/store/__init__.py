# SPDX-License-Identifier: Apache-2.0
"""Content-addressed files and installed folders: atomic, verified, safe under several processes.

store = Store.default()
with store.building("onnx-model-1.0-ab12") as build:
    if build.existing is None:
        link_or_copy(blob, build.path / "model.onnx")
        build.commit({"component": "model:onnx-model@1.0"}, digest=True)
"""

from __future__ import annotations

from codereef.disk import link_or_copy

from .prefix import Build, Prefix
from .roots import Roots
from .store import Store
from .tree import tree_digest

__all__ = ["Build", "Prefix", "Roots", "Store", "link_or_copy", "tree_digest"]
