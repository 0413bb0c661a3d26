# SPDX-License-Identifier: Apache-2.0
"""Bad input of every sort: a clear error, nothing lost, and a clean second try."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from codereef.record.history import History

from tests.e2e.conftest import ROOT, Cr

pytestmark = pytest.mark.slow

MODEL = b"not really a model, but bytes are bytes" * 50


def write(folder: Path, meta: dict[str, Any]) -> Path:
    """Write a component into a repository folder."""
    root = folder / meta["name"]
    root.mkdir(parents=True, exist_ok=True)
    (root / "cr.json").write_text(json.dumps(meta), encoding="utf-8")
    return root


def base(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "version": "1.0.0",
        "summary": f"{name} for a test",
        "license": "Apache-2.0",
        **more,
    }


def model(name: str, **more: Any) -> dict[str, Any]:
    return base(
        "model",
        name,
        task="object-detection",
        files=[
            {
                "name": "m.onnx",
                "urls": ["http://127.0.0.1:9/m.onnx"],
                "sha256": hashlib.sha256(MODEL).hexdigest(),
                "size": len(MODEL),
            }
        ],
        runtimes=[{"format": "onnx", "needs": "lib.onnxruntime"}],
        inputs=[
            {
                "name": "",
                "type": "image",
                "dtype": "float32",
                "shape": [1, 3, 8, 8],
                "steps": [{"decode": {"color": "RGB"}}],
            }
        ],
        outputs=[{"type": "detections", "tensors": {}, "steps": []}],
        **more,
    )


def solution(name: str, **deps: Any) -> dict[str, Any]:
    roles = {"model": {"needs": "model:shapes-ssd"}, "data": {"needs": "dataset:coloured-shapes"}, **deps}
    return base("solution", name, program={"needs": "program:object-detection"}, deps=roles, actions={"benchmark": {}})


@pytest.fixture
def repository(cr: Cr, tmp_path: Path) -> Path:
    """A trusted repository of the user's, with one component so that it can be added."""
    folder = tmp_path / "components"
    write(folder, base("target", "some-target", triple="linux-x86_64-gnu", os="linux", arch="x86_64", runner="local"))
    cr("repo", "add", str(folder), "--name", "mine", "--trust")
    return folder


def fails(cr: Cr, code: int, *arguments: str) -> dict[str, Any]:
    """Run a command that must fail with this exit code, without a traceback; return the error as data."""
    person = cr(*arguments, check=False)
    assert person.returncode == code, person.stdout + person.stderr
    assert ("Traceback" not in person.stderr and person.stderr.startswith("error: ")) or "\nerror: " in person.stderr
    machine = cr(*arguments, "--json", check=False)
    assert machine.returncode == code
    return dict(json.loads(machine.stdout)["error"])


def test_a_corrupt_download_is_refused_and_a_good_one_then_taken(cr: Cr, repository: Path, tmp_path: Path) -> None:
    write(repository, model("broken-download"))
    write(repository, solution("corrupt", model={"needs": "model:broken-download"}))
    mirror = tmp_path / "mirror"
    file = mirror / "sha256" / hashlib.sha256(MODEL).hexdigest()
    file.parent.mkdir(parents=True)
    file.write_bytes(b"X" + MODEL[1:])
    cr.environ["CR_MIRROR"] = str(mirror)
    cr.environ["CR_RETRIES"] = "0"
    error = fails(cr, 8, "init", "corrupt")
    assert "m.onnx" in error["message"] and hashlib.sha256(MODEL).hexdigest()[:12] in error["message"]
    file.write_bytes(MODEL)
    assert "is ready" in cr("init", "corrupt").stdout


def test_a_component_with_an_unknown_key_is_named_with_the_nearest_key(cr: Cr, repository: Path) -> None:
    bad = model("typo")
    bad["lisense"] = bad.pop("license")
    write(repository, bad)
    error = fails(cr, 4, "show", "model:typo")
    assert (
        "cr.json" in error["message"]
        and "unknown key `lisense`" in error["message"]
        and "`license`" in error["message"]
    )
    findings = cr("lint", str(repository / "typo"), check=False)
    assert findings.returncode == 3 and "Did you mean `license`?" in findings.stdout
    # The others are not affected.
    assert cr.json("show", "model:shapes-ssd")["reference"] == "model:shapes-ssd@1.0.0"


