# SPDX-License-Identifier: Apache-2.0
"""The build back-ends with real compilers: cmake, make and script, their keys, resuming, and what a failure leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from codereef.errors import InstallError, IntegrityError, MetadataError
from codereef.install.building import kept_folder, sweep_kept
from codereef.install.nodes import Options
from codereef.store import Store

from .conftest import Remembered
from .graphs import HELLO, HOST, ROOT, World, commands, detected, logs, tool, tree

CMAKE = (
    "cmake_minimum_required(VERSION 3.16)\nproject(hello C)\nadd_library(word word.c)\n"
    "add_executable(hello hello.c)\ninstall(TARGETS hello word)\n"
)
TOOLS = {"cc": "compiler.c", "cmake": "tool.cmake", "make": "tool.make"}
MAKEFILE = "hello: hello.c\n\t$(CC) -o $@ $<\ninstall:\n\tmkdir -p $(PREFIX)/bin\n\tcp hello $(PREFIX)/bin/\n"


@pytest.fixture
def world(tmp_path: Path, progress: Remembered) -> World:
    tool("gcc", "make")
    return World(tmp_path, progress)


def said(program: Path) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout.strip()


def script(world: World, *run: list[str], **extra: object) -> None:
    world.package("thing", {"using": "script", "run": list(run), **extra}, {"hello.c": HELLO}, {"cc": "compiler.c"})


# -- each back-end -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_cmake_builds_with_the_compiler_of_the_graph_into_the_store(world: World) -> None:
    tool("cmake")
    install = {"using": "cmake", "define": {"CMAKE_C_FLAGS": '-DWORD="\\"{word}\\""'}, "produces": ["bin/hello"]}
    variants = {"word": {"values": ["ahoy", "moin"], "default": "ahoy"}}
    files = {"CMakeLists.txt": CMAKE, "hello.c": HELLO, "word.c": "int word(void) { return 1; }\n"}
    world.package("hello", install, files, TOOLS, variants=variants)
    prefix = world.prefix("hello")
    assert said(prefix / "bin" / "hello") == "ahoy"
    assert tree(prefix) == ["bin/hello", "lib/libword.a"]
    compiler = detected("compiler.c")
    cache = commands(world)
    assert len(cache) == 3
    assert all(f"-DCMAKE_INSTALL_PREFIX={prefix}" in line for line in cache if " -S " in line)
    manifest = json.loads((prefix / ".codereef-prefix.json").read_text())["meta"]
    assert manifest["target"] == HOST
    assert manifest["bound"] is False
    assert any("Building C object" in line for line in manifest["log"])
    assert str(Path(compiler.path).name) in logs(world) or compiler.version in logs(world)
    # Nothing of the build is left, and the second time nothing is done.
    key = world.lock("hello")[0].nodes["lib.hello@1.0"].install_key
    assert not kept_folder(world.store, key).exists()
    assert world.install("hello").built == ()
    other = world.prefix("hello", variants={"word": "moin"})
    assert (other != prefix, said(other / "bin" / "hello")) == (True, "moin")


@pytest.mark.slow
def test_make_hands_over_compiler_prefix_and_dependencies(world: World) -> None:
    library = (
        "lib.a: lib.c\n\t$(CC) -c lib.c\n\t$(AR) rcs lib.a lib.o\n"
        "install:\n\tmkdir -p $(PREFIX)/lib/pkgconfig\n\tcp lib.a $(PREFIX)/lib/libanswer.a\n"
    )
    deps = {"cc": "compiler.c", "make": "tool.make"}
    files = {"Makefile": library, "lib.c": "int answer(void) { return 42; }\n"}
    world.package("answer", {"using": "make"}, files, deps)
    program = (
        "main: main.c\n\t$(CC) -o main main.c -L$(ANSWER)/lib -lanswer\n"
        "install:\n\tmkdir -p $(PREFIX)/bin\n\tcp main $(PREFIX)/bin/\n"
        "\techo $$PKG_CONFIG_PATH > $(PREFIX)/pkgconfig\n\techo $$CMAKE_PREFIX_PATH > $(PREFIX)/cmake\n"
    )
    main = 'int answer(void);\n#include <stdio.h>\nint main(void) { printf("%d\\n", answer()); return 0; }\n'
    world.package(
        "main",
        {"using": "make", "arguments": ["ANSWER={dep:answer}"]},
        {"Makefile": program, "main.c": main},
        {**deps, "answer": "lib.answer"},
    )
    prefix = world.prefix("main")
    assert said(prefix / "bin" / "main") == "42"
    answer = world.prefix("answer")
    # Its two text files name folders of this store.
    assert json.loads((prefix / ".codereef-prefix.json").read_text())["meta"]["bound"] is True
    assert str(answer / "lib" / "pkgconfig") in (prefix / "pkgconfig").read_text().split(":")[0]
    assert (prefix / "cmake").read_text().strip() == str(answer)


@pytest.mark.slow
def test_make_configures_once_and_then_goes_on(world: World, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    configure = '#!/bin/sh\necho configured >> count\ntest -n "$CC"\n'
    makefile = f"all: one\n\ttest -e {gate}\none:\n\techo compiled >> compiled\n\ttouch one\ninstall:\n\tmkdir -p $(PREFIX)\n\tcp count compiled $(PREFIX)/\n"
    install = {"using": "make", "configure": ["./configure", "--prefix={prefix}"]}
    world.package(
        "thing", install, {"configure": configure, "Makefile": makefile}, {"cc": "compiler.c", "make": "tool.make"}
    )
    with pytest.raises(InstallError, match="does not compile"):
        world.install("thing")
    gate.touch()
    prefix = world.prefix("thing")
    assert (prefix / "count").read_text() == "configured\n"
    assert (prefix / "compiled").read_text() == "compiled\n"
    assert any("going on where the last build stopped" in note for note in world.progress.notes)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_fresh_begins_a_build_anew(world: World, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    makefile = f"all:\n\techo compiled >> compiled\n\ttest -e {gate}\ninstall:\n\tmkdir -p $(PREFIX)\n\tcp compiled $(PREFIX)/\n"
    world.package("thing", {"using": "make"}, {"Makefile": makefile}, {"cc": "compiler.c", "make": "tool.make"})
    with pytest.raises(InstallError):
        world.install("thing")
    gate.touch()
    assert (world.prefix("thing", options=Options(fresh=True)) / "compiled").read_text() == "compiled\n"


@pytest.mark.slow
def test_a_script_gets_its_templates_and_nothing_of_the_users_environment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-value")
    monkeypatch.setenv("CFLAGS", "-DWRONG")
    code = (
        "import json, os, sys\n"
        "json.dump({'argv': sys.argv[2:], 'env': dict(os.environ), 'cwd': os.getcwd()}, open(sys.argv[1], 'w'))\n"
    )
    words = ["{version}", "{target.triple}", "{target.arch}", "{jobs}", "{cc}", "{dep:cc}", "{host.triple}"]
    world.package(
        "thing",
        {"using": "script", "run": [["{python}", "say.py", "{prefix}/said.json", *words]], "environment": {"WORD": "a {version}"}},
        {"say.py": code},
        {"python": "compiler.python", "cc": "compiler.c"},
    )  # fmt: skip
    data = json.loads((world.prefix("thing", options=Options(jobs=3)) / "said.json").read_text())
    compiler = detected("compiler.c").path
    assert data["argv"] == ["1.0", HOST, HOST.split("-")[1], "3", compiler, compiler, HOST]
    assert {name: data["env"].get(name) for name in ("WORD", "CC", "TZ", "MY_TOKEN", "CFLAGS")} == {
        "WORD": "a 1.0",
        "CC": compiler,
        "TZ": "UTC",
        "MY_TOKEN": None,
        "CFLAGS": None,
    }
    assert data["env"]["HOME"].startswith(str(world.store.tmp))
    assert str(Path(sys.prefix) / "bin") not in data["env"]["PATH"].split(os.pathsep)


def test_a_template_that_stands_for_nothing_is_named(world: World) -> None:
    script(world, ["cp", "hello.c", "{prefx}/"])
    with pytest.raises(MetadataError, match=r"`\{prefx\}` .* stands for nothing") as caught:
        world.install("thing")
    assert "prefix" in caught.value.hint
    assert world.registered() == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["memband-make", "memband-script"])
def test_our_own_recipes_build(world: World, name: str) -> None:
    world.add(ROOT / "packages" / name)
    prefix = world.prefix(name)
    found = json.loads(subprocess.run([prefix / "bin/memband", "1000", "2"], capture_output=True, check=True).stdout)
    assert found["elements"] == 1000
    assert min(found["copy"], found["scale"], found["triad"]) > 1e6
    assert subprocess.check_output([prefix / "bin/memband", "--version"], text=True) == "memband 1.0.0\n"


def test_our_recipes_for_one_library_have_the_same_sources() -> None:
    folders = [ROOT / "packages" / f"memband-{way}" / "src" for way in ("cmake", "make", "script")]
    for name in ("memband.c", "memband.h", "main.c"):
        assert len({(folder / name).read_bytes() for folder in folders}) == 1


# -- keys ----------------------------------------------------------------------------------------------------------


def test_the_key_of_a_build_covers_all_that_determines_it(world: World) -> None:
    from dataclasses import replace

    variants = {"word": {"values": ["a", "b"], "default": "a"}}
    install = {"using": "script", "run": [["cp", "hello.c", "{prefix}/"]]}
    files = {"hello.c": HELLO}

    def key(**arguments: object) -> str:
        lock, _ = world.lock("main", **arguments)  # type: ignore[arg-type]
        return lock.nodes["lib.main@1.0"].install_key

    world.package("dep", install, files)
    world.package("main", install, files, {"cc": "compiler.c", "dep": "lib.dep", "git": "tool.git"}, variants=variants)
    tool("git")
    first = key()
    assert key() == first
    seen = {first, key(variants={"word": "b"})}
    # Another compiler by version or by triple, wherever it is; not the same one at another place.
    gcc = detected("compiler.c")
    world.tools["compiler.c"] = replace(gcc, path="/elsewhere/gcc", digest="sha256:" + "1" * 64)
    assert key() == first
    for other in (replace(gcc, version="99.1"), replace(gcc, facts={**gcc.facts, "triple": "riscv64-linux-gnu"})):
        world.tools["compiler.c"] = other
        seen.add(key())
    world.tools.clear()
    # A tool that only drives the build does not count.
    world.tools["tool.git"] = replace(detected("tool.git"), version="99.0")
    assert key() == first
    world.target = "linux-riscv64-gnu"
    seen.add(key())
    world.target = HOST
    # What it depends on, the sources, and the recipe itself.
    world.package("dep", install, {"hello.c": HELLO + "\n"})
    seen.add(key())
    world.package("main", install, {"hello.c": HELLO + "\n"}, {"cc": "compiler.c", "dep": "lib.dep"}, variants=variants)
    seen.add(key())
    world.package("main", {**install, "timeout": 7}, files, {"cc": "compiler.c", "dep": "lib.dep"}, variants=variants)
    seen.add(key())
    assert len(seen) == 8


def test_a_compiler_for_another_machine_is_refused(world: World) -> None:
    from dataclasses import replace

    script(world, ["{cc}", "-o", "{prefix}/hello", "hello.c"])
    gcc = detected("compiler.c")
    world.tools["compiler.c"] = replace(gcc, facts={"triple": "riscv64-linux-gnu"})
    with pytest.raises(InstallError, match=f"is built for {HOST}, and the compiler .* compiles for riscv64-linux-gnu"):
        world.install("thing")


# -- failures ------------------------------------------------------------------------------------------------------


def test_a_build_that_fails_shows_its_last_lines_and_leaves_nothing_registered(world: World) -> None:
    script(world, ["sh", "-c", "for n in $(seq 50); do echo line $n; done; touch {prefix}/half; exit 3"])
    with pytest.raises(InstallError) as caught:
        world.install("thing")
    message = caught.value.message
    assert "lib.thing@1.0 could not be built: command 1 of 1 failed" in message
    assert "ended with status 3" in message
    assert "line 21\n" in message
    assert "line 20\n" not in message
    assert "Log: " in message
    log = Path(str(caught.value.context["log"]))
    assert "line 1\n" in log.read_text()
    assert "asked for by solution:s@1.0.0" in message
    assert world.registered() == []
    assert list(world.store.prefixes.iterdir()) == []


@pytest.mark.slow
def test_what_a_recipe_promises_must_be_there(world: World) -> None:
    script(world, ["cp", "hello.c", "{prefix}/"], produces=["bin/hello"])
    with pytest.raises(InstallError, match="bin/hello is not there") as caught:
        world.install("thing")
    assert "hello.c" in caught.value.hint
    script(world, ["true"])
    with pytest.raises(InstallError, match="nothing was installed"):
        world.install("thing")
    assert world.registered() == []


@pytest.mark.slow
def test_a_link_that_leads_out_of_the_folder_is_refused_and_one_within_is_kept(world: World) -> None:
    script(world, ["ln", "-s", "/etc/passwd", "{prefix}/users"])
    with pytest.raises(IntegrityError, match="outside of its folder"):
        world.install("thing")
    script(world, ["cp", "hello.c", "{prefix}/a.1"], ["ln", "-s", "a.1", "{prefix}/a"])
    prefix = world.prefix("thing")
    assert (prefix / "a").is_symlink()
    assert world.store.verify_prefix(prefix.name) == []
    # A damaged folder is built again.
    (prefix / "a.1").chmod(0o644)
    (prefix / "a.1").write_text("other")
    assert world.install("thing").built == (prefix.name,)
    assert (prefix / "a.1").read_text() == HELLO


@pytest.mark.slow
def test_sources_are_copies_so_that_a_build_cannot_change_the_store(world: World) -> None:
    script(world, ["sh", "-c", "echo changed > hello.c && cp hello.c {prefix}/"])
    prefix = world.prefix("thing")
    assert (prefix / "hello.c").read_text() == "changed\n"
    (file,) = world.lock("thing")[0].nodes["lib.thing@1.0"].files
    blob = world.store.blob(file.sha256)
    assert blob is not None
    assert blob.read_text() == HELLO


@pytest.mark.slow
def test_a_tool_that_the_recipe_does_not_ask_for_is_named(world: World) -> None:
    world.package("thing", {"using": "make"}, {"Makefile": MAKEFILE, "hello.c": HELLO}, {"cc": "compiler.c"})
    with pytest.raises(InstallError, match="tool.make, which is not among its dependencies"):
        world.install("thing")
    world.package("thing", {"using": "make"}, {"Makefile": MAKEFILE, "hello.c": HELLO}, {"make": "tool.make"})
    with pytest.raises(InstallError, match="no compiler is among its dependencies"):
        world.install("thing")


@pytest.mark.slow
def test_old_working_folders_are_swept_and_those_in_use_are_not(world: World) -> None:
    script(world, ["false"])
    with pytest.raises(InstallError):
        world.install("thing")
    key = world.lock("thing")[0].nodes["lib.thing@1.0"].install_key
    folder = kept_folder(world.store, key)
    assert folder.is_dir()
    now = folder.stat().st_mtime
    assert sweep_kept(world.store, now=now + 13 * 86400) == 0
    holder = "import sys, time; from pathlib import Path; from codereef.store import Store\n"
    holder += "with Store(Path(sys.argv[1])).lock('prefix.' + sys.argv[2]): print('held', flush=True); time.sleep(60)\n"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(world.store.root), key], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert sweep_kept(world.store, now=now + 15 * 86400) == 0
        process.kill()
    assert sweep_kept(world.store, now=now + 15 * 86400) == 1
    assert not folder.exists()


# -- several at once -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_independent_builds_run_at_the_same_time_and_dependent_ones_in_order(world: World) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one core")
    world.package("a", {"using": "script", "run": [["sh", "-c", "echo a > {prefix}/a; sleep 0.2"]]})
    world.package("b", {"using": "script", "run": [["sh", "-c", "echo b > {prefix}/b; sleep 0.2"]]})
    world.package("c", {"using": "script", "run": [["cat", "{dep:a}/a", "{dep:b}/b"], ["cp", "{dep:b}/b", "{prefix}/c"]]}, deps={"a": "lib.a", "b": "lib.b"})  # fmt: skip
    installed = world.install("c", "a", "b")
    assert installed.built[-1].startswith("c-")
    assert {key.split("-")[0] for key in installed.built[:2]} == {"a", "b"}
    started = [task for task, _, _ in world.progress.started]  # type: ignore[attr-defined]
    finished = world.progress.finished  # type: ignore[attr-defined]
    assert len(started) == len(finished) == 3
    labels = [label for _, _, label in world.progress.started]  # type: ignore[attr-defined]
    assert sorted(labels) == ["lib.a@1.0 (script)", "lib.b@1.0 (script)", "lib.c@1.0 (script)"]


@pytest.mark.slow
def test_one_failure_leaves_what_the_others_have_built(world: World) -> None:
    world.package("bad", {"using": "script", "run": [["false"]]})
    world.package("good", {"using": "script", "run": [["sh", "-c", "sleep 0.1; echo x > {prefix}/x"]]})
    world.package("after", {"using": "script", "run": [["true"]]}, deps={"bad": "lib.bad"})
    with pytest.raises(InstallError, match="lib.bad@1.0 could not be built"):
        world.install("good", "after")
    assert [key.split("-")[0] for key in world.registered()] in (["good"], [])


INTERRUPTED = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.install.graphs import World
world = World(Path(sys.argv[1]))
for name in ("a", "b"):
    world.package(name, {"using": "script", "run": [["sh", "-c", "touch {build}/started; trap '' TERM; sleep 60"]]})
world.install("a", "b")
"""


