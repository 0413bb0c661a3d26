# SPDX-License-Identifier: Apache-2.0
"""Folders and real git repositories that a user adds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from codereef.embedded import data_root
from codereef.errors import MetadataError, NetworkError, NotFoundError, UsageError
from codereef.home import Home
from codereef.repo.index import load_index
from codereef.repo.sources import add, remove, repositories, set_trusted, sources, update, without_credentials


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = [
        "-c",
        "user.name=T",
        "-c",
        "user.email=t@example.org",
        "-c",
        "init.defaultBranch=main",
        "-c",
        "commit.gpgsign=false",
    ]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def put(root: Path, name: str, version: str = "1.0.0") -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    document = {
        "kind": "dashboard",
        "name": name,
        "version": version,
        "summary": "A dashboard",
        "license": "MIT",
        "task": "object-detection",
        "x": "a",
        "y": "b",
        "metrics": {},
        "columns": [],
    }
    (root / name / "cr.json").write_text(json.dumps(document))


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A git repository with one component, and a branch and a tag with other versions of it."""
    root = tmp_path / "upstream"
    root.mkdir()
    git(root, "init", "-q")
    for version, name in (("0.8.0", "tag"), ("0.9.0", "branch")):
        put(root, "board", version)
        git(root, "add", ".")
        git(root, "commit", "-qm", name)
        git(root, *(("tag", "v0.8") if name == "tag" else ("branch", "old")))
    put(root, "board", "1.0.0")
    git(root, "commit", "-qam", "now")
    return root


def versions(home: Home) -> list[str]:
    return [c.version for c in load_index(repositories(home), home.cache).versions("dashboard", "board")]


def test_without_additions_there_is_the_embedded_repository(home: Home) -> None:
    only = repositories(home)
    assert [(r.name, r.root, r.origin, r.trusted) for r in only] == [("default", data_root(), "embedded", True)]


def test_a_folder_is_added_listed_used_and_removed(home: Home, tmp_path: Path) -> None:
    put(tmp_path / "mine", "board")
    added = add(home, str(tmp_path / "mine"))
    assert (added.name, added.git, added.trusted) == ("mine", False, False)
    assert sources(home) == [added]
    assert [r.name for r in repositories(home)] == ["mine", "default"], "the embedded one comes last"
    assert versions(home) == ["1.0.0"]
    assert remove(home, "mine") == added
    assert sources(home) == []
    assert (tmp_path / "mine" / "board" / "cr.json").exists(), "a folder of the user is never deleted"


def test_a_relative_folder_is_kept_absolute_and_named_by_its_own_name(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "mine", "board")
    monkeypatch.chdir(tmp_path / "mine")
    added = add(home, ".")
    assert added.name == "mine"
    assert Path(added.origin) == tmp_path / "mine"


def test_a_change_in_a_folder_is_seen_at_once(home: Home, tmp_path: Path) -> None:
    put(tmp_path / "mine", "board")
    add(home, str(tmp_path / "mine"))
    assert versions(home) == ["1.0.0"]
    put(tmp_path / "mine", "board", "1.1.0")
    assert versions(home) == ["1.1.0"]
    assert update(home, "mine") == [(sources(home)[0], False)]


def test_a_git_repository_is_cloned_updated_and_removed(home: Home, origin: Path) -> None:
    added = add(home, origin.as_uri())
    assert (added.name, added.git, added.origin) == ("upstream", True, origin.as_uri())
    assert versions(home) == ["1.0.0"]
    assert added.updated != ""
    assert [(source.name, changed) for source, changed in update(home)] == [("upstream", False)]
    put(origin, "board", "1.1.0")
    git(origin, "commit", "-qam", "newer")
    assert versions(home) == ["1.0.0"], "nothing changes before an update"
    assert update(home) == [(sources(home)[0], True)]
    assert versions(home) == ["1.1.0"]
    remove(home, "upstream")
    assert not (home.repos / "upstream").exists()
    assert versions(home) == []


