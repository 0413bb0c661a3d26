# SPDX-License-Identifier: Apache-2.0
"""Keys and signatures: files that only their owner reads, other software's view of them, and rotation."""

from __future__ import annotations

import base64
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from codereef.canonical import canonical_json
from codereef.errors import IntegrityError, NotFoundError, UsageError
from codereef.trust.keys import find_key, keys, new_key, open_key
from codereef.trust.signatures import Signer, decode_public, key_id, rotation, short, successors, verify

DOCUMENT = {"format": "test/1", "b": [1, 2.5, None], "a": "ä"}


def none(name: str) -> str:
    raise AssertionError(f"the passphrase of {name} was asked for")


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    new_key(tmp_path / "keys", "me")
    return open_key(tmp_path / "keys", "me", none)


def test_the_private_part_of_a_key_is_for_its_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        key = new_key(tmp_path / "keys", "me")
    finally:
        os.umask(old)
    file = tmp_path / "keys" / "me.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert keys(tmp_path / "keys") == [key]
    public = (tmp_path / "keys" / "me.json").read_text()
    assert "PRIVATE" not in public
    file.chmod(0o640)
    with pytest.raises(UsageError, match="Others may read the private key"):
        open_key(tmp_path / "keys", "me", none)


def test_a_key_with_a_passphrase_opens_with_it_only(tmp_path: Path) -> None:
    made = new_key(tmp_path, "me", "correct horse")
    assert made.protected
    assert b"ENCRYPTED" in (tmp_path / "me.pem").read_bytes()
    assert open_key(tmp_path, "me", lambda name: "correct horse").id == made.id
    with pytest.raises(UsageError, match="passphrase is wrong") as caught:
        open_key(tmp_path, "me", lambda name: "wrong horse")
    assert "horse" not in str(caught.value.as_dict())


def test_names_of_keys(tmp_path: Path) -> None:
    new_key(tmp_path, "me")
    before = (tmp_path / "me.pem").read_bytes()
    with pytest.raises(UsageError, match="already"):
        new_key(tmp_path, "me")
    assert (tmp_path / "me.pem").read_bytes() == before
    for name in ("../me", "", "Me", "a/b", ".hidden"):
        with pytest.raises(UsageError, match="cannot be the name of a key"):
            new_key(tmp_path, name)
    with pytest.raises(NotFoundError, match="You have no key `you`") as caught:
        find_key(tmp_path, "you")
    assert "You have me" in caught.value.hint
    (tmp_path / "me.pem").unlink()
    with pytest.raises(NotFoundError, match="private part"):
        open_key(tmp_path, "me", none)


def test_a_file_that_holds_another_key_is_refused(tmp_path: Path) -> None:
    new_key(tmp_path, "me")
    new_key(tmp_path, "you")
    shutil.copy(tmp_path / "you.pem", tmp_path / "me.pem")
    with pytest.raises(Exception, match="is not the private part of the key"):
        open_key(tmp_path, "me", none)
    (tmp_path / "me.pem").write_bytes(b"nonsense")
    (tmp_path / "me.pem").chmod(0o600)
    with pytest.raises(UsageError, match="could not be opened"):
        open_key(tmp_path, "me", none)


def test_a_signature_holds_for_its_document_and_key_only(signer: Signer, tmp_path: Path) -> None:
    made = signer.sign(DOCUMENT)
    verify(dict(reversed(DOCUMENT.items())), made, signer.public, "it")
    with pytest.raises(IntegrityError, match="is wrong"):
        verify({**DOCUMENT, "a": "a"}, made, signer.public, "it")
    new_key(tmp_path / "keys", "other")
    other = open_key(tmp_path / "keys", "other", none)
    with pytest.raises(IntegrityError, match="is listed as"):
        verify(DOCUMENT, made, other.public, "it")
    with pytest.raises(IntegrityError, match="is wrong"):
        verify(DOCUMENT, {**made, "key": other.id}, other.public, "it")
    for damaged in ({}, {"key": signer.id}, {**made, "signature": "?"}, {**made, "signature": 3}):
        with pytest.raises(IntegrityError, match="cannot be read"):
            verify(DOCUMENT, damaged, signer.public, "it")
    with pytest.raises(IntegrityError, match="32 bytes"):
        verify(DOCUMENT, made, "AAAA", "it")


def test_openssl_agrees(signer: Signer, tmp_path: Path) -> None:
    """The key file and the signature are what other software makes of RFC 8032 and PKCS #8."""
    tool = shutil.which("openssl")
    if tool is None:
        if os.environ.get("CI") == "true":
            pytest.fail("openssl is not installed")
        pytest.skip("openssl is not installed")
    pem = tmp_path / "keys" / "me.pem"
    (tmp_path / "document").write_bytes(canonical_json(DOCUMENT))
    (tmp_path / "signature").write_bytes(base64.b64decode(signer.sign(DOCUMENT)["signature"]))
    subprocess.run([tool, "pkey", "-in", pem, "-pubout", "-out", tmp_path / "public"], check=True)
    command = [tool, "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "public", "-rawin"]
    command += ["-in", tmp_path / "document", "-sigfile", tmp_path / "signature"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rfc_8032_test_vector() -> None:
    """Section 7.1, test 2: public key, and the identity this client gives it."""
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    assert key_id(public).startswith("ed25519:")
    assert len(key_id(public)) == 8 + 64
    assert decode_public(base64.b64encode(public).decode(), key_id(public)) == public
    assert short(key_id(public)).endswith("…")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    assert Signer(Ed25519PrivateKey.from_private_bytes(secret)).id == key_id(public)


def test_a_chain_of_rotations_is_followed_and_a_revoked_key_names_nobody(tmp_path: Path) -> None:
    for name in ("one", "two", "three", "thief"):
        new_key(tmp_path, name)
    one, two, three, thief = (open_key(tmp_path, name, none) for name in ("one", "two", "three", "thief"))
    chain = [rotation(two, three, "later"), rotation(one, two, "now")]
    assert successors([one.id], chain, []) == {one.id, two.id, three.id}
    assert successors([two.id], chain, []) == {two.id, three.id}
    assert successors([one.id], chain, [two.id]) == {one.id}
    assert successors([one.id], chain, [one.id]) == set()
    assert successors([one.id], chain, [three.id]) == {one.id, two.id}
    stolen = rotation(thief, two, "now")
    forged = {"signed": {**stolen["signed"], "old": one.id, "old_public": one.public}, "signature": stolen["signature"]}
    with pytest.raises(IntegrityError, match="is not signed by it"):
        successors([one.id], [forged], [])
    forged["signature"] = {**stolen["signature"], "key": one.id}
    with pytest.raises(IntegrityError, match="is wrong"):
        successors([one.id], [forged], [])
    assert successors([three.id], [forged], []) == {three.id}, "what concerns no trusted key is not looked at"
    assert successors([one.id], [3, {}, {"signed": {}}], []) == {one.id}


def test_without_the_library_nothing_is_accepted_and_the_error_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from codereef.errors import IntegrityError\n"
        "from codereef.trust.signatures import verify\n"
        "try:\n    verify({}, {'key': 'k', 'signature': ''}, 'AAAA', 'the registry')\n"
        "except IntegrityError as error:\n    print(error.message, error.hint)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "signature of the registry cannot be checked" in said
    assert 'pip install "codereef[sign]"' in said
