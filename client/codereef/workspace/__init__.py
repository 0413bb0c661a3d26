# SPDX-License-Identifier: Apache-2.0
"""The way of a solution: plan, lock, install, measure.

This room joins the others and has no knowledge of its own; `cli` calls it and prints what it returns.
"""
