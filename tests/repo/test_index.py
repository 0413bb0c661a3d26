# SPDX-License-Identifier: Apache-2.0
"""The index over repositories: its cache, broken components, versions, names, search."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from codereef.embedded import data_root
from codereef.errors import MetadataError, NotFoundError, UsageError
from codereef.meta.component import component_digest
from codereef.repo.index import Index, Repository, component_folders, load_index
from codereef.repo.search import search


def put(root: Path, name: str, version: str = "1.0.0", *, folder: str = "", kind: str = "program", **more: Any) -> Path:
    """Write a component and return its folder."""
    place = root / (folder or name)
    place.mkdir(parents=True, exist_ok=True)
    document = {
        "kind": kind,
        "name": name,
        "version": version,
        "summary": f"About {name}",
        "license": "MIT",
        "task": "object-detection",
        **more,
    }
    if kind == "program":
        document = {**document, "run": {"python": "main.py"}, "metrics": {}}
        (place / "main.py").write_text("print()\n")
    (place / "cr.json").write_text(json.dumps(document))
    return place


def index(*roots: Path, cache: Path | None = None) -> Index:
    return load_index([Repository(root.name, root, "folder") for root in roots], cache)


def names(found: Index) -> list[str]:
    return sorted(str(c.reference) for c in found.components)


READS = """
import sys, pathlib
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from codereef.repo.index import Repository, load_index
root, cache = map(pathlib.Path, sys.argv[1:])
found = load_index([Repository("r", root, "folder")], cache)
print(len(found.rows()), sum(1 for name in opened if name.startswith(str(root))))
"""


def reads(root: Path, cache: Path) -> tuple[int, int]:
    """Index in a process of its own; return how many components it found and how many of their files it opened."""
    out = subprocess.run(
        [sys.executable, "-c", READS, str(root), str(cache)], capture_output=True, text=True, check=True
    ).stdout
    components, opened = map(int, out.split())
    return components, opened


def test_a_second_look_opens_no_file_of_a_component(tmp_path: Path) -> None:
    root = tmp_path / "r"
    for name in "abc":
        put(root, name)
    assert reads(root, tmp_path / "cache") == (3, 9), "each cr.json is read and hashed, each main.py hashed"
    assert reads(root, tmp_path / "cache") == (3, 0)
    put(root, "d")
    assert reads(root, tmp_path / "cache") == (4, 3), "only what is new is read"


def test_the_cache_gives_the_same_index(tmp_path: Path) -> None:
    first = load_index([Repository("default", data_root(), "embedded")], tmp_path)
    second = load_index([Repository("default", data_root(), "embedded")], tmp_path)
    assert first.components == second.components
    assert len(first.components) > 40
    assert not first.broken


@pytest.mark.parametrize("change", ["meta", "script", "same size and time"])
def test_a_change_is_seen_through_the_cache(tmp_path: Path, change: str) -> None:
    place = put(tmp_path / "r", "a")
    before = index(tmp_path / "r", cache=tmp_path / "cache").components[0]
    file = place / ("cr.json" if change == "meta" else "main.py")
    stat = file.stat()
    file.write_text(file.read_text().replace("About", "Above").replace("print()", "input()"))
    if change == "same size and time":
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = index(tmp_path / "r", cache=tmp_path / "cache").components[0]
    assert after.digest != before.digest
    assert (after.meta["summary"] == "Above a") is (change == "meta")


def test_a_change_between_the_look_and_the_reading_is_read_and_validated(tmp_path: Path) -> None:
    """The rows were made from one state of a file, and it is another by the time that its metadata is asked for."""
    place = put(tmp_path / "r", "a")
    put(tmp_path / "r", "b")
    index(tmp_path / "r", cache=tmp_path / "cache")
    looked = index(tmp_path / "r", cache=tmp_path / "cache")
    meta = place / "cr.json"
    meta.write_text(meta.read_text().replace("About a", "Changed since"))
    (found,) = looked.versions("program", "a")
    assert (found.meta["summary"], found.digest) == ("Changed since", component_digest(place))
    index(tmp_path / "r", cache=tmp_path / "cache")
    looked = index(tmp_path / "r", cache=tmp_path / "cache")
    meta.write_text("{")
    assert looked.versions("program", "a") == ()
    assert looked.versions("program", "b")


def test_what_is_broken_is_not_read_again_before_it_changes(tmp_path: Path) -> None:
    root = tmp_path / "r"
    put(root, "good")
    bad = put(root, "bad")
    (bad / "cr.json").write_text("{")
    assert reads(root, tmp_path / "cache")[0] == 1
    assert reads(root, tmp_path / "cache") == (1, 0)
    first, second = (index(root, cache=cache).broken[0] for cache in (None, tmp_path / "cache"))
    assert (first.path, first.error.as_dict()) == (second.path, second.error.as_dict())
    put(root, "bad")
    assert reads(root, tmp_path / "cache")[0] == 2


def test_what_is_deleted_is_gone_from_the_index(tmp_path: Path) -> None:
    put(tmp_path / "r", "a")
    place = put(tmp_path / "r", "b")
    assert len(index(tmp_path / "r", cache=tmp_path / "cache").components) == 2
    for file in place.iterdir():
        file.unlink()
    assert names(index(tmp_path / "r", cache=tmp_path / "cache")) == ["program:a@1.0.0"]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b'{"stamp": 1, "components": {}}',
        b"\xff\xfe",
        b'{"components": 3}',
        b"[" * 50_000,
        "half",
        "entry",
    ],
)
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: bytes | str) -> None:
    put(tmp_path / "r", "a")
    index(tmp_path / "r", cache=tmp_path / "cache")
    file = next((tmp_path / "cache").iterdir())
    good = file.read_bytes()
    if damage == "half":
        file.write_bytes(good[: len(good) // 2])
    elif damage == "entry":
        document = json.loads(good)
        del document["places"]["program:a"]
        file.write_text(json.dumps(document))
    else:
        assert isinstance(damage, bytes)
        file.write_bytes(damage)
    assert names(index(tmp_path / "r", cache=tmp_path / "cache")) == ["program:a@1.0.0"]
    assert file.read_bytes() == good


def test_a_cache_of_another_client_is_not_trusted(tmp_path: Path) -> None:
    put(tmp_path / "r", "a")
    index(tmp_path / "r", cache=tmp_path / "cache")
    file = next((tmp_path / "cache").iterdir())
    document = json.loads(file.read_bytes())
    document["stamp"] = "0" * 32
    document["rows"][0][4] = "From another client"
    file.write_text(json.dumps(document))
    assert index(tmp_path / "r", cache=tmp_path / "cache").rows()[0].summary == "About a"


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    put(tmp_path / "r", "a")
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert names(index(tmp_path / "r", cache=tmp_path / "cache")) == ["program:a@1.0.0"]


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ('{"kind": "programme"}', "expected one of"),
        ('{"kind": "program"}', "missing key"),
        (None, "is not a version"),
        ("link", "symbolic link"),
    ],
)
def test_a_broken_component_is_named_and_the_others_stay(
    tmp_path: Path, text: str | None, message: str, cached: bool
) -> None:
    root = tmp_path / "r"
    put(root, "good")
    place = put(root, "bad", "1..2" if text is None else "1.0.0")
    if text == "link":
        (place / "away").symlink_to("/")
    elif text is not None:
        (place / "cr.json").write_text(text)
    for _ in range(2):
        found = index(root, cache=tmp_path / "cache" if cached else None)
        assert names(found) == ["program:good@1.0.0"]
        assert [b.path for b in found.broken] == [place / "cr.json"]
        assert isinstance(found.broken[0].error, MetadataError)
        assert message in found.broken[0].error.message
    with pytest.raises(NotFoundError, match="program:bad cannot be used: ") as caught:
        found.find("program:bad")
    assert message in caught.value.message
    with pytest.raises(NotFoundError, match="^bad cannot be used"):
        found.find("bad")


def test_an_earlier_repository_wins(tmp_path: Path) -> None:
    put(tmp_path / "mine", "a", tags=["mine"])
    put(tmp_path / "theirs", "a", tags=["theirs"])
    put(tmp_path / "theirs", "a", "2.0.0", folder="a2", tags=["theirs"])
    found = index(tmp_path / "mine", tmp_path / "theirs")
    assert names(found) == ["program:a@1.0.0", "program:a@2.0.0"]
    assert found.find("program:a@1.0.0").repository == "mine"
    assert found.find("program:a").repository == "theirs", "a newer version is not hidden"


def test_versions_stand_newest_first_and_pre_releases_last(tmp_path: Path) -> None:
    for version in ("1.9.0", "1.10.0", "2.0.0rc1", "1.2.0"):
        put(tmp_path / "r", "a", version, folder=f"a/{version}")
    found = index(tmp_path / "r")
    assert [c.version for c in found.versions("program", "a")] == ["1.10.0", "1.9.0", "1.2.0", "2.0.0rc1"]
    assert found.find("a").version == "1.10.0"
    assert found.find("a@<1.10").version == "1.9.0"
    assert found.find("program:a@~1.2").version == "1.2.0"
    assert found.find("a@2.0.0rc1").version == "2.0.0rc1"
    assert [c.version for c in found.of_kind("program")] == ["1.10.0"]


def test_a_version_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    put(tmp_path / "r", "a", "1.0.0", folder="1")
    put(tmp_path / "r", "a", "2.0.0", folder="2")
    with pytest.raises(
        NotFoundError, match=r"There is no program:a@3\.x; versions here are 2\.0\.0, 1\.0\.0\."
    ) as caught:
        index(tmp_path / "r").find("program:a@3.x")
    assert "cr versions program:a" in caught.value.hint


def test_a_name_of_several_kinds_needs_the_kind(tmp_path: Path) -> None:
    put(tmp_path / "r", "same")
    put(tmp_path / "r", "same", kind="dashboard", folder="board", x="a", y="b", metrics={}, columns=[])
    found = index(tmp_path / "r")
    with pytest.raises(UsageError, match="dashboard:same, program:same"):
        found.find("same")
    assert found.find("dashboard:same").kind == "dashboard"
    assert found.find("same", default_kind="program").kind == "program"


@pytest.mark.parametrize(
    ("asked", "kind", "near"),
    [
        ("demo-object-detecton", "solution", "solution:demo-object-detection"),
        ("model:shape-ssd", None, "model:shapes-ssd"),
        ("colored-shapes", None, "dataset:coloured-shapes"),
        ("program:coloured-shapes", None, "dataset:coloured-shapes"),
    ],
)
def test_an_unknown_name_gets_the_nearest(asked: str, kind: str | None, near: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        load_index([Repository("default", data_root(), "embedded")], None).find(asked, default_kind=kind)
    assert f"`{near}`" in caught.value.hint


def test_a_name_that_is_near_nothing_leads_to_search() -> None:
    with pytest.raises(NotFoundError, match="No component `qqqqqq` in any repository") as caught:
        Index(()).find("qqqqqq")
    assert "`cr search qqqqqq`" in caught.value.hint


def test_components_are_looked_for_in_the_standard_folders_where_there_are_some(tmp_path: Path) -> None:
    put(tmp_path / "plain", "a", folder="deep/er/a")
    assert [f.name for f in component_folders(tmp_path / "plain")] == ["a"]
    put(tmp_path / "standard", "a", folder="components/program/a")
    put(tmp_path / "standard", "b", folder="build/b")
    assert [f.name for f in component_folders(tmp_path / "standard")] == ["a"]


def test_hidden_deep_and_linked_folders_are_not_searched(tmp_path: Path) -> None:
    put(tmp_path / "r", "a")
    put(tmp_path / "r", "hidden", folder=".git/hidden")
    put(tmp_path / "r", "deep", folder="1/2/3/4/5/6/7")
    put(tmp_path / "elsewhere", "linked")
    (tmp_path / "r" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "r" / "loop").symlink_to(tmp_path / "r")
    assert names(index(tmp_path / "r")) == ["program:a@1.0.0"]


def test_a_folder_that_is_gone_is_an_empty_repository(tmp_path: Path) -> None:
    assert names(index(tmp_path / "gone")) == []


def searchable(tmp_path: Path) -> Index:
    root = tmp_path / "r"
    put(root, "ssd")
    put(root, "ssd-mobilenet")
    put(root, "tagged", tags=["ssd", "demo"])
    put(root, "told", summary="A program like SSD")
    put(root, "other")
    put(
        root,
        "recipe",
        kind="package",
        folder="recipe",
        provides={"capability": "lib.ssd", "versions": ["1"]},
        install={"using": "pip", "requirements": ["x"]},
    )
    (root / "recipe" / "cr.json").write_text(
        json.dumps({k: v for k, v in json.loads((root / "recipe" / "cr.json").read_text()).items() if k != "task"})
    )
    found = index(root)
    assert not found.broken
    return found


def test_search_puts_names_before_tags_before_capabilities_before_summaries(tmp_path: Path) -> None:
    assert [hit.name for hit in search(searchable(tmp_path).listed(), ["SSD"])] == [
        "ssd",
        "ssd-mobilenet",
        "tagged",
        "recipe",
        "told",
    ]


def test_a_row_says_what_the_newest_version_says_and_knows_what_others_have(tmp_path: Path) -> None:
    root = tmp_path / "r"
    put(root, "m", "1.0.0", folder="m/1", tags=["old", "both"], summary="The first")
    put(root, "m", "2.0.0", folder="m/2", tags=["new", "both"], summary="The second")
    put(root, "m", "3.0rc1", folder="m/3", tags=["next"], summary="A candidate")
    (row,) = index(root).rows()
    assert (row.versions, row.summary, row.tags) == (("2.0.0", "1.0.0", "3.0rc1"), "The second", ("new", "both"))
    assert set(row.all_tags) == {"old", "new", "both", "next"}
    cached = [index(root, cache=tmp_path / "cache").rows() for _ in range(2)]
    assert cached == [[row], [row]]


def test_what_has_tags_is_found_in_all_its_versions(tmp_path: Path) -> None:
    root = tmp_path / "r"
    put(root, "m", "1.0.0", folder="m/1", tags=["a"])
    put(root, "m", "2.0.0", folder="m/2", tags=["a", "b"])
    put(root, "n", "1.0.0", tags=["b"])
    found = index(root)

    def versions(*arguments: Any) -> list[str]:
        return [f"{c.name}@{c.version}" for c in found.tagged("program", *arguments)]

    assert versions(["a"]) == ["m@2.0.0", "m@1.0.0"]
    assert versions(["a"], ["b"]) == ["m@1.0.0"]
    assert versions(["b"]) == ["m@2.0.0", "n@1.0.0"]
    assert versions([]) == ["m@2.0.0", "m@1.0.0", "n@1.0.0"]
    assert versions(["none"]) == []


def test_providers_and_detectors_of_a_capability() -> None:
    found = load_index([Repository("default", data_root(), "embedded")], None)
    assert [c.name for c in found.providers("lib.onnxruntime")] == ["onnxruntime-wheel"]
    assert "python" in [c.name for c in found.detectors("compiler.python")]
    assert {"lib.onnxruntime", "compiler.python"} <= found.capabilities()
    assert found.providers("lib.nothing") == found.detectors("lib.nothing") == ()


def test_a_version_of_an_earlier_repository_wins_and_both_lists_are_joined(tmp_path: Path) -> None:
    put(tmp_path / "one", "m", "1.0.0", summary="Mine")
    put(tmp_path / "two", "m", "1.0.0", summary="Theirs")
    put(tmp_path / "two", "m", "2.0.0", summary="Newer")
    found = index(tmp_path / "one", tmp_path / "two", cache=tmp_path / "cache")
    assert [(c.version, c.repository) for c in found.versions("program", "m")] == [("2.0.0", "two"), ("1.0.0", "one")]
    (row,) = found.rows()
    assert (row.versions, row.summary) == (("2.0.0", "1.0.0"), "Newer")
    assert found.repositories_of("program:m") == ("one", "two")


def test_a_withdrawn_version_is_found_only_by_its_number(tmp_path: Path) -> None:
    put(tmp_path / "r", "m", "1.0.0", folder="m/1")
    put(tmp_path / "r", "m", "2.0.0", folder="m/2", yanked="wrong weights", summary="Withdrawn")
    found = index(tmp_path / "r")
    assert found.find("program:m").version == "1.0.0"
    assert found.find("program:m@>=1").version == "1.0.0"
    assert found.find("program:m@2.0.0").yanked == found.find("program:m@==2.0.0").yanked == "wrong weights"
    assert [c.version for c in found.of_kind("program")] == ["1.0.0"]
    assert [hit.reference for hit in search(found.listed(), ["m"])] == ["program:m@1.0.0"]
    assert search(found.listed(), ["withdrawn"]) == []
    with pytest.raises(NotFoundError, match="program:m@>1 was withdrawn: wrong weights") as caught:
        found.find("program:m@>1")
    assert "program:m@2.0.0" in caught.value.hint


def test_search_wants_every_word(tmp_path: Path) -> None:
    found = searchable(tmp_path)
    assert [hit.name for hit in search(found.listed(), ["ssd", "demo"])] == ["tagged"]
    assert search(found.listed(), ["ssd", "nothing"]) == []
    assert {hit.name for hit in search(found.listed(), ["object-detection"])} == {
        "ssd",
        "ssd-mobilenet",
        "tagged",
        "told",
        "other",
    }


def test_search_can_be_narrowed(tmp_path: Path) -> None:
    found = searchable(tmp_path)
    assert [hit.name for hit in search(found.listed(), ["ssd"], kind="package")] == ["recipe"]
    assert [hit.name for hit in search(found.listed(), [], tags=["demo"])] == ["tagged"]
    assert len(search(found.listed(), [])) == 6
