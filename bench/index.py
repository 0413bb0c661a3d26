# SPDX-License-Identifier: Apache-2.0
"""CPU seconds of the index: a registry of 2,000 components of 20 versions, and a folder of 400 components.

    python bench/index.py [--components 2000] [--versions 20] [--folder 400] [--rounds 5] [--keep DIR]

Each line is a process of its own, user and system time, the least of the rounds (what disturbs a process only
adds). `x bare` is the ratio to an interpreter that does nothing, in the same run. The registry is signed where
`cryptography` can be imported, and is served by a web server of its own; cold means that nothing of it was
fetched. What cmx and mlc take for the same is measured by bench/commands.py.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "client"))

WORDS = [
    "detector",
    "classifier",
    "tiny",
    "fast",
    "mobile",
    "edge",
    "vision",
    "speech",
    "audio",
    "depth",
    "pose",
    "segment",
    "quant",
    "fp32",
    "int8",
    "coco",
]
ENTRY = "from codereef.cli.entry import main; raise SystemExit(main())"


def meta(number: int, version: str) -> dict[str, object]:
    """Return the cr.json of a component: a fifth are packages, the others programs and models' like."""
    draw = random.Random(number)
    words = draw.sample(WORDS, 3)
    common: dict[str, object] = {
        "name": f"{words[0]}-{words[1]}-{number}",
        "version": version,
        "summary": f"A {words[0]} for {words[1]} {words[2]} number {number}, made for this benchmark",
        "license": "Apache-2.0",
        "tags": sorted(words),
    }
    if number % 5 == 0:
        return {
            "kind": "package",
            **common,
            "provides": {"capability": f"lib.{words[0]}{number % 97}", "versions": [version]},
            "deps": {f"d{i}": {"needs": f"lib.{WORDS[i]}{(number + i) % 97}", "version": ">=1"} for i in range(3)},
            "install": {"using": "pip", "requirements": [f"example-{number}=={{version}}"]},
        }
    return {
        "kind": "program",
        **common,
        "task": "object-detection",
        "run": {"python": "main.py"},
        "metrics": {},
        "deps": {f"d{i}": {"needs": f"lib.{WORDS[i]}{(number + i) % 97}", "version": ">=1,<3"} for i in range(4)},
    }


def write_component(folder: Path, number: int, version: str) -> None:
    """Write a component's folder."""
    folder.mkdir(parents=True)
    document = meta(number, version)
    (folder / "cr.json").write_text(json.dumps(document, indent=2))
    if document["kind"] == "program":
        (folder / "main.py").write_text("print()\n")


def write_registry(folder: Path, components: int, versions: int) -> bool:
    """Write a registry straight from metadata, archives aside; tell whether it is signed."""
    from codereef.canonical import digest_of
    from codereef.repo.registry import layout, publish

    try:
        from codereef.trust.keys import new_key, open_key

        new_key(folder.parent / "keys", "bench")
        signer = open_key(folder.parent / "keys", "bench", lambda name: "")
    except Exception:
        signer = None
    publish.create(folder, "bench", signer, "bench" if signer else "")
    shop = publish.Workshop(folder, [signer] if signer else [])
    for number in range(components):
        releases = {}
        for minor in range(versions):
            document = meta(number, f"1.{minor}.0")
            archive = layout.Link("0" * 64, 1000)
            release = layout.Release(document, digest_of(document), archive, "2026-01-01T00:00:00Z")
            if signer:
                release = layout.Release(document, release.digest, archive, release.time, "bench", None)
                release = layout.Release(
                    document,
                    release.digest,
                    archive,
                    release.time,
                    "bench",
                    signer.sign(release.statement()),
                )
            releases[release.version] = release
        document = meta(number, "1.0.0")
        shop.put(f"{document['kind']}:{document['name']}", releases)
    shop.commit()
    return signer is not None


def cpu(arguments: list[str], home: Path, code: int = 0) -> float:
    """Return the CPU seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-I", "-c", ENTRY, *arguments] if arguments else [sys.executable, "-I", "-c", "pass"],
        env={"PATH": os.environ["PATH"], "CR_HOME": str(home), "HOME": str(home), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != code:
        raise SystemExit(f"cr {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Print the table; 1 where a limit is not held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--components", type=int, default=2000)
    parser.add_argument("--versions", type=int, default=20)
    parser.add_argument("--folder", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="folder to work in, kept afterwards")
    options = parser.parse_args()
    place = options.keep or Path(tempfile.mkdtemp(prefix="cr-bench-"))
    home = place / "home"
    bare = min(cpu([], home) for _ in range(options.rounds + 2))
    print(f"bare interpreter: {bare:.3f} CPU s\n{'':52} {'CPU s':>8} {'x bare':>7}  limit")
    failed = 0

    def line(
        what: str, arguments: list[str], limit: float, *, code: int = 0, fresh: Callable[[], None] = lambda: None
    ) -> None:
        nonlocal failed
        seconds = []
        for _ in range(options.rounds):
            fresh()
            seconds.append(cpu(arguments, home, code))
        took = min(seconds)
        failed += took > limit
        print(
            f"{what:52} {took:8.3f} {took / bare:7.1f}  {limit:.2f}{'' if took <= limit else '  EXCEEDED'}", flush=True
        )

    def wipe() -> None:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)

    try:
        registry = place / "registry"
        began = time.process_time()
        signed = write_registry(registry, options.components, options.versions)
        print(
            f"registry of {options.components} x {options.versions}, {'signed' if signed else 'NOT SIGNED'}, "
            f"written in {time.process_time() - began:.1f} CPU s"
        )
        command = [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1", "--protocol", "HTTP/1.1"]
        server = subprocess.Popen(
            [*command, "--directory", str(registry)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            text=True,
        )
        try:
            assert server.stdout is not None
            port = server.stdout.readline().split(" port ")[1].split()[0]
            address = f"http://127.0.0.1:{port}"
            line("registry: cold, add over http", ["repo", "add", address, "--name", "r"], 1.0, fresh=wipe)
            name = str(meta(7, "1.0.0")["name"])
            line("registry: update, nothing new", ["repo", "update"], 0.15)
            line("registry: search", ["search", "mobile", "edge"], 0.15)
            line("registry: list all", ["search"], 0.15)
            line("registry: versions of one", ["versions", f"program:{name}"], 0.15)
            line("registry: a typo and its suggestion", ["show", f"program:{name[:-3]}x{name[-3:]}"], 0.15, code=4)
        finally:
            server.terminate()
            server.wait()
        folder = place / "folder"
        for number in range(options.folder):
            write_component(folder / f"c{number}", number, "1.0.0")
        line("folder: first index", ["repo", "add", str(folder), "--name", "f"], 1.1, fresh=wipe)
        line("folder: search", ["search", "mobile", "edge"], 0.10)
        line("folder: list all", ["search"], 0.30)
        line("folder: a typo and its suggestion", ["show", f"program:{name[:-3]}x{name[-3:]}"], 0.15, code=4)
    finally:
        if not options.keep:
            shutil.rmtree(place, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
