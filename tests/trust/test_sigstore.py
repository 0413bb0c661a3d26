# SPDX-License-Identifier: Apache-2.0
"""Sigstore bundles beside archives, against an instance of our own: no login and no public log can be reached here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from codereef.errors import IntegrityError
from codereef.home import Home
from codereef.repo.registry import publish as library
from codereef.repo.sources import add
from codereef.trust.sigstore import TRUSTED_ROOT, verify_bundle

from tests.repo.registries import index_of, put, signer

try:
    import sigstore  # noqa: F401
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    pytest.skip("sigstore is not installed", allow_module_level=True)

from tests.trust.private_sigstore import Instance

pytestmark = pytest.mark.slow  # the library alone takes a second to import

WHO = ("alice@example.org", "https://login.example.org")
ARCHIVE = b"the bytes of an archive"


@pytest.fixture(scope="module")
def instance() -> Instance:
    return Instance()


@pytest.fixture(autouse=True)
def trusted(instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUSTED_ROOT, str(instance.trusted_root(tmp_path / "trusted_root.json")))


def test_a_bundle_of_the_expected_identity_is_accepted(instance: Instance) -> None:
    bundle = json.dumps(instance.sign(ARCHIVE, *WHO)).encode()
    verify_bundle(ARCHIVE, bundle, [WHO], "x")
    verify_bundle(ARCHIVE, bundle, [("bob@example.org", WHO[1]), WHO], "x")


@pytest.mark.parametrize(
    "identity", [("bob@example.org", WHO[1]), (WHO[0], "https://other.example.org"), ("", ""), ("alice", WHO[1])]
)
def test_a_bundle_of_somebody_else_is_refused(instance: Instance, identity: tuple[str, str]) -> None:
    bundle = json.dumps(instance.sign(ARCHIVE, *WHO)).encode()
    with pytest.raises(IntegrityError, match="does not show that"):
        verify_bundle(ARCHIVE, bundle, [identity], "x")


def test_a_bundle_of_other_bytes_or_of_another_instance_is_refused(instance: Instance) -> None:
    bundle = json.dumps(instance.sign(ARCHIVE, *WHO)).encode()
    with pytest.raises(IntegrityError, match="does not show that alice@example.org"):
        verify_bundle(ARCHIVE + b"!", bundle, [WHO], "x")
    foreign = json.dumps(Instance().sign(ARCHIVE, *WHO)).encode()
    with pytest.raises(IntegrityError, match="does not show that"):
        verify_bundle(ARCHIVE, foreign, [WHO], "x")


def flip(text: str) -> str:
    return ("A" if text[10] != "A" else "B").join((text[:10], text[11:]))


@pytest.mark.parametrize("part", ["signature", "promise", "body", "checkpoint", "root", "none", "nonsense"])
def test_a_bundle_of_which_a_part_was_changed_is_refused(instance: Instance, part: str) -> None:
    document: dict[str, Any] = instance.sign(ARCHIVE, *WHO)
    entry = document["verificationMaterial"]["tlogEntries"][0]
    proof = entry["inclusionProof"]
    if part == "signature":
        document["messageSignature"]["signature"] = flip(document["messageSignature"]["signature"])
    elif part == "promise":
        promise = entry["inclusionPromise"]
        promise["signedEntryTimestamp"] = flip(promise["signedEntryTimestamp"])
    elif part == "body":
        entry["canonicalizedBody"] = flip(entry["canonicalizedBody"])
    elif part == "checkpoint":
        proof["checkpoint"]["envelope"] = proof["checkpoint"]["envelope"].replace("example.org - 1", "example.org - 2")
    elif part == "root":
        proof["rootHash"] = flip(proof["rootHash"])
    elif part == "none":
        document["verificationMaterial"]["tlogEntries"] = []
    data = b"nonsense" if part == "nonsense" else json.dumps(document).encode()
    with pytest.raises(IntegrityError, match="does not show that"):
        verify_bundle(ARCHIVE, data, [WHO], "x")


@pytest.mark.parametrize("signed_by", [WHO, ("mallory@example.org", WHO[1])])
def test_the_bundle_beside_an_archive_is_checked_when_it_is_fetched(
    instance: Instance, tmp_path: Path, signed_by: tuple[str, str]
) -> None:
    alice = signer(tmp_path / "keys", "alice")
    put(tmp_path / "source", "a")
    library.create(tmp_path / "registry", "team", alice, "alice")

    def admit(shop: library.Workshop) -> None:
        shop.root = library.with_publisher(shop.root, "alice", {}, [WHO])

    library.edit(tmp_path / "registry", [alice], admit)
    library.publish(
        tmp_path / "source",
        tmp_path / "registry",
        signer=alice,
        publisher="alice",
        bundle=lambda archive, reference: json.dumps(instance.sign(archive, *signed_by)).encode(),
    )
    home = Home(tmp_path / "home")
    add(home, str(tmp_path / "registry"), name="team")
    component = index_of(home).find("program:a")
    assert component.published is not None
    assert component.published.identity == "alice@example.org by https://login.example.org"
    if signed_by == WHO:
        assert (component.root / "main.py").is_file()
    else:
        with pytest.raises(IntegrityError, match="does not show that alice@example.org"):
            _ = component.root
        assert not list((home.repos / "team" / "components").glob("*.signature"))


def test_without_the_library_a_bundle_is_refused() -> None:
    script = (
        "import sys; sys.modules['sigstore.models'] = None\n"
        "from codereef.errors import IntegrityError\n"
        "from codereef.trust.sigstore import verify_bundle\n"
        "try:\n    verify_bundle(b'', b'{}', [('a', 'b')], 'x')\n"
        "except IntegrityError as error:\n    print(error.message, error.hint)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "cannot be checked" in said
    assert 'pip install "codereef[sigstore]"' in said
