# SPDX-License-Identifier: Apache-2.0
"""`cr lock`, `cr outdated`, `cr diff` and `cr export` of a lock as a user has them, on the real demo."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import Cr

DEMO = "demo-object-detection"
BOARD = "linux-aarch64-gnu"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Cr:
    """A client whose demo is locked and not installed."""
    base = tmp_path_factory.mktemp("locking")
    (base / "work").mkdir()
    client = Cr(base / "home", base / "work")
    made = client.json("lock", DEMO)
    assert BOARD in made["targets"] and made["changes"] == []
    return client


@pytest.fixture
def copy(demo: Cr, tmp_path: Path) -> Cr:
    """The same client in a folder of its own, whose lock may be changed."""
    shutil.copytree(demo.cwd / DEMO, tmp_path / DEMO)
    return Cr(demo.home, tmp_path)


def test_a_lock_is_written_without_installing_and_init_keeps_it(copy: Cr) -> None:
    path = copy.cwd / DEMO / "cr.lock"
    before = path.read_bytes()
    assert "holds here" in copy("lock", DEMO, "--check").stdout
    assert copy.json("lock", DEMO, "--check")["holds"] is True
    copy("init", DEMO, "-y")
    copy("init", DEMO, "-y", "--locked")
    assert path.read_bytes() == before


def test_check_ends_with_6_and_names_what_does_not_hold(copy: Cr) -> None:
    path = copy.cwd / DEMO / "cr.lock"
    document = json.loads(path.read_bytes())
    (key,) = [
        k
        for k, n in document["nodes"].items()
        if n.get("capability") == "compiler.python" and (n["source"], n["for"]) == ("detected", "run")
    ]
    document["nodes"][key]["binary"] = "sha256:" + "0" * 64
    path.write_text(json.dumps(document))
    done = copy("lock", DEMO, "--check", check=False)
    assert done.returncode == 6
    assert f"{key}: the lock has compiler.python" in done.stderr and "(000000000000); this machine has" in done.stderr
    error = json.loads(copy("lock", DEMO, "--check", "--json", check=False).stdout)["error"]
    assert {f["kind"] for f in error["context"]["findings"]} == {"machine"}
    locked = copy("init", DEMO, "--locked", "-y", check=False)
    assert locked.returncode == 6 and key in locked.stderr


def test_diff_ends_with_0_for_the_same_and_with_1_for_others(copy: Cr) -> None:
    shutil.copy(copy.cwd / DEMO / "cr.lock", copy.cwd / "old.lock")
    assert "say the same" in copy("diff", "old.lock", DEMO).stdout
    copy("lock", DEMO, "--variant", "size=50,500")
    done = copy("diff", "old.lock", DEMO, check=False)
    assert done.returncode == 1
    assert "format=onnx,precision=fp32,size=500" in done.stdout
    found = json.loads(copy("diff", "old.lock", f"{DEMO}/cr.lock", "--json", check=False).stdout)
    assert found["same"] is False
    assert {c["status"] for c in found["changes"]} == {"added"}
    gone = copy("diff", "old.lock", "no-such-thing", check=False)
    assert gone.returncode == 4 and "no-such-thing" in gone.stderr


def test_outdated_lists_what_there_is(copy: Cr) -> None:
    found = copy.json("outdated", DEMO, "--all")
    kinds = {row["kind"] for row in found["rows"]}
    assert {"component", "capability", "detected", "expected", "distribution"} <= kinds
    assert all(row["locked"] for row in found["rows"])
    copy("outdated", DEMO)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lock", DEMO, "lib.onnxruntime"), "only --upgrade moves anything"),
        (("lock", DEMO, "--check", "--upgrade"), "--check compares and changes nothing"),
        (("lock", DEMO, "--upgrade", "lib.onnxruntim"), "Did you mean `lib.onnxruntime`"),
        (("lock", DEMO, "--target", "linux-aarch64-gn"), f"Did you mean `{BOARD}`"),
        (("export", DEMO), "Give one of --csv, --json and --format"),
        (("export", DEMO, "--csv", "--format", "sbom"), "Two formats"),
        (("export", "--format", "sbom"), "name the SOLUTION"),
        (("export", DEMO, "--csv", "--target", BOARD), "choose from a lock"),
        (("export", DEMO, "--format", "requirements", "--target", "android-aarch64"), "no such configuration"),
    ],
)
def test_what_makes_no_sense_is_told(demo: Cr, arguments: tuple[str, ...], said: str) -> None:
    done = demo(*arguments, check=False)
    assert done.returncode in (2, 4, 5, 6) and said in done.stderr
    assert "Traceback" not in done.stderr


def test_every_format_is_exported_for_every_target(demo: Cr, tmp_path: Path) -> None:
    for target in ((), ("--target", BOARD)):
        for format_, begins in [
            ("sbom", "{"),
            ("requirements", "# demo"),
            ("conda", "# demo"),
            ("dockerfile", "# syn"),
        ]:
            assert demo("export", DEMO, "--format", format_, *target).stdout.startswith(begins)
    file = tmp_path / "demo.cdx.json"
    done = demo("export", DEMO, "--format", "sbom", "--output", str(file))
    assert done.stdout == "" and json.loads(file.read_bytes())["bomFormat"] == "CycloneDX"


def test_the_lock_inside_the_dockerfile_initialises_this_machine(demo: Cr, tmp_path: Path) -> None:
    text = demo("export", DEMO, "--format", "dockerfile").stdout
    inside = text.split("cr.lock\n", 1)[1].split("\nEND-OF-LOCK", 1)[0]
    (tmp_path / DEMO).mkdir()
    (tmp_path / DEMO / "cr.lock").write_text(inside + "\n")
    client = Cr(demo.home, tmp_path)
    client("init", DEMO, "--locked", "-y")
    assert (tmp_path / DEMO / "cr.lock").read_text() == inside + "\n"
    client("run", DEMO)
