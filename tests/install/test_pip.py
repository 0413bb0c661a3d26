# SPDX-License-Identifier: Apache-2.0
"""Python environments of exact versions and hashes, by the real uv and the real pip, from a local folder."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from codereef.errors import InstallError, UsageError
from codereef.install import pip
from codereef.install.download import Settings
from codereef.install.indexes import pip_settings, uv_environment
from codereef.install.pip import Distribution, Tool, create_environment, distributions_in, resolve_distributions
from codereef.install.redact import redact

PYTHON = Path(sys.executable)
TOOLS = ["uv", pytest.param("pip", marks=pytest.mark.slow)]


def make_wheel(folder: Path, name: str, version: str, requires: str = "") -> str:
    """Write a wheel with one module by hand; return its SHA-256."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": f"VERSION = {version!r}\n".encode(),
        f"{info}/METADATA": metadata.encode() + b"\nName: not-this\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(data)}\n"
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A local folder of wheels as the only source of packages; digests by `name-version`."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return {
        "reef_a-1.0": make_wheel(folder, "reef_a", "1.0"),
        "reef_a-2.0": make_wheel(folder, "reef_a", "2.0"),
        "reef_b-1.5": make_wheel(folder, "reef_b", "1.5", "reef-a>=1.0"),
    }


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


