# SPDX-License-Identifier: Apache-2.0
"""Data that users bring: found by what they said, checked as the component demands, never taken on trust."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from codereef.errors import NeedsYouError
from codereef.install.manual import Brought, examine, place_of
from codereef.meta.component import Component, read_meta

ROOT = Path(__file__).resolve().parents[2]
IMAGENET = ROOT / "components/dataset/imagenet-2012-val"


def component(*expect: Mapping[str, Any]) -> Component:
    meta = {
        "kind": "dataset",
        "name": "mine",
        "version": "1.0.0",
        "install": {
            "using": "manual",
            "instructions": "Ask the zoo for its pictures of cats.",
            "env": "CATS",
            "expect": list(expect),
        },
    }
    return Component(meta, Path("/nowhere"), "sha256:" + "0" * 64, "default")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        place = tmp_path / "data" / f"class{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"image{number}.jpg").write_bytes(bytes([number]) * (number + 1))
    (tmp_path / "data" / "readme.txt").write_text("not meant")
    return tmp_path / "data"


def names(folder: Path) -> str:
    found = sorted(path.name for path in folder.glob("*/*.jpg"))
    return "sha256:" + hashlib.sha256("".join(f"{name}\n" for name in found).encode()).hexdigest()


def content(folder: Path) -> str:
    lines = sorted(
        (p.relative_to(folder).as_posix(), hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_size)
        for p in folder.glob("*/*.jpg")
    )
    return "sha256:" + hashlib.sha256("".join(f"{d} {s} {n}\n" for n, d, s in lines).encode()).hexdigest()


def look(folder: Path, cache: Path | None = None, **expected: Any) -> Brought:
    return examine(component({"glob": "class*/*.jpg", "count": 6, **expected}), {}, (folder, "--data"), cache)


def test_a_folder_as_expected_is_taken_where_it_lies(folder: Path) -> None:
    found = look(folder, folders=3, names=names(folder))
    assert (found.folder, found.files, found.size, found.checked) == (folder, 6, 21, "names and sizes")
    assert found.facts() == {"files": 6, "bytes": 21, "checked": "names and sizes"}
    assert str(folder) not in json.dumps(found.facts()) + found.digest


def test_what_the_lock_keeps_changes_when_a_name_or_a_size_does(folder: Path) -> None:
    before = look(folder).digest
    (folder / "readme.txt").write_text("still not meant")
    assert look(folder).digest == before
    (folder / "class0" / "image0.jpg").write_bytes(b"longer than before")
    assert look(folder).digest != before


def test_the_content_is_checked_where_its_digest_is_known(folder: Path) -> None:
    digest = content(folder)
    found = look(folder, digest=digest)
    assert found.checked == "content"
    (folder / "class1" / "image4.jpg").write_bytes(b"\0" * 5)  # as long as before
    assert look(folder).digest == look(folder, names=names(folder)).digest
    with pytest.raises(NeedsYouError, match="their digest is"):
        look(folder, digest=digest)


def test_a_digest_is_computed_once_and_again_after_a_change(folder: Path, tmp_path: Path) -> None:
    digest = content(folder)
    cache = tmp_path / "cache"
    look(folder, cache, digest=digest)
    (kept,) = cache.iterdir()
    # That it is the kept one that answers shows when the kept one lies.
    known = json.loads(kept.read_text())
    kept.write_text(json.dumps({**known, "digest": "sha256:" + "1" * 64}))
    with pytest.raises(NeedsYouError, match="11111"):
        look(folder, cache, digest=digest)
    kept.write_text("broken")
    assert look(folder, cache, digest=digest).checked == "content"
    (folder / "class1" / "image4.jpg").write_bytes(b"\0" * 5)
    with pytest.raises(NeedsYouError, match="their digest is"):
        look(folder, cache, digest=digest)


def _lose(folder: Path) -> None:
    (folder / "class0" / "image0.jpg").unlink()


def _add(folder: Path) -> None:
    (folder / "class0" / "more.jpg").write_bytes(b"x")


def _empty(folder: Path) -> None:
    (folder / "class0" / "image0.jpg").write_bytes(b"")


def _rename(folder: Path) -> None:
    (folder / "class0" / "image0.jpg").rename(folder / "class0" / "other.jpg")


def _flatten(folder: Path) -> None:
    for path in list(folder.glob("class2/*.jpg")):
        path.rename(folder / "class0" / path.name)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_lose, "5 files are there; 6 were expected"),
        (_add, "7 files are there; 6 were expected"),
        (_empty, "1 of them are empty, such as class0/image0.jpg"),
        (_rename, "as many as expected, but with other names"),
        (_flatten, "they lie in 2 folders; 3 were expected"),
    ],
)
def test_what_is_wrong_is_said_with_the_instructions(folder: Path, harm: Any, said: str) -> None:
    expected = {"folders": 3, "names": names(folder)}
    harm(folder)
    with pytest.raises(NeedsYouError, match=said) as caught:
        look(folder, **expected)
    assert "Ask the zoo" in caught.value.message and "CATS=FOLDER" in caught.value.message
    assert caught.value.exit_code == 12
    assert caught.value.context["env"] == "CATS"


def test_no_folder_and_a_wrong_folder_give_the_instructions_too(tmp_path: Path) -> None:
    for place in (None, (tmp_path / "absent", "the variable CATS")):
        with pytest.raises(NeedsYouError, match="Ask the zoo"):
            examine(component({"glob": "*", "count": 1}), {}, place, None)


def test_a_pattern_stays_within_its_folder_and_its_depth(folder: Path) -> None:
    (folder / "class0" / "deeper").mkdir()
    (folder / "class0" / "deeper" / "image9.jpg").write_bytes(b"x")
    assert look(folder).files == 6


def test_an_option_wins_over_the_environment_and_that_over_the_setting(tmp_path: Path) -> None:
    mine = component({"glob": "*", "count": 1})
    given, environ, kept = {"mine": "/a"}, {"CATS": "/b"}, {"mine": "/c"}
    assert place_of(mine, given, environ, kept) == (Path("/a"), "--data")
    assert place_of(mine, {}, environ, kept) == (Path("/b"), "the variable CATS")
    assert place_of(mine, {}, {"CATS": ""}, kept) == (Path("/c"), "the setting `data`")
    assert place_of(mine, {"other": "/a"}, {}, {}) is None


def test_imagenet_is_never_fetched_and_its_names_are_those_of_the_challenge(tmp_path: Path) -> None:
    meta = read_meta(IMAGENET / "cr.json")
    assert "files" not in meta and meta["install"]["using"] == "manual"
    (expected,) = meta["install"]["expect"]
    listed = "".join(f"ILSVRC2012_val_{number:08d}.JPEG\n" for number in range(1, 50001))
    assert expected["names"] == "sha256:" + hashlib.sha256(listed.encode()).hexdigest()
    assert (expected["count"], expected["folders"]) == (50000, 1000)
