# SPDX-License-Identifier: Apache-2.0
"""The `pip` back-end: Python environments of exact versions and hashes, by uv when present, else by pip.

Wheels only: a source distribution runs its author's code at installation and needs compilers that the lock
knows nothing of. The user's index, certificate and proxy settings are honoured; the tool's own interpreter is
never touched.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.version import Version

from codereef.disk import storing
from codereef.errors import InstallError, UsageError
from codereef.store import Store

from .download import Settings
from .indexes import no_index, pip_settings, uv_environment
from .installed import Distribution, check_installed, distributions_in, normalised, reuse
from .process import Finished, environment, failure, run_logged
from .progress import Progress
from .redact import redact

if TYPE_CHECKING:
    from .foreign import Platform

__all__ = ["Distribution", "create_environment", "distributions_in", "find_uv", "redact", "resolve_distributions"]

Tool = Literal["auto", "uv", "pip"]
_REPORTING_PIP = Version("22.3")  # the first whose --dry-run --report gives hashes
_TIME_LIMIT = 3600.0
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_ADVICE = (
    (
        r"no wheels|only-binary|no binary|does not have a binary|wheels? (?:are|is) (?:not )?(?:available|compatible)"
        r"|no usable wheels|not a supported wheel",
        "There is no wheel for this Python on this machine, and building from source is not done. Choose another "
        "version of the package or of Python (`cr detect` lists the interpreters).",
    ),
    (
        r"hash|mismatch",
        "A package index has other files than the lock knows. Look where the index settings point; `cr init` "
        "without the old cr.lock resolves again.",
    ),
    (
        r"dns error|failed to fetch|connect|network|timed? ?out|proxy|certificate|offline|name resolution",
        "Check the network, the proxy and the package index settings (PIP_INDEX_URL, PIP_CERT), then try again.",
    ),
    (
        r"no solution found|resolutionimpossible|conflict|could not find a version|no matching distribution",
        "The requirements cannot be met together; choose another version of one of them.",
    ),
    (r"no space left", "Free some space, or set CR_HOME (and UV_CACHE_DIR, PIP_CACHE_DIR) to a larger disk."),
    (
        # It is there and failed, and venv does not pass on what it said.
        r"ensurepip.*returned non-zero",
        "pip could not be put into the new environment. Most often the disk is full or a limit is reached: free some "
        "space, or set CR_HOME to a larger disk.",
    ),
    (
        r"ensurepip|no module named venv",
        "This Python lacks venv or pip: on Debian and Ubuntu `apt install python3-venv`, or install uv.",
    ),
)


_OFFLINE = (
    "No network is used (--offline), and the package cache does not have everything that is needed. "
    "Run the command once without --offline."
)


def find_uv() -> Path | None:
    """Return the uv program: beside this interpreter, else on PATH; None where there is none."""
    beside = Path(sys.executable).with_name("uv")
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("uv")
    return Path(found) if found else None


def _choose(tool: Tool) -> Path | None:
    uv = None if tool == "pip" else find_uv()
    if tool == "uv" and uv is None:
        raise InstallError("uv was asked for and is neither on PATH nor beside this Python.", hint="pip install uv")
    return uv


class _Runner:
    """Runs uv, pip and venv with one environment, one log folder and one way to fail."""

    def __init__(self, uv: Path | None, settings: Settings, work: Path, log_dir: Path | None) -> None:
        self.uv = uv
        self._settings = settings
        self._work = work
        self._logs = log_dir or Store.default().logs
        own = {"NO_COLOR": "1", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONNOUSERSITE": "1"}
        if uv is not None:
            own.update(uv_environment(os.environ), UV_NO_PROGRESS="1", UV_PYTHON_DOWNLOADS="never")
        self._env = environment(own)
        # Each of these would make uv or pip work on something else than it is told to.
        for name in ("UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT", "UV_CONSTRAINT", "UV_OVERRIDE"):
            self._env.pop(name, None)
        for name in ("TARGET", "PREFIX", "ROOT", "USER", "REQUIREMENT", "PYTHON", "REQUIRE_VIRTUALENV"):
            self._env.pop(f"PIP_{name}", None)

    def uv_flags(self) -> list[str]:
        """Return the flags of uv that stand for pip's switches."""
        flags = ["--offline"] if self._settings.offline else []
        alone = self._settings.no_index or no_index(pip_settings(os.environ))
        return [*flags, *self._links(), *(["--no-index"] if alone else [])]

    def pip_flags(self) -> list[str]:
        """Return the flags of pip that stand for the settings; pip has no cache that works offline."""
        return [*self._links(), *(["--no-index"] if self._settings.offline or self._settings.no_index else [])]

    def _links(self) -> list[str]:
        return [word for folder in self._settings.wheels for word in ("--find-links", str(folder))]

    def run(self, command: Sequence[str | Path], doing: str, name: str) -> Finished:
        """Run a command; a status other than 0 becomes an `InstallError`."""
        words = [str(word) for word in command]
        done = run_logged(
            words,
            log_dir=self._logs,
            name=name,
            env=self._env,
            cwd=self._work,
            timeout=_TIME_LIMIT,
            inputs=sorted(self._work.glob("*.txt")),
        )
        if done.status != 0:
            hint = _OFFLINE if self._settings.offline else _advice(done.tail)
            raise failure(words, done, doing, hint)
        return done


