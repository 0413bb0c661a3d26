# SPDX-License-Identifier: Apache-2.0
"""A lock for other tools: a bill of materials, requirements, a conda environment, a Dockerfile.

May read a lock and the components it names; returns text, installs nothing and uses no network.
"""
