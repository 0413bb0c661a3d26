# SPDX-License-Identifier: Apache-2.0
"""Uploaded results, the machines they come from and their metrics."""