def _advice(tail: Sequence[str]) -> str:
    text = "\n".join(tail).lower()
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, text)), "The log has all that was said.")


@contextmanager
def _working_folder() -> Iterator[Path]:
    with storing("working files", Path(tempfile.gettempdir())):
        work = Path(tempfile.mkdtemp(prefix="codereef-pip-"))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _checked(requirements: Sequence[str]) -> list[str]:
    """Return PEP 508 requirements as lines; refuse options, paths and addresses, which components must not give."""
    from packaging.requirements import InvalidRequirement, Requirement

    lines = []
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise UsageError(
                f"{text!r:.200} is not a requirement of a Python distribution: {str(error).splitlines()[0]}",
                hint="Write it as in PEP 508, for instance numpy>=1.24,<3.",
            ) from error
        if requirement.url:
            raise UsageError(
                f"{redact(text)!r} asks for an address; a lock needs a version.",
                hint="Name the version, and configure the package index that has it.",
            )
        lines.append(str(requirement))
    return lines


def resolve_distributions(
    python: Path,
    requirements: Sequence[str],
    constraints: Sequence[str],
    settings: Settings,
    progress: Progress,
    *,
    tool: Tool = "auto",
    log_dir: Path | None = None,
    preferred: Sequence[Distribution] = (),
    platform: Platform | None = None,
    dependencies: bool = True,
) -> tuple[Distribution, ...]:
    """Return the exact distributions that meet all requirements on that interpreter, with their hashes.

    Args:
        python: the interpreter they are for.
        requirements: PEP 508 requirements.
        constraints: PEP 508 requirements that limit versions without asking for anything.
        settings: `offline` is honoured.
        progress: told that it started and ended.
        tool: uv or pip; uv when present by default. uv gives the hashes of the wheels of every platform,
            pip that of the one wheel for this machine.
        log_dir: where logs go; the default store's by default.
        preferred: versions to stay with where the requirements permit.
        platform: another machine that they are for; None for the interpreter's own.
        dependencies: whether what they need counts; without, each is the newest by itself.

    Returns:
        Distributions by normalised name.

    Raises:
        UsageError: a requirement is malformed or names an address.
        InstallError: they cannot be met together, or only from source, or the index cannot be reached.
    """
    wanted = _checked(requirements)
    limits = _checked(constraints)
    if not wanted:
        return ()
    task = f"resolve {python}"
    progress.start(task, None, "Python packages")
    try:
        with _working_folder() as work:
            (work / "requirements.txt").write_text("\n".join(wanted) + "\n")
            (work / "constraints.txt").write_text("\n".join(limits) + "\n")
            runner = _Runner(_choose(tool), settings, work, log_dir)
            resolve = _resolve_by_uv if runner.uv else _resolve_by_pip
            flags = [] if dependencies else ["--no-deps"]
            pins = [f"{d.name}=={d.version}" for d in preferred]
            found = resolve(runner, python.absolute(), work, pins, platform, flags)
    finally:
        progress.finish(task)
    for distribution in found:
        # Versions that are only looked at come without hashes where uv reads nothing but names.
        if dependencies and not distribution.sha256:
            raise InstallError(
                f"The package index gives no SHA-256 for {distribution.name} {distribution.version}.",
                hint="Use an index that publishes hashes (PEP 503 or 691).",
            )
    return tuple(sorted(found, key=lambda distribution: distribution.name))


