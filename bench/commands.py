# SPDX-License-Identifier: Apache-2.0
"""What our commands cost, in CPU seconds, beside those of cmind and mlcflow in the same run; and what each installs.

Ours is installed from this folder as `pip install .` does it. The peers' work is the nearest they have: cmind
searches and indexes the 311 scripts of cmx4mlops, mlcflow the same number of trivial scripts that ours has
components, and its chain of 20 cached scripts stands beside a chain of 20 packages of which each runs a
command. Installing peers needs a network the first time; a peer that cannot be had is named and left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from peers import ROOT, Installed, cache, install, scripts_of_mlcflow
from timing import Command, Timed, interleaved, report, run_once

CHAIN, FEW, SOME, MANY = 20, 370, 400, 1000
LIMIT_MEGABYTES, LIMIT_DISTRIBUTIONS = 6.0, 8
# Text of ordinary length, so that a component is as large as real ones are: 2.3 kB.
_WORDS = "Measures what the one before it makes, and hands the rest on to the next in the chain of components. " * 15


def components(folder: Path, count: int, chain: int) -> Path:
    """Write a repository of packages of 2.3 kB each, the first `chain` of which need each other, and a solution.

    Args:
        folder: where it is made anew.
        count: packages.
        chain: how many need the next one; each of them is installed by running a command.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for number in range(count):
        document: dict[str, object] = {
            "kind": "package",
            "name": f"node-{number}",
            "version": "1.0.0",
            "summary": f"Package {number} of a chain",
            "description": _WORDS,
            "license": "Apache-2.0",
            "tags": ["get", "synthetic", f"node-{number}"],
            "provides": {"capability": f"synthetic.node-{number}", "versions": ["1.0"]},
            "install": {"using": "script", "run": [["mkdir", "{prefix}/made"]]},
        }
        if number + 1 < chain:
            document["deps"] = {"next": {"needs": f"synthetic.node-{number + 1}"}}
        _write(folder / "packages" / f"node-{number}", document)
    plain = {"version": "1.0.0", "license": "Apache-2.0", "summary": "Does nothing"}
    nothing = {**plain, "kind": "program", "name": "nothing", "task": "other", "run": {"python": "main.py"}}
    _write(folder / "components" / "program" / "nothing", {**nothing, "metrics": {}})
    (folder / "components" / "program" / "nothing" / "main.py").write_text("")
    for name, first in (("chain", 0), ("single", chain)):
        _write(
            folder / "solutions" / name,
            {
                **plain,
                "kind": "solution",
                "name": name,
                "program": {"needs": "program:nothing"},
                "deps": {"first": {"needs": f"synthetic.node-{first}"}},
                "actions": {"run": {}},
            },
        )
    return folder


def _write(folder: Path, document: dict[str, object]) -> None:
    folder.mkdir(parents=True)
    (folder / "cr.json").write_text(json.dumps(document, indent=2))


def ours(client: Installed, work: Path, count: int) -> Callable[..., Command]:
    """Return a maker of commands of `cr`, in a home of its own with `count` synthetic components."""
    home, folder = work / f"home-{count}", work / f"work-{count}"
    for place in (home, folder):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    environ = {"CR_HOME": str(home), "CR_OFFLINE": "1"}
    repository = components(work / f"components-{count}", count, CHAIN)

    def command(*arguments: str, says: str = "", forget: Sequence[str] = ()) -> Command:
        def prepare() -> None:
            for name in forget:
                shutil.rmtree(home / name if (home / name).exists() else folder / name, ignore_errors=True)

        return Command([client.program("cr"), *arguments], environ, folder, prepare, says)

    run_once(command("repo", "add", str(repository), "--trust"))
    return command