def test_a_dependency_cycle_is_named(cr: Cr, repository: Path) -> None:
    write(repository, model("egg", deps={"other": {"needs": "model:hen"}}))
    write(repository, model("hen", deps={"other": {"needs": "model:egg"}}))
    write(repository, solution("circle", model={"needs": "model:egg"}))
    error = fails(cr, 5, "init", "circle")
    assert (
        "model:egg@1.0.0 → model:hen@1.0.0 → model:egg@1.0.0" in error["message"]
        or "model:hen@1.0.0 → model:egg@1.0.0 → model:hen@1.0.0" in error["message"]
    )


def test_a_version_nobody_has_is_explained(cr: Cr, repository: Path) -> None:
    write(repository, solution("future", model={"needs": "model:shapes-ssd", "version": ">=9"}))
    error = fails(cr, 5, "init", "future")
    assert "model:shapes-ssd >=9" in error["message"] and "1.0.0" in error["message"]
    assert not (cr.cwd / "future").exists()


def test_a_missing_compiler_is_explained(cr: Cr, repository: Path, tmp_path: Path) -> None:
    write(repository, solution("needs-compiler", compiler={"needs": "compiler.fortran"}))
    write(
        repository,
        base(
            "soft",
            "gfortran-none",
            detects="compiler.fortran",
            find={"executables": ["no-such-fortran"]},
            version_query={"run": ["{path}"], "match": "(.*)"},
        ),
    )
    error = fails(cr, 5, "init", "needs-compiler")
    assert "compiler.fortran" in error["message"] and "gfortran-none" in error["message"] and error["hint"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True
        ).returncode
        != 0
    ):
        message = "a small disk needs root and tmpfs"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_loses_nothing_and_a_larger_one_works(cr: Cr, small_disk: Path, tmp_path: Path) -> None:
    full = Cr(small_disk / "home", cr.cwd, dict(cr.environ))
    error = fails(full, 11, "init", "demo-object-detection")
    assert "full" in error["message"] or "space" in error["message"]
    assert "CR_HOME" in error["hint"] or "space" in error["hint"]
    # Nothing half made is taken for whole.
    prefixes = small_disk / "home" / "store" / "v1" / "prefixes"
    assert not list(prefixes.glob("*/.codereef-prefix.json")) or all(
        (p / ".codereef-prefix.json").stat().st_size
        for p in prefixes.iterdir()
        if (p / ".codereef-prefix.json").exists()
    )
    assert "is ready" in cr("init", "demo-object-detection").stdout


def test_init_killed_at_any_moment_leaves_a_store_that_a_second_try_completes(cr: Cr) -> None:
    for delay in (0.3, 0.8, 1.5, 2.5, 4.0):
        process = cr.start("init", "demo-object-detection", "--variant", "format=tflite")
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert "is ready" in cr("init", "demo-object-detection", "--variant", "format=tflite").stdout
    assert cr.json("benchmark", "demo-object-detection", "-o", "max_seconds=0.2")["results"][0]["status"] == "ok"


def test_benchmark_killed_at_any_moment_leaves_only_sound_results(ready: Cr) -> None:
    before = {r.id for r in History(ready.home / "results").all()}
    for delay in (0.2, 0.7, 1.2, 2.0):
        process = ready.start("benchmark", "demo-object-detection", "-o", "max_seconds=0.3")
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    history = History(ready.home / "results")
    assert history.damaged() == []
    assert before <= {r.id for r in history.all()}
    assert len(ready.json("benchmark", "demo-object-detection", "-o", "max_seconds=0.2")["results"]) == 4


