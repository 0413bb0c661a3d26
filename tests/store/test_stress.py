# SPDX-License-Identifier: Apache-2.0
"""Real processes install, use, collect, verify and are killed at the same time; nothing is ever lost or half there."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from codereef.store import Roots, Store
from codereef.store.collect import collect
from codereef.store.repair import repair
from codereef.store.use import all_in_use
from codereef.store.verify import verify

from tests.store.conftest import flip, until

pytestmark = pytest.mark.slow

WORKER = """
import hashlib, json, random, sys, time
from pathlib import Path
from codereef.disk import link_or_copy
from codereef.store import Roots, Store
root, own, seed, end = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
dice = random.Random(seed)
store, roots = Store(root), Roots(Store(root))
own.mkdir(parents=True, exist_ok=True)
rounds = 0
while time.time() < end:
    number = dice.randrange(6)
    key = f"k-{number}"
    files = {f"f{i}": b"%d %d" % (number, i) * 2000 for i in range(4)}
    shas = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    lock = own / "cr.lock"
    with store.using([key], shas.values()):
        roots.hold(lock, [key], shas.values(), adding=True)
        with store.building(key) as build:
            if build.existing is None:
                for name, data in files.items():
                    blob = store.blob(shas[name])
                    if blob is None:
                        source = own / name
                        source.write_bytes(data)
                        blob = store.add_blob(source, shas[name], len(data))
                    link_or_copy(blob, build.path / name)
                build.commit({"component": key}, digest=True)
        lock.write_text(json.dumps({"key": key, "files": sorted(shas.values())}))
        roots.hold(lock, [key], shas.values())
        for _ in range(3):
            with store.reading_all():
                problems = store.verify_prefix(key)
            assert problems == [], (key, problems)
            time.sleep(dice.random() * 0.02)
    # Held by the lock alone now, and so still there.
    time.sleep(dice.random() * 0.02)
    assert store.prefix(key) is not None, f"{key} was taken while {lock} holds it"
    rounds += 1
    if dice.random() < 0.5:
        lock.unlink()
print(rounds)
"""

KEEPER = """
import random, sys, time
from pathlib import Path
from codereef.store import Store
from codereef.store.collect import collect
from codereef.store.verify import verify
root, seed, end = Path(sys.argv[1]), int(sys.argv[3]), float(sys.argv[4])
dice = random.Random(seed)
taken = 0
while time.time() < end:
    taken += len(collect(Store(root), everything=dice.random() < 0.3).freed)
    damages = verify(Store(root)).damages
    assert damages == (), damages