def mlcflow(peer: Installed, engine: Path | None, work: Path, count: int) -> Callable[..., Command]:
    """Return a maker of commands of mlcflow, in a state of its own with `count` synthetic scripts."""
    name = f"{peer.folder.name}-{count}"
    state, folder = work / f"state-{name}", work / f"work-{name}"
    for place in (state, folder):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    repository = scripts_of_mlcflow(work / f"scripts-{name}", count, CHAIN, engine)
    environ = {"MLC_REPOS": str(state / "repos"), "HOME": str(work)}

    def command(program: str, *arguments: str, says: str = "", forget: Sequence[str] = ()) -> Command:
        def prepare() -> None:
            for part in forget:
                if part == "everything":
                    shutil.rmtree(state)
                elif part == "cache":
                    run_once(Command([peer.program("mlc"), "rm", "cache", "-f"], environ, folder))
                    # It tells of each entry that is gone, once, on the next command.
                    run_once(Command([peer.program("mlc"), "find", "script", "--tags=get,node-1"], environ, folder))

        return Command([peer.program(program), *arguments], environ, folder, prepare, says)

    run_once(command("mlc", "add", "repo", str(repository)))
    return command


def sizes(installed: dict[str, Installed]) -> bool:
    """Print what each client adds to a fresh environment and return whether ours keeps to its limits."""
    for name, found in installed.items():
        size = f"{found.megabytes:8.1f} MB {found.unpacked:8.1f} MB unpacked, no bytecode"
        print(f"{name:40} {size}   {len(found.distributions)} distributions")
    client = installed["codereef"]
    small = client.megabytes <= LIMIT_MEGABYTES
    few = len(client.distributions) <= LIMIT_DISTRIBUTIONS
    print(f"install size     goal {LIMIT_MEGABYTES:g} MB: {'met' if small else 'MISSED'}")
    print(f"distributions    goal {LIMIT_DISTRIBUTIONS}: {'met' if few else 'MISSED'}")
    return small and few


def starting(client: Installed, cm: Installed | None, runs: int) -> list[bool]:
    """Measure what the command line costs before it does anything."""
    bare = str(client.folder / "bin" / "python")
    commands = {
        "python -I -c pass": Command([bare, "-I", "-c", "pass"]),
        "cr --version": Command([client.program("cr"), "--version"], says="cr "),
        "cr --help": Command([client.program("cr"), "--help"], says="init"),
        "cr init --help": Command([client.program("cr"), "init", "--help"], says="--locked"),
    }
    if cm is not None:
        commands["cm --help"] = Command([cm.program("cm"), "--help"], says="cm")
    timed = interleaved(commands, runs=runs)
    base = "python -I -c pass"
    goals = [report("cr --version", timed["cr --version"], base, timed[base], 1.5, by="cpu")]
    if cm is not None:
        goals.append(report("cr --help", timed["cr --help"], "cm --help", timed["cm --help"], 1.0, by="cpu"))
    report("cr init --help", timed["cr init --help"], base, timed[base], None, by="cpu")
    return goals