def _resolve_by_uv(
    runner: _Runner,
    python: Path,
    work: Path,
    preferred: Sequence[str],
    platform: Platform | None,
    flags: Sequence[str],
) -> list[Distribution]:
    assert runner.uv is not None
    output = work / "resolved.txt"
    # uv stays with the versions that it finds in the file it is to write.
    if preferred:
        output.write_text("\n".join(preferred) + "\n")
    command: list[str | Path] = [runner.uv, "pip", "compile", "requirements.txt", "--constraints", "constraints.txt"]
    command += ["--python", python, "--only-binary", ":all:", "--generate-hashes", "--no-header", "--no-annotate"]
    command += ["--no-sources", "--output-file", output, *runner.uv_flags(), *flags]
    command += platform.uv_flags() if platform else ()
    runner.run(command, "The Python packages could not be resolved", "uv-resolve")
    found: list[Distribution] = []
    for line in output.read_text().replace("\\\n", " ").splitlines():
        pinned = _PINNED.match(line)
        if pinned:
            found.append(Distribution(normalised(pinned[1]), pinned[2], tuple(sorted(set(_HASH.findall(line))))))
        elif line.strip() and not line.lstrip().startswith(("#", "--")):
            raise InstallError(f"uv answered something that is no exact version: {redact(line.strip())!r:.200}.")
    return found


def _newer_pip(runner: _Runner, venv: Path) -> None:
    """Give a working environment a pip that can report what it would install, where its own cannot yet."""
    own = dict(distributions_in(venv)).get("pip", "0")
    if Version(own) < _REPORTING_PIP:
        command: list[str | Path] = [venv / "bin" / "python", "-I", "-m", "pip", "install", "--quiet", "pip>=23"]
        runner.run([*command, *runner.pip_flags()], f"pip {own} could not be replaced by a newer one", "pip-upgrade")


def _resolve_by_pip(
    runner: _Runner,
    python: Path,
    work: Path,
    preferred: Sequence[str],
    platform: Platform | None,
    flags: Sequence[str],
) -> list[Distribution]:
    runner.run([python, "-I", "-m", "venv", work / "venv"], "A working environment could not be made", "venv")
    _newer_pip(runner, work / "venv")
    report = work / "report.json"
    command: list[str | Path] = [work / "venv" / "bin" / "python", "-I", "-m", "pip", "install", "--dry-run"]
    command += ["--ignore-installed", "--quiet", "--only-binary", ":all:", "--report", report]
    command += ["--requirement", "requirements.txt", "--constraint", "constraints.txt", *runner.pip_flags()]
    command += [*flags, *(platform.pip_flags(work / "foreign") if platform else ())]
    doing = "The Python packages could not be resolved"
    # pip knows no preference: the versions are constraints, and where they cannot be met they are all dropped.
    own = (work / "constraints.txt").read_text()
    try:
        (work / "constraints.txt").write_text(own + "".join(f"{line}\n" for line in preferred))
        runner.run(command, doing, "pip-resolve")
    except InstallError:
        if not preferred:
            raise
        (work / "constraints.txt").write_text(own)
        runner.run(command, doing, "pip-resolve")
    found: list[Distribution] = []
    for entry in json.loads(report.read_bytes())["install"]:
        archive = entry["download_info"].get("archive_info", {})
        digest = archive.get("hashes", {}).get("sha256")
        if not digest and archive.get("hash", "").startswith("sha256="):
            digest = archive["hash"].partition("=")[2]
        url = entry["download_info"]["url"]
        if not digest and url.startswith("file://"):
            digest = _hash_of_local(url)
        metadata = entry["metadata"]
        found.append(Distribution(normalised(metadata["name"]), metadata["version"], (digest,) if digest else ()))
    return found


def _hash_of_local(url: str) -> str:
    """Return the SHA-256 of a wheel in a local folder, for which pip reports none."""
    from urllib.parse import unquote, urlsplit

    from codereef.canonical import sha256_file

    return sha256_file(Path(unquote(urlsplit(url).path)))