print(taken)
"""


def _start(code: str, root: Path, own: Path, seed: int, end: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root), str(own), str(seed), str(end)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_many_install_use_and_collect_at_once_and_some_are_killed(tmp_path: Path) -> None:
    dice = random.Random(7)
    root, end = tmp_path / "store", time.time() + 10
    workers = [_start(WORKER, root, tmp_path / f"w{n}", n, end) for n in range(3)]
    keepers = [_start(KEEPER, root, tmp_path, n, end) for n in range(2)]
    killed = 0
    while time.time() < end - 2:
        time.sleep(0.2 + dice.random() * 0.4)
        group, code = (workers, WORKER) if dice.random() < 0.6 else (keepers, KEEPER)
        number = dice.randrange(len(group))
        os.kill(group[number].pid, signal.SIGKILL)
        _, errors = group[number].communicate(timeout=30)
        assert "Error" not in errors, errors
        killed += 1
        group[number] = _start(code, root, tmp_path / f"w{number}", 100 + killed, end)
    said = [process.communicate(timeout=60) for process in (*workers, *keepers)]
    assert [errors for _, errors in said] == [""] * 5
    assert killed > 5 and sum(int(out) for out, _ in said[:3]) > 5 and sum(int(out) for out, _ in said[3:]) > 0
    store = Store(root)
    assert verify(store).damages == () and Roots(store).damaged() == ()
    for lock in tmp_path.glob("w*/cr.lock"):
        lock.unlink()
    collect(store, everything=True)
    collect(store, everything=True)
    assert store.ls() == () and verify(store).blobs == 0
    assert [path.name for path in store.tmp.iterdir() if path.name.partition(".")[0] in ("gone", "build")] == []


# -- the command itself ------------------------------------------------------------------------------------


def _environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CR_")}
    return {**kept, "CR_HOME": str(tmp_path / "home")}


def _cr(tmp_path: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "codereef", *arguments],
        cwd=tmp_path,
        env={**_environment(tmp_path), **more},
        capture_output=True,
        text=True,
        timeout=200,
    )


INIT = ("init", "demo-object-detection", "-y")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_an_init_ended_at_any_instant_leaves_a_store_that_verifies(tmp_path: Path, sign: signal.Signals) -> None:
    dice = random.Random(int(sign))
    first = time.monotonic()
    done = _cr(tmp_path, *INIT)
    assert done.returncode == 0, done.stderr
    whole = min(3.0, time.monotonic() - first)
    store = Store(tmp_path / "home" / "store")
    ended, stop = 0, time.monotonic() + 7
    # On a busy machine a few more tries are needed until some have really been ended halfway.
    while ended < 3 or (ended < 6 and time.monotonic() < stop):
        shutil.rmtree(tmp_path / "demo-object-detection", ignore_errors=True)
        if dice.random() < 0.7:
            collect(store, everything=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "codereef", *INIT],
            cwd=tmp_path,
            env=_environment(tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(0.1 + dice.random() ** 2 * whole)
        process.send_signal(sign)
        _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors, errors
        assert process.returncode in (0, 130, -sign), errors
        ended += process.returncode != 0
        assert verify(store).damages == ()
        assert Roots(store).damaged() == ()
    assert ended >= 3
    done = _cr(tmp_path, *INIT)
    assert done.returncode == 0, done.stderr
    assert verify(store).damages == ()
    # What an installer that outlived its cr was doing has ended by now, and nothing of it is left.
    store.sweep(force=True)
    assert [path.name for path in store.tmp.iterdir() if path.name.startswith(("build.", "gone."))] == []


def test_a_bit_flipped_in_an_environment_or_a_model_is_found_and_mended(tmp_path: Path) -> None:
    # A cache of its own: the files of an environment are hard links of those in uv's cache.
    cache = {"UV_CACHE_DIR": str(tmp_path / "uv")}
    done = _cr(tmp_path, *INIT, **cache)
    assert done.returncode == 0, done.stderr
    store = Store(tmp_path / "home" / "store")
    model = next(prefix for prefix in store.ls() if prefix.key.startswith("shapes-ssd"))
    library = max(
        (path for path in store.prefixes.glob("python-*/lib/**/*") if path.suffix == ".so" and path.is_file()),
        key=lambda path: path.stat().st_size,
    )
    flip(library, library.stat().st_size // 2)
    flip(next(model.path.glob("*.onnx")), 1000)
    done = _cr(tmp_path, "store", "verify", **cache)
    assert done.returncode == 1 and model.key in done.stdout and library.name in done.stdout
    done = _cr(tmp_path, "benchmark", "demo-object-detection", "-o", "max_seconds=0.1", **cache)
    assert done.returncode in (6, 8) and "no longer what was installed" in done.stderr, "measured on a damaged model"
    done = _cr(tmp_path, "store", "repair", **cache)
    assert done.returncode == 0, done.stdout + done.stderr
    done = _cr(tmp_path, *INIT, **cache)
    assert done.returncode == 0, done.stderr
    assert _cr(tmp_path, "store", "verify", **cache).returncode == 0
    assert repair(store).repairs == ()
    _what_a_benchmark_uses_outlives_its_lock(tmp_path, store)


def _what_a_benchmark_uses_outlives_its_lock(tmp_path: Path, store: Store) -> None:
    """The lock of an initialised solution is deleted while its benchmark runs, and everything is collected."""
    assert collect(store).freed == () and Roots(store).all()[0].state == "held"
    process = subprocess.Popen(
        [sys.executable, "-m", "codereef", "benchmark", "demo-object-detection", "-o", "max_seconds=3"],
        cwd=tmp_path,
        env=_environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: all_in_use(store.base).keys or process.poll() is not None, 30)
    shutil.rmtree(tmp_path / "demo-object-detection")
    done = collect(store)
    assert {process.pid} == {pid for pids in done.in_use.values() for pid in pids}
    assert len(store.ls()) == 3
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert len(collect(store).freed) >= 3 and store.ls() == ()
