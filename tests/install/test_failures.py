# SPDX-License-Identifier: Apache-2.0
"""`cr why-failed`: every kind of step leaves a record without secrets, that can be told, run again and reported."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from codereef.cli.app import run as cr
from codereef.errors import CrError, DownloadError, InstallError, IntegrityError, NotFoundError, UsageError
from codereef.home import Home
from codereef.install import failures
from codereef.install.environments import lock_distributions
from codereef.install.execute import install
from codereef.install.failures import Difference, Recorder, records, sweep
from codereef.install.nodes import Options
from codereef.install.redact import is_secret, redact, secret_values
from codereef.lock.model import LockedEnvironment
from codereef.repo.index import Repository
from codereef.repo.sources import add, set_trusted
from codereef.workspace.failures import Cleaner, again, find
from codereef.workspace.session import Session

from .conftest import Remembered, Server
from .graphs import ROOT, World, commands, detected, tool

CANARY = "canary-7f3a9c-secret"


@pytest.fixture
def world(tmp_path: Path, progress: Remembered) -> World:
    return World(tmp_path, progress)


@pytest.fixture
def session(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The client's view of the world's home, with the world's components."""
    home = tmp_path / "home"
    monkeypatch.setenv("CR_HOME", str(home))
    made = Session(Home(home))
    made.__dict__["settings"] = world.settings
    return made


def fresh(session: Session, world: World) -> Session:
    session.__dict__["usable"] = world.index
    session.__dict__["repositories"] = (Repository("here", world.folder / "repo", "here", True),)
    return session


def failing(world: World, *names: str, kind: type[CrError] = InstallError) -> CrError:
    with pytest.raises(kind) as caught:
        world.install(*names)
    return caught.value


def script(world: World, *run: list[str], **extra: Any) -> None:
    world.package("thing", {"using": "script", "run": list(run), **extra})


# -- what is recorded ----------------------------------------------------------------------------------------------


def test_the_error_itself_names_step_chain_environment_and_what_to_do(world: World, monkeypatch) -> None:
    monkeypatch.setenv("PRIVATE_TOKEN", CANARY)
    script(world, ["sh", "-c", "echo said; exit 4"], environment={"GREETING": "hi"})
    error = failing(world, "thing")
    assert "Step: script of lib.thing@1.0, asked for by solution:s@1.0.0." in error.message
    assert "Environment: " in error.message
    assert "GREETING" in error.message
    identity = error.context["failure"]
    assert f"`cr why-failed --rerun {identity}`" in error.hint
    assert f"`cr why-failed {identity} --bundle FILE`" in error.hint
    assert error.context["chain"] == ["solution:s@1.0.0", "lib.thing@1.0"]
    (record,) = records(world.failures)
    assert (record.id, record.data["step"], record.data["node"]) == (identity, "script", "lib.thing@1.0")
    assert record.data["command"]["command"] == ["sh", "-c", "echo said; exit 4"]
    assert record.data["command"]["environment"]["added"]["GREETING"] == "hi"
    assert "PRIVATE_TOKEN" in record.data["command"]["environment"]["removed"]
    assert {path.name for path in record.folder.iterdir()} == {"failure.json", "log.txt", "lock.json", "recipe.json"}
    assert "said" in (record.folder / "log.txt").read_text()
    assert CANARY not in "".join(path.read_text() for path in record.folder.iterdir())
    assert record.folder.stat().st_mode & 0o077 == 0


def test_a_chain_leads_through_everybody_who_asks(world: World) -> None:
    world.package("deep", {"using": "script", "run": [["false"]]})
    world.package("middle", {"using": "script", "run": [["true"]]}, deps={"inner": "lib.deep"})
    error = failing(world, "middle")
    assert error.context["chain"] == ["solution:s@1.0.0", "lib.middle@1.0", "lib.deep@1.0"]
    assert "asked for by solution:s@1.0.0 → lib.middle@1.0." in error.message


