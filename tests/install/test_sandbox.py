# SPDX-License-Identifier: Apache-2.0
"""The sandbox of builds, in both of its forms: what it keeps from a build, and what happens where there is none."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from codereef.errors import InstallError, UsageError
from codereef.install import confined, sandbox
from codereef.install.sandbox import Kind, available, wrapper

from .conftest import Remembered, Server
from .graphs import ROOT, World, logs


def usable(kind: Kind) -> Kind:
    """Skip the test where this machine has no sandbox of that kind; with CI=true that is a failure."""
    problem = sandbox._works(kind, os.environ["PATH"])
    if problem:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{kind}: {problem}")
        pytest.skip(f"{kind}: {problem}")
    return kind


#: Every sandbox in every way that it is entered: a process of its own, or the helper that forks.
WAYS = [("bubblewrap", False), ("namespaces", False), ("namespaces", True)]


def ran(wrap: Sequence[str], command: Sequence[str], cwd: Path, helper: bool) -> tuple[int, str]:
    """Run a command in a sandbox and return its status and what it said."""
    if not helper:
        done = subprocess.run(
            [*wrap, *command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30
        )
        return done.returncode, done.stdout
    with tempfile.TemporaryFile() as said:
        process = confined.start(wrap, command, os.environ, cwd, said.fileno(), ())
        assert process is not None
        status = process.wait(30)
        said.seek(0)
        return status, said.read().decode()


PROBE = """
import json, os, socket, sys
def tried(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"
url, outside, secret = sys.argv[1], sys.argv[2], sys.argv[3]
host, port = url.removeprefix("http://").split(":")
def listen():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0)); server.listen()
        socket.create_connection(server.getsockname(), 2).close()
