# SPDX-License-Identifier: Apache-2.0
"""Uploading results. Uploads are idempotent; what cannot be sent now waits in a queue and is never lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from codereef.canonical import canonical_json
from codereef.disk import write_atomic
from codereef.errors import CrError, NetworkError, UsageError
from codereef.home import Home
from codereef.record.history import Result

TIMEOUT = 20.0


@dataclass(frozen=True)
class Sent:
    """What became of one result.

    Attributes:
        id: its identity.
        status: `new`, `known` (the portal had it), `queued` (the portal was away) or `refused`.
        address: page of the result, or "".
        reason: why it was queued or refused, or "".
    """

    id: str
    status: str
    address: str = ""
    reason: str = ""


def normal_address(portal: str) -> str:
    """Return a portal's address without a trailing slash and without credentials.

    Raises:
        UsageError: it is no http or https address.
    """
    parts = urlsplit(portal.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"`{portal}` is not the address of a portal.", hint="It begins with http:// or https://.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"


class Queue:
    """Results that wait for one portal: one file each, in a folder of that portal, until they are accepted."""

    def __init__(self, home: Home, portal: str) -> None:
        self.folder = home.queue / hashlib.sha256(normal_address(portal).encode()).hexdigest()[:16]

    def add(self, result: Result) -> None:
        """Keep a result for later."""
        write_atomic(self.folder / f"{result.id}.json", canonical_json(result.document), what="the queued result")

    def remove(self, identifier: str) -> None:
        """Take a result off the queue; it is no error when it is not there."""
        (self.folder / f"{identifier}.json").unlink(missing_ok=True)

    def waiting(self) -> list[Result]:
        """Return the results that wait, by identity."""
        if not self.folder.is_dir():
            return []
        return [Result(path.stem, json.loads(path.read_bytes())) for path in sorted(self.folder.glob("*.json"))]


def preview(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what would be sent, shortened for people: series of samples by their length."""
    shown = []
    for result in results:
        document = dict(result.document)
        document["samples"] = {
            name: f"{len(series['values'])} values in {series['unit']}" for name, series in document["samples"].items()
        }
        document["lock"] = f"{len(document['lock']['nodes'])} nodes"
        shown.append({"id": result.id, "bytes": len(canonical_json(result.document)), **document})
    return shown


def push(results: Sequence[Result], portal: str, queue: Queue, *, offline: bool = False) -> list[Sent]:
    """Upload results, and keep those in the queue that could not be sent.

    Each result is put into the queue before it is sent and taken out once the portal has it, so that a kill
    at any instant loses nothing.

    Args:
        results: what to send.
        portal: address of the portal.
        queue: where results wait.
        offline: send nothing.
    """
    for result in results:
        queue.add(result)
    sent: list[Sent] = []
    away: str | None = "offline" if offline else None
    for result in results:
        if away is None:
            try:
                answer = upload(result, portal)
            except NetworkError as error:
                away = error.message
            else:
                # What the portal refuses for its content would be refused for ever.
                queue.remove(result.id)
                sent.append(answer)
                continue
        sent.append(Sent(result.id, "queued", reason=away))
    return sent


def upload(result: Result, portal: str) -> Sent:
    """Send one result to a portal.

    Raises:
        NetworkError: the portal cannot be reached, or cannot take results now.
        CrError: something else than a portal answers.
    """
    import requests

    base = normal_address(portal)
    try:
        response = requests.post(
            f"{base}/api/v1/results",
            data=canonical_json(result.document),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            timeout=TIMEOUT,
            allow_redirects=False,
        )
    except requests.exceptions.RequestException as error:
        raise NetworkError(
            f"The portal at {base} could not be reached ({type(error).__name__}).",
            hint="The result waits in the queue; `cr push` sends it later.",
        ) from None
    page = f"{base}/r/{result.id}"
    if response.status_code in (200, 201):
        identifier = _field(response.text, "id")
        if identifier != result.id:
            raise CrError(
                f"The portal at {base} calls result {result.short} {identifier[:12]}: it is not a portal of this version.",
                hint="Check the address with `cr config get portal`.",
            )
        return Sent(result.id, "new" if response.status_code == 201 else "known", page)
    if response.status_code not in (400, 409, 413, 422):
        # Everything else is about the portal or the way to it, not about this result.
        raise NetworkError(f"The portal at {base} does not take results now (status {response.status_code}).")
    return Sent(result.id, "refused", reason=_field(response.text, "detail") or f"status {response.status_code}")


def _field(text: str, name: str) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        return ""
    return str(document.get(name, "")) if isinstance(document, Mapping) else ""
