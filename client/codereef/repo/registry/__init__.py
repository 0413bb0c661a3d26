# SPDX-License-Identifier: Apache-2.0
"""Registries: components as static files that any web server or folder can serve (docs/formats/registry.md).

A small signed root names pages by their SHA-256, pages name shards, a shard holds all versions of one
component and names their archives. Nothing but the root ever changes in place.
"""
