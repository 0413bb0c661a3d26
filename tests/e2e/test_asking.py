# SPDX-License-Identifier: Apache-2.0
"""What `cr init` asks and demands: the plan first, terms that only a person accepts, data that only a person brings."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Cr

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
DEMO = "demo-object-detection"


def edited(folder: Path, **changes: Any) -> None:
    meta = json.loads((folder / "cr.json").read_text())
    for key, value in changes.items():
        if value is None:
            meta.pop(key, None)
        else:
            meta[key] = value
    (folder / "cr.json").write_text(json.dumps(meta))


def digest(folder: Path, pattern: str) -> str:
    lines = sorted(
        (p.relative_to(folder).as_posix(), hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_size)
        for p in folder.glob(pattern)
    )
    return "sha256:" + hashlib.sha256("".join(f"{d} {s} {n}\n" for n, d, s in lines).encode()).hexdigest()


@pytest.fixture(scope="module")
def shapes(ready: Cr, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with their truth, as somebody brings them: in a folder of the user's."""
    folder = tmp_path_factory.mktemp("brought") / "shapes"
    shutil.copytree(ready.json("env", DEMO)["folders"]["data"], folder)
    for name in (".codereef-prefix.json", ".codereef-prefix.files"):
        (folder / name).unlink(missing_ok=True)
    return folder


@pytest.fixture
def asking(cr: Cr, shapes: Path, tmp_path: Path) -> Cr:
    """A client with a solution whose model is under terms and whose data has to be brought."""
    mine = tmp_path / "mine"
    shutil.copytree(ROOT / "solutions" / DEMO, mine / "solutions/asking")
    shutil.copytree(ROOT / "components/model/shapes-ssd", mine / "components/model/gated-ssd")
    (mine / "components/dataset/gated-shapes").mkdir(parents=True)
    terms = {"name": "zoo-terms", "summary": "Not for wolves.", "url": "https://example.org/terms"}
    edited(mine / "components/model/gated-ssd", name="gated-ssd", terms=terms)
    dataset = {
        "kind": "dataset",
        "name": "gated-shapes",
        "version": "1.0.0",
        "summary": "Shapes that everybody has to bring",
        "license": "LicenseRef-Zoo",
        "task": "object-detection",
        "install": {
            "using": "manual",
            "instructions": "Ask the zoo for its shapes and unpack them into one folder.",
            "env": "ZOO_SHAPES",
            "expect": [
                {"glob": "images/*.png", "count": 50, "digest": digest(shapes, "images/*.png")},
                {"glob": "instances.json", "count": 1, "digest": digest(shapes, "instances.json")},
                {"glob": "labels.txt", "count": 1, "digest": digest(shapes, "labels.txt")},
            ],
        },
        "annotations": {"format": "coco", "file": "instances.json", "images": "images", "labels": "labels.txt"},
    }
    (mine / "components/dataset/gated-shapes/cr.json").write_text(json.dumps(dataset))
    meta = json.loads((mine / "solutions/asking/cr.json").read_text())
    meta["name"] = "asking"
    meta["deps"]["model"]["needs"] = "model:gated-ssd"
    meta["deps"]["data"] = {"needs": "dataset:gated-shapes"}
    meta.pop("targets", None)
    (mine / "solutions/asking/cr.json").write_text(json.dumps(meta))
    cr("repo", "add", str(mine), "--trust")
    return cr


def on_terminal(client: Cr, answer: str, *arguments: str, columns: int = 100) -> tuple[int, str]:
    """Run cr on a real terminal, answer what it asks, and return the exit code and all it showed."""
    import fcntl
    import struct
    import termios

    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "codereef", *arguments],
        cwd=client.cwd,
        env={**client.environment(), "TERM": "xterm"},
        stdin=writer,
        stdout=writer,
        stderr=writer,
    )
    os.close(writer)
    text = ""
    asked = 0
    while True:
        try:
            piece = os.read(reader, 65536).decode(errors="replace")
        except OSError:
            break
        if not piece:
            break
        text += piece
        if "]: " in text[asked:]:
            asked = len(text)
            os.write(reader, answer.encode() + b"\n")
    os.close(reader)
    return process.wait(60), text


def test_a_plan_names_terms_and_data_before_anything_is_done(asking: Cr) -> None:
    plan = asking.json("plan", "asking")
    assert plan["terms"] == [
        {
            "name": "zoo-terms",
            "component": "model:gated-ssd@1.0.0",
            "url": "https://example.org/terms",
            "accepted": False,
        }
    ]
    assert [entry["env"] for entry in plan["bring"]] == ["ZOO_SHAPES"]
    shown = asking("plan", "asking").stdout
    assert "Terms to accept: zoo-terms" in shown and "You have to bring 1" in shown


