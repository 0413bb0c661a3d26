# SPDX-License-Identifier: Apache-2.0
"""`cr export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.commands.shared import (
    FILE,
    complete_component,
    directory_option,
    read_variants,
    session,
    variant_option,
)
from codereef.cli.edge import note, shared_options

if TYPE_CHECKING:
    from codereef.record.history import Result

#: Formats of results that are one text, formats of results that are a folder, and formats of a lock.
_TEXTS = ("csv", "json", "phoronix", "phoronix-xml")
_FOLDERS = ("mlperf", "mlflow", "parquet")
_LOCKS = ("sbom", "requirements", "conda", "dockerfile")
_SUBMITTER = "unofficial"


@click.command(
    epilog="\b\nExamples:\n  cr export --csv > results.csv\n  cr export demo-object-detection --json --output results.json\n"
    "  cr export demo-object-detection --format mlperf --output unofficial-results\n"
    "  cr export --format mlflow --output mlruns\n"
    "  cr export demo-object-detection --format sbom --output demo.cdx.json\n"
    "  cr export demo-object-detection --format requirements --target linux-aarch64-gnu"
)
@click.argument("solution", required=False, shell_complete=complete_component("solution"))
@click.option(
    "--format",
    "format_",
    type=click.Choice([*_TEXTS, *_FOLDERS, *_LOCKS]),
    help="Of results: csv, json, phoronix (JSON of the Phoronix Test Suite), phoronix-xml (its result file), and as a "
    "folder mlperf (layout of a submission, unofficial), mlflow (a store of runs) and parquet. Of the lock of "
    "SOLUTION: sbom (CycloneDX), requirements, conda and dockerfile.",
)
@click.option("--csv", "as_csv", is_flag=True, help="The same as --format csv: one line a result.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write to a file instead of standard output; the folder to write to where the format is one.",
)
@click.option(
    "--submitter", metavar="NAME", help=f"Of mlperf: name of the submitter's folder; {_SUBMITTER} by default."
)
@click.option("--division", type=click.Choice(["open", "closed"]), help="Of mlperf: the division; open by default.")
@click.option("--target", metavar="TRIPLE", help="Which target's graph of the lock; this machine's by default.")
@variant_option
@directory_option
@shared_options
def export(
    solution: str | None,
    format_: str | None,
    as_csv: bool,
    output: Path | None,
    submitter: str | None,
    division: str | None,
    target: str | None,
    variants: tuple[str, ...],
    all_variants: bool,
    directory: Path,
    as_json: bool,
) -> None:
    """Write results, or the lock of SOLUTION, in the formats of other tools.

    Of results, json has whole documents with samples, csv one line a result.
    """
    from codereef.errors import UsageError

    kind = _chosen(format_, as_csv, as_json)
    of_lock = kind in _LOCKS
    if not of_lock and (target or variants or all_variants):
        raise UsageError(f"--target and --variant choose from a lock, and {kind} is written from results.")
    if kind != "mlperf" and (submitter or division):
        raise UsageError(f"--submitter and --division are of --format mlperf, and {kind} is asked for.")
    if of_lock and solution is None:
        raise UsageError(
            f"--format {kind} is written from a lock: name the SOLUTION.", hint=f"cr export SOLUTION --format {kind}"
        )
    if kind in _FOLDERS:
        _write_folder(kind, solution, output, submitter or _SUBMITTER, division or "open")
        return
    if of_lock:
        from codereef.workspace.exporting import export as export_lock

        wanted = {} if all_variants else read_variants(variants)
        text = export_lock(session(), str(solution), directory, kind, target=target or "", variants=wanted)
        what = kind
    else:
        text, what = _export_results(solution, kind)
    if output is not None:
        from codereef.disk import write_atomic

        path = FILE.convert(str(output), None, None)
        write_atomic(path, text, what=f"the {what}")
        note(f"{what} written to {path}")
    else:
        click.echo(text, nl=False)


def _chosen(format_: str | None, as_csv: bool, as_json: bool) -> str:
    """Return the one format that is asked for."""
    from codereef.errors import UsageError

    chosen = {*([format_] if format_ else []), *(["csv"] if as_csv else [])}
    # With a format of its own, --json only says how an error is to be told.
    chosen |= {"json"} if as_json and not chosen else set()
    if len(chosen) != 1 or (as_json and as_csv):
        raise UsageError(
            "Give one of --csv, --json and --format."
            if not chosen
            else "Two formats are asked for, and one is written.",
            hint="--csv suits spreadsheets; --json has everything; --format sbom, requirements, conda and dockerfile are for locks.",
        )
    return chosen.pop()


def _export_results(solution: str | None, kind: str) -> tuple[str, str]:
    """Return results as text, and what it is for people."""
    from codereef.canonical import pretty_json
    from codereef.cli.commands.results import selected

    found = selected(solution)
    if kind == "csv":
        from codereef.record.summary import to_csv

        text = to_csv(found)
    elif kind == "json":
        data: dict[str, Any] = {
            "format": "codereef-results/1",
            "results": [{"id": r.id, "document": r.document} for r in found],
        }
        text = pretty_json(data)
    else:
        from codereef.interchange.to_phoronix import to_json, to_xml

        text = to_json(found) if kind == "phoronix" else to_xml(found)
    return text, _count(found)


def _count(results: Sequence[Result]) -> str:
    return f"{len(results)} result{'s' if len(results) != 1 else ''}"


def _write_folder(kind: str, solution: str | None, output: Path | None, submitter: str, division: str) -> None:
    """Write results in a format that is a folder."""
    from codereef.cli.commands.results import selected
    from codereef.errors import UsageError

    if output is None:
        raise UsageError(
            f"--format {kind} is a folder: name it with --output.", hint=f"cr export --format {kind} --output FOLDER"
        )
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is no folder, and {kind} is written as one.", hint="Name another with --output.")
    found = selected(solution)
    if kind == "mlperf":
        from codereef.interchange.to_mlperf import write_submission

        written = write_submission(found, output, submitter=submitter, division=division)
        for text in written.notes:
            note(f"note: {text}")
        note("note: these are unofficial results, not MLPerf results; the README says what that means")
        found = list(written.results)
    elif kind == "mlflow":
        from codereef.interchange.to_mlflow import write_runs

        write_runs(found, output)
    else:
        from codereef.interchange.to_parquet import write_tables

        write_tables(found, output)
    note(f"{_count(found)} written to {output}")
