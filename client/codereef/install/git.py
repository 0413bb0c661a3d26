# SPDX-License-Identifier: Apache-2.0
"""The `git` back-end: the tree of one commit, made into an archive whose SHA-256 the recipe declares.

Only the commit itself is fetched where the server permits it. Nothing is checked out: the files are read from the
objects of the commit, so that no hook, filter or attribute of the repository or the user can run or change them.
The archive is the same wherever it is made: an uncompressed tar in GNU format with the entries sorted bytewise by
path, modes 644, 755 and links, and neither dates nor owners. In the store it is a file like any other.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from codereef.canonical import sha256_file
from codereef.disk import storing
from codereef.errors import DownloadError, InstallError, IntegrityError
from codereef.gitcall import SLOWEST, git_environment
from codereef.store import Store

from .download import RemoteFile, Settings, fetch
from .process import environment, run_logged
from .progress import NullProgress, Progress
from .redact import redact

_TIMEOUT = 3600.0
_SCHEME = re.compile(r"^(https?|git|ssh|file)://")
_SCP = re.compile(r"^([\w.-]+@)?([\w.-]+):(?![/:])(.+)$")
_GITLINK, _LINK, _EXECUTABLE = "160000", "120000", "100755"
_DEPTH_LIMIT = 8  # submodules of submodules
_LINK_LIMIT = 4096  # bytes of the text of a symbolic link, as Linux has it


@dataclass(frozen=True)
class GitSource(RemoteFile):
    """A commit to fetch. `urls` are the addresses of its repository, in order; `sha256` is the archive's.

    Attributes:
        commit: the full commit.
        submodules: take its submodules too.
    """

    commit: str = ""
    submodules: bool = False


def git_source(entry: Mapping[str, object]) -> GitSource:
    """Return the source that a `files` entry with `git` describes."""
    git = entry["git"]
    assert isinstance(git, Mapping)
    return GitSource(
        str(entry["name"]),
        str(entry["sha256"]),
        int(str(entry["size"])),
        (str(git["url"]), *git.get("mirrors", ())),
        "",
        str(git["commit"]),
        bool(git.get("submodules", False)),
    )


def obtain(source: GitSource, store: Store, settings: Settings, progress: Progress) -> Path:
    """Return the archive of a commit in the store; fetch it from mirrors by SHA-256, else from its repository.

    Raises:
        DownloadError: no address has the commit, or no network may be used.
        IntegrityError: the commit's tree is not what the recipe declares.
        InstallError: git is not installed.
    """
    with store.lock(f"git.{source.sha256}"):
        have = store.blob(source.sha256, source.size)
        if have is not None:
            return have
        if settings.mirrors:
            mirrored = RemoteFile(source.name, source.sha256, source.size, (), "a git commit")
            with contextlib.suppress(DownloadError):
                return _from_mirrors(mirrored, store, settings)
        store.prepare()
        task = f"git {source.commit}"
        progress.start(task, None, f"{source.name} (git {source.commit[:12]})")
        try:
            with storing(f"the commit {source.commit[:12]}", store.tmp):
                import tempfile

                work = Path(tempfile.mkdtemp(prefix=f"git.{source.sha256}@", dir=store.tmp))
            try:
                archive = work / "tree.tar"
                _Commit(source.commit, source.urls, work, settings, store.logs).write(archive, source.submodules)
                found, size = sha256_file(archive), archive.stat().st_size
                if (found, size) != (source.sha256, source.size):
                    raise IntegrityError(
                        f"The tree of {source.commit} ({redact(source.urls[0])}) is not what the recipe declares: "
                        f"expected sha256 {source.sha256} and {source.size} bytes, found {found} and {size}.",
                        hint="In a recipe you are writing, put what was found into `sha256` and `size`. Otherwise "
                        "do not use it, and tell its authors. Nothing was kept.",
                        context={"commit": source.commit, "expected": source.sha256, "found": found, "size": size},
                    )
                return store.add_blob(archive, found, size, move=True, verified=True)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        finally:
            progress.finish(task)


def _from_mirrors(file: RemoteFile, store: Store, settings: Settings) -> Path:
    return fetch([file], store, settings, NullProgress())[file.sha256]


class _Commit:
    """One commit in a bare repository of its own, which goes away with the working folder."""

    def __init__(
        self, commit: str, urls: Sequence[str], work: Path, settings: Settings, logs: Path, *, depth: int = 0
    ) -> None:
        self.commit = commit
        self._work = work
        self._settings = settings
        self._logs = logs
        self._depth = depth
        self._git = shutil.which("git") or ""
        if not self._git:
            raise InstallError(
                f"git is needed for the commit {commit[:12]}, and there is none.",
                hint="Install git; `cr detect tool.git` finds it afterwards.",
            )
        self._env = git_environment(environment())
        import tempfile

        self._repository = Path(tempfile.mkdtemp(prefix="repository.", dir=work))
        self.url = self._fetch(urls)

    def _command(self, *arguments: str) -> list[str]:
        return [self._git, "-c", "core.hooksPath=/dev/null", *SLOWEST, *arguments]

    def _run(self, *arguments: str) -> tuple[bool, str]:
        command = self._command(*arguments)
        done = run_logged(
            command, log_dir=self._logs, name="git", env=self._env, cwd=self._repository, timeout=_TIMEOUT
        )
        return done.status == 0, "; ".join(done.tail[-3:])

    def _fetch(self, urls: Sequence[str]) -> str:
        """Fetch the commit from the first address that has it, and return that address."""
        style = "sha256" if len(self.commit) == 64 else "sha1"
        made, said = self._run("init", "--quiet", "--bare", f"--object-format={style}")
        if not made:
            raise InstallError(f"git could not make a working repository: {said}.")
        tried: list[str] = []
        for url in urls:
            if self._settings.offline and not url.startswith("file://"):
                tried.append(f"{redact(url)}: no network is used (--offline)")
                continue
            quiet = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
            # First the commit alone; a server that gives only branches and tags is asked for all of them.
            ways = [(*quiet, "--depth=1", "--", url, self.commit)]
            ways.append((*quiet, "--", url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"))
            for way in ways:
                done, said = self._run(*way)
                if done and self._has_commit():
                    return url
            tried.append(f"{redact(url)}: {said or 'it does not have the commit'}")
        raise DownloadError(
            f"The commit {self.commit} could not be fetched:\n" + "\n".join(f"  {line}" for line in tried),
            hint="Run the command once without --offline."
            if self._settings.offline
            else "Check the network, the address and your access to it; a mirror (`cr config set mirrors`) is asked first.",
            context={"commit": self.commit, "tried": tried},
        )

    def _has_commit(self) -> bool:
        asked = self._command("cat-file", "-e", f"{self.commit}^{{commit}}")
        return subprocess.run(asked, cwd=self._repository, env=self._env, capture_output=True).returncode == 0

    def _read(self, *arguments: str) -> bytes:
        done = subprocess.run(self._command(*arguments), cwd=self._repository, env=self._env, capture_output=True)
        if done.returncode != 0:
            said = redact(done.stderr.decode("utf-8", "replace").strip())
            raise InstallError(f"git could not read the commit {self.commit}: {said}.")
        return done.stdout

    def _entries(self) -> list[tuple[str, str, str]]:
        """Return mode, object and path of everything in the commit."""
        found = []
        for row in self._read("ls-tree", "-r", "-z", "--full-tree", self.commit).split(b"\0"):
            if row:
                head, _, name = row.partition(b"\t")
                mode, _, identity = head.decode().split(" ", 2)
                found.append((mode, identity, os.fsdecode(name)))
        return found

    def write(self, archive: Path, submodules: bool) -> None:
        """Write the canonical archive of the commit's tree."""
        import tarfile

        with contextlib.ExitStack() as stack:
            rows: list[tuple[str, str, str, _Objects]] = []
            self._collect("", submodules, rows, stack)
            rows.sort(key=lambda row: os.fsencode(row[2]))
            with (
                storing("the archive of the commit", archive.parent),
                tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar,
            ):
                for mode, identity, name, objects in rows:
                    entry = tarfile.TarInfo(name)
                    with objects.reading(identity) as (size, content):
                        if mode == _LINK:
                            if size > _LINK_LIMIT:
                                raise IntegrityError(f"The link {name!r:.200} of {self.commit} has {size} bytes.")
                            entry.type, entry.mode = tarfile.SYMTYPE, 0o777
                            entry.linkname = os.fsdecode(content.read(size))
                            tar.addfile(entry)
                        else:
                            # Straight from git into the archive: a file may be larger than the memory.
                            entry.mode, entry.size = 0o755 if mode == _EXECUTABLE else 0o644, size
                            tar.addfile(entry, content)

    def _collect(
        self,
        prefix: str,
        submodules: bool,
        rows: list[tuple[str, str, str, _Objects]],
        stack: contextlib.ExitStack,
    ) -> None:
        objects = stack.enter_context(_reading(self._command("cat-file", "--batch"), self._repository, self._env))
        entries = self._entries()
        links = {name: identity for mode, identity, name in entries if mode == _GITLINK}
        rows += [(mode, identity, prefix + name, objects) for mode, identity, name in entries if mode != _GITLINK]
        if not submodules or not links:
            return
        if self._depth >= _DEPTH_LIMIT:
            raise InstallError(f"{redact(self.url)} has submodules within submodules, {_DEPTH_LIMIT} deep.")
        addresses = self._submodules()
        for name, commit in sorted(links.items()):
            if name not in addresses:
                raise InstallError(f"{redact(self.url)} has the submodule {name} and no address for it in .gitmodules.")
            url = absolute_url(addresses[name], self.url)
            inner = _Commit(commit, [url], self._work, self._settings, self._logs, depth=self._depth + 1)
            inner._collect(f"{prefix}{name}/", True, rows, stack)

    def _submodules(self) -> dict[str, str]:
        """Return the address of each submodule by its path."""
        text = self._read("config", "-z", "--blob", f"{self.commit}:.gitmodules", "--list").decode("utf-8", "replace")
        paths: dict[str, str] = {}
        urls: dict[str, str] = {}
        for row in text.split("\0"):
            key, _, value = row.partition("\n")
            name, _, what = key.removeprefix("submodule.").rpartition(".")
            if what == "path":
                paths[name] = value
            elif what == "url":
                urls[name] = value
        return {path: urls[name] for name, path in paths.items() if name in urls}


