# SPDX-License-Identifier: Apache-2.0
"""The pages: rendered on the server, readable without scripts."""
