# SPDX-License-Identifier: Apache-2.0
"""Environments written for shells and files: every value arrives as it was, read by the real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from codereef.cli.shells import start, written
from codereef.errors import UsageError

VARIABLES = {
    "PATH": "/opt/a b/bin:/opt/it's/bin:/usr/bin:/bin",
    "CR_MODEL_DIR": '/data/$HOME `id` "quoted" \\ back',
    "PLAIN": "a-b_c.d,e=f",
    "EMPTY": "",
    "ODD": "ünï*?[x]~!#;&|<>(){}",
}


def shell_or_skip(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed (scripts/system-packages)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.mark.parametrize(("shell", "form"), [("sh", "sh"), ("bash", "sh"), ("zsh", "sh"), ("fish", "fish")])
def test_a_shell_reads_every_value_as_it_was(shell: str, form: str, tmp_path: Path) -> None:
    program = shell_or_skip(shell)
    script = tmp_path / "script"
    script.write_text(written(VARIABLES, ("GONE",), form) + "\nenv -0\n", encoding="utf-8")
    environ = {"GONE": "yes", "PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    done = subprocess.run([program, str(script)], env=environ, capture_output=True, check=True, timeout=30)
    found = dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if "=" in entry)
    assert {name: found[name] for name in VARIABLES} == VARIABLES
    assert "GONE" not in found


def test_a_dotenv_file_quotes_what_is_not_plain_and_refuses_lines() -> None:
    text = written({"A": "/plain/x", "B": 'two "words" $X', "C": ""}, (), "dotenv")
    assert text.splitlines() == ["A=/plain/x", 'B="two \\"words\\" \\$X"', "C="]
    with pytest.raises(UsageError, match="line break"):
        written({"A": "x\ny"}, (), "dotenv")


RC = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish", "sh": ".shrc"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "sh"])
def test_an_interactive_shell_keeps_the_users_start_up_and_our_variables_win(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shell_or_skip(shell)
    home = tmp_path / "home"
    rc = home / RC[shell]
    rc.parent.mkdir(parents=True)
    # What people have in such files: it would hide ours if it came after.
    if shell == "fish":
        rc.write_text("set -gx PATH /usr/bin /bin\nset -gx MINE yes\n")
    else:
        rc.write_text("export PATH=/usr/bin:/bin\nexport MINE=yes\n")
    monkeypatch.setenv("ENV", str(rc) if shell == "sh" else "")
    monkeypatch.delenv("ZDOTDIR", raising=False)
    started = start(program, "demo", {"PATH": "/opt/first:/usr/bin:/bin"}, (), tmp_path / "kept")
    environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "TERM": "dumb", "LANG": "C.UTF-8", **started.variables}
    ask = 'echo "[$MINE][$PATH]"\n' if shell != "fish" else 'echo "[$MINE]["(string join : $PATH)"]"\n'
    done = subprocess.run(
        list(started.command), input=ask + "exit 3\n", env=environ, capture_output=True, text=True, timeout=30
    )
    assert "[yes][/opt/first:/usr/bin:/bin]" in done.stdout
    assert done.returncode == 3
    if shell in ("bash", "sh"):
        assert "(demo)" in done.stderr
