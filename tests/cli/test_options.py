# SPDX-License-Identifier: Apache-2.0
"""Values of options: files to write and pairs of name and value."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from codereef.cli.commands.exploring import explore
from codereef.cli.commands.measuring import benchmark
from codereef.cli.commands.pitfalls import pitfalls
from codereef.cli.commands.results import results
from codereef.cli.commands.shared import FILE, PLOT, read_variants
from codereef.cli.edge import key_values
from codereef.errors import UsageError


def test_a_file_to_write_may_exist_or_not_but_is_never_a_pipe_or_a_device(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "old")
    for name in ("new", "old", "link"):
        assert FILE.convert(str(tmp_path / name), None, None) == tmp_path / name
    os.mkfifo(tmp_path / "pipe")
    for name in (str(tmp_path / "pipe"), "/dev/null", "/dev/stdout"):
        with pytest.raises(click.BadParameter, match="is a device or pipe"):
            FILE.convert(name, None, None)


@pytest.mark.parametrize(
    ("option", "example"), [("--pin", "compiler.python=3.11"), ("--variant", "precision=int8"), ("--data", "imagenet")]
)
def test_a_pair_without_a_value_is_answered_with_an_example_of_that_option(option: str, example: str) -> None:
    with pytest.raises(UsageError) as caught:
        key_values(["word"], option)
    assert f"{option} {example}" in caught.value.hint


def test_a_configuration_as_tables_show_it_can_be_given_as_variant() -> None:
    expected = {"format": ["onnx"], "precision": ["fp32", "int8"]}
    assert read_variants(["format=onnx,precision=fp32,int8"]) == expected
    assert read_variants(["format=onnx", "precision=fp32,int8"]) == expected
    with pytest.raises(UsageError, match="given twice"):
        read_variants(["format=onnx,format=tflite"])


@pytest.mark.parametrize("name", ["a.png", "a", "a.svg.pdf"])
def test_a_plot_of_another_format_is_refused_as_the_option_is_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}: plots are saved as SVG") as caught:
        PLOT.convert(str(tmp_path / name), None, None)
    assert caught.value.hint == f"Write {Path(name).with_suffix('.svg')}."
    assert PLOT.convert(str(tmp_path / "a.SVG"), None, None) == tmp_path / "a.SVG"


@pytest.mark.parametrize("command", [benchmark, explore, pitfalls, results])
def test_every_command_that_plots_refuses_before_it_begins(command: click.Command, tmp_path: Path) -> None:
    words = [] if command is results else ["demo-object-detection"]
    done = CliRunner(env={"CR_HOME": str(tmp_path)}).invoke(command, [*words, "--plot", str(tmp_path / "a.png")])
    assert isinstance(done.exception, UsageError) and "saved as SVG" in done.exception.message