def absolute_url(address: str, parent: str) -> str:
    """Return the address of a submodule, which may be relative to that of its parent or in scp's spelling.

    Raises:
        InstallError: it is of no kind that is permitted; a folder of this machine only below one.
    """
    if address.startswith(("./", "../")):
        scheme, _, rest = parent.partition("://")
        return f"{scheme}://{posixpath.normpath(posixpath.join(rest.rstrip('/'), address))}"
    scp = None if "://" in address else _SCP.match(address)
    if scp:
        address = f"ssh://{scp[1] or ''}{scp[2]}/{scp[3]}"
    if not _SCHEME.match(address) or (address.startswith("file://") and not parent.startswith("file://")):
        raise InstallError(
            f"The submodule at {redact(address)!r} of {redact(parent)} has an address that is not permitted.",
            hint="http, https, git and ssh are.",
        )
    return address


class _Objects:
    """Reads objects of a repository, one after the other, through one git process."""

    def __init__(self, questions: IO[bytes], answers: IO[bytes]) -> None:
        self._questions = questions
        self._answers = answers

    @contextlib.contextmanager
    def reading(self, identity: str) -> Iterator[tuple[int, IO[bytes]]]:
        """Give the size of a blob and a stream of which exactly so many bytes have to be read."""
        self._questions.write(identity.encode() + b"\n")
        self._questions.flush()
        head = self._answers.readline().split()
        if len(head) != 3 or head[1] != b"blob":
            raise InstallError(f"git could not read the object {identity}.")
        yield int(head[2]), self._answers
        self._answers.read(1)


@contextlib.contextmanager
def _reading(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> Iterator[_Objects]:
    process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield _Objects(process.stdin, process.stdout)
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.stdout.close()
        if process.poll() is None:
            process.terminate()
        process.wait()
