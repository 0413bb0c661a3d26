# SPDX-License-Identifier: Apache-2.0
"""The local history: one file a result, named by its identity, never changed after it was written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codereef.canonical import canonical_json
from codereef.disk import write_atomic
from codereef.errors import IntegrityError, MetadataError, NotFoundError, UsageError
from codereef.meta.schemas import check, parse_json

FORMAT = "codereef-result/1"
_FILE = re.compile(r"^[0-9a-f]{64}\.json$")


@dataclass(frozen=True)
class Result:
    """A result with its identity.

    Attributes:
        id: SHA-256 of the canonical JSON, in hexadecimal.
        document: the result.
    """

    id: str
    document: Mapping[str, Any]

    @property
    def short(self) -> str:
        """The first twelve digits, enough to name it in a command."""
        return self.id[:12]

    def metric(self, name: str) -> float | None:
        """Return a metric's value, or None where it was not measured."""
        value = self.document["metrics"].get(name, {}).get("value")
        return None if value is None else float(value)

    def interval(self, name: str) -> tuple[float, float] | None:
        """Return a metric's confidence interval, or None where it has none."""
        bounds = self.document["metrics"].get(name, {}).get("interval")
        return (float(bounds[0]), float(bounds[1])) if bounds else None


def result_id(document: Mapping[str, Any]) -> str:
    """Return the identity of a result."""
    return hashlib.sha256(canonical_json(document)).hexdigest()


class History:
    """The results of this machine, in a folder.

    What of it belongs to the kind of document stands in attributes, so that external results are kept alike.
    """

    SCHEMA = "result"
    FORMAT = FORMAT
    WHAT = "result"
    HINT = "`cr results` lists them; name one by at least four of its first digits, by `latest` or by a file."

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, document: Mapping[str, Any]) -> Result:
        """Check a result and keep it.

        Raises:
            MetadataError: it does not follow the schema.
            StorageError: it cannot be written.
        """
        check(document, self.SCHEMA, f"the {self.WHAT}")
        data = canonical_json(document)
        identifier = hashlib.sha256(data).hexdigest()
        path = self.folder / f"{identifier}.json"
        try:
            kept = path.read_bytes() == data
        except OSError:
            kept = False
        if not kept:
            write_atomic(path, data, what=f"the {self.WHAT}")
        return Result(identifier, document)

    def _paths(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if _FILE.match(path.name))
        except FileNotFoundError:
            return []

    def _read(self, path: Path) -> Result:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != path.stem:
            raise IntegrityError(
                f"The {self.WHAT} {path.stem[:12]} at {path} is damaged: its content is not what its name says.",
                hint="Move the file away; the other results are not affected.",
                context={"path": str(path)},
            )
        document = parse_json(data, path)
        if not isinstance(document, dict) or document.get("format") != self.FORMAT:
            raise MetadataError(
                f"{path} is no {self.WHAT} of the format {self.FORMAT}.",
                hint="Move the file away; a newer client may read it.",
                context={"path": str(path)},
            )
        return Result(path.stem, document)

    def all(self) -> Iterator[Result]:
        """Yield every sound result, oldest first; damaged files are left out (`damaged` lists them)."""
        found = []
        for path in self._paths():
            try:
                found.append(self._read(path))
            except (IntegrityError, MetadataError, OSError):
                continue
        yield from sorted(found, key=self.order)

    def order(self, result: Result) -> tuple[str, ...]:
        """Return what results are sorted by: when they were measured."""
        return (result.document["started_at"], result.document["ended_at"], result.id)

    def known(self, prefix: str) -> bool:
        """Tell whether the identity of one begins so."""
        return any(path.stem.startswith(prefix) for path in self._paths())

    def named(self, identities: Iterable[str]) -> dict[str, Result]:
        """Return results by their whole identities; what is not there, or damaged, is left out."""
        found = {}
        for identity in identities:
            try:
                found[identity] = self._read(self.folder / f"{identity}.json")
            except (IntegrityError, MetadataError, OSError):
                continue
        return found

    def damaged(self) -> list[Path]:
        """Return the files that are not what their names say, or no results."""
        bad = []
        for path in self._paths():
            try:
                self._read(path)
            except (IntegrityError, MetadataError, OSError):
                bad.append(path)
        return bad

    def find(self, text: str) -> Result:
        """Return the result a user named: the beginning of its identity, `latest`, or a file.

        Raises:
            NotFoundError: there is none.
            UsageError: several begin so.
        """
        if text == "latest":
            newest = list(self.all())
            if not newest:
                raise NotFoundError("There is no result yet.", hint="`cr benchmark SOLUTION` makes one.")
            return newest[-1]
        if text.endswith(".json") and Path(text).is_file():
            return load_result_file(Path(text))
        prefix = text.lower()
        matching = (
            [path for path in self._paths() if path.stem.startswith(prefix)]
            if re.fullmatch(r"[0-9a-f]{4,64}", prefix)
            else []
        )
        if not matching:
            raise NotFoundError(
                f"There is no {self.WHAT} `{text}` here.",
                hint=self.HINT,
                context={"result": text},
            )
        if len(matching) > 1:
            raise UsageError(
                f"`{text}` is the beginning of {len(matching)} results: {', '.join(p.stem[:16] for p in matching[:5])}.",
                hint="Give more digits.",
            )
        return self._read(matching[0])


def load_result_file(path: Path) -> Result:
    """Read a result somebody sent: the document, or what `cr show RESULT --json` printed, with its identity.

    Raises:
        MetadataError: it is no result.
        IntegrityError: its content is not what its identity says.
    """
    document = parse_json(path.read_bytes(), path)
    said = document.pop("id", None) if isinstance(document, dict) else None
    check(document, "result", path)
    result = Result(result_id(document), document)
    if said is not None and said != result.id:
        raise IntegrityError(
            f"{path.name} says that it is result {str(said)[:12]}, and its content is {result.short}.",
            hint="It was changed after it was measured; ask for it again.",
        )
    return result