@pytest.mark.slow
def test_an_interrupt_ends_all_builds_and_leaves_nothing_registered(tmp_path: Path) -> None:
    import signal
    import time

    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path), str(ROOT)], stderr=subprocess.PIPE, text=True
    )
    store = Store(tmp_path / "home" / "store")
    end = time.monotonic() + 30
    while len(list(store.tmp.glob("kept/*/build/started"))) < min(2, os.cpu_count() or 1):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=20)[1]
    assert store.ls() == ()
    assert list(store.prefixes.iterdir()) == []
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert not [line for line in found.splitlines() if str(tmp_path) in line and "ps -eo" not in line]
    assert not (tmp_path / "home" / "failures").exists()


KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.install.graphs import World
world = World(Path(sys.argv[1]))
run = [["sh", "-c", "echo half > {prefix}/half; touch {build}/started; test -e {build}/go || sleep 60; echo x > {prefix}/x"]]
world.package("a", {"using": "script", "run": run})
print(world.install("a").built)
"""


@pytest.mark.slow
def test_a_kill_leaves_nothing_registered_and_the_next_try_goes_on(tmp_path: Path) -> None:
    import time

    command = [sys.executable, "-c", KILLED, str(tmp_path), str(ROOT)]
    store = Store(tmp_path / "home" / "store")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 30
        while not list(store.tmp.glob("kept/*/build/started")):
            assert time.monotonic() < end
            time.sleep(0.02)
        process.kill()
    assert store.ls() == ()
    (folder,) = store.tmp.glob("kept/*/build")
    (folder / "go").touch()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("('a-1.0-"), done.stderr
    (prefix,) = store.ls()
    assert tree(prefix.path) == ["half", "x"]
    assert not folder.exists()