def python_says(env: Path, code: str) -> str:
    return subprocess.run([env / "bin" / "python", "-I", "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("tool", TOOLS)
def test_exact_versions_are_found_and_installed(wheels, tmp_path, logs, settings, progress, tool: Tool) -> None:
    wanted = (
        Distribution("reef-a", "1.0", (wheels["reef_a-1.0"],)),
        Distribution("reef-b", "1.5", (wheels["reef_b-1.5"],)),
    )
    found = resolve_distributions(PYTHON, ["Reef.B>1"], ["reef_a<2"], settings, progress, tool=tool, log_dir=logs)
    assert found == wanted
    place = tmp_path / "an env"
    place.mkdir()
    create_environment(place, PYTHON, found, [], settings, progress, tool=tool, log_dir=logs)
    # Nothing but what the lock names: neither pip nor setuptools.
    assert distributions_in(place) == (("reef-a", "1.0"), ("reef-b", "1.5"))
    assert python_says(place, "import reef_a, sys; print(reef_a.VERSION, sys.prefix)") == f"1.0 {place}\n"
    assert list(place.glob("lib/python3*/site-packages/__pycache__/reef_a.*.pyc"))
    assert len(progress.started) == len(progress.finished) == 2


@pytest.mark.parametrize("tool", TOOLS)
def test_a_wheel_of_another_digest_is_refused(wheels, tmp_path, logs, settings, progress, tool: Tool) -> None:
    wrong = [Distribution("reef-a", "1.0", ("0" * 64, wheels["reef_a-2.0"]))]
    with pytest.raises(InstallError) as caught:
        create_environment(tmp_path / "env", PYTHON, wrong, [], settings, progress, tool=tool, log_dir=logs)
    assert "--require-hashes" in caught.value.message
    log = Path(str(caught.value.context["log"]))
    assert log.parent == logs
    assert str(log) in caught.value.message
    assert wheels["reef_a-1.0"] in log.read_text()
    assert caught.value.hint
    assert not list((tmp_path / "env").rglob("reef_a.py"))


@pytest.mark.parametrize("tool", TOOLS)
def test_requirements_that_cannot_be_met_are_told(wheels, logs, settings, progress, tool: Tool) -> None:
    with pytest.raises(InstallError) as caught:
        resolve_distributions(PYTHON, ["reef-b", "reef-a>=3"], [], settings, progress, tool=tool, log_dir=logs)
    assert "reef-a>=3" in caught.value.message.replace("reef_a", "reef-a")
    assert str(logs) in caught.value.message
    assert caught.value.hint
    assert progress.finished


def test_a_package_with_sources_only_is_refused(wheels, tmp_path, logs, settings, progress) -> None:
    import io
    import tarfile

    setup = b"raise SystemExit('the code of a source distribution ran')\n"
    with tarfile.open(tmp_path / "wheels" / "reef_c-1.0.tar.gz", "w:gz") as archive:
        for name, data in (("setup.py", setup), ("PKG-INFO", b"Metadata-Version: 2.1\nName: reef_c\nVersion: 1.0\n")):
            info = tarfile.TarInfo(f"reef_c-1.0/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(InstallError) as caught:
        resolve_distributions(PYTHON, ["reef-c"], [], settings, progress, tool="uv", log_dir=logs)
    assert "the code of a source distribution ran" not in caught.value.message
    assert "building from source is not done" in caught.value.hint


def test_detected_packages_are_seen_through_one_path_file(wheels, tmp_path, logs, settings, progress) -> None:
    site = tmp_path / "detected site"
    site.mkdir()
    (site / "reef_found.py").write_text("X = 7\n")
    (site / "reef_a.py").write_text("VERSION = 'detected'\n")
    env = tmp_path / "env"
    wanted = [Distribution("reef-a", "1.0", (wheels["reef_a-1.0"],))]
    create_environment(env, PYTHON, wanted, [site, site], settings, progress, tool="uv", log_dir=logs)
    path_file = next(env.glob("lib/python3*/site-packages/codereef-reused.pth"))
    assert path_file.read_text() == f"{site}\n"
    # What the environment has of its own comes first.
    assert python_says(env, "import reef_found, reef_a; print(reef_found.X, reef_a.VERSION)") == "7 1.0\n"
    with pytest.raises(InstallError, match="not there"):
        create_environment(tmp_path / "e2", PYTHON, [], [tmp_path / "no"], settings, progress, tool="uv", log_dir=logs)


def test_an_environment_without_distributions_is_a_working_python(tmp_path, logs, settings, progress) -> None:
    for tool in ("uv", "pip"):
        env = tmp_path / tool
        create_environment(env, PYTHON, [], [], settings, progress, tool=tool, log_dir=logs)  # type: ignore[arg-type]
        assert distributions_in(env) == ()
        assert python_says(env, "import sys; print(sys.prefix)") == f"{env}\n"


def test_nothing_is_asked_for_nothing(logs, settings, progress) -> None:
    assert resolve_distributions(PYTHON, [], ["numpy<2"], settings, progress, log_dir=logs) == ()
    assert not logs.exists()


def test_the_second_time_works_offline_from_the_cache(wheels, tmp_path, logs, settings, progress) -> None:
    offline = replace(settings, offline=True)
    found = resolve_distributions(PYTHON, ["reef-b"], [], offline, progress, tool="uv", log_dir=logs)
    create_environment(tmp_path / "env", PYTHON, found, [], offline, progress, tool="uv", log_dir=logs)
    assert distributions_in(tmp_path / "env") == (("reef-a", "2.0"), ("reef-b", "1.5"))


def test_the_tools_own_interpreter_is_never_touched(settings, progress, logs) -> None:
    own = Path(sys.prefix)
    for place in (own, own / "env", own.parent, Path(pip.sysconfig.get_paths()["stdlib"]) / "env"):
        with pytest.raises(InstallError, match="would touch the Python that runs CodeReef"):
            create_environment(place, PYTHON, [], [], settings, progress, log_dir=logs)
    assert not (own / "env").exists()


@pytest.mark.parametrize(
    "text", ["-r /etc/passwd", "--index-url=x", "a @ https://u:p@example.org/a.whl", "../x", "a==1\n-e .", ""]
)
def test_options_paths_and_addresses_are_no_requirements(settings, progress, logs, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_distributions(PYTHON, [text], [], settings, progress, log_dir=logs)
    assert "u:p" not in caught.value.message


def test_variables_that_point_elsewhere_do_not_reach_the_child(
    wheels, tmp_path, monkeypatch, settings, progress
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"):
        monkeypatch.setenv(name, str(elsewhere))
    found = resolve_distributions(PYTHON, ["reef-a"], [], settings, progress, log_dir=tmp_path / "logs")
    create_environment(tmp_path / "env", PYTHON, found, [], settings, progress, log_dir=tmp_path / "logs")
    assert distributions_in(tmp_path / "env") == (("reef-a", "2.0"),)
    assert not elsewhere.exists()


def test_credentials_of_an_index_reach_no_message_and_no_log(tmp_path, monkeypatch, server, settings, progress) -> None:
    address = server.url.replace("http://", "http://user:pa55word@")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", address + "/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(InstallError) as caught:
        resolve_distributions(PYTHON, ["reef-a"], [], settings, progress, tool="uv", log_dir=tmp_path / "logs")
    assert ("/simple/reef-a/", "") in server.requests  # the user's index was asked
    everything = json.dumps(caught.value.as_dict()) + "".join(p.read_text() for p in (tmp_path / "logs").iterdir())
    assert "pa55word" not in everything


def test_a_missing_interpreter_is_told(wheels, tmp_path, settings, progress, logs) -> None:
    for tool in ("uv", "pip"):
        with pytest.raises(InstallError) as caught:
            resolve_distributions(tmp_path / "python", ["reef-a"], [], settings, progress, tool=tool, log_dir=logs)  # type: ignore[arg-type]
        assert str(tmp_path / "python") in caught.value.message


# -- settings and secrets --------------------------------------------------------------------------------------


def test_pip_settings_of_file_and_environment_become_those_of_uv(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("codereef.install.indexes._SYSTEM", tmp_path / "none")  # the machine's own
    (tmp_path / "links").mkdir()
    (tmp_path / "pip.conf").write_text(
        f"[global]\nindex-url = https://one.example/simple\nextra-index-url = https://two.example/simple\n"
        f"    file://{tmp_path}/absent\nfind-links = {tmp_path}/links {tmp_path}/absent\ntimeout = 60\n"
        "[install]\ntrusted-host = one.example\n[list]\nformat = json\n"
    )
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": "/nowhere", "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    environ["PIP_CERT"] = "/cert.pem"
    found = uv_environment(environ)
    assert found == {
        "UV_DEFAULT_INDEX": "https://one.example/simple",
        "UV_INDEX": "https://two.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": f"{tmp_path}/links",
        "UV_INSECURE_HOST": "one.example",
        "UV_HTTP_TIMEOUT": "60",
        "SSL_CERT_FILE": "/cert.pem",
    }
    environ["PIP_INDEX_URL"] = "https://three.example/simple"
    assert pip_settings(environ)["index-url"] == "https://three.example/simple"
    environ["UV_INDEX_URL"] = "https://four.example/simple"
    assert "UV_DEFAULT_INDEX" not in uv_environment(environ)
    assert uv_environment({"PIP_CONFIG_FILE": os.devnull}) == {}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("get https://user:pw@host/x now", "get https://***@host/x now"),
        ("https://token@host/", "https://***@host/"),
        ("git+ssh://u:p@h/x", "git+ssh://***@h/x"),
        ("https://h/x?a=1&X-Amz-Signature=ab12&b=2", "https://h/x?a=1&X-Amz-Signature=***&b=2"),
        ("https://h/x?access_token=s#f", "https://h/x?access_token=***#f"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("https://h/user@example.org", "https://h/user@example.org"),
        ("name==1.0 --hash=sha256:00", "name==1.0 --hash=sha256:00"),
    ],
)
def test_secrets_are_taken_out_of_text(text: str, clean: str) -> None:
    assert redact(text) == clean
    assert pip.redact is redact


def test_installed_distributions_are_read_from_metadata(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    (site / "Foo_Bar-1.0.dist-info").mkdir(parents=True)
    (site / "Foo_Bar-1.0.dist-info" / "METADATA").write_text("Name: Foo_Bar\nVersion: 1.0\n\nName: other\n")
    (site / "old.egg-info").mkdir()
    (site / "old.egg-info" / "PKG-INFO").write_text("Version: 0.1\nName: old\n")
    (site / "broken.dist-info").mkdir()
    assert distributions_in(tmp_path) == (("foo-bar", "1.0"), ("old", "0.1"))
    with pytest.raises(InstallError, match="no Python environment"):
        distributions_in(tmp_path / "lib")


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_numpy_from_the_users_index_works(tmp_path, logs, settings, progress, tool: Tool) -> None:
    found = resolve_distributions(PYTHON, ["numpy==2.2.6"], [], Settings(), progress, tool=tool, log_dir=logs)
    assert [(d.name, d.version) for d in found] == [("numpy", "2.2.6")]
    env = tmp_path / "env"
    create_environment(env, PYTHON, found, [], Settings(), progress, tool=tool, log_dir=logs)
    assert python_says(env, "import numpy; print(numpy.__version__, numpy.arange(4).sum())") == "2.2.6 6\n"


@pytest.mark.slow
def test_an_environment_that_a_limit_stops_is_not_blamed_on_the_interpreter(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from codereef.errors import CrError
from codereef.install.download import Settings
from codereef.install.pip import Distribution, create_environment
from codereef.install.progress import NullProgress
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
here = Path(sys.argv[1])
try:
    wanted = [Distribution("a", "1", ("0" * 64,))]
    create_environment(
        here / "env", Path(sys.argv[2]), wanted, (), Settings(), NullProgress(), tool="pip", log_dir=here / "logs"
    )
except CrError as error:
    print(error.hint)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), sys.executable], capture_output=True, text=True, timeout=120
    )
    assert "Most often the disk is full or a limit is reached" in done.stdout, done
    assert "lacks venv" not in done.stdout