def _refuse_own(place: Path) -> None:
    """Raise unless an environment can be made at `place` without touching the interpreter that runs this."""
    own = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    inside = [Path(sysconfig.get_paths()[key]).resolve() for key in ("stdlib", "purelib", "platlib", "scripts")]
    if sys.prefix != sys.base_prefix:
        inside.append(Path(sys.prefix).resolve())
    place = place.resolve()
    if any(path == place or place in path.parents for path in own) or any(
        place == path or path in place.parents for path in inside
    ):
        raise InstallError(
            f"An environment at {place} would touch the Python that runs CodeReef ({sys.prefix}).",
            hint="Set CR_HOME to a folder of its own.",
        )


def create_environment(
    build_path: Path,
    python: Path,
    distributions: Sequence[Distribution],
    reused_site_dirs: Sequence[Path],
    settings: Settings,
    progress: Progress,
    *,
    tool: Tool = "auto",
    log_dir: Path | None = None,
) -> None:
    """Make a virtual environment with exactly these distributions, at the path where it will stay.

    Args:
        build_path: the environment's folder; empty or absent.
        python: the interpreter it is made from.
        distributions: what goes into it; hashes are checked by the installer.
        reused_site_dirs: folders of detected distributions, appended to the import path by one `.pth` file.
        settings: `offline` is honoured; what is in uv's cache needs no network.
        progress: told that it started and ended.
        tool: uv or pip; uv when present by default.
        log_dir: where logs go; the default store's by default.

    Raises:
        InstallError: it failed; the message has the command, its last lines and the log.
        StorageError: the folder cannot be written.
    """
    _refuse_own(build_path)
    for distribution in distributions:
        if not distribution.sha256:
            raise InstallError(f"{distribution.name} {distribution.version} has no hash in the lock.")
    task = f"environment {build_path}"
    progress.start(task, None, f"Python environment ({len(distributions)} packages)")
    try:
        with _working_folder() as work:
            lines = [
                f"{d.name}=={d.version} " + " ".join(f"--hash=sha256:{digest}" for digest in d.sha256)
                for d in distributions
            ]
            (work / "locked.txt").write_text("\n".join(lines) + "\n")
            runner = _Runner(_choose(tool), settings, work, log_dir)
            install = _install_by_uv if runner.uv else _install_by_pip
            install(runner, build_path.absolute(), python.absolute(), {normalised(d.name) for d in distributions})
    finally:
        progress.finish(task)
    check_installed(build_path, distributions)
    if reused_site_dirs:
        reuse(build_path, reused_site_dirs)


def _install_by_uv(runner: _Runner, place: Path, python: Path, names: set[str]) -> None:
    assert runner.uv is not None
    doing = f"The Python environment {place.name} could not be made"
    command: list[str | Path] = [runner.uv, "venv", "--quiet", "--no-project", "--python", python, place]
    runner.run(command, doing, "uv-venv")
    if names:
        command = [runner.uv, "pip", "install", "--python", place / "bin" / "python", "--no-deps", "--require-hashes"]
        command += ["--only-binary", ":all:", "--compile-bytecode", "--no-sources", "-r", "locked.txt"]
        runner.run([*command, *runner.uv_flags()], doing, "uv-install")


def _install_by_pip(runner: _Runner, place: Path, python: Path, names: set[str]) -> None:
    doing = f"The Python environment {place.name} could not be made"
    if not names:
        runner.run([python, "-I", "-m", "venv", "--without-pip", place], doing, "venv")
        return
    runner.run([python, "-I", "-m", "venv", place], doing, "venv")
    pip: list[str | Path] = [place / "bin" / "python", "-I", "-m", "pip"]
    own = {name for name, _ in distributions_in(place)}
    # What venv brought goes first (before pip itself): a locked setuptools must be installed by its hash.
    extra = sorted(own - {"pip"})
    if extra:
        runner.run([*pip, "uninstall", "--yes", "--quiet", *extra], doing, "pip-clean")
    command = [*pip, "install", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--compile"]
    runner.run(
        [*command, "--ignore-installed", "--requirement", "locked.txt", *runner.pip_flags()], doing, "pip-install"
    )
    if "pip" not in names:
        runner.run([*pip, "uninstall", "--yes", "--quiet", "pip"], doing, "pip-clean")
