# SPDX-License-Identifier: Apache-2.0
"""Files to import: found below what the user named, read within limits, and errors that name file and line."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from codereef.disk import human
from codereef.errors import IntegrityError, MetadataError, NotFoundError
from codereef.meta.schemas import json_problem

#: A log of a run of ten minutes at a million queries is smaller.
LIMIT = 256_000_000
_HEAD = 4096


@dataclass(frozen=True)
class Source:
    """A file to import.

    Attributes:
        path: where it is.
        label: how the user is told of it, such as `results.tar.gz: open/lab/systems/board.json`.
        named: whether the user named the file itself, not a folder or archive above it.
    """

    path: Path
    label: str
    named: bool = False

    def head(self) -> bytes:
        """Return its first 4 KiB."""
        with self.path.open("rb") as stream:
            return stream.read(_HEAD)


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        source: the file.
        data: its bytes.
    """

    source: Source
    data: bytes

    def text(self) -> str:
        """Return it as text.

        Raises:
            MetadataError: it is not UTF-8; the line of the first wrong byte is named.
        """
        try:
            return self.data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise bad(self.source, "it is no UTF-8 text", line=self.data[: error.start].count(b"\n") + 1) from None

    def entry(self, name: str) -> dict[str, Any]:
        """Return what an external result says of the file; `name` is its path inside what it belongs to."""
        return {"name": name, "sha256": hashlib.sha256(self.data).hexdigest(), "size": len(self.data)}


def read(source: Source) -> Content:
    """Read a file whole.

    Raises:
        IntegrityError: it is larger than any result is.
        StorageError: it cannot be read (at the edge, from `OSError`).
    """
    with source.path.open("rb") as stream:
        data = stream.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise IntegrityError(
            f"{source.label} was not read: it is larger than {human(LIMIT)}.",
            hint="Results are smaller; import the file that holds the summary.",
            context={"file": source.label},
        )
    return Content(source, data)


def bad(source: Source, reason: str, *, line: int | None = None, hint: str = "") -> MetadataError:
    """Return the error for a file that is not what it should be."""
    where = f"{source.label}, line {line}" if line is not None else source.label
    context: dict[str, object] = {"file": source.label}
    if line is not None:
        context["line"] = line
    return MetadataError(
        f"{where}: {reason}.", hint=hint or "Other files are not affected; mend or leave out this one.", context=context
    )


def number(source: Source, text: str, what: str, line: int) -> float:
    """Return the finite number that `text` is.

    Raises:
        MetadataError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value != value or value in (float("inf"), float("-inf")):
        raise bad(source, f"{what} is {text[:40]!r}, which is no number", line=line)
    return value


def load_json(content: Content, *, infinities: bool = False) -> Any:
    """Return a JSON document.

    Args:
        content: the file.
        infinities: take `NaN`, `Infinity` and `-Infinity`, which some tools write, for null.

    Raises:
        MetadataError: it is no JSON; the line is named.
    """

    def constant(name: str) -> None:
        if not infinities:
            raise bad(content.source, f"{name} is not JSON")

    text = content.text()
    try:
        return json.loads(text, parse_constant=constant)
    except json.JSONDecodeError as error:
        said, hint = json_problem(error)
        raise bad(
            content.source, f"it is not JSON: {said} at column {error.colno}", line=error.lineno, hint=hint
        ) from None
    except (RecursionError, ValueError) as error:
        raise bad(content.source, f"it cannot be read as JSON: {error}") from None


def mapping(source: Source, value: Any, what: str) -> Mapping[str, Any]:
    """Return `value` where it is an object.

    Raises:
        MetadataError: it is none.
    """
    if not isinstance(value, dict):
        raise bad(source, f"{what} is no object")
    return value


def listing(source: Source, value: Any, what: str) -> Sequence[Any]:
    """Return `value` where it is a list.

    Raises:
        MetadataError: it is none.
    """
    if not isinstance(value, list):
        raise bad(source, f"{what} is no list")
    return value


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a JSON value is a finite number, which true and false are not."""
    # Whole numbers in JSON have no largest; those that no float holds are of no use as figures.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


@dataclass(frozen=True)
class Unit:
    """What becomes one import step: a file, or several that belong together.

    Attributes:
        format: name of the format.
        label: what it is, for people.
        sources: the files it takes.
        make: reads them and returns the external results; raises `CrError`.
    """

    format: str
    label: str
    sources: tuple[Source, ...]
    make: Callable[[], list[dict[str, Any]]] = field(repr=False)


def below(folder: Path, label: str) -> Iterator[Source]:
    """Yield every file below a folder, in the order of their names; links are not followed."""
    for base, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(base, name)
            if path.is_file() and not path.is_symlink():
                yield Source(path, f"{label}{path.relative_to(folder).as_posix()}")


def gather(paths: Iterable[Path]) -> list[Source]:
    """Return the files that the user named, and those below the folders that he named.

    Raises:
        NotFoundError: one is not there.
    """
    found: dict[Path, Source] = {}
    for path in paths:
        if path.is_dir():
            for source in below(path, f"{path}/"):
                found.setdefault(source.path.absolute(), source)
        elif path.is_file():
            found[path.absolute()] = Source(path, str(path), named=True)
        else:
            raise NotFoundError(
                f"There is no file and no folder {path}.", hint="Name a result file, a folder or an archive of them."
            )
    return list(found.values())
