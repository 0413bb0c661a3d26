# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH117, PTH118, PTH119, PTH120
"""Asks one candidate what it is: is it the software, which version, which facts."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from codereef.detect.command import Output, run_command
from codereef.detect.search import Candidate, plain_name
from codereef.detect.spec import Detector, Query
from codereef.witness import looked


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe learned; `problem` is a clause for people, empty when the candidate was taken."""

    version: str = ""
    digest: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    transient: bool = False
    commands: int = 0


class _Refusal(Exception):
    def __init__(self, problem: str, transient: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.transient = transient


def normalise_version(text: str) -> str:
    """Return the PEP 440 normal form of `text`, or an empty string when it has none."""
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(text.strip()))
    except InvalidVersion:
        return ""


def file_digest(path: str) -> str:
    """Return ``sha256:`` and the digest of the file at `path`; raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


class _Session:
    """The commands of one candidate; the same command is run once."""

    def __init__(self, candidate: Candidate, detector: Detector, environ: Mapping[str, str]) -> None:
        self._candidate = candidate
        self._timeout = detector.timeout
        self._environ = environ
        self._done: dict[tuple[str, ...], Output] = {}

    @property
    def count(self) -> int:
        return len(self._done)

    def output(self, run: tuple[str, ...]) -> Output:
        argv = tuple(word.replace("{path}", self._candidate.path) for word in run)
        if argv not in self._done:
            self._done[argv] = run_command(argv, self._environ, self._timeout)
        result = self._done[argv]
        if result.problem:
            last = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
            said = f": {last[0][:160]}" if last else ""
            shown = " ".join(word if len(word) < 60 else "..." for word in run[1:])
            raise _Refusal(f"`{shown}` {result.problem}{said}", result.timed_out)
        return result


def _first_group(query: Query, text: str, what: str) -> str:
    found = re.search(query.match, text)
    if found is None:
        seen = text.strip().splitlines()[:1]
        raise _Refusal(f"{what} not recognised in its output" + (f": {seen[0][:160]}" if seen else " (none)"))
    return found.group(1) if found.re.groups else found.group(0)


def split_paths(values: Mapping[str, object]) -> tuple[dict[str, object], dict[str, str]]:
    """Separate facts from paths: absolute paths, and lists of them, must not enter a lock."""
    facts: dict[str, object] = {}
    paths: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, str) and os.path.isabs(value):
            paths[name] = value
        elif isinstance(value, list) and value and all(isinstance(v, str) and os.path.isabs(v) for v in value):
            paths[name] = os.pathsep.join(value)
        else:
            facts[name] = value
    return facts, paths


def _facts(detector: Detector, session: _Session) -> dict[str, object]:
    values: dict[str, object] = {}
    for rule in detector.facts:
        if rule.sibling:
            continue
        run = rule.run or (detector.version.run if detector.version else ())
        text = session.output(run).text("both" if not rule.json else "stdout")
        if rule.json:
            try:
                data = json.loads(text)
            except ValueError:
                raise _Refusal(f"the answer for fact {rule.name!r} is not JSON: {text[:80]!r}") from None
            values.update(data if isinstance(data, dict) else {rule.name: data})
        elif rule.match:
            found = re.search(rule.match, text)
            if found is not None:
                values[rule.name] = found.group(1) if found.re.groups else found.group(0)
        elif text.strip():
            values[rule.name] = text.strip().splitlines()[0].strip()
    return values


def siblings(detector: Detector, path: str) -> dict[str, str]:
    """Return the programs beside `path` that the detector's facts name and that exist.

    `{prefix}` and `{suffix}` in such a name stand for what surrounds the detector's own first name in the
    candidate's: beside ``aarch64-linux-gnu-gcc-12``, ``{prefix}g++{suffix}`` is ``aarch64-linux-gnu-g++-12``.
    """
    found: dict[str, str] = {}
    folder, name = os.path.dirname(path), plain_name(path)
    extension = os.path.basename(path)[len(name) :]
    prefix, own, suffix = name.rpartition(detector.executables[0]) if detector.executables else ("", "", "")
    for rule in detector.facts:
        if not rule.sibling or ("{" in rule.sibling and not own):
            continue
        beside = rule.sibling.replace("{prefix}", prefix).replace("{suffix}", suffix) + extension
        full = os.path.join(folder, beside)
        looked(full)
        if os.access(full, os.X_OK):
            found[rule.name] = full
    return found


def probe(detector: Detector, candidate: Candidate, environ: Mapping[str, str]) -> Answer:
    """Run the detector's commands on a candidate; never raises for what the candidate does."""
    session = _Session(candidate, detector, environ)
    try:
        if detector.version is None:
            raise _Refusal("its detector does not say how to ask for the version")
        if detector.accept is not None:
            text = session.output(detector.accept.run).text("both")
            _first_group(detector.accept, text, "this software was")
        answered = session.output(detector.version.run).text(detector.version.stream)
        found = _first_group(detector.version, answered, "a version was")
        version = normalise_version(found)
        if not version:
            raise _Refusal(f"{found!r} is not a version")
        facts, paths = split_paths(_facts(detector, session))
        digest = file_digest(candidate.real)
    except _Refusal as refusal:
        return Answer(problem=refusal.problem, transient=refusal.transient, commands=session.count)
    except OSError as error:
        return Answer(problem=f"could not be read ({error.strerror})", transient=True, commands=session.count)
    return Answer(version, digest, facts, paths, commands=session.count)