@pytest.mark.slow
def test_a_download_that_fails_is_recorded_and_run_again_by_itself(
    world: World, session: Session, server: Server, progress: Remembered
) -> None:
    data = b"weights"
    entry = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "urls": [server.put("/w", data, "404", "range")],
    }
    world.package("model", {"using": "download"}, {"w.bin": entry})
    failing(world, "model", kind=DownloadError)
    (record,) = records(world.failures)
    assert (record.data["step"], record.data["node"]) == ("download", "lib.model@1.0")
    assert again(fresh(session, world), record, progress).ok
    assert world.store.blob(str(entry["sha256"])) is not None
    assert world.registered() == []


def test_of_several_downloads_the_one_that_failed_is_named(world: World, tmp_path: Path) -> None:
    (tmp_path / "mirror/sha256").mkdir(parents=True)
    world.settings = replace(world.settings, mirrors=(str(tmp_path / "mirror"),))
    for name in ("model", "data"):
        digest = hashlib.sha256(name.encode()).hexdigest()
        entry = {"sha256": digest, "size": len(name), "origin": "Made by hand."}
        world.package(name, {"using": "download"}, {"w.bin": entry})
        if name == "model":
            (tmp_path / "mirror/sha256" / digest).write_text(name)
    error = failing(world, "model", "data", kind=DownloadError)
    assert "Step: download of lib.data@1.0, asked for by solution:s@1.0.0." in error.message
    (record,) = records(world.failures)
    assert record.data["node"] == "lib.data@1.0"


