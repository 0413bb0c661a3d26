# SPDX-License-Identifier: Apache-2.0
"""The table of results: what a reader needs to tell them apart."""

from __future__ import annotations

from pathlib import Path

from codereef.cli.commands.results import result_table

from tests.record.results import result


def test_the_scenario_is_shown_where_not_all_are_of_one_sample_at_a_time(tmp_path: Path) -> None:
    alone = result(tmp_path, [0.01, 0.011])
    server = result(tmp_path, [0.02, 0.021], scenario="server")
    assert "scenario" not in result_table([alone])
    lines = result_table([alone, server]).splitlines()
    assert "scenario" in lines[0] and "single-stream" in lines[1] and "server" in lines[2]
