# SPDX-License-Identifier: Apache-2.0
"""Whatever stands in the documents of a registry: they are read, or refused with an error for people."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from codereef.errors import CrError
from codereef.repo.registry import layout
from codereef.repo.registry import publish as library
from codereef.repo.registry.verify import check_release, check_root, first_keys
from codereef.trust.keys import open_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.repo.registries import make, put, signer

pytestmark = pytest.mark.slow

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
MANY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


class Documents:
    """The documents of a real registry with a rotation, a revoked key and a withdrawn version."""

    def __init__(self, place: Path) -> None:
        one, two = signer(place / "keys", "one"), signer(place / "keys", "two")
        put(place / "source", "a", tags=["t"])
        put(place / "source", "a", "2.0.0")
        make(place / "source", place / "r", one)
        library.edit(place / "r", [one, two], lambda shop: library.rotate(shop, one, two))
        library.edit(place / "r", [two], lambda shop: library.yank(shop, "program:a", "1.0.0", "bad"))
        library.edit(place / "r", [two], lambda shop: library.revoke(shop, one.id, "lost", two) and None)
        self.pinned = {one.id, two.id}
        self.root = json.loads((place / "r" / "registry.json").read_bytes())
        shop = library.Workshop(place / "r", [open_key(place / "keys", "two", lambda _: "")])
        self.good = shop.root
        self.page = layout.unpack(shop.object(shop.root.pages[0]), "page")
        self.shard = layout.unpack(shop.object(shop.rows["program:a"][1]), "shard")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    return Documents(tmp_path_factory.mktemp("fuzz"))


def changed(document: Any, data: st.DataObject) -> Any:
    """Return a copy of a document with one thing in it replaced, removed or added."""
    copied = copy.deepcopy(document)
    place = copied
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return copied
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.integers(0, 4)):
            place = place[key]
            continue
        how = data.draw(st.sampled_from(["replace", "remove", "rename"]))
        if how == "replace":
            place[key] = data.draw(ANYTHING)
        elif how == "remove" or isinstance(place, list):
            del place[key]
        else:
            place[data.draw(st.text(max_size=10))] = place.pop(key)
        return copied


@given(data=st.data())
@MANY
def test_a_root_with_anything_in_it(documents: Documents, data: st.DataObject) -> None:
    document = changed(documents.root, data)
    try:
        root = layout.read_root(json.dumps(document).encode(), "the root")
        first_keys(root, "the root", None)
        check_root(root, "the root", pinned=documents.pinned, before=documents.good, now="2026-01-01")
    except CrError as error:
        assert error.message
    else:
        assert document["signed"] == documents.root["signed"], "what is not signed so is never accepted"


@given(data=st.data())
@MANY
def test_a_page_with_anything_in_it(documents: Documents, data: st.DataObject) -> None:
    try:
        rows = layout.read_page(layout.pack(changed(documents.page, data)), "the page")
    except CrError as error:
        assert error.message
    else:
        for row, link in rows.values():
            assert row.newest in row.versions
            assert " ".join([row.summary, *row.tags, row.task, row.capability]).isprintable()
            assert len(link.sha256) == 64


@given(data=st.data())
@MANY
def test_a_shard_with_anything_in_it(documents: Documents, data: st.DataObject) -> None:
    known = {entry["meta"]["version"]: entry for entry in documents.shard["versions"]}
    try:
        releases = layout.read_shard(layout.pack(changed(documents.shard, data)), "program:a", "the shard")
    except CrError as error:
        assert error.message
        return
    for version, release in releases.items():
        try:
            check_release(documents.good, release, "the shard")
        except CrError as error:
            assert error.message
        else:
            assert release.meta == known[version]["meta"]
            assert release.archive.data() == known[version]["archive"]