def test_ctrl_c_keeps_what_was_measured(ready: Cr, tmp_path: Path) -> None:
    client = Cr(ready.home, ready.cwd, {"TMPDIR": str(tmp_path)})
    endless = ("max_seconds=120", "relative_width=0.000001", "min_samples=9000000", "max_samples=9000000")
    options = [word for option in endless for word in ("-o", option)]
    process = client.start("benchmark", "demo-object-detection", "-v", "format=onnx", "-v", "precision=fp32", *options)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/output/samples.partial.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and "what was measured is kept" in errors
    last = list(History(ready.home / "results").all())[-1]
    assert last.document["status"] == "interrupted"
    assert len(last.document["samples"]["latency"]["values"]) > 100


def test_two_inits_at_once_share_one_store(cr: Cr, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    clients = [Cr(cr.home, folder) for folder in folders]
    processes = [client.start("init", "demo-object-detection", "--variant", "format=tflite") for client in clients]
    for process in processes:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    locks = [(folder / "demo-object-detection" / "cr.lock").read_bytes() for folder in folders]
    assert locks[0] == locks[1]
    for client in clients:
        assert (
            client.json("benchmark", "demo-object-detection", "-o", "max_seconds=0.2")["results"][0]["status"] == "ok"
        )


def test_without_network_the_error_says_what_was_tried(cr: Cr, no_network: tuple[str, ...]) -> None:
    cr.environ["UV_CACHE_DIR"] = str(cr.home / "empty-cache")
    cr.environ["CR_RETRIES"] = "0"
    done = cr("init", "ssd-mobilenet-coco", check=False, prefix=no_network)
    assert done.returncode == 7, done.stderr
    assert "Traceback" not in done.stderr and "hint:" in done.stderr


def test_offline_without_a_mirror_names_the_files_and_the_remedy(cr: Cr) -> None:
    (cr.home).mkdir(parents=True)
    done = cr("init", "ssd-mobilenet-coco", "--offline", check=False)
    assert done.returncode == 7 and "mirror" in done.stderr.lower() and "Traceback" not in done.stderr


def test_a_model_that_needs_an_unknown_operator_fails_cleanly(cr: Cr, repository: Path, mirror: Any) -> None:
    path = mirror.path("model_invoking_error.tflite")
    data = path.read_bytes()
    bad = model("custom-op")
    bad["files"] = [
        {"name": "m.tflite", "urls": [path.as_uri()], "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    ]
    bad["runtimes"] = [{"format": "tflite", "needs": "lib.tflite"}]
    write(repository, bad)
    write(repository, solution("custom", model={"needs": "model:custom-op"}))
    cr("init", "custom")
    done = cr("benchmark", "custom", check=False)
    assert done.returncode == 9 and "Traceback" not in done.stderr.split("error:")[-1]
    assert "custom op" in done.stderr or "fake-op-double" in done.stderr
    assert list(History(cr.home / "results").all())[-1].document["status"] == "failed"


def test_a_hanging_program_is_stopped_and_kept_as_a_result(ready: Cr) -> None:
    done = ready(
        "benchmark",
        "demo-object-detection",
        "-v",
        "format=onnx",
        "-v",
        "precision=fp32",
        "--timeout",
        "0.5",
        check=False,
    )
    assert done.returncode == 9 and "time limit" in done.stderr
    assert list(History(ready.home / "results").all())[-1].document["status"] == "timeout"


def test_too_little_memory_is_a_result_too(ready: Cr) -> None:
    done = ready(
        "benchmark",
        "demo-object-detection",
        "-v",
        "format=onnx",
        "-v",
        "precision=fp32",
        "--memory-limit",
        "200",
        check=False,
    )
    assert done.returncode == 9
    assert list(History(ready.home / "results").all())[-1].document["status"] in ("out-of-memory", "crashed", "failed")


def _results(client: Cr) -> list[str]:
    return [result.id for result in History(client.home / "results").all()]


ONNX = ("-v", "format=onnx", "-v", "precision=fp32")
TFLITE = ("-v", "format=tflite", "-v", "precision=fp32")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ((*ONNX, "-o", "cpus=9999"), "processor 9999 is not there", "It may use "),
        ((*ONNX, "-o", "cpus=two"), "two is no list of processors", "cpus=0,2-3"),
        ((*ONNX, "-o", "provider=CUDA"), "has no execution provider CUDA; it has ", ""),
        ((*ONNX, "-o", "delegate=off"), "onnxruntime has no option delegate", ""),
        ((*ONNX, "-o", "driver=mlperf-loadgen"), "needs mlcommons-loadgen", "-o driver=codereef"),
        ((*ONNX, "--scenario", "server"), "needs target_qps", "-o target_qps=20"),
        ((*ONNX, "--scenario", "offline", "-o", "batch=2"), "is not free", "batch=1"),
        ((*ONNX, "--scenario", "offline", "-o", "stop=early-stopping"), "offline has none", "stop=interval"),
        (
            (*ONNX, "-o", "min_seconds=9", "-o", "max_seconds=7"),
            "min_seconds (9) is more than max_seconds (7)",
            "Raise",
        ),
        ((*TFLITE, "-o", "delegate=/nowhere"), "cannot load the delegate nowhere", "file or library name"),
        ((*TFLITE, "-o", "provider=CUDA"), "has no option provider", ""),
    ],
)
def test_an_option_that_only_the_program_can_refuse_is_the_users_and_leaves_no_result(
    ready: Cr, words: tuple[str, ...], message: str, hint: str
) -> None:
    before = _results(ready)
    error = fails(ready, 2, "benchmark", "demo-object-detection", *words)
    assert error["code"] == "option"
    assert message in error["message"] and hint in error["hint"], error
    assert error["message"].startswith(error["context"]["configuration"])
    assert _results(ready) == before


@pytest.mark.parametrize("command", ["run", "validate", "pitfalls"])
def test_every_command_that_runs_the_program_tells_what_it_refuses(ready: Cr, command: str) -> None:
    before = _results(ready)
    error = fails(ready, 2, command, "demo-object-detection", *ONNX, "-o", "cpus=9999")
    assert "processor 9999 is not there" in error["message"] and error["hint"].startswith("It may use ")
    assert _results(ready) == before


def test_of_several_configurations_the_one_that_refuses_is_named_and_the_earlier_are_kept(ready: Cr) -> None:
    words = ("benchmark", "demo-object-detection", "-v", "precision=fp32", "-o", "provider=CPUExecutionProvider")
    quick = ("-o", "max_seconds=0.2", "-o", "accuracy_limit=5", "--processes", "2")
    before = _results(ready)
    done = ready(*words, *quick, check=False)
    assert done.returncode == 2, done.stderr
    (kept,) = [name for name in _results(ready) if name not in before]
    said = next(line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert said.startswith("error: format=tflite,precision=fp32,size=50 cannot be run with these options: ")
    assert f"What was measured before is kept: format=onnx,precision=fp32,size=50 as {kept[:12]}." in done.stderr
    result = ready.json("show", kept)
    assert (result["status"], result["load"]["settings"]["max_seconds"]) == ("ok", 0.2)
    machine = ready(*words, *quick, "--json", check=False)
    assert json.loads(machine.stdout)["error"]["context"]["results"] == [
        name for name in _results(ready) if name not in (*before, kept)
    ]


def test_what_this_machine_has_not_is_not_reproduced(ready: Cr, tmp_path: Path) -> None:
    quick = ("-o", "max_seconds=0.2", "-o", "accuracy_limit=5", "--processes", "1")
    (original,) = ready.json("benchmark", "demo-object-detection", *ONNX, *quick, "-o", "cpus=0")["results"]
    elsewhere = {key: value for key, value in original.items() if key != "id"}
    elsewhere["options"] = {**elsewhere["options"], "cpus": "", "provider": "CUDAExecutionProvider"}
    (tmp_path / "elsewhere.json").write_text(json.dumps(elsewhere))
    before = _results(ready)
    person = ready("reproduce", str(tmp_path / "elsewhere.json"), "-C", str(tmp_path), "--offline", check=False)
    assert person.returncode == 1, person.stderr
    assert "not reproduced" in person.stdout and "run does not hold: format=onnx,precision=fp32" in person.stdout
    assert "has no execution provider CUDAExecutionProvider" in person.stdout
    machine = ready(
        "reproduce", str(tmp_path / "elsewhere.json"), "-C", str(tmp_path), "--offline", "--json", check=False
    )
    judged = json.loads(machine.stdout)
    assert (judged["reproduced"], judged["again"], [c["what"] for c in judged["checks"]]) == (False, "", ["run"])
    assert _results(ready) == before


def test_a_changed_interpreter_is_noticed_before_anything_is_measured(ready: Cr, tmp_path: Path) -> None:
    folder = tmp_path / "demo-object-detection"
    shutil.copytree(ready.cwd / "demo-object-detection", folder)
    lock = json.loads((folder / "cr.lock").read_text())
    node = next(n for n in lock["nodes"].values() if n.get("capability") == "compiler.python")
    node["binary"] = "sha256:" + "0" * 64
    (folder / "cr.lock").write_text(json.dumps(lock))
    done = Cr(ready.home, tmp_path)("benchmark", "demo-object-detection", check=False)
    assert done.returncode == 6 and "compiler.python" in done.stderr and "the lock has" in done.stderr
    locked = Cr(ready.home, tmp_path)("init", "demo-object-detection", "--locked", check=False)
    assert locked.returncode == 6 and "compiler.python" in locked.stderr


def test_a_swapped_model_is_never_measured_and_init_mends_it(ready: Cr, tmp_path: Path) -> None:
    client = Cr(Path(shutil.copytree(ready.home, tmp_path / "home", symlinks=True)), ready.cwd)
    chosen = ("-v", "format=onnx", "-v", "precision=fp32")
    small = Cr(client.home, tmp_path)
    small("init", "demo-object-detection", *chosen)
    prefixes = client.home / "store" / "v1" / "prefixes"
    model = next(prefixes.glob("shapes-ssd-*/shapes-ssd-fp32.onnx"))
    other = next(prefixes.glob("shapes-ssd-*/shapes-ssd-int8.onnx"))
    content = model.read_bytes()
    model.unlink()
    shutil.copy(other, model)
    done = small("benchmark", "demo-object-detection", "-o", "max_seconds=0.2", check=False)
    assert done.returncode == 6 and "no longer what was installed" in done.stderr
    assert "is made again" in small("init", "demo-object-detection", "--locked").stderr
    assert next(prefixes.glob("shapes-ssd-*/shapes-ssd-fp32.onnx")).read_bytes() == content
    python = next(prefixes.glob("python-*/bin/python"))
    shutil.rmtree(python.parent)
    assert "is ready" in small("init", "demo-object-detection").stdout
    assert small.json("benchmark", "demo-object-detection", "-o", "max_seconds=0.2")["results"][0]["status"] == "ok"


def test_the_interpreter_asked_for_is_the_one_taken(ready: Cr, tmp_path: Path) -> None:
    client = Cr(ready.home, tmp_path)
    pythons = [s for s in client.json("detect", "compiler.python")["software"] if not s["facts"].get("tool")]
    usable = {s["version"]: s["path"] for s in pythons if s["version"].startswith(("3.10.", "3.11.", "3.12.", "3.13."))}
    for version, path in usable.items():
        plan = client.json("plan", "demo-object-detection", "--python", path)
        assert {s["from"] for s in plan["steps"] if s["what"].startswith("compiler.python")} == {path}, version
    assert client("plan", "demo-object-detection", "--python", "2.0", check=False).returncode == 4
    client("init", "demo-object-detection", "-v", "format=tflite")
    before = (tmp_path / "demo-object-detection" / "cr.lock").read_bytes()
    refused = client("init", "demo-object-detection", "--locked", "--upgrade", check=False)
    assert refused.returncode == 2
    assert (tmp_path / "demo-object-detection" / "cr.lock").read_bytes() == before


def test_a_failed_init_leaves_the_lock_that_worked(ready: Cr, repository: Path, cr: Cr) -> None:
    cr("init", "demo-object-detection", "-v", "format=tflite")
    lock = cr.cwd / "demo-object-detection" / "cr.lock"
    before = lock.read_bytes()
    cr.environ.update({"UV_CACHE_DIR": str(cr.home / "no-cache"), "CR_OFFLINE": "1"})
    done = cr("init", "demo-object-detection", "-v", "format=onnx", check=False)
    assert done.returncode == 7 and "--offline" in done.stderr
    assert lock.read_bytes() == before


def test_a_recipe_or_detector_of_a_repository_that_is_not_trusted_changes_nothing(cr: Cr, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    recipe = json.loads((ROOT / "packages" / "onnxruntime-wheel" / "cr.json").read_text())
    recipe["install"]["requirements"].append("colorama")
    write(folder, recipe)
    detector = json.loads((ROOT / "soft-detect" / "python" / "cr.json").read_text())
    write(folder, {**detector, "version": "99.0.0", "find": {"executables": ["no-such-python"]}})
    cr("repo", "add", str(folder), "--name", "foreign")
    assert cr.json("detect", "compiler.python")["software"]
    done = cr("init", "demo-object-detection", check=False)
    assert (
        done.returncode == 2 and "package:onnxruntime-wheel" in done.stderr and "cr repo trust foreign" in done.stderr
    )


def test_a_program_that_writes_nonsense_is_a_failure_and_not_a_crash_of_ours(
    ready: Cr, cr: Cr, repository: Path
) -> None:
    client = Cr(ready.home, cr.cwd)
    root = write(
        repository,
        base(
            "program",
            "nonsense",
            task="object-detection",
            run={"python": "main.py"},
            metrics={},
            deps={"python": {"needs": "compiler.python"}, "numpy": {"needs": "python.numpy"}},
        ),
    )
    client("repo", "add", str(repository), "--name", "nonsense", "--trust")
    try:
        write(repository, {**solution("talk-nonsense"), "program": {"needs": "program:nonsense"}})
        for answer in (
            {"status": "ok", "warnings": 3},
            {"status": "ok", "metrics": {"x": {"value": 1}}},
            {"status": "ok", "runtime": "x"},
            {"status": "ok", "samples": [1]},
            ["list"],
        ):
            (root / "main.py").write_text(
                "import json, sys, pathlib\nrequest = json.load(open(sys.argv[1]))\n"
                "print(json.dumps({'phase': 'x', 'done': 1e308, 'progress': 'y'}), flush=True)\nprint('{\"phase\": \"x\", \"done\": 1e999}', flush=True)\n"
                f"pathlib.Path(request['output'], 'response.json').write_text({json.dumps(json.dumps(answer))})\n"
            )
            client("init", "talk-nonsense")
            done = client("benchmark", "talk-nonsense", check=False)
            assert done.returncode in (0, 9) and "inside cr" not in done.stderr and "Traceback" not in done.stderr, (
                answer,
                done.stderr,
            )
        assert History(ready.home / "results").damaged() == []
    finally:
        client("repo", "remove", "nonsense")


def test_a_measurement_leaves_nothing_in_the_users_home(ready: Cr, tmp_path: Path) -> None:
    client = Cr(ready.home, ready.cwd, {"HOME": str(tmp_path)})
    client("benchmark", "demo-object-detection", "-v", "format=onnx", "-v", "precision=fp32", "-o", "max_seconds=0.2")
    assert list(tmp_path.rglob("*")) == []


def test_code_of_a_repository_that_is_not_trusted_does_not_run(cr: Cr, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    root = write(folder, base("program", "sneaky", task="object-detection", run={"python": "main.py"}, metrics={}))
    (root / "main.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    write(folder, {**solution("foreign"), "program": {"needs": "program:sneaky"}})
    cr("repo", "add", str(folder), "--name", "foreign")
    done = cr("init", "foreign", check=False)
    assert done.returncode == 2 and "cr repo trust foreign" in done.stderr


def test_the_repository_root_is_not_written_to(ready: Cr) -> None:
    status = subprocess.run(
        ["git", "status", "--porcelain", "--ignored", "components"], cwd=ROOT, text=True, capture_output=True
    )
    assert "__pycache__" not in "".join(line for line in status.stdout.splitlines() if "program" in line), status.stdout
    assert sys.dont_write_bytecode in (True, False)
