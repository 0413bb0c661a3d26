# SPDX-License-Identifier: Apache-2.0
"""Boards: which results are compared, on which axes, and where the frontier runs."""
