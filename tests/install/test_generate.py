# SPDX-License-Identifier: Apache-2.0
"""Generated components: the script gets its request, an empty environment and a time limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from codereef.errors import InstallError
from codereef.install import generate
from codereef.store import tree_digest

PYTHON = Path(sys.executable)


def write(path: Path, code: str) -> Path:
    path.write_text(code)
    return path


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    end = time.monotonic() + 5
    while alive(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


MAKE = """
import json, os, sys, pathlib
request = json.load(open(sys.argv[1]))
out = pathlib.Path(request["output"])
(out / "sub").mkdir()
(out / "sub" / "a.txt").write_text(str(request["options"]["n"]))
facts = {"cwd": os.getcwd(), "secret": os.environ.get("MY_TOKEN"), "tz": os.environ["TZ"], "argv": sys.argv[1]}
pathlib.Path(request["facts"]).write_text(json.dumps(facts))
print("working")
"""


def test_the_script_fills_the_folder_from_its_request(tmp_path, monkeypatch, progress) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    output = tmp_path / "out"
    request = {"output": str(output), "options": {"n": 5}, "facts": str(tmp_path / "facts.json")}
    logs = tmp_path / "logs"
    generate.run(write(tmp_path / "make.py", MAKE), PYTHON, request, output, 30, progress, log_dir=logs)
    assert (output / "sub" / "a.txt").read_text() == "5"
    assert [path.name for path in output.iterdir()] == ["sub"]
    tree_digest(output)
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts == {"cwd": str(output), "secret": None, "tz": "UTC", "argv": str(tmp_path / "out.request.json")}
    assert not (tmp_path / "out.request.json").exists()
    assert "working" in next(logs.iterdir()).read_text()
    assert len(progress.started) == len(progress.finished) == 1


def test_a_script_that_fails_shows_its_last_lines(tmp_path, progress) -> None:
    code = "import sys\nfor n in range(50): print('line', n)\nsys.exit('no texture at https://u:pw@host/')\n"
    with pytest.raises(InstallError) as caught:
        generate.run(write(tmp_path / "m.py", code), PYTHON, {}, tmp_path / "out", 30, progress, log_dir=tmp_path / "l")
    message = caught.value.message
    assert "status 1" in message
    assert "no texture at https://***@host/" in message
    assert "line 49" in message
    assert "line 10\n" not in message
    log = Path(str(caught.value.context["log"])).read_text()
    assert "line 0\n" in log
    assert "pw" not in log
    assert not (tmp_path / "out.request.json").exists()


HANG = """
import subprocess, sys, time, pathlib, os
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"])
pathlib.Path("pids").write_text(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""


def test_a_script_that_hangs_dies_with_all_it_started(tmp_path, progress) -> None:
    started = time.monotonic()
    with pytest.raises(InstallError, match=r"longer than 0\.8 s"):
        generate.run(write(tmp_path / "m.py", HANG), PYTHON, {}, tmp_path / "o", 0.8, progress, log_dir=tmp_path / "l")
    assert time.monotonic() - started < 8
    assert all(gone(int(pid)) for pid in (tmp_path / "o" / "pids").read_text().split())


def test_what_a_script_leaves_running_dies_with_it(tmp_path, progress) -> None:
    code = HANG.replace("time.sleep(60)\n\n", "").rpartition("time.sleep")[0]
    started = time.monotonic()
    generate.run(write(tmp_path / "m.py", code), PYTHON, {}, tmp_path / "o", 30, progress, log_dir=tmp_path / "l")
    assert time.monotonic() - started < 8
    assert all(gone(int(pid)) for pid in (tmp_path / "o" / "pids").read_text().split())


INTERRUPTED = """
import sys
from pathlib import Path
from codereef.install import generate
from codereef.install.progress import NullProgress
t = Path(sys.argv[1])
generate.run(t / "m.py", Path(sys.executable), {}, t / "o", None, NullProgress(), log_dir=t / "l")
"""


def test_an_interrupt_ends_the_whole_group(tmp_path: Path) -> None:
    write(tmp_path / "m.py", HANG)
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    pids = tmp_path / "o" / "pids"
    end = time.monotonic() + 10
    while not (pids.exists() and " " in pids.read_text()):
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=10)[1]
    assert all(gone(int(pid)) for pid in pids.read_text().split())


def test_a_missing_script_or_interpreter_is_told(tmp_path, progress) -> None:
    with pytest.raises(InstallError, match="is not there"):
        generate.run(tmp_path / "no.py", PYTHON, {}, tmp_path / "o", 5, progress, log_dir=tmp_path / "l")
    with pytest.raises(InstallError, match="could not be started: No such file"):
        generate.run(
            write(tmp_path / "m.py", ""), tmp_path / "python", {}, tmp_path / "o", 5, progress, log_dir=tmp_path / "l"
        )
