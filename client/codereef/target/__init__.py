# SPDX-License-Identifier: Apache-2.0
"""Runners: how a program is started on a target, with limits, and what became of it.

`local` runs it on this machine. Emulated, ssh and adb runners give the same `Outcome`.
"""
