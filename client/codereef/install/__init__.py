# SPDX-License-Identifier: Apache-2.0
"""The recipe back-ends, one module each, and `execute`, which walks a lock and calls them.

May write to the store, use the network and run programs; resolves nothing and decides nothing.
"""