def test_an_update_follows_a_rewritten_history(home: Home, origin: Path) -> None:
    add(home, origin.as_uri())
    put(origin, "board", "1.2.0")
    git(origin, "commit", "-qa", "--amend", "-m", "rewritten")
    assert [changed for _, changed in update(home, "upstream")] == [True]
    assert versions(home) == ["1.2.0"]


@pytest.mark.parametrize(("revision", "version"), [("old", "0.9.0"), ("v0.8", "0.8.0")])
def test_a_branch_or_tag_can_be_asked_for(home: Home, origin: Path, revision: str, version: str) -> None:
    add(home, str(origin), revision=revision)
    assert versions(home) == [version]
    put(origin, "board", "3.0.0")
    git(origin, "commit", "-qam", "on another branch")
    assert [changed for _, changed in update(home)] == [False]
    assert versions(home) == [version]


def test_a_wrong_revision_is_told_and_leaves_nothing(home: Home, origin: Path) -> None:
    with pytest.raises(NetworkError, match="Could not clone .*nowhere") as caught:
        add(home, str(origin), revision="nowhere")
    assert "branch" in caught.value.hint
    assert sources(home) == []
    assert list(home.repos.iterdir()) == []
    assert add(home, str(origin), revision="old").name == "upstream", "a clean second try"


def test_a_revision_cannot_be_an_option_of_git(home: Home, origin: Path) -> None:
    with pytest.raises(UsageError, match="is not a branch or tag"):
        add(home, str(origin), revision="--upload-pack=touch owned")


def test_an_address_that_is_not_there_is_told_without_its_password(home: Home, tmp_path: Path) -> None:
    with pytest.raises(NetworkError) as caught:
        add(home, "http://someone:secret@127.0.0.1:9/none.git")
    assert "http://127.0.0.1:9/none.git" in caught.value.message
    assert "secret" not in str(caught.value.as_dict())


def test_an_update_that_fails_keeps_what_was_there(home: Home, origin: Path, tmp_path: Path) -> None:
    add(home, origin.as_uri())
    origin.rename(tmp_path / "moved")
    with pytest.raises(NetworkError, match="Could not update"):
        update(home)
    assert versions(home) == ["1.0.0"]


def test_a_git_repository_without_components_is_refused(home: Home, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    (empty / "README").write_text("nothing")
    git(empty, "add", ".")
    git(empty, "commit", "-qm", "nothing")
    with pytest.raises(UsageError, match="holds no component"):
        add(home, empty.as_uri())
    assert list(home.repos.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("default", "cannot be the name"),
        ("Upper", "cannot be the name"),
        ("../x", "cannot be the name"),
        ("", "already"),
        ("mine", "already"),
    ],
)
def test_a_name_must_be_free_and_plain(home: Home, tmp_path: Path, name: str, message: str) -> None:
    put(tmp_path / "mine", "board")
    add(home, str(tmp_path / "mine"))
    with pytest.raises(UsageError, match=message):
        add(home, str(tmp_path / "mine"), name=name)
    assert len(sources(home)) == 1


def test_a_folder_that_is_not_there_or_empty_is_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a folder nor an address"):
        add(home, str(tmp_path / "none"))
    (tmp_path / "void").mkdir()
    with pytest.raises(UsageError, match="holds no component"):
        add(home, str(tmp_path / "void"))


def test_an_unknown_name_gets_the_nearest(home: Home, tmp_path: Path) -> None:
    put(tmp_path / "mine", "board")
    add(home, str(tmp_path / "mine"))
    for call in (remove, update):
        with pytest.raises(NotFoundError) as caught:
            call(home, "mnie")
        assert caught.value.hint == "Did you mean `mine`?"


def test_trust_is_given_and_taken_by_the_user_only(home: Home, tmp_path: Path) -> None:
    put(tmp_path / "mine", "board")
    put(tmp_path / "yours", "board")
    add(home, str(tmp_path / "mine"))
    add(home, str(tmp_path / "yours"), trusted=True)
    assert [r.trusted for r in repositories(home)] == [False, True, True]
    set_trusted(home, "mine", True)
    set_trusted(home, "yours", False)
    assert [(r.name, r.trusted) for r in repositories(home)] == [("mine", True), ("yours", False), ("default", True)]


