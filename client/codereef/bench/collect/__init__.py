# SPDX-License-Identifier: Apache-2.0
"""What is recorded around the measuring phase besides latency: one module a source, one protocol.

A measuring phase is put between `with collected(response) as collection:` and the end of that block. Counters
are read before it and after it, in the measured process, and never inside it: nothing here runs while queries
run. What has to be sampled meanwhile (clock, temperature, a power meter) is read by the client's process
(`codereef.detect.observe`).

A source that cannot be read gives its metrics all the same, without a value and with the reason.
"""

from __future__ import annotations

from codereef.bench.collect.base import Collector, Phase, not_available
from codereef.bench.collect.phase import Collection, collected

__all__ = ["Collection", "Collector", "Phase", "collected", "not_available"]
