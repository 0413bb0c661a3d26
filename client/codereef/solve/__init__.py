# SPDX-License-Identifier: Apache-2.0
"""From requirements to one graph, with an explanation for people when there is none.

`engine` and the modules beside it solve a graph of numbers; `universe` makes that graph out of components and
detected software; `resolve` is the door; `explain` puts the engine's proof into words. Nothing here reads
files or runs programs.
"""