def test_the_first_repository_added_wins(home: Home, tmp_path: Path) -> None:
    put(tmp_path / "one", "object-detection")
    put(tmp_path / "two", "object-detection")
    add(home, str(tmp_path / "one"))
    add(home, str(tmp_path / "two"))
    assert load_index(repositories(home), None).find("dashboard:object-detection@1.0.0").repository == "one"


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "{}", '{"repositories": [{"name": "x"}]}', '{"repositories": ["x"]}']
)
def test_a_damaged_list_is_told(home: Home, damage: str) -> None:
    home.repos.mkdir(parents=True)
    (home.repos / "repos.json").write_text(damage)
    with pytest.raises(MetadataError, match="list of repositories at .* cannot be read"):
        sources(home)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:pw@host.example:8443/a/b.git", "https://host.example:8443/a/b.git"),
        ("https://TOKEN@host.example/a.git", "https://host.example/a.git"),
        ("ssh://git@host.example/a.git", "ssh://git@host.example/a.git"),
        ("ssh://git:pw@host.example/a.git", "ssh://git@host.example/a.git"),
        ("git@host.example:a.git", "git@host.example:a.git"),
        ("/srv/a@b", "/srv/a@b"),
        ("https://[bad", "https://[bad"),
        ("https://host.example:port/a", "https://host.example:port/a"),
    ],
)
def test_an_address_is_shown_without_secrets(address: str, shown: str) -> None:
    assert without_credentials(address) == shown


def test_no_password_is_kept_in_the_list(home: Home, origin: Path, tmp_path: Path) -> None:
    # The clone is made by a stand-in for git's own rewriting of addresses, so that a real address with a
    # password leads to a repository on this machine.
    config = tmp_path / "gitconfig"
    config.write_text(f'[url "{origin.as_uri()}"]\n\tinsteadOf = https://someone:secret@git.invalid/board.git\n')
    program = "import sys; from pathlib import Path; from codereef.home import Home; from codereef.repo.sources import add; print(add(Home(Path(sys.argv[1])), 'https://someone:secret@git.invalid/board.git').origin)"
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": str(config)}
    out = subprocess.run(
        [sys.executable, "-c", program, str(home.root)], env=environment, capture_output=True, text=True
    )
    assert out.returncode == 0, out.stderr
    assert out.stdout.strip() == "https://git.invalid/board.git"
    assert "secret" not in (home.repos / "repos.json").read_text()


def test_a_machine_without_git_is_told_what_to_install(home: Home, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from codereef.home import Home; from codereef.repo.sources import add\n"
        "from codereef.errors import NotFoundError\n"
        "try: add(Home(Path(sys.argv[1])), 'https://git.invalid/board.git')\n"
        "except NotFoundError as error: print(error.message, error.hint)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, str(home.root)], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert "git could not be started" in out.stdout, out.stderr
    assert "Install git" in out.stdout


def test_repositories_added_at_once_are_all_kept(home: Home, tmp_path: Path) -> None:
    code = "import sys, pathlib\nfrom codereef.home import Home\nfrom codereef.repo.sources import add\n"
    code += "add(Home(pathlib.Path(sys.argv[1])), sys.argv[2])"
    processes = []
    for number in range(6):
        folder = tmp_path / f"repo{number}"
        (folder / "t").mkdir(parents=True)
        (folder / "t" / "cr.json").write_text("{}")
        processes.append(subprocess.Popen([sys.executable, "-c", code, str(home.root), str(folder)]))
    assert [process.wait(60) for process in processes] == [0] * 6
    assert sorted(entry.name for entry in sources(home)) == [f"repo{number}" for number in range(6)]


def test_a_component_beside_the_standard_folders_is_named_when_its_repository_is_added(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner
    from codereef.cli.commands.repositories import repo

    put(tmp_path / "mine" / "components", "board")
    put(tmp_path / "mine" / "package", "lost")
    monkeypatch.setenv("CR_HOME", str(home.root))
    said = CliRunner().invoke(repo, ["add", str(tmp_path / "mine")])
    assert said.exit_code == 0
    assert "1 component." in said.output
    assert "not looked at, although a cr.json is there: package/lost" in said.output
