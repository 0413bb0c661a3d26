# SPDX-License-Identifier: Apache-2.0
"""Results: their making, the local history, comparing and exporting them.

A result is a JSON document that follows `schemas/result.json`; its identity is the SHA-256 of its canonical
JSON, which is also exactly what its file in the history holds.
"""
