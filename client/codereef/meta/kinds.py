# SPDX-License-Identifier: Apache-2.0
"""The kinds of components."""

from __future__ import annotations

KINDS = ("soft", "package", "model", "dataset", "program", "target", "solution", "dashboard")