def searching(client: Installed, cm: Installed | None, work: Path, runs: int) -> list[bool]:
    """Measure search, list and first index beside cmind, over somewhat more components than it has scripts."""
    if cm is None:
        return []
    command, few = ours(client, work, SOME), ours(client, work, FEW)
    environ = {"CM_REPOS": str(work / "CM"), "HOME": str(work)}
    shutil.rmtree(work / "CM", ignore_errors=True)

    def cmx(*arguments: str, says: str = "") -> Command:
        return Command([cm.program("cmx"), *arguments], environ, work, says=says)

    timed = interleaved(
        {
            "cmx find script --tags=detect,os": cmx("find", "script", "--tags=detect,os", says="detect-os"),
            "cr search --tag get --tag node-300": command(
                "search", "--tag", "get", "--tag", "node-300", says="node-300"
            ),
        },
        runs=runs,
    )
    goals = [_last(timed, 0.5)]
    timed = interleaved(
        {
            "cmx find script": cmx("find", "script", says="detect-os"),
            f"cr search, all {SOME}": command("search", says="node-399"),
        },
        runs=max(3, runs // 4),
    )
    goals.append(_last(timed, 1 / 20))
    timed = interleaved(
        {
            "cmx reindex repo, 311 scripts": cmx("reindex", "repo"),
            f"cr search, first index of {FEW}": few("search", "node-300", says="node-300", forget=["cache"]),
        },
        runs=max(3, runs // 4),
    )
    return [*goals, _last(timed, 1 / 6)]


def _last(timed: dict[str, Timed], goal: float | None) -> bool:
    (peer, other), (name, own) = timed.items()
    return report(name, own, peer, other, goal, by="cpu")


def running(client: Installed, peers: dict[str, Installed], engine: Path | None, work: Path, runs: int) -> list[bool]:
    """Measure what is done a second time, and a chain of 20 from nothing, beside mlcflow."""
    command = ours(client, work, FEW)
    goals = []
    for version, peer in peers.items():
        strict = version == "1.1.21"  # 1.3.8 reads every script's metadata anew at each command.
        mlc = mlcflow(peer, engine if strict else None, work, FEW)
        node = f"get,node-{FEW - 1}"
        # Once before, so that there is something to find: nothing is installed and nothing runs in what is timed.
        run_once(mlc("mlcr", node, "--quiet"))
        run_once(command("init", "single", "-y", says="is ready"))
        timed = interleaved(
            {
                f"mlcr {version}, cached": mlc("mlcr", node, "--quiet", says="load"),
                "cr init, nothing to do": command("init", "single", "-y", says="everything was there"),
            },
            runs=runs,
        )
        goals.append(_last(timed, 1 / 3 if strict else None))
        timed = interleaved(
            {
                f"mlcr {version}, chain of {CHAIN}": mlc(
                    "mlcr", "get,node-0", "--quiet", says="cache UID", forget=["cache"]
                ),
                f"cr init, chain of {CHAIN}": command(
                    "init", "chain", "-y", says="is ready", forget=["store", "chain"]
                ),
            },
            runs=max(3, runs // 4),
        )
        goals.append(_last(timed, 0.5 if strict else None))
    return goals


def first_and_many(client: Installed, peers: dict[str, Installed], work: Path, runs: int) -> None:
    """Measure a repository of 1,000 beside the newest mlcflow; there are no goals for it."""
    if "1.3.8" not in peers:
        return
    command, mlc = ours(client, work, MANY), mlcflow(peers["1.3.8"], None, work, MANY)
    repository = str(work / f"scripts-{peers['1.3.8'].folder.name}-{MANY}")
    _last(
        interleaved(
            {
                f"mlc 1.3.8 find, {MANY}": mlc("mlc", "find", "script", "--tags=get,node-500", says="node-0500"),
                f"cr search, {MANY}": command("search", "--tag", "node-500", says="node-500"),
            },
            runs=max(3, runs // 4),
        ),
        None,
    )
    _last(
        interleaved(
            {
                f"mlc 1.3.8 add repo, {MANY}": mlc("mlc", "add", "repo", repository, forget=["everything"]),
                f"cr search, first index of {MANY}": command("search", "--tag", "node-500", forget=["cache"]),
            },
            runs=max(3, runs // 4),
        ),
        None,
    )


def main() -> int:
    """Measure and print; the exit code is 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=12, help="Runs of each cheap command; dear ones run a quarter.")
    runs = parser.parse_args().runs
    installed = {"codereef": install("codereef", [str(ROOT)], again=True)}
    for name, requirements in (
        ("cmind", ["cmind"]),
        ("cmx4mlops", ["cmind", "cmx4mlops"]),
        ("mlcflow 1.1.21", ["mlcflow==1.1.21"]),
        ("mlcflow 1.3.8", ["mlcflow==1.3.8"]),
    ):
        try:
            installed[name] = install(name.replace(" ", "-"), requirements)
        except RuntimeError as error:
            print(f"left out: {error}")
    for name, found in installed.items():
        print(f"{name}: {', '.join(found.distributions)}")
    client, cm = installed["codereef"], installed.get("cmx4mlops")
    peers = {name.split()[1]: found for name, found in installed.items() if name.startswith("mlcflow")}
    # The engine is not in 1.1.21, which took it from a repository; that of 1.3.8 serves both.
    newest = peers.get("1.3.8")
    engine = newest.packages / "automation" if newest else None
    if engine is None:
        peers.pop("1.1.21", None)
    work = cache() / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    print(f"CPU seconds (user and system), median of {runs} interleaved runs, Python {sys.version.split()[0]}")
    goals = [sizes(installed)]
    goals += starting(client, cm, runs)
    goals += searching(client, cm, work, runs)
    goals += running(client, peers, engine, work, runs)
    first_and_many(client, peers, work, runs)
    shutil.rmtree(work, ignore_errors=True)
    return 0 if all(goals) else 1


if __name__ == "__main__":
    sys.exit(main())
