# SPDX-License-Identifier: Apache-2.0
"""The runner of this machine, with real child processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from codereef.errors import RunError
from codereef.target.local import Outcome, clean_environment

from tests.target.running import run

pytestmark = pytest.mark.slow


def child(tmp_path: Path, code: str, **more: Any) -> Outcome:
    settings: dict[str, Any] = {"cwd": tmp_path, "environ": clean_environment(os.environ), "timeout": 20.0, **more}
    return run([sys.executable, "-I", "-c", code], **settings)


def test_a_program_that_ends_well_is_ok(tmp_path: Path) -> None:
    outcome = child(tmp_path, "import os; assert os.getcwd() == os.path.realpath(os.getcwd())")
    assert (outcome.status, outcome.returncode, outcome.tail) == ("ok", 0, ())
    assert 0 < outcome.seconds < 20


def test_a_program_that_ends_badly_has_failed_with_its_last_words(tmp_path: Path) -> None:
    outcome = child(tmp_path, "import sys; [print(i, file=sys.stderr) for i in range(100)]; sys.exit(3)")
    assert (outcome.status, outcome.returncode) == ("failed", 3)
    assert outcome.tail == tuple(str(i) for i in range(70, 100))
    assert outcome.sentence.startswith("it ended with exit code 3 after ")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import os; os.abort()", "SIGABRT"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "SIGILL"),
    ],
)
def test_a_program_that_a_signal_ends_has_crashed(tmp_path: Path, code: str, name: str) -> None:
    outcome = child(tmp_path, code)
    assert outcome.status == "crashed"
    assert outcome.returncode < 0
    assert outcome.sentence.startswith(f"it was ended by {name} after ")


GRANDCHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep({seconds})
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def gone(pid: int) -> bool:
    end = time.monotonic() + 5
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


def test_a_time_out_ends_the_program_and_its_children(tmp_path: Path) -> None:
    lines: list[str] = []
    started = time.monotonic()
    outcome = child(tmp_path, GRANDCHILD.format(seconds=60), timeout=0.5, on_line=lines.append)
    assert outcome.status == "timeout"
    assert time.monotonic() - started < 10
    assert "past its time limit" in outcome.sentence
    assert gone(int(lines[0]))


def test_nothing_stays_behind_a_program_that_ended_well(tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = child(tmp_path, GRANDCHILD.format(seconds=0), on_line=lines.append)
    assert outcome.status == "ok"
    assert gone(int(lines[0]))


def test_a_program_that_will_not_end_is_ended_all_the_same(tmp_path: Path) -> None:
    outcome = child(
        tmp_path,
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('set', flush=True); time.sleep(60)",
        timeout=0.5,
    )
    assert outcome.status == "timeout"
    assert outcome.seconds < 15


def test_too_little_memory_is_told_apart_from_a_failure(tmp_path: Path) -> None:
    outcome = child(tmp_path, "x = bytearray(2_000_000_000)", memory_limit=600_000_000)
    assert outcome.status == "out-of-memory"
    assert outcome.sentence.startswith("it ran out of memory after ")
    assert child(tmp_path, "x = bytearray(1_000_000)", memory_limit=600_000_000).status == "ok"


def test_a_program_that_somebody_kills_has_crashed(tmp_path: Path) -> None:
    # The kernel counts those it kills for lack of memory; this is none of them.
    assert child(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)").status == "crashed"


def test_a_program_dies_with_the_process_that_measures_it(tmp_path: Path) -> None:
    code = "import os, sys, pathlib\nfrom codereef.target.local import Child\n"
    code += "Child([sys.executable, '-c', 'import os,time; print(os.getpid(), flush=True); time.sleep(60)'], "
    code += "cwd=pathlib.Path('.'), environ=dict(os.environ), timeout=60, on_line=lambda line: print(line, flush=True)).proceed()"
    client = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    program = int(client.stdout.readline())
    client.kill()
    client.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{program}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{program}/stat").read_text().split(") ")[1].startswith("Z"):
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{program}").exists(), "the program outlived the client that was killed"


def test_lack_of_memory_is_seen_at_the_end_of_much_output(tmp_path: Path) -> None:
    # The last line arrives just before the end: the verdict must wait until all of it has been read.
    code = "import sys\nsys.stderr.write('x' * 79 + '\\n' * 1)\nfor _ in range(20000): sys.stderr.write('y' * 99 + '\\n')\nsys.stderr.write('MemoryError\\n'); sys.stderr.flush(); sys.exit(1)"
    for _ in range(3):
        assert child(tmp_path, code).status == "out-of-memory"


def test_lines_arrive_while_the_program_runs(tmp_path: Path) -> None:
    arrived: list[tuple[str, float]] = []
    started = time.monotonic()
    child(
        tmp_path,
        "import time; print('first', flush=True); time.sleep(0.6); print('sécond'); print('', end='last')",
        on_line=lambda line: arrived.append((line, time.monotonic() - started)),
    )
    assert [line for line, _ in arrived] == ["first", "sécond", "last"]
    assert arrived[1][1] - arrived[0][1] > 0.4


def test_output_that_is_no_text_does_no_harm(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import os; os.write(1, b'\\xff\\xfe\\n'); os.write(2, b'\\xff\\n'); os._exit(1)"
    assert child(tmp_path, code, on_line=lines.append).tail == ("\ufffd",)
    assert lines == ["\ufffd\ufffd"]


def test_much_output_that_nobody_reads_does_not_stop_the_program(tmp_path: Path) -> None:
    assert child(tmp_path, "import sys; print('x' * 1_000_000); print('y' * 1_000_000, file=sys.stderr)").status == "ok"


def test_a_listener_that_fails_does_not_stop_the_program_and_is_heard_of(tmp_path: Path) -> None:
    def listen(line: str) -> None:
        raise ValueError(line)

    code = f"print('x' * 100 + '\\n' * 3 * 100000); open({str(tmp_path / 'done')!r}, 'w')"
    with pytest.raises(ValueError, match="xxx"):
        child(tmp_path, code, on_line=listen)
    assert (tmp_path / "done").exists(), "the program ran to its end"


def test_a_program_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="could not be started: No such file"):
        run([str(tmp_path / "none")], cwd=tmp_path, environ={}, timeout=5)


INTERRUPTED = """
import os, sys, pathlib
from codereef.target.local import Child
code = "import time; print('ready', flush=True); time.sleep(60)"
child = Child([sys.executable, "-c", code], cwd=pathlib.Path("."), environ=dict(os.environ), timeout=30, on_line=lambda line: print(line, flush=True))
child.proceed()
outcome = child.outcome()
print(outcome.status, outcome.sentence)
"""


def test_an_interrupt_by_the_user_ends_the_program(tmp_path: Path) -> None:
    import signal

    client = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert client.stdout is not None
    assert client.stdout.readline() == "ready\n"
    client.send_signal(signal.SIGINT)
    out, _ = client.communicate(timeout=15)
    assert out == "interrupted it was interrupted\n"


def test_the_environment_is_cleaned_of_what_changes_python_or_threads() -> None:
    given = {
        "HOME": "/h",
        "PATH": "/bin",
        "LANG": "de_DE",
        "PYTHONPATH": "/x",
        "PYTHONHOME": "/y",
        "VIRTUAL_ENV": "/v",
        "CONDA_PREFIX": "/c",
        "PIP_INDEX_URL": "i",
        "UV_CACHE": "u",
        "CR_HOME": "/r",
        "LD_PRELOAD": "l",
        "OMP_NUM_THREADS": "8",
        "MKL_NUM_THREADS": "8",
        "OPENBLAS_NUM_THREADS": "8",
        "KMP_AFFINITY": "x",
        "GOMP_CPU_AFFINITY": "0",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    assert clean_environment(given) == {
        "HOME": "/h",
        "PATH": "/bin",
        "LANG": "de_DE",
        "CUDA_VISIBLE_DEVICES": "0",
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "DO_NOT_TRACK": "1",
    }


def test_a_program_gets_exactly_the_environment_it_is_given(tmp_path: Path) -> None:
    lines: list[str] = []
    child(
        tmp_path,
        "import os; print(sorted(k for k in os.environ if k != 'LC_CTYPE'))",
        environ={"ONLY": "this"},
        on_line=lines.append,
    )
    assert lines == ["['ONLY']"]