print(json.dumps({
    "network": tried(lambda: socket.create_connection((host, int(port)), 2).close()),
    "loopback": tried(listen),
    "own": tried(lambda: open("own", "w").close()),
    "outside": tried(lambda: open(outside, "w").close()),
    "tmp": tried(lambda: open("/tmp/codereef-sandbox-test", "w").close()),
    "null": tried(lambda: open("/dev/null", "w").close()),
    "secret": tried(lambda: open(secret).read() or 1 / 0) if os.path.isdir(os.path.dirname(secret)) else "gone",
    "read": tried(lambda: open("/etc/passwd").read()),
}))
"""


@pytest.mark.parametrize(("kind", "helper"), WAYS)
@pytest.mark.parametrize("network", [False, True])
def test_only_its_own_folders_can_be_written_and_the_network_only_where_declared(
    kind: Kind, helper: bool, network: bool, tmp_path: Path, server: Server
) -> None:
    import json

    usable(kind)
    own, home = tmp_path / "own", tmp_path / "home"
    own.mkdir()
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id").write_text("key")
    wrap = wrapper(kind, [own], network, own, home)
    outside, secret = str(tmp_path / "outside"), str(home / ".ssh" / "id")
    status, said = ran(wrap, [sys.executable, "-I", "-c", PROBE, server.url, outside, secret], own, helper)
    assert status == 0, said
    found = json.loads(said)
    assert found.pop("network") == ("done" if network else "ConnectionRefusedError")
    assert found == {
        "loopback": "done",
        "own": "done",
        "outside": "OSError",
        "tmp": "OSError",
        "null": "done",
        "secret": "FileNotFoundError",
        "read": "done",
    }
    assert (own / "own").exists()


@pytest.mark.parametrize(("kind", "helper"), WAYS)
def test_the_exit_status_is_the_commands_own(kind: Kind, helper: bool, tmp_path: Path) -> None:
    wrap = wrapper(usable(kind), [tmp_path], False, tmp_path, tmp_path)
    assert ran(wrap, ["sh", "-c", "exit 7"], tmp_path, helper) == (7, "")
    status, said = ran(wrap, ["no-such-program"], tmp_path, helper)
    assert status != 0
    assert "no-such-program" in said


OPEN = """
import os
numbers = [int(name) for name in os.listdir("/proc/self/fd")]
# One of them was the folder itself.
print([number for number in sorted(numbers) if os.path.exists(f"/proc/self/fd/{number}") or number < 3])
"""


@pytest.mark.parametrize("helper", [False, True])
def test_a_command_has_no_open_file_of_ours_and_the_usual_signals(helper: bool, tmp_path: Path) -> None:
    wrap = wrapper(usable("namespaces"), [tmp_path], False, tmp_path, tmp_path)
    status, said = ran(wrap, [sys.executable, "-I", "-c", OPEN], tmp_path, helper)
    assert (status, said) == (0, "[0, 1, 2]\n")
    status, said = ran(wrap, ["grep", "SigIgn", "/proc/self/status"], tmp_path, helper)
    # Signals 32 and 33 belong to the C library, and make hands them on ignored.
    assert int(said.split()[1], 16) & 0x7FFFFFFF == 0


def held(lock: Path) -> bool:
    with lock.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def within(seconds: float, done: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.02)
    return done()


def test_a_command_of_the_helper_holds_our_locks_and_a_time_limit_ends_only_it(tmp_path: Path) -> None:
    wrap = wrapper(usable("namespaces"), [tmp_path], False, tmp_path, tmp_path)
    lock = tmp_path / "lock"
    with lock.open("w") as stream, (tmp_path / "said").open("w") as said:
        fcntl.flock(stream, fcntl.LOCK_EX)
        first = confined.start(wrap, ["sleep", "60"], os.environ, tmp_path, said.fileno(), [stream.fileno()])
        second = confined.start(wrap, ["sh", "-c", "sleep 0.5; exit 3"], os.environ, tmp_path, said.fileno(), [])
    assert first is not None
    assert second is not None
    assert first.pid == os.getpgid(first.pid)
    assert held(lock)
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(0.05)
    os.killpg(first.pid, 15)
    assert first.wait(10) == -15
    assert not held(lock)
    assert second.wait(10) == 3


CLIENT = """
import os, sys, time
from pathlib import Path
from codereef.install import confined, sandbox
own = Path(sys.argv[1])
wrap = sandbox.wrapper("namespaces", [own], False, own, own)
process = confined.start(wrap, ["sh", "-c", "sleep 60 & echo $!; wait"], os.environ, own, 1, [])
print(process.pid, confined._helper()._process.pid, flush=True)
time.sleep(60)
"""


def test_what_the_helper_has_started_ends_with_a_client_that_is_killed(tmp_path: Path) -> None:
    usable("namespaces")
    command = [sys.executable, "-c", CLIENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        pids = [*client.stdout.readline().split(), *client.stdout.readline().split()]
        assert len(pids) == 3
        client.kill()

    def gone() -> bool:
        states = [Path(f"/proc/{pid}/stat") for pid in pids]
        return all(not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z" for state in states)

    assert within(10, gone)


def test_a_helper_that_was_killed_is_replaced(tmp_path: Path) -> None:
    wrap = wrapper(usable("namespaces"), [tmp_path], False, tmp_path, tmp_path)
    with (tmp_path / "said").open("w") as said:
        running = confined.start(wrap, ["sleep", "60"], os.environ, tmp_path, said.fileno(), [])
        assert running is not None
        confined._helper()._process.kill()
        assert running.wait(10) == -9
        assert confined.start(wrap, ["true"], os.environ, tmp_path, said.fileno(), []) is None
    assert ran(wrap, ["sh", "-c", "exit 4"], tmp_path, True) == (4, "")


def test_a_value_that_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match="CR_SANDBOX cannot be `on`"):
        available({"CR_SANDBOX": "on", "PATH": os.environ["PATH"]})
    assert available({"CR_SANDBOX": "off"}) == "none"


def build(world: World, *command: str, **extra: object) -> None:
    world.package("thing", {"using": "script", "run": [list(command)], **extra})


@pytest.mark.slow
def test_a_build_without_declared_network_has_none_and_is_told_so(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    usable("namespaces")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    world = World(tmp_path)
    server.put("/x", b"data\n")
    fetch = "import os, sys, urllib.request\nprint('proxy', os.environ.get('https_proxy'))\n"
    fetch += "data = urllib.request.urlopen(sys.argv[1], timeout=2).read()\nopen(sys.argv[2], 'wb').write(data)\n"

    def recipe(**extra: object) -> None:
        run = [["{python}", "fetch.py", server.url + "/x", "{prefix}/x"]]
        world.package("thing", {"using": "script", "run": run, **extra}, {"fetch.py": fetch}, {"p": "compiler.python"})

    recipe()
    with pytest.raises(InstallError, match="Connection refused|unreachable"):
        world.install("thing")
    assert "proxy None" in logs(world)
    assert server.requests == []
    recipe(network=True)
    assert (world.prefix("thing") / "x").read_bytes() == b"data\n"


def test_what_a_build_may_not_write_is_explained(tmp_path: Path) -> None:
    usable("namespaces")
    world = World(tmp_path)
    build(world, "touch", str(tmp_path / "outside"))
    with pytest.raises(InstallError, match="Read-only file system") as caught:
        world.install("thing")
    assert "{prefix}" in caught.value.hint
    assert not (tmp_path / "outside").exists()


NONE = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from codereef.errors import CrError
from tests.install.graphs import World
from tests.install.conftest import Remembered
progress = Remembered()
world = World(Path(sys.argv[1]), progress)
world.package("thing", {"using": "script", "run": [["sh", "-c", "echo x > {prefix}/x"]]})
try:
    print(world.install("thing").built, progress.notes)
except CrError as error:
    print(error.code, error.message, error.hint, sep="\\n")
"""


