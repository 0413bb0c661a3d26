# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH116, PTH118
"""Detection: candidates are searched, asked (or answered from the cache), merged and put in order."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from codereef.detect.cache import read_json, write_json
from codereef.detect.distributions import evidence, list_folder, normalise_name, read_entry
from codereef.detect.platform import host_target
from codereef.detect.probe import Answer, probe, siblings
from codereef.detect.search import Candidate, candidates
from codereef.detect.spec import Detector, parse
from codereef.detect.triples import target_of
from codereef.detect.types import Detected, Rejected, Report
from codereef.witness import doubt, looked

CACHE_FILE = "detected.json"
CACHE_FORMAT = "codereef-detect/1"
CACHE_LIMIT = 4096
# A candidate that hung once may have met a busy moment: it is asked again, but not by every command.
RETRY_AFTER_S = 600.0

_Rank = tuple[int, ...]
_COMPILERS = ("compiler.c", "compiler.cxx")
_Placed = tuple[_Rank, int, Detected]


class _Cache:
    """The answers of earlier runs; new and used ones move to the end, so that old ones fall off first."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / CACHE_FILE if folder is not None else None
        self._entries = read_json(self._path, CACHE_FORMAT)
        self._used: dict[str, object] = {}
        self._changed = False

    def get(self, key: str) -> Mapping[str, object] | None:
        entry = self._entries.get(key)
        if not isinstance(entry, dict):
            return None
        until = entry.get("until")
        if until is not None:
            doubt()  # It is asked again when that time has come.
        if isinstance(until, (int, float)) and not time.time() < until <= time.time() + RETRY_AFTER_S:
            return None
        self._used[key] = entry
        return entry

    def put(self, key: str, entry: Mapping[str, object]) -> None:
        self._used[key] = dict(entry)
        self._changed = True
        if "until" in entry:
            doubt()

    def save(self) -> None:
        if not self._changed:
            return
        merged = {key: value for key, value in self._entries.items() if key not in self._used}
        merged.update(self._used)
        write_json(self._path, CACHE_FORMAT, dict(list(merged.items())[-CACHE_LIMIT:]))


