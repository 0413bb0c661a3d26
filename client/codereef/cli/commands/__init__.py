# SPDX-License-Identifier: Apache-2.0
"""One module per command group: its arguments, its calls of the library, its printing."""