def test_an_archive_that_is_unsafe_is_recorded(world: World, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../out"))
    world.package("data", {"using": "download"}, {"a.tar": (tmp_path / "a.tar").read_bytes()})
    document = json.loads((tmp_path / "repo/data/cr.json").read_text())
    document["files"][0]["unpack"] = True
    (tmp_path / "repo/data/cr.json").write_text(json.dumps(document))
    world.add(tmp_path / "repo/data")
    failing(world, "data", kind=IntegrityError)
    assert [r.data["step"] for r in records(world.failures)] == ["download"]


@pytest.mark.slow
def test_a_generator_that_fails_is_recorded_and_run_again_with_its_request(
    world: World, session: Session, tmp_path: Path, progress: Remembered
) -> None:
    gate = tmp_path / "gate"
    code = f"import json, sys, pathlib\nr = json.load(open(sys.argv[1]))\nassert pathlib.Path({str(gate)!r}).exists()\n"
    code += "pathlib.Path(r['output'], 'made').write_text(str(r['options']['n']))\n"
    install_ = {
        "using": "generate",
        "script": "make.py",
        "options": {"n": 5},
        "digests": [{"tree": "sha256:" + "0" * 64}],
    }
    world.package("data", install_)
    (tmp_path / "repo/data/make.py").write_text(code)
    world.add(tmp_path / "repo/data")
    lock, bindings = world.lock("data")
    python = detected("compiler.python")
    environment = LockedEnvironment("python", python.version, world.target, (), (), (), "python-test")
    configuration = replace(lock.configurations[0], environment="python-test")
    lock = replace(lock, configurations=(configuration,), environments={"python-test": environment})
    arguments = (world.index, {**bindings, "python": python}, world.store, world.settings, progress)
    with pytest.raises(InstallError):
        install(lock, *arguments, Options(failures=world.failures))
    (record,) = records(world.failures)
    assert (record.data["step"], record.data["node"]) == ("generate", "lib.data@1.0")
    gate.touch()
    done = again(fresh(session, world), record, progress)
    assert (done.ok, done.status) == (True, 0)
    assert not [p for p in world.store.tmp.iterdir() if p.name.startswith("build.")]


@pytest.mark.slow
def test_python_packages_that_cannot_be_had_are_recorded_and_run_again(
    world: World, session: Session, tmp_path: Path, progress: Remembered, monkeypatch
) -> None:
    from codereef.install.pip import find_uv

    if find_uv() is None:
        tool("uv")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    world.package("x", {"using": "script", "run": [["true"]]}, deps={"python": "compiler.python"})
    lock, bindings = world.lock("x")
    key = next(key for key in lock.nodes if key.startswith("compiler.python"))
    environment = LockedEnvironment(key, "3.11", world.target, ("tiny==1.0",))
    lock = replace(lock, environments={"python-1": environment})
    recorder = Recorder(world.failures, lock, world.index)
    with pytest.raises(InstallError, match="could not be resolved") as caught:
        lock_distributions(lock, bindings, world.settings, progress, recorder=recorder, log_dir=world.store.logs)
    assert caught.value.context["chain"] == ["solution:s@1.0.0", "lib.x@1.0", key]
    (record,) = records(world.failures)
    assert (record.data["step"], record.data["node"]) == ("pip", "python-1")
    assert "tiny==1.0" in "".join(record.data["command"]["inputs"].values())
    assert not again(fresh(session, world), record, progress).ok
    make_wheel(wheels)
    assert again(fresh(session, world), record, progress).ok


def make_wheel(folder: Path) -> None:
    import zipfile

    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(
            "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\n")


def test_an_interrupt_is_no_failure(world: World) -> None:
    recorder = Recorder(world.failures)
    with pytest.raises(KeyboardInterrupt), recorder.step("script", "x"):
        raise KeyboardInterrupt
    assert not world.failures.exists()


def test_a_folder_that_cannot_be_written_does_not_hide_the_error(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InstallError, match="boom") as caught, Recorder(tmp_path / "file" / "x").step("script", "x"):
        raise InstallError("boom")
    assert "why-failed" not in caught.value.hint, "a record that could not be kept is named"


# -- running again -------------------------------------------------------------------------------------------------


def test_nothing_of_a_repository_that_is_not_trusted_any_more_runs_again(
    world: World, session: Session, tmp_path: Path, progress: Remembered
) -> None:
    script(world, ["sh", "-c", "echo ran; exit 1"])
    record = find(session, str(failing(world, "thing").context["failure"]))
    add(session.home, str(tmp_path / "repo"), name="team")
    with pytest.raises(UsageError, match="have not trusted the repository `team`"):
        again(session, record, progress)
    set_trusted(session.home, "team", True)
    session.forget()
    assert again(session, record, progress).status == 1


@pytest.mark.slow
def test_a_build_runs_again_in_its_kept_folder_once_the_cause_is_mended(
    world: World, session: Session, tmp_path: Path, progress: Remembered
) -> None:
    gate = tmp_path / "gate"
    script(world, ["sh", "-c", "echo begun >> begun"], ["sh", "-c", f"test -e {gate} && cp begun {{prefix}}/"])
    error = failing(world, "thing")
    record = find(session, str(error.context["failure"]))
    done = again(session, record, progress)
    assert (done.ok, done.status) == (False, 1)
    gate.touch()
    done = again(session, record, progress)
    assert done.ok
    assert done.command == f"sh -c 'test -e {gate} && cp begun {record_prefix(world)}/'"
    # Only the failing command ran again, nothing is registered, and the next installation goes on.
    assert (Path(done.folder) / "begun").read_text() == "begun\n"
    assert world.registered() == []
    assert list(world.store.prefixes.iterdir()) == []
    assert (world.prefix("thing") / "begun").read_text() == "begun\nbegun\n"
    with pytest.raises(InstallError, match="has been installed meanwhile"):
        again(session, record, progress)


def record_prefix(world: World) -> Path:
    return world.store.prefixes / world.lock("thing")[0].nodes["lib.thing@1.0"].install_key


@pytest.mark.slow
def test_a_check_that_failed_is_done_again_for_its_node_alone(
    world: World, session: Session, progress: Remembered
) -> None:
    script(world, ["sh", "-c", "echo x > {prefix}/x"], produces=["y"])
    failing(world, "thing")
    (record,) = records(world.failures)
    assert record.data["command"] is None
    with pytest.raises(InstallError, match="y is not there"):
        again(fresh(session, world), record, progress)


@pytest.mark.slow
def test_a_working_folder_that_is_gone_is_told(world: World, session: Session, progress: Remembered) -> None:
    import shutil

    script(world, ["false"])
    failing(world, "thing")
    shutil.rmtree(world.store.tmp / "kept")
    (record,) = records(world.failures)
    with pytest.raises(InstallError, match="working folder of this build is gone"):
        again(session, record, progress)


# -- telling -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_tells_the_last_failure_and_its_parts(world: World, session: Session, capsys) -> None:
    script(world, ["sh", "-c", "for n in $(seq 40); do echo line $n; done; exit 1"])
    identity = str(failing(world, "thing").context["failure"])
    assert cr(["why-failed"]) == 0
    told = capsys.readouterr().out
    for part in (
        f"{identity}: script of lib.thing@1.0 failed",
        "  solution:s@1.0.0\n    lib.thing@1.0",
        "Command: sh -c",
        "Last 30 lines:\n  line 11\n",
        "  + SOURCE_DATE_EPOCH=315532800",
        f"  cr why-failed --rerun {identity}",
    ):
        assert part in told
    assert cr(["why-failed", "s", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == identity
    assert cr(["why-failed", "--list"]) == 0
    assert "lib.thing@1.0" in capsys.readouterr().out
    assert cr(["why-failed", "--rerun", identity]) == 7
    assert "It fails again" in capsys.readouterr().err
    assert cr(["why-failed", "other"]) == 4
    assert "solution:s@1.0.0" in capsys.readouterr().err


def test_without_any_failure_the_command_says_so(session: Session) -> None:
    with pytest.raises(NotFoundError, match="No failure is recorded"):
        find(session, None)


@pytest.mark.slow
def test_the_newest_failure_comes_first_and_old_ones_are_swept(world: World) -> None:
    script(world, ["false"])
    first, second = (str(failing(world, "thing").context["failure"]) for _ in range(2))
    now = time.time()
    os.utime(world.failures / first, (now - 29 * 86400, now - 29 * 86400))
    assert [record.id for record in records(world.failures)] == [second, first]
    os.utime(world.failures / first, (now - 31 * 86400, now - 31 * 86400))
    assert sweep(world.failures) == 1
    assert [record.id for record in records(world.failures)] == [second]
    for n in range(failures.KEPT + 5):
        folder = world.failures / f"{n:08x}"
        folder.mkdir()
        data = {"format": failures.FORMAT, "id": folder.name}
        (folder / "failure.json").write_text(json.dumps(data))
    sweep(world.failures)
    assert len(records(world.failures)) == failures.KEPT - 1


# -- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD", "API_KEY", "NPM_AUTH", "DB_PASS"]
)
def test_variables_that_hold_secrets_are_known_by_their_names(name: str) -> None:
    assert is_secret(name)
    assert (
        name not in Difference.between({name: CANARY}, {}).added
        or Difference.between({name: CANARY}, {}).added[name] == "***"
    )


def test_variables_that_only_sound_like_secrets_are_shown() -> None:
    assert not [name for name in ("PATH", "KEYBOARD", "SSH_AUTH_SOCK", "MONKEY", "CC", "HOME") if is_secret(name)]


def test_secrets_are_taken_out_wherever_they_stand() -> None:
    secrets = secret_values({"A_TOKEN": CANARY, "PROXY": "http://me:hunter22@proxy:1", "SHORT_KEY": "abc"})
    text = f"x {CANARY} y hunter22 http://u:p@h/?token=t abc PASSWORD={CANARY}x Authorization: Bearer zzz"
    clean = redact(text, secrets)
    for secret in (CANARY, "hunter22", "u:p", "=t ", "zzz"):
        assert secret not in clean
    assert "abc" in clean


def test_a_bundle_holds_what_a_report_needs_and_neither_secrets_nor_names(
    world: World, session: Session, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("USER", "vilhelmina")
    monkeypatch.setenv("HOSTNAME", "lighthouse7.example.org")
    monkeypatch.setenv("HOME", "/home/vilhelmina")
    monkeypatch.setenv("SERVICE_TOKEN", CANARY)
    lines = [
        f"echo token {CANARY}",
        "echo https://bob:hunter2222@example.org/x?api_key=qwertz",
        "echo I am vilhelmina on lighthouse7 in /home/vilhelmina/work",
        f"echo {tmp_path}/home/store",
        "exit 1",
    ]
    script(
        world,
        ["sh", "-c", "; ".join(lines)],
        environment={"OTHER_PASSWORD": "opensesame", "URL": "http://a:b@example.org/"},
    )
    error = failing(world, "thing")
    assert CANARY not in error.message
    target = tmp_path / "report.tar.gz"
    assert cr(["why-failed", "--bundle", str(target)]) == 0
    with tarfile.open(target) as archive:
        members = archive.getmembers()
        texts = {m.name.split("/")[1]: archive.extractfile(m).read().decode() for m in members}  # type: ignore[union-attr]
    assert set(texts) == {"client.json", "failure.json", "lock.json", "log.txt", "machine.json", "recipe.json"}
    assert {(m.uname, m.mtime) for m in members} == {("", 0)}
    whole = "\n".join(texts.values())
    for secret in (
        CANARY,
        "opensesame",
        "hunter2222",
        "qwertz",
        "vilhelmina",
        "lighthouse7",
        str(tmp_path / "home"),
        "a:b@",
    ):
        assert secret not in whole, secret
    assert "I am USER on HOST in HOME/work" in texts["log.txt"]
    assert json.loads(texts["failure.json"])["step"] == "script"
    assert "cpu" in json.loads(texts["machine.json"])
    assert json.loads(texts["lock.json"])["solution"]["component"] == "solution:s@1.0.0"


def test_a_cleaner_leaves_words_alone_that_only_hold_a_name(monkeypatch) -> None:
    cleaner = Cleaner.here(Path("/data/reef"), {"USER": "ann", "HOSTNAME": "pi5", "HOME": "/home/ann"})
    assert cleaner.text("ann annotates /home/ann/x on pi5 in /data/reef/store, /home/annex") == (
        "USER annotates HOME/x on HOST in CR_HOME/store, /home/annex"
    )


# -- what is never touched -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_neither_the_tools_interpreter_nor_the_system_is_touched(world: World, tmp_path: Path, monkeypatch) -> None:
    from codereef.install.pip import create_environment

    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    own = Path(os.path.realpath(sys.executable))
    before = [_listing(Path(prefix)) for prefix in (sys.prefix, sys.base_prefix)]
    # A build that tries to: its sandbox lets it read only.
    tries = ["{python}", "-c", "import sysconfig; open(sysconfig.get_paths()['purelib'] + '/codereef_was_here', 'w')"]
    world.package("bad", {"using": "script", "run": [tries]}, deps={"python": "compiler.python"})
    assert "Read-only file system" in failing(world, "bad").message
    create_environment(tmp_path / "env", own, (), (), world.settings, world.progress, log_dir=world.store.logs)
    assert [_listing(Path(prefix)) for prefix in (sys.prefix, sys.base_prefix)] == before
    ran = commands(world)
    assert len(ran) >= 2
    assert not [line for line in ran if "sudo" in line or "break-system-packages" in line]


def test_no_command_of_the_client_asks_for_more_rights_or_breaks_the_system() -> None:
    for path in (ROOT / "client").rglob("*.py"):
        text = path.read_text()
        assert "break-system-packages" not in text, path
        assert not [word for word in ('"sudo"', "'sudo'", '"doas"', '"pkexec"') if word in text], path


def _listing(folder: Path) -> set[str]:
    site = next(folder.glob("lib/python3*/site-packages"))
    return {path.name for path in site.iterdir()} | {path.name for path in (folder / "bin").iterdir()}


# -- the format ----------------------------------------------------------------------------------------------------


def test_a_record_of_format_1_is_read_whole(world: World, session: Session, capsys) -> None:
    sample = Path(__file__).with_name("samples") / "failure-1.json"
    folder = world.failures / "943bbccb"
    folder.mkdir(parents=True)
    (folder / "failure.json").write_bytes(sample.read_bytes())
    assert cr(["why-failed", "943"]) == 0
    told = capsys.readouterr().out
    for part in (
        "943bbccb: make of lib.greeter@1.0 failed (2026-11-24T02:50:46+00:00)",
        "  solution:hello@1.0.0\n    lib.greeter@1.0",
        "greeter.c:1:10: fatal error: greeting.h: No such file or directory",
        "  + CC=/usr/bin/gcc",
        "  - LANG, OLDPWD",
    ):
        assert part in told
    newer = json.loads(sample.read_text()) | {"format": "codereef-failure/2", "id": "00000002"}
    (world.failures / "00000002").mkdir()
    (world.failures / "00000002" / "failure.json").write_text(json.dumps(newer))
    assert [record.id for record in records(world.failures)] == ["943bbccb"]
