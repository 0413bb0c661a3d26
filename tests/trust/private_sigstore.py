# SPDX-License-Identifier: Apache-2.0
"""A sigstore instance of our own: a certificate authority, a certificate log and a transparency log, with real keys.

It does what the public one does without its login: who signs is what the caller says. The formats are those of
RFC 5280, RFC 6962 and of the published descriptions of bundles, trusted roots and log entries.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ISSUER_OID = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
SCT_LIST_OID = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
SHA256 = ec.ECDSA(hashes.SHA256())


def _der(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Instance:
    """A private instance."""

    def __init__(self) -> None:
        self._ca_key = ec.generate_private_key(ec.SECP256R1())
        self._ct_key = ec.generate_private_key(ec.SECP256R1())
        self._log_key = ec.generate_private_key(ec.SECP256R1())
        self.now = datetime.now(timezone.utc).replace(microsecond=0)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "private instance")])
        public = self._ca_key.public_key()
        self._ca = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(days=1))
            .not_valid_after(self.now + timedelta(days=365))
            .add_extension(x509.BasicConstraints(True, 1), True)
            .add_extension(_usage(certificates=True), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
            .sign(self._ca_key, hashes.SHA256())
        )

    def trusted_root(self, path: Path) -> Path:
        """Write the instance's trusted root."""
        start = {"start": (self.now - timedelta(days=1)).isoformat().replace("+00:00", "Z")}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            public = _der(key.public_key())
            return {
                "baseUrl": "https://log.example.org",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": _b64(public),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": start,
                },
                "logId": {"keyId": _b64(hashlib.sha256(public).digest())},
            }

        authority = {
            "subject": {"organization": "example.org", "commonName": "private instance"},
            "uri": "https://ca.example.org",
            "certChain": {"certificates": [{"rawBytes": _b64(self._ca.public_bytes(serialization.Encoding.DER))}]},
            "validFor": start,
        }
        document = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self._log_key)],
            "certificateAuthorities": [authority],
            "ctlogs": [log(self._ct_key)],
            "timestampAuthorities": [],
        }
        path.write_text(json.dumps(document))
        return path

    def _certificate(self, key: ec.EllipticCurvePrivateKey, identity: str, issuer: str) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(minutes=1))
            .not_valid_after(self.now + timedelta(minutes=9))
            .add_extension(_usage(), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca_key.public_key()), False)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(identity)]), True)
            .add_extension(x509.UnrecognizedExtension(ISSUER_OID, issuer.encode()), False)
        )
        # RFC 6962, section 3.2: the log signs the certificate as it is without the list that holds its signature.
        entry = builder.sign(self._ca_key, hashes.SHA256()).tbs_certificate_bytes
        stamp = int(self.now.timestamp() * 1000)
        authority = hashlib.sha256(_der(self._ca_key.public_key())).digest()
        signed = struct.pack("!BBQH", 0, 0, stamp, 1) + authority + len(entry).to_bytes(3, "big") + entry + b"\0\0"
        signature = self._ct_key.sign(signed, SHA256)
        log_id = hashlib.sha256(_der(self._ct_key.public_key())).digest()
        sct = b"\0" + log_id + struct.pack("!QH", stamp, 0) + b"\4\3" + len(signature).to_bytes(2, "big") + signature
        listed = len(sct).to_bytes(2, "big") + sct
        listed = len(listed).to_bytes(2, "big") + listed
        length = bytes([len(listed)]) if len(listed) < 128 else bytes([0x81, len(listed)])
        octets = b"\4" + length + listed
        return builder.add_extension(x509.UnrecognizedExtension(SCT_LIST_OID, octets), False).sign(
            self._ca_key, hashes.SHA256()
        )

    def sign(self, data: bytes, identity: str, issuer: str) -> dict[str, Any]:
        """Return the bundle of somebody's signature of `data`, recorded in the log."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(key, identity, issuer)
        signature = key.sign(data, SHA256)
        digest = hashlib.sha256(data)
        body = json.dumps(
            {
                "apiVersion": "0.0.1",
                "kind": "hashedrekord",
                "spec": {
                    "data": {"hash": {"algorithm": "sha256", "value": digest.hexdigest()}},
                    "signature": {
                        "content": _b64(signature),
                        "publicKey": {"content": _b64(certificate.public_bytes(serialization.Encoding.PEM))},
                    },
                },
            },
            sort_keys=True,
            separators=(",", ":"),
        ).encode()
        log_id = hashlib.sha256(_der(self._log_key.public_key())).digest()
        root = hashlib.sha256(b"\0" + body).digest()  # a tree with one leaf (RFC 6962, section 2.1)
        time = int(self.now.timestamp())
        promise = {"body": _b64(body), "integratedTime": time, "logID": log_id.hex(), "logIndex": 0}
        promised = json.dumps(promise, sort_keys=True, separators=(",", ":")).encode()
        note = f"log.example.org - 1\n1\n{_b64(root)}\n"
        checkpoint = _b64(log_id[:4] + self._log_key.sign(note.encode(), SHA256))
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": _b64(certificate.public_bytes(serialization.Encoding.DER))},
                "tlogEntries": [
                    {
                        "logIndex": "0",
                        "logId": {"keyId": _b64(log_id)},
                        "kindVersion": {"kind": "hashedrekord", "version": "0.0.1"},
                        "integratedTime": str(time),
                        "inclusionPromise": {"signedEntryTimestamp": _b64(self._log_key.sign(promised, SHA256))},
                        "inclusionProof": {
                            "logIndex": "0",
                            "rootHash": _b64(root),
                            "treeSize": "1",
                            "hashes": [],
                            "checkpoint": {"envelope": f"{note}\n— log.example.org {checkpoint}\n"},
                        },
                        "canonicalizedBody": _b64(body),
                    }
                ],
            },
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": _b64(digest.digest())},
                "signature": _b64(signature),
            },
        }


def _usage(*, certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(not certificates, False, False, False, False, certificates, certificates, False, False)
