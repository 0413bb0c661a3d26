# SPDX-License-Identifier: Apache-2.0
"""The bench room: load generation, statistics, accuracy, runtimes, pre- and post-processing.

It runs inside a solution's own Python environment (Python 3.9 or newer with numpy, Pillow, one runtime and,
for detection, pycocotools), started by a program's `main.py`. So nothing here imports another room of the
client except `codereef.errors`, and this module imports nothing at all.
"""
