# SPDX-License-Identifier: Apache-2.0
"""Design-space exploration: many points of options and variants, measured in turn, and which of them are best.

May use what measures (`run`), what keeps results (`record`) and what opens a solution (`workspace`); prints nothing,
installs nothing and uploads nothing. Dask is used by `distributed` alone.
"""
