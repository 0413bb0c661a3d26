# SPDX-License-Identifier: Apache-2.0
"""Every command: help with an example, --json, exit codes, completion, no colour into a pipe."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from codereef.cli.app import COMMANDS, overview

from tests.e2e.conftest import Cr

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_a_help_with_json(cr: Cr, command: str) -> None:
    text = cr(command, "--help").stdout
    assert "Usage: cr" in text
    # A group has no output of its own; its commands are looked at where they are tested.
    if "COMMAND [ARGS]" not in text:
        assert "--json" in text


def test_version_and_alias_agree(cr: Cr) -> None:
    import codereef

    assert cr("--version").stdout == f"cr {codereef.__version__}\n"


def test_a_mistyped_command_gets_a_suggestion(cr: Cr) -> None:
    done = cr("benchmrak", "x", check=False)
    assert done.returncode == 2 and "Did you mean `cr benchmark`?" in done.stderr


def test_a_mistyped_solution_gets_a_suggestion(cr: Cr) -> None:
    done = cr("init", "demo-object-detecton", check=False)
    assert done.returncode == 4 and "demo-object-detection" in done.stderr


def test_a_mistyped_variant_and_value_get_suggestions(cr: Cr) -> None:
    done = cr("plan", "demo-object-detection", "--variant", "precison=int8", check=False)
    assert done.returncode == 2 and "Did you mean `precision`?" in done.stderr
    done = cr("plan", "demo-object-detection", "--variant", "precision=int4", check=False)
    assert done.returncode == 2 and "fp32, int8" in done.stderr


def test_an_option_that_does_not_exist_is_a_usage_error_as_data_too(cr: Cr) -> None:
    done = cr("results", "--nonsense", "--json", check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "usage"


def test_benchmark_before_init_says_what_to_do(cr: Cr) -> None:
    done = cr("benchmark", "demo-object-detection", check=False)
    assert done.returncode == 6 and "cr init demo-object-detection" in done.stderr


def test_nothing_is_coloured_into_a_pipe(cr: Cr) -> None:
    for command in (["search", "demo"], ["plan", "demo-object-detection"], ["init", "nonsense"]):
        done = cr(*command, check=False)
        assert "\x1b[" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "ssd"],
        ["show", "model:shapes-ssd"],
        ["versions", "package:numpy-wheel"],
        ["repo", "list"],
        ["detect", "compiler.python"],
        ["config"],
        ["plan", "demo-object-detection"],
        ["results"],
        ["completion", "bash"],
        ["tree", "demo-object-detection"],
        ["why", "demo-object-detection", "python.numpy"],
    ],
)
def test_json_is_json(cr: Cr, arguments: list[str]) -> None:
    assert isinstance(cr.json(*arguments), dict)


def test_plan_changes_nothing(cr: Cr) -> None:
    cr("plan", "demo-object-detection")
    assert list(cr.cwd.iterdir()) == []
    assert not (cr.home / "store" / "v1" / "prefixes").exists() or not list(
        (cr.home / "store" / "v1" / "prefixes").iterdir()
    )


def test_settings_are_kept_checked_and_forgotten(cr: Cr) -> None:
    cr("config", "set", "jobs", "3")
    assert cr.json("config", "get", "jobs") == {"jobs": 3}
    assert cr("config", "set", "jobs", "many", check=False).returncode == 2
    assert cr.json("config")["settings"]["jobs"] == {"value": 3, "from": "config.json"}
    cr.environ["CR_JOBS"] = "5"
    assert cr.json("config", "get", "jobs") == {"jobs": 5}
    del cr.environ["CR_JOBS"]
    cr("config", "unset", "jobs")
    assert cr.json("config", "get", "jobs") == {"jobs": 8}
    assert "Did you mean `jobs`?" in cr("config", "get", "job", check=False).stderr


def test_completion_offers_solutions(cr: Cr) -> None:
    cr.environ.update({"_CR_COMPLETE": "bash_complete", "COMP_WORDS": "cr init demo-", "COMP_CWORD": "2"})
    done = subprocess.run(
        [sys.executable, "-m", "codereef"],
        env=cr.environment(),
        text=True,
        capture_output=True,
    )
    assert "demo-object-detection" in done.stdout


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_overview_names_every_command_and_keeps_to_the_width(width: int) -> None:
    lines = overview(width).splitlines()
    for name, (_, _, text) in COMMANDS.items():
        first = next(i for i, line in enumerate(lines) if line.startswith(f"  {name} "))
        assert " ".join(" ".join(lines[first : first + 5]).split()).startswith(f"{name} {text}")
    examples = next(i for i, line in enumerate(lines) if "Examples:" in line)
    assert max(map(len, lines[:examples])) <= min(width, 100)


def test_the_overview_is_the_same_by_every_way_to_it(cr: Cr) -> None:
    assert cr().stdout == cr("--help").stdout == cr("-h").stdout == cr("--version", "--help").stdout


def test_help_imports_nothing_heavy(cr: Cr) -> None:
    code = (
        "import sys; from codereef.cli.app import run; run(['--help']); "
        "heavy = {'click','requests','jsonschema','git','numpy','packaging','cpuinfo','distro','codereef.repo','codereef.workspace'} & set(sys.modules); "
        "sys.stderr.write(','.join(sorted(heavy)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=cr.environment(), text=True, capture_output=True)
    assert done.stderr == ""


def test_version_imports_nothing_of_click(cr: Cr) -> None:
    code = "import sys; sys.argv=['cr','--version']; from codereef.cli.entry import main; main(); sys.stderr.write(str('click' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], env=cr.environment(), text=True, capture_output=True)
    assert done.stderr == "False"


def test_doctor_looks_at_everything(cr: Cr) -> None:
    checks = {c["name"]: c["status"] for c in cr.json("doctor")["checks"]}
    assert checks["python"] == "ok" and checks["components"] == "ok" and checks["home"] == "ok"