def _version_order(version: str) -> tuple[object, ...]:
    # PEP 440's order for normal forms, but for a development release of a pre-release, without importing
    # `packaging` on the warm path.
    match = re.match(r"(?:(\d+)!)?([\d.]*\d)(.*)$", version)
    if match is None:
        return (0, (), 0, (), version)
    release = [int(part) for part in match[2].split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    rest = match[3]
    stages = ((".dev", -4), ("a", -3), ("b", -2), ("rc", -1), (".post", 1), ("+", 1))
    stage = next((value for start, value in stages if rest.startswith(start)), 0)
    return (int(match[1] or 0), tuple(release), stage, tuple(int(n) for n in re.findall(r"\d+", rest)), rest)


def _crosses(item: Detected, host: str) -> bool:
    """Whether it is a compiler that makes code for another machine than this one."""
    triple = item.facts.get("triple")
    return item.capability in _COMPILERS and isinstance(triple, str) and target_of(triple) != host


def _in_order(placed: list[_Placed], capabilities: Sequence[str]) -> list[_Placed]:
    place = {name: index for index, name in enumerate(dict.fromkeys(capabilities))}
    ordered = sorted(placed, key=lambda item: item[2].path)
    ordered.sort(key=lambda item: _version_order(item[2].version), reverse=True)
    # A newer cross compiler in the same folder is not what `a compiler` means.
    host = host_target()
    ordered.sort(key=lambda item: _crosses(item[2], host))
    ordered.sort(key=lambda item: (place[item[2].capability], item[0], item[1]))
    return ordered


def _ask(
    detectors: Sequence[Detector],
    found: Sequence[Candidate],
    cache: _Cache,
    environ: Mapping[str, str],
    jobs: int,
) -> tuple[list[Answer], int]:
    answers: list[Answer | None] = [None] * len(found)
    keys: list[str] = []
    missing: list[int] = []
    for index, candidate in enumerate(found):
        key = f"{candidate.path}|{candidate.real}|{candidate.signature}|{detectors[candidate.detector].digest}"
        keys.append(key)
        answers[index] = _from_entry(cache.get(key))
        if answers[index] is None:
            missing.append(index)
    commands = 0
    if missing:
        from concurrent.futures import ThreadPoolExecutor

        def one(index: int) -> Answer:
            candidate = found[index]
            return probe(detectors[candidate.detector], candidate, environ)

        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            for index, answer in zip(missing, pool.map(one, missing), strict=True):
                answers[index] = answer
                commands += answer.commands
                cache.put(keys[index], _to_entry(answer))
    return [answer for answer in answers if answer is not None], commands


def _to_entry(answer: Answer) -> dict[str, object]:
    if answer.problem:
        entry: dict[str, object] = {"problem": answer.problem}
        if answer.transient:
            entry["until"] = time.time() + RETRY_AFTER_S
        return entry
    return {
        "version": answer.version,
        "digest": answer.digest,
        "facts": dict(answer.facts),
        "paths": dict(answer.paths),
    }


def _from_entry(entry: Mapping[str, object] | None) -> Answer | None:
    if entry is None:
        return None
    if isinstance(problem := entry.get("problem"), str) and problem:
        return Answer(problem=problem)
    version, digest = entry.get("version"), entry.get("digest")
    facts, paths = entry.get("facts"), entry.get("paths")
    if not (isinstance(version, str) and version and isinstance(digest, str) and digest.startswith("sha256:")):
        return None
    if not (isinstance(facts, dict) and isinstance(paths, dict)):
        return None
    if not all(isinstance(value, str) for value in paths.values()):
        return None
    return Answer(version, digest, facts, paths)


def _own_environment() -> str:
    return os.path.realpath(sys.prefix)


def _detected(detector: Detector, candidate: Candidate, answer: Answer) -> Detected:
    facts, paths = dict(answer.facts), dict(answer.paths)
    path = candidate.path
    real = paths.get("executable", "")
    if real:
        looked(real)
    if real and os.path.realpath(real) != candidate.real and os.access(real, os.X_OK):
        # A script in front of the real program: name the real one.
        path = real
    if detector.capability == "compiler.python":
        facts["tool"] = os.path.realpath(paths.get("prefix", "/")) == _own_environment()
    paths.update(siblings(detector, path))
    return Detected(detector.capability, answer.version, path, detector.soft, answer.digest, facts, paths)


def _executables(
    detectors: Sequence[Detector], cache: _Cache, environ: Mapping[str, str], jobs: int
) -> tuple[list[_Placed], list[Rejected], int]:
    found = candidates(detectors, environ)
    answers, commands = _ask(detectors, found, cache, environ, jobs)
    placed: list[_Placed] = []
    rejected: list[Rejected] = []
    seen: set[tuple[str, ...]] = set()
    for candidate, answer in zip(found, answers, strict=True):
        detector = detectors[candidate.detector]
        if answer.problem:
            rejected.append(Rejected(detector.soft, candidate.path, answer.problem))
            continue
        item = _detected(detector, candidate, answer)
        if item.path != candidate.path:
            item = replace(item, digest=_digest_of(item.path, cache))
        real = os.path.realpath(item.path)
        # One interpreter serves many environments; a program of many faces may show one face twice.
        identity = (detector.soft, real, item.paths.get("prefix", ""), item.version, repr(sorted(item.facts.items())))
        if identity not in seen:
            seen.add(identity)
            placed.append((candidate.rank, candidate.detector, item))
    return placed, rejected, commands


def _digest_of(path: str, cache: _Cache) -> str:
    from codereef.detect.probe import file_digest

    status = os.stat(path)
    key = f"digest|{os.path.realpath(path)}|{status.st_size}.{status.st_mtime_ns}.{status.st_ino}"
    entry = cache.get(key)
    if entry is not None and isinstance(digest := entry.get("digest"), str):
        return digest
    digest = file_digest(path)
    cache.put(key, {"digest": digest})
    return digest


def _site_folders(python: Detected) -> list[str]:
    return [folder for folder in python.paths.get("site", "").split(os.pathsep) if folder]


def _distributions(
    detectors: Sequence[Detector], pythons: Sequence[Detected], cache: _Cache
) -> tuple[list[_Placed], list[Rejected]]:
    placed: list[_Placed] = []
    rejected: list[Rejected] = []
    listings: dict[str, dict[str, list[str]]] = {}
    for place, python in enumerate(pythons):
        taken: set[int] = set()
        for step, folder in enumerate(_site_folders(python)):
            if folder not in listings:
                listings[folder] = list_folder(folder)
            for index, detector in enumerate(detectors):
                for entry in listings[folder].get(normalise_name(detector.distribution), ()):
                    path = os.path.join(folder, entry)
                    try:
                        version, digest = _read_distribution(detector, path, cache)
                    except (OSError, ValueError) as error:
                        rejected.append(Rejected(detector.soft, path, f"not a readable installation ({error})"))
                        continue
                    if index in taken:
                        rejected.append(Rejected(detector.soft, path, "hidden by another that Python finds first"))
                        continue
                    taken.add(index)
                    facts = {
                        "name": normalise_name(detector.distribution),
                        "python_version": python.version,
                        "is_venv": python.facts.get("is_venv", False),
                        "tool": python.facts.get("tool", False),
                    }
                    item = Detected(
                        detector.capability, version, folder, detector.soft, digest, facts, {"python": python.path}
                    )
                    placed.append(((place, step), index, item))
    return placed, rejected


def _read_distribution(detector: Detector, path: str, cache: _Cache) -> tuple[str, str]:
    signature = evidence(path)[2]
    key = f"{path}|{signature}|{detector.digest}"
    entry = cache.get(key)
    if entry is None or not (isinstance(entry.get("version"), str) and isinstance(entry.get("digest"), str)):
        entry = dict(read_entry(path))
        cache.put(key, entry)
    return str(entry["version"]), str(entry["digest"])


def detect_report(
    softs: Sequence[Mapping[str, object]],
    *,
    environ: Mapping[str, str],
    cache_dir: Path | None,
    jobs: int = 4,
    capabilities: Collection[str] | None = None,
) -> Report:
    """Detect what `softs` describe and also say what was looked at and not taken, and why.

    The arguments are those of `detect`.
    """
    target = host_target()
    wanted = [d for d in map(parse, softs) if not d.targets or target in d.targets]
    order = [detector.capability for detector in wanted]
    asked = [d for d in wanted if capabilities is None or d.capability in capabilities]
    modules = [detector for detector in asked if detector.distribution]
    programs = [d for d in asked if d.executables or d.env or d.paths]
    if modules:
        programs += [d for d in wanted if d.capability == "compiler.python" and d not in programs]
    cache = _Cache(cache_dir)
    placed, rejected, commands = _executables(programs, cache, environ, jobs)
    if modules:
        interpreters = [item for item in placed if item[2].capability == "compiler.python"]
        pythons = [item[2] for item in _in_order(interpreters, ["compiler.python"])]
        of_modules, more = _distributions(modules, pythons, cache)
        rejected += more
        if capabilities is not None:
            placed = [item for item in placed if item[2].capability in capabilities]
        placed += of_modules
    cache.save()
    found = tuple(item[2] for item in _in_order(placed, order))
    unique = dict.fromkeys(rejected)
    return Report(found, tuple(unique), commands)


def detect(
    softs: Sequence[Mapping[str, object]],
    *,
    environ: Mapping[str, str],
    cache_dir: Path | None,
    jobs: int = 4,
    capabilities: Collection[str] | None = None,
) -> tuple[Detected, ...]:
    """Return what this machine has of what `softs` describe.

    Order: capabilities as in `softs`; within one, the place where it was found (environment variables, PATH,
    the detectors' own patterns), then compilers for this machine before those for another, then version,
    highest first. Distributions follow their interpreters.

    Args:
        softs: parsed and validated `cr.json` objects of kind soft. Python distributions need the detector of
            `compiler.python` among them.
        environ: the environment: PATH, HOME and the variables that detectors name.
        cache_dir: folder for answers of earlier runs; None asks everything again and keeps nothing.
        jobs: how many candidates are asked at the same time.
        capabilities: only these; all when None.

    Candidates that fail are left out; `detect_report` says why.
    """
    report = detect_report(softs, environ=environ, cache_dir=cache_dir, jobs=jobs, capabilities=capabilities)
    return report.found
