# SPDX-License-Identifier: Apache-2.0
"""CodeReef: how fast and how accurate is this model, on this runtime, on this machine.

This module imports nothing: `cr --version` and the measured child processes pay for every line here.
"""

__version__ = "0.1.0"
