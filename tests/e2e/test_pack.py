# SPDX-License-Identifier: Apache-2.0
"""`cr pack` and `cr init PACK`: one file is enough, without a network, and no changed file is ever used."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import signal
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from codereef.store.locks import locked

from tests.e2e.conftest import Cr

pytestmark = pytest.mark.slow
SOLUTION = "demo-object-detection"


@pytest.fixture(scope="module")
def packer(tmp_path_factory: pytest.TempPathFactory) -> Cr:
    """A client that has the demo, in one configuration, with all distributions installed and none reused."""
    base = tmp_path_factory.mktemp("packer")
    (base / "work").mkdir()
    client = Cr(base / "home", base / "work")
    client("init", SOLUTION, "-y", "--install", "*")
    return client


@pytest.fixture(scope="module")
def pack(packer: Cr) -> Path:
    host = packer.json("env", SOLUTION)["target"]
    packer("pack", SOLUTION, "--target", host, "-o", "demo.crpack")
    return packer.cwd / "demo.crpack"


def machine(base: Path) -> Cr:
    """A client on another machine: nothing in its home, and nothing in the caches of uv and pip."""
    (base / "work").mkdir()
    caches = {"UV_CACHE_DIR": str(base / "uv"), "PIP_CACHE_DIR": str(base / "pip")}
    nowhere = {"PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1"}
    return Cr(base / "home", base / "work", {**caches, **nowhere})


@pytest.fixture
def other(tmp_path: Path) -> Cr:
    return machine(tmp_path)


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory, pack: Path, no_network: tuple[str, ...]) -> Cr:
    """Another machine that has no network and was initialised from the pack."""
    client = machine(tmp_path_factory.mktemp("taken"))
    assert "is ready" in client("init", str(pack), "--trust", prefix=no_network).stdout
    return client


def forged(pack: Path, into: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    """Write a pack anew after `change` of its list and files, with every digest of the list put right."""
    with tarfile.open(pack) as tar:
        infos = list(tar)
        files = {info.name: tar.extractfile(info).read() for info in infos}  # type: ignore[union-attr]
    document = json.loads(files.pop("pack.json"))
    change(document, files)
    document["members"] = [
        {**member, "sha256": hashlib.sha256(files[member["path"]]).hexdigest(), "size": len(files[member["path"]])}
        for member in document["members"]
        if member["path"] in files
    ]
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as tar:
        data = json.dumps(document).encode()
        for name, content in [("pack.json", data), *((m["path"], files[m["path"]]) for m in document["members"])]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return into


def untouched(client: Cr) -> bool:
    """Whether nothing of a pack has come to stay in a home."""
    store = client.home / "store" / "v1"
    kept = [p for part in ("prefixes", "blobs") for p in (store / part).rglob("*") if p.is_file()]
    repositories = [r["name"] for r in client.json("repo", "list")["repositories"]]
    return not kept and repositories == ["default"] and not list((client.home / "repos").glob("pack-*"))


def test_a_pack_is_all_that_a_machine_without_network_needs(pack: Path, taken: Cr, no_network: tuple[str, ...]) -> None:
    with tarfile.open(pack) as tar:
        packed = tar.extractfile("cr.lock").read()  # type: ignore[union-attr]
    assert (taken.cwd / SOLUTION / "cr.lock").read_bytes() == packed
    assert ".png: " in taken("run", SOLUTION, "-o", "limit=1", prefix=no_network).stdout
    code = "import numpy, onnxruntime, sys; print(sys.executable, numpy.__file__)"
    python, numpy = taken("run", SOLUTION, "--", "python", "-c", code, prefix=no_network).stdout.split()
    assert python.startswith(str(taken.home)) and numpy.startswith(str(taken.home))
    # Once more, from the solution's name, and after the environment was lost.
    shutil.rmtree(Path(python).parent.parent)
    assert "is ready" in taken("init", SOLUTION, "--offline", prefix=no_network).stdout


def test_the_same_solution_gives_the_same_pack_with_and_without_network(
    packer: Cr, pack: Path, no_network: tuple[str, ...]
) -> None:
    host = packer.json("env", SOLUTION)["target"]
    data = json.loads(
        packer(
            "pack", SOLUTION, "--target", host, "-o", "again.crpack", "--offline", "--json", prefix=no_network
        ).stdout
    )
    assert (packer.cwd / "again.crpack").read_bytes() == pack.read_bytes()
    assert data["sha256"] == hashlib.sha256(pack.read_bytes()).hexdigest()
    assert data["missing"] == []


def test_code_of_a_pack_runs_only_when_its_maker_is_trusted(pack: Path, other: Cr) -> None:
    done = other("init", str(pack), "--json", check=False)
    assert done.returncode == 2
    context = json.loads(done.stdout)["error"]["context"]
    # Every component of the demo is one that the embedded repository has too, so none needs trust of its own.
    assert context["components"] == [] and any(name.startswith("onnxruntime-") for name in context["wheels"])
    assert untouched(other)


def test_two_that_take_apart_packs_of_one_solution_do_it_one_after_the_other(pack: Path, other: Cr) -> None:
    with locked(other.home / "repos" / f".pack-{SOLUTION}.lock"):
        waiting = other.start("init", str(pack))
        assert waiting.stderr is not None
        said = next((line for line in waiting.stderr if "waiting for another cr" in line), "")
        assert said and waiting.poll() is None
    waiting.communicate(timeout=60)
    assert waiting.returncode == 2  # as ever without trust
    assert untouched(other)


def test_a_pack_is_asked_about_once(pack: Path, taken: Cr) -> None:
    assert "is ready" in taken("init", str(pack), "-y").stdout


def test_a_component_that_nobody_trusted_has_is_named_and_comes_along(packer: Cr, other: Cr, tmp_path: Path) -> None:
    source = Path(__file__).resolve().parents[2]
    mine = tmp_path / "mine"
    shutil.copytree(source / "components/program/object-detection", mine / "program")
    shutil.copytree(source / "solutions" / SOLUTION, mine / "solution")
    for folder, key, name in (("program", "name", "my-program"), ("solution", "name", "my-solution")):
        meta = json.loads((mine / folder / "cr.json").read_text())
        meta[key] = name
        if folder == "solution":
            meta["program"]["needs"] = "program:my-program"
        (mine / folder / "cr.json").write_text(json.dumps(meta))
    packer("repo", "add", str(mine), "--trust")
    packer("init", "my-solution", "-y")
    packer("pack", "my-solution", "-o", "mine.crpack", "--target", packer.json("env", SOLUTION)["target"])
    done = other("init", str(packer.cwd / "mine.crpack"), check=False)
    assert done.returncode == 2 and "program:my-program@" in done.stderr and "--trust" in done.stderr
    other("init", str(packer.cwd / "mine.crpack"), "--trust", "-y", "--offline")
    listed = {r["name"]: r for r in other.json("repo", "list")["repositories"]}
    assert listed["pack-my-solution"]["components"] == 2 and listed["pack-my-solution"]["trusted"]
    assert other("run", "my-solution", "-o", "limit=1").returncode == 0


def _model(document: dict[str, Any], files: dict[str, bytes]) -> None:
    name = next(name for name in files if name.endswith(".onnx"))
    files[name] = files[name][:-1] + b"\0"


def _generated(document: dict[str, Any], files: dict[str, bytes]) -> None:
    name = next(name for name in files if name.startswith("folders/") and name.endswith(".png"))
    files[name] = files[next(n for n in files if n.startswith("folders/") and n.endswith(".png") and n != name)]
    lines = sorted(
        (n.split("/", 2)[2].encode(), b"%s %d " % (hashlib.sha256(d).hexdigest().encode(), len(d)))
        for n, d in files.items()
        if n.startswith("folders/")
    )
    listing = b"".join(head + n + b"\n" for n, head in lines)
    document["folders"][0]["tree"] = "sha256:" + hashlib.sha256(listing).hexdigest()


def _disguised(document: dict[str, Any], files: dict[str, bytes]) -> None:
    _generated(document, files)
    document["folders"][0]["checked"] = False


def _wheel(document: dict[str, Any], files: dict[str, bytes]) -> None:
    name = next(name for name in files if name.endswith(".whl"))
    files[name] = b"PK\x05\x06" + b"\0" * 18


def _lock(document: dict[str, Any], files: dict[str, bytes]) -> None:
    files["cr.lock"] = files["cr.lock"].replace(b"coloured-shapes@1.0.0", b"coloured-shapes@1.0.1")


def _component(document: dict[str, Any], files: dict[str, bytes]) -> None:
    name = next(name for name in files if name.startswith("components/program/") and name.endswith(".py"))
    files[name] += b"\nimport os\n"


@pytest.mark.parametrize("change", [_model, _generated, _disguised, _wheel, _lock, _component])
def test_a_pack_that_was_changed_with_its_list_put_right_is_refused(
    pack: Path, other: Cr, tmp_path: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]
) -> None:
    path = forged(pack, tmp_path / "forged.crpack", change)
    done = other("init", str(path), "--trust", "-y", check=False)
    assert done.returncode in (3, 6, 8), done.stderr
    assert "error:" in done.stderr and "Traceback" not in done.stderr
    assert untouched(other)


def test_a_pack_with_a_changed_component_that_agrees_with_itself_needs_trust(
    pack: Path, other: Cr, tmp_path: Path
) -> None:
    """Whoever changes component, digest and lock makes another pack; then it is the user who decides."""

    def change(document: dict[str, Any], files: dict[str, bytes]) -> None:
        _component(document, files)
        entry = next(c for c in document["components"] if c["reference"].startswith("program:"))
        place = entry["path"] + "/"
        lines = sorted(
            (n[len(place) :].encode(), f"{hashlib.sha256(d).hexdigest()} {len(d)} ".encode())
            for n, d in files.items()
            if n.startswith(place)
        )
        digest = "sha256:" + hashlib.sha256(b"".join(head + n + b"\n" for n, head in lines)).hexdigest()
        files["cr.lock"] = files["cr.lock"].replace(entry["digest"].encode(), digest.encode())
        entry["digest"] = digest

    path = forged(pack, tmp_path / "forged.crpack", change)
    done = other("init", str(path), "-y", check=False)
    assert done.returncode == 2 and "program:object-detection@" in done.stderr
    assert untouched(other)


def test_a_kill_while_a_pack_is_taken_apart_costs_nothing_but_time(pack: Path, other: Cr) -> None:
    process = other.start("init", str(pack), "--trust", "-y", "--offline")
    until = time.monotonic() + 30
    while not (other.home / "repos").is_dir() and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "is ready" in other("init", str(pack), "--trust", "-y", "--offline").stdout
    assert other("run", SOLUTION, "-o", "limit=1").returncode == 0


def test_list_and_verify_tell_what_is_in_it(packer: Cr, pack: Path, other: Cr) -> None:
    listed = other.json("pack", "--list", str(pack))
    assert listed["verified"] is False and "dataset:coloured-shapes@1.0.0" in listed["components"]
    assert other("pack", "--verify", str(pack)).stdout.rstrip().endswith("have the digests it gives.")
    damaged = other.cwd / "damaged.crpack"
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    done = other("pack", "--verify", str(damaged), check=False)
    assert done.returncode == 8 and "other content" in done.stderr


def test_another_lock_that_is_there_is_left_and_told(pack: Path, taken: Cr) -> None:
    path = taken.cwd / SOLUTION / "cr.lock"
    path.write_bytes(path.read_bytes() + b"\n")
    assert "is not that of the pack and stays" in taken("init", str(pack), "-y", "--offline").stderr


def test_packing_what_is_not_initialised_or_not_for_that_target_says_so(packer: Cr, other: Cr) -> None:
    done = other("pack", SOLUTION, check=False)
    assert done.returncode == 6 and f"cr init {SOLUTION}" in done.stderr
    done = packer("pack", SOLUTION, "--target", "windows-x86_64-msvc", check=False)
    assert done.returncode == 6 and "windows-x86_64-msvc" in done.stderr


def test_completion_offers_packs_where_they_may_stand(packer: Cr, pack: Path) -> None:
    def offered(words: str) -> str:
        environ = {"_CR_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        client = Cr(packer.home, packer.cwd, environ)
        return client(check=False).stdout

    assert "demo.crpack" in offered("cr init dem") and SOLUTION in offered("cr init dem")
    assert "./demo.crpack" in offered("cr pack --list ./de")
    assert "demo.crpack" not in offered("cr shell dem") and SOLUTION in offered("cr shell dem")


def test_a_pack_that_is_no_longer_trusted_gives_no_wheels(taken: Cr) -> None:
    """The last test that uses `taken`."""
    for place in (taken.cwd / SOLUTION, taken.home / "store", taken.cwd.parent / "uv"):
        shutil.rmtree(place)
    taken("repo", "trust", f"pack-{SOLUTION}", "--revoke")
    assert taken("init", SOLUTION, "-y", "--offline", "--install", "*", check=False).returncode == 7
    taken("repo", "remove", f"pack-{SOLUTION}")
    assert not (taken.home / "repos" / f"pack-{SOLUTION}").exists()
