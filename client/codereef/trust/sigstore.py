# SPDX-License-Identifier: Apache-2.0
"""Sigstore bundles: an archive was signed by somebody with an identity, and a public log has seen it.

The library `sigstore` does the work (`codereef[sigstore]`). It trusts the public instance, whose roots it ships
and refreshes; `CR_SIGSTORE_ROOT` names the file of another instance's roots.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codereef.errors import IntegrityError

TRUSTED_ROOT = "CR_SIGSTORE_ROOT"


def verify_bundle(archive: bytes, bundle: bytes, identities: Sequence[tuple[str, str]], what: str) -> None:
    """Raise unless a bundle shows that one of the identities signed an archive, as a transparency log has recorded.

    Args:
        archive: the bytes that were signed.
        bundle: the bundle, as JSON.
        identities: (identity, issuer) of those who may have signed.
        what: what is signed, for the message.

    Raises:
        IntegrityError: it does not, or the library is missing.
    """
    try:
        from sigstore.models import Bundle
        from sigstore.verify import policy
    except ImportError:
        raise IntegrityError(
            f"The sigstore bundle beside {what} cannot be checked: the Python package `sigstore` is not installed.",
            hint='`pip install "codereef[sigstore]"` into the environment of cr installs it.',
        ) from None
    expected = " or ".join(f"{identity} ({issuer})" for identity, issuer in identities)
    try:
        proof = Bundle.from_json(bundle)
        wanted = policy.AnyOf([policy.Identity(identity=identity, issuer=issuer) for identity, issuer in identities])
        _verifier().verify_artifact(archive, proof, wanted)
    except IntegrityError:
        raise
    except Exception as error:  # the library raises errors of its own, of pydantic and of cryptography
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:300]
        raise IntegrityError(
            f"The sigstore bundle beside {what} does not show that {expected} signed it: {reason}",
            hint="Do not use it. Tell those who publish it.",
            context={"identities": [list(entry) for entry in identities]},
        ) from None


def _verifier() -> Any:
    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier

    own = os.environ.get(TRUSTED_ROOT)
    if own:
        if not Path(own).is_file():
            raise IntegrityError(
                f"{TRUSTED_ROOT} names {own}, which is no file.", hint="Name the file of the instance's trusted root."
            )
        return Verifier(trusted_root=TrustedRoot.from_file(own))
    try:
        return Verifier.production()
    except Exception:
        # Without network, the roots that were fetched last, or those the library ships.
        return Verifier.production(offline=True)
