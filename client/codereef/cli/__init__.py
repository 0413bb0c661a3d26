# SPDX-License-Identifier: Apache-2.0
"""The `cr` command: the only room that prints. One module per command group, imported when it is used."""