def test_data_that_is_not_here_ends_with_its_instructions_and_its_own_exit_code(asking: Cr, shapes: Path) -> None:
    for arguments in (["-y"], ["--accept-license", "zoo-terms"]):
        done = asking("init", "asking", *arguments, check=False)
        assert done.returncode == 12
        assert "Ask the zoo for its shapes" in done.stderr and "ZOO_SHAPES=FOLDER" in done.stderr
    assert not (asking.cwd / "asking").exists()
    done = asking("init", "asking", "--data", f"gated-shapes={shapes.parent}", check=False)
    assert done.returncode == 12 and "0 files are there; 50 were expected" in done.stderr
    done = asking("init", "asking", "--data", f"gated-shape={shapes}", check=False)
    assert done.returncode == 2 and "Did you mean `gated-shapes`?" in done.stderr


def test_terms_are_accepted_by_name_kept_listed_and_withdrawn(asking: Cr, shapes: Path) -> None:
    data = ["--data", f"gated-shapes={shapes}"]
    done = asking("init", "asking", "-y", *data, check=False)
    assert done.returncode == 12 and "--accept-license zoo-terms" in done.stderr and "Not for wolves." in done.stderr
    done = asking("init", "asking", "-y", *data, "--accept-license", "zoo-term", check=False)
    assert done.returncode == 2 and "Did you mean `zoo-terms`?" in done.stderr
    asking("init", "asking", "-y", *data, "--accept-license", "zoo-terms")
    (entry,) = asking.json("terms", "list")["accepted"]
    assert (entry["name"], entry["component"]) == ("zoo-terms", "model:gated-ssd@1.0.0")
    # Not asked again; and the folder is known from now on.
    assert "everything was there" in asking("init", "asking", "-y").stdout
    asking("terms", "withdraw", "zoo-terms")
    assert asking.json("terms", "list")["accepted"] == []
    assert asking("run", "asking", "-o", "limit=1", check=False).returncode == 12


def test_brought_data_is_measured_locked_by_what_was_checked_and_missed_when_it_changes(
    asking: Cr, shapes: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(shapes, own)
    asking.environ["ZOO_SHAPES"] = str(own)
    asking("init", "asking", "-y", "--accept-license", "zoo-terms")
    text = (asking.cwd / "asking/cr.lock").read_text()
    (node,) = [n for n in json.loads(text)["nodes"].values() if n["component"].startswith("dataset:gated-shapes@")]
    assert node["source"] == "detected" and node["facts"]["checked"] == "content" and node["facts"]["files"] == 52
    assert str(own) not in text
    assert ".png: " in asking("run", "asking", "-o", "limit=1").stdout
    assert "everything was there" in asking("init", "asking", "--locked", "-y").stdout
    (own / "images" / "000001.png").write_bytes(b"not an image")
    done = asking("run", "asking", "-o", "limit=1", check=False)
    assert done.returncode in (6, 12) and "gated-shapes" in done.stderr
    done = asking("init", "asking", "--locked", "-y", check=False)
    assert done.returncode in (6, 12) and "gated-shapes" in done.stderr


def test_imagenet_says_how_to_bring_it(cr: Cr, tmp_path: Path) -> None:
    mine = tmp_path / "mine/solutions/accuracy"
    shutil.copytree(ROOT / "solutions/mobilenet-classification", mine)
    meta = json.loads((mine / "cr.json").read_text())
    meta["name"] = "accuracy"
    meta["deps"]["data"] = {"needs": "dataset:imagenet-2012-val"}
    (mine / "cr.json").write_text(json.dumps(meta))
    cr("repo", "add", str(tmp_path / "mine"), "--trust")
    done = cr("init", "accuracy", "-y", check=False)
    assert done.returncode == 12
    assert "ILSVRC2012_img_val.tar" in done.stderr and "IMAGENET_VAL=FOLDER" in done.stderr


def test_on_a_terminal_the_plan_is_asked_about_once_and_no_means_no(asking: Cr, shapes: Path) -> None:
    asking.environ["ZOO_SHAPES"] = str(shapes)
    code, text = on_terminal(asking, "n", "init", "asking")
    assert code == 130 and "zoo-terms" in text and text.count("]: ") == 1
    assert "You said no; nothing was changed." in text
    assert not (asking.cwd / "asking").exists() and asking.json("terms", "list")["accepted"] == []
    code, text = on_terminal(asking, "y", "init", "asking")
    assert code == 0 and text.count("]: ") == 1 and "is ready" in text
    assert [e["name"] for e in asking.json("terms", "list")["accepted"]] == ["zoo-terms"]
    code, text = on_terminal(asking, "n", "init", "asking")
    assert code == 0 and "]: " not in text and "everything was there" in text


def test_yes_and_json_ask_nothing_on_a_terminal(cr: Cr) -> None:
    code, text = on_terminal(cr, "n", "init", DEMO, "-y")
    assert code == 0 and "]: " not in text
    code, text = on_terminal(cr, "n", "init", DEMO, "--json")
    assert code == 0 and json.loads(text)["solution"].startswith("solution:")