@pytest.mark.slow
def test_without_a_sandbox_a_build_is_refused_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    usable("namespaces")
    # In a user namespace of its own that permits no further ones, as containers and hardened systems do.
    shut = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --bounding-set=-all "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", shut, "sh"]
    command += [sys.executable, "-c", NONE, str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "install\nThis machine permits no sandbox (" in done.stdout, done.stderr
    assert "set CR_SANDBOX=off" in done.stdout
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "CR_SANDBOX": "off"})
    assert "built without a sandbox (CR_SANDBOX=off)" in done.stdout, done.stderr
    assert "thing-1.0-" in done.stdout


@pytest.mark.slow
def test_the_manifest_says_which_sandbox_a_build_had(tmp_path: Path, progress: Remembered) -> None:
    import json

    kind = available()
    world = World(tmp_path, progress)
    build(world, "sh", "-c", "echo x > {prefix}/x")
    manifest = json.loads((world.prefix("thing") / ".codereef-prefix.json").read_text())
    assert manifest["meta"]["sandbox"] == kind


UNDO = """
import ctypes, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
place, runtime, outside = sys.argv[1:]
def tried(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"
libc.umount2(place.encode(), 2)
libc.mount(b"none", b"/", None, ctypes.c_ulong(32 | 4096), None)
print(json.dumps({
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapPrm"))],
    "secret": tried(lambda: open(place + "/id").read()),
    "outside": tried(lambda: open(outside, "w").close()),
    "service": tried(lambda: socket.socket(socket.AF_UNIX).connect(runtime + "/bus")),
}))
"""


@pytest.mark.parametrize(("kind", "helper"), WAYS)
def test_nobody_in_it_can_undo_it_or_let_a_service_of_the_user_do_so(
    kind: Kind, helper: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json
    import socket

    usable(kind)
    own, home, runtime = tmp_path / "own", tmp_path / "home", tmp_path / "runtime"
    own.mkdir()
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id").write_text("key")
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    with socket.socket(socket.AF_UNIX) as service:
        monkeypatch.chdir(runtime)  # the whole path may be too long for a socket
        service.bind("bus")
        service.listen()
        wrap = wrapper(kind, [own], False, own, home)
        words = [sys.executable, "-I", "-c", UNDO, str(home / ".ssh"), str(runtime), str(tmp_path / "outside")]
        status, said = ran(wrap, words, own, helper)
    assert status == 0, said
    found = json.loads(said)
    assert found == {
        "capabilities": ["0" * 16] * 2,
        "secret": "FileNotFoundError",
        "outside": "OSError",
        "service": "FileNotFoundError",
    }
    assert not (tmp_path / "outside").exists()


def test_a_folder_that_a_build_writes_to_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    own = tmp_path / "own"
    own.mkdir()
    kind = usable("namespaces")
    wrap = wrapper(kind, [own], False, own, tmp_path / "home")
    done = subprocess.run([*wrap, "touch", str(own / "made")], cwd=own, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert (own / "made").exists()
