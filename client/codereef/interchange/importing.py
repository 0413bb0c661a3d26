# SPDX-License-Identifier: Apache-2.0
"""Importing: which of the files are results of which tool, and keeping what was read.

A file that cannot be read costs its own results and no others. Whatever is read is checked against the schema
before it is kept, and what is there already is not written again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codereef.archive import unpack
from codereef.errors import CrError, IntegrityError, MetadataError, UsageError
from codereef.interchange import asv, ck, google_benchmark, hyperfine, mlperf, mlperf_tiny
from codereef.interchange.external import ExternalResults
from codereef.interchange.source import Source, Unit, below, gather
from codereef.meta.schemas import check
from codereef.record.history import Result, result_id

#: Format -> its module, in the order in which files are offered to them.
FORMATS = {module.NAME: module for module in (mlperf, mlperf_tiny, hyperfine, google_benchmark, asv, ck)}
_ARCHIVES = (b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"PK\x03\x04")
_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".zip")
_LIMIT_BYTES = 4_000_000_000
_LIMIT_ENTRIES = 100_000


@dataclass(frozen=True)
class Failure:
    """A file that was not read.

    Attributes:
        label: the file or what it is part of.
        error: why.
    """

    label: str
    error: CrError


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        added: external results that were not there before.
        present: those that were there already.
        failures: what could not be read.
        beside: files that belong to results of a known format and are not read, such as logs of accuracy runs.
        unknown: files of no known format.
    """

    added: tuple[Result, ...]
    present: tuple[Result, ...]
    failures: tuple[Failure, ...]
    beside: tuple[str, ...]
    unknown: tuple[str, ...]


def import_results(
    paths: Iterable[Path],
    results: ExternalResults,
    *,
    format_: str = "auto",
    dry_run: bool = False,
    on_step: Callable[[int, int, str], None] = lambda done, total, label: None,
) -> Imported:
    """Read results of other tools from files, folders and archives, and keep them.

    Args:
        paths: files, folders and archives (tar, plain or compressed, and zip).
        results: where they are kept.
        format_: name of the one format to look for, or `auto`.
        dry_run: read and check, and keep nothing.
        on_step: is told how many of how many steps are done, and what comes next.

    Raises:
        NotFoundError: a path is not there.
        MetadataError: a file that the user named is of no known format, or not of `format_`.
        UsageError: there is no such format.
        StorageError: an external result cannot be written.
    """
    if format_ != "auto" and format_ not in FORMATS:
        raise UsageError(f"There is no format {format_}.", hint=f"There are {', '.join(FORMATS)}.")
    failures: list[Failure] = []
    with ExitStack() as stack:
        sources = list(_opened(gather(paths), stack, failures))
        units, left = _units(sources, [FORMATS[format_]] if format_ != "auto" else list(FORMATS.values()))
        named = [source for source in left if source.named]
        if named:
            raise MetadataError(
                f"{named[0].label} is no result of "
                + (f"the format {format_}." if format_ != "auto" else f"a known format ({', '.join(FORMATS)})."),
                hint="Name the file that the tool wrote, or the folder that holds it.",
                context={"file": named[0].label},
            )
        added: dict[str, Result] = {}
        present: dict[str, Result] = {}
        for done, unit in enumerate(units):
            on_step(done, len(units), unit.label)
            try:
                read = _read(unit)
            except CrError as error:
                failures.append(Failure(unit.label, error))
                continue
            for result in read:
                _keep(result, results, dry_run, added, present)
        on_step(len(units), len(units), "")
    beside, unknown = _sorted(left)
    return Imported(tuple(added.values()), tuple(present.values()), tuple(failures), beside, unknown)


def _read(unit: Unit) -> list[Result]:
    """Read one unit and check what came of it.

    Raises:
        MetadataError: a file is not what it should be, or what it says can be no external result.
    """
    try:
        documents = unit.make()
        for document in documents:
            check(document, ExternalResults.SCHEMA, unit.label)
        return [Result(result_id(document), document) for document in documents]
    except (ValueError, OverflowError, RecursionError) as error:
        # Half of a surrogate pair, which has no UTF-8 form, or data nested deeper than Python goes.
        raise MetadataError(
            f"{unit.label} holds what cannot be kept: {error}.",
            hint="Other files are not affected; mend or leave out this one.",
            context={"file": unit.label},
        ) from None


def _keep(
    result: Result, results: ExternalResults, dry_run: bool, added: dict[str, Result], present: dict[str, Result]
) -> None:
    if result.id in added or result.id in present:
        return
    if (results.folder / f"{result.id}.json").is_file():
        present[result.id] = result
    else:
        added[result.id] = result if dry_run else results.add(result.document)


def _opened(sources: Sequence[Source], stack: ExitStack, failures: list[Failure]) -> Iterator[Source]:
    """Yield the files, with those inside archives in place of the archives."""
    for source in sources:
        if not source.path.name.lower().endswith(_SUFFIXES) and not (
            source.named and source.head().startswith(_ARCHIVES)
        ):
            yield source
            continue
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="codereef-import-")))
        try:
            unpack(source.path, folder, limit_bytes=_LIMIT_BYTES, limit_entries=_LIMIT_ENTRIES)
        except CrError as error:
            if isinstance(error, IntegrityError):
                # Its hint is for archives of components.
                error.hint = "Fetch or pack it again and import it then; files that you unpack of it are read too."
            failures.append(Failure(source.label, error))
            continue
        yield from below(folder, f"{source.label}: ")


def _units(sources: Sequence[Source], formats: Sequence[Any]) -> tuple[list[Unit], list[Source]]:
    """Return what is to be read, and the files that nothing of it takes."""
    left = list(sources)
    units: list[Unit] = []
    for module in formats:
        found = list(module.find(left))
        taken = {source.path for unit in found for source in unit.sources}
        units += found
        left = [source for source in left if source.path not in taken]
    return units, left


def _sorted(left: Sequence[Source]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    beside: list[str] = []
    unknown: list[str] = []
    for source in left:
        known = any(module.belongs(source) for module in (mlperf, asv, ck))
        (beside if known else unknown).append(source.label)
    return tuple(beside), tuple(unknown)
