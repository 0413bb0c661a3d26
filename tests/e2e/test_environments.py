# SPDX-License-Identifier: Apache-2.0
"""`cr shell`, `cr env` and `cr run SOLUTION -- COMMAND`: the solution's Python and folders, signals, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Cr

pytestmark = pytest.mark.slow
DEMO = "demo-object-detection"


def test_env_tells_interpreter_target_and_folders_by_role(ready: Cr) -> None:
    env = ready.json("env", DEMO)
    assert set(env["folders"]) >= {"model", "data", "program"}
    assert (Path(env["folders"]["data"]) / "instances.json").is_file()
    assert os.access(env["python"], os.X_OK)
    assert env["prepended"]["PATH"][0] == str(Path(env["python"]).parent)
    assert env["variables"]["CR_MODEL_DIR"] == env["folders"]["model"]
    assert env["configuration"] in ready("env", DEMO).stdout


def test_env_for_a_shell_gives_what_run_gives(ready: Cr) -> None:
    script = ready("env", DEMO, "--format", "sh").stdout + '\npython -c "import sys; print(sys.executable)"'
    done = subprocess.run(
        ["sh", "-c", script], env={**ready.environment(), "PYTHONPATH": "/nowhere"}, capture_output=True, text=True
    )
    said = ready("run", DEMO, "--", "python", "-c", "import sys; print(sys.executable)").stdout
    assert done.stdout == said and ready.json("env", DEMO)["python"] == said.strip()
    for form in ("fish", "dotenv"):
        assert "CR_MODEL_DIR" in ready("env", DEMO, "--format", form).stdout
    assert ready("env", DEMO, "--format", "sh", "--json", check=False).returncode == 2


def test_a_variant_chooses_the_configuration_and_the_first_is_the_default(ready: Cr) -> None:
    first = ready.json("env", DEMO)["configuration"]
    assert first == json.loads((ready.cwd / DEMO / "cr.lock").read_text())["configurations"][0]["id"]
    other = ready.json("env", DEMO, "--variant", "format=tflite,", "--variant", "precision=int8")
    assert "format=tflite" in other["configuration"] and "precision=int8" in other["configuration"]
    done = ready("env", DEMO, "--variant", "format=caffe", check=False)
    assert done.returncode == 6 and "format=onnx" in done.stderr


@pytest.mark.parametrize("words", [("env", DEMO), ("shell", DEMO, "-c", "true"), ("run", DEMO), ("benchmark", DEMO)])
def test_a_value_that_the_lock_lacks_is_refused_beside_one_that_it_has(ready: Cr, words: tuple[str, ...]) -> None:
    said = ready(*words, "-v", "format=onnx,nonsense", check=False)
    assert (said.returncode, "has no configuration with format=nonsense." in said.stderr) == (6, True), said.stderr


def test_a_command_is_not_run_where_a_value_is_lacking(ready: Cr) -> None:
    said = ready("run", DEMO, "-v", "format=onnx,nonsense", "--", "echo", "ran", check=False)
    assert (said.returncode, said.stdout) == (6, "") and "format=nonsense" in said.stderr


def test_a_command_gets_its_words_untouched_and_its_exit_code_comes_back(ready: Cr) -> None:
    words = ["--json", "-o", "a b", "", "--", "*", "--help"]
    code = "import json, sys; print(json.dumps(sys.argv[1:])); sys.exit(37)"
    done = ready("run", DEMO, "--", "python", "-c", code, *words, check=False)
    assert json.loads(done.stdout) == words
    assert done.returncode == 37


def test_what_cannot_be_run_is_told(ready: Cr) -> None:
    done = ready("run", DEMO, "--", "no-such-program", check=False)
    assert done.returncode == 4 and "no-such-program" in done.stderr
    done = ready("run", DEMO, "--", check=False)
    assert done.returncode == 2
    done = ready("run", DEMO, "-o", "limit=1", "--", "true", check=False)
    assert done.returncode == 2 and "--option" in done.stderr


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_command(ready: Cr, sign: signal.Signals) -> None:
    code = (
        "import signal, sys, time\n"
        f"signal.signal({int(sign)}, lambda *_: sys.exit(41))\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    process = ready.start("run", DEMO, "--", "python", "-c", code)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(sign)
    process.communicate(timeout=20)
    assert process.returncode == 41


def test_a_command_whose_reader_has_gone_ends(ready: Cr) -> None:
    line = f"{sys.executable} -m codereef run {DEMO} -- yes | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=ready.cwd, env=ready.environment(), capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["y", str(128 + signal.SIGPIPE)]


def test_what_a_command_uses_stays_in_the_store_while_it_runs(cr: Cr) -> None:
    cr("init", DEMO, "-y")
    env = cr.json("env", DEMO)
    sleeper = cr.start("run", DEMO, "--", "python", "-c", "import time; print('up', flush=True); time.sleep(60)")
    assert sleeper.stdout is not None and sleeper.stdout.readline() == "up\n"
    shutil.rmtree(cr.cwd / DEMO)
    prefix = Path(env["python"]).parent.parent
    try:
        cr("store", "gc", "--all")
        assert prefix.is_dir() and Path(env["folders"]["model"]).is_dir()
    finally:
        sleeper.kill()
        sleeper.communicate()
    # It was the running command that held them: the lock had gone before.
    cr("store", "gc", "--all")
    assert not prefix.exists() and not Path(env["folders"]["model"]).exists()


def test_a_shell_runs_one_line_and_returns_its_exit_code(ready: Cr) -> None:
    done = ready("shell", DEMO, "--command", "python -c 'import sys; print(sys.prefix)'; exit 9", check=False)
    assert done.returncode == 9
    assert done.stdout.strip() == str(Path(ready.json("env", DEMO)["python"]).parent.parent)
    done = ready("shell", DEMO, check=False)
    assert done.returncode == 2 and "--command" in done.stderr


def test_a_stale_lock_is_refused_with_what_to_do(cr: Cr, ready: Cr) -> None:
    shutil.copytree(ready.cwd / DEMO, cr.cwd / DEMO)
    for command in (["shell", DEMO, "-c", "true"], ["env", DEMO], ["run", DEMO, "--", "true"]):
        done = cr(*command, check=False)
        assert done.returncode == 6 and f"`cr init {DEMO}`" in done.stderr
    shutil.rmtree(cr.cwd / DEMO)
    done = cr("shell", DEMO, "-c", "true", check=False)
    assert done.returncode == 6 and f"`cr init {DEMO}`" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "sh"])
def test_an_interactive_shell_has_a_marked_prompt_and_the_solutions_python(
    ready: Cr, shell: str, tmp_path: Path
) -> None:
    for tool in ("tmux", shell):
        if shutil.which(tool) is None:
            if os.environ.get("CI") == "true":
                pytest.fail(f"{tool} is not installed (scripts/system-packages)")
            pytest.skip(f"{tool} is not installed")
    socket = str(tmp_path / "tmux")
    environ = {**ready.environment(), "HOME": str(tmp_path), "SHELL": shutil.which(shell) or "", "LANG": "C.UTF-8"}
    environ.pop("TMUX", None)

    def tmux(*words: str) -> str:
        return subprocess.run(["tmux", "-S", socket, *words], env=environ, capture_output=True, text=True).stdout

    line = f"cd '{ready.cwd}' && exec '{sys.executable}' -m codereef shell {DEMO}"
    tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "sh", "-c", line)
    try:
        wanted = f"({DEMO})"
        _until(lambda: wanted in tmux("capture-pane", "-p"))
        tmux("send-keys", 'python -c "import sys; print(len(sys.prefix), sys.prefix[-16:])"', "Enter")
        prefix = str(Path(ready.json("env", DEMO)["python"]).parent.parent)
        _until(lambda: f"{len(prefix)} {prefix[-16:]}" in tmux("capture-pane", "-p"))
    finally:
        tmux("kill-server")


def _until(condition: object, seconds: float = 20.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.1)
