# SPDX-License-Identifier: Apache-2.0
"""`cr import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codereef.cli.edge import note, print_json, shared_options

if TYPE_CHECKING:
    from codereef.interchange.importing import Imported

#: Named here so that `cr import --help` reads none of them; a test compares them with the importers.
FORMATS = ("mlperf-inference", "mlperf-tiny", "hyperfine", "google-benchmark", "asv", "ck-experiment")
_SHOWN = 20


@click.command(
    "import",
    epilog="\b\nExamples:\n  cr import inference_results_v0.5.tar.gz\n  cr import mlperf_log_summary.txt mlperf_log_detail.txt\n"
    "  cr import summary.csv --format mlperf-tiny --dry-run\n  cr import benchmark.json --json",
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE|FOLDER...")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", *FORMATS]),
    default="auto",
    show_default=True,
    help="Read this format alone.",
)
@click.option("--dry-run", is_flag=True, help="Read and check, and keep nothing.")
@shared_options
def import_(paths: tuple[Path, ...], format_: str, dry_run: bool, as_json: bool) -> None:
    """Read results of other tools, and keep them as external results.

    Files, folders and archives (tar and zip) are read: logs and submissions of MLPerf Inference, summaries of MLPerf
    Tiny, JSON of hyperfine and Google Benchmark, results of asv, and experiments of Collective Knowledge. External
    results are kept apart: `cr results --external` lists them, and nothing compares or ranks them.
    """
    from codereef.cli.external import external_results, external_table
    from codereef.cli.progress import TerminalProgress
    from codereef.interchange.importing import import_results

    progress = TerminalProgress(silent=as_json)

    def show(done: int, total: int, label: str) -> None:
        progress.status(f"{done} of {total} read  {label}" if label else "")

    try:
        imported = import_results(paths, external_results(), format_=format_, dry_run=dry_run, on_step=show)
    finally:
        progress.close()
    if as_json:
        print_json(_as_data(imported, dry_run))
    else:
        if imported.added:
            click.echo(external_table(imported.added[:_SHOWN]))
            if len(imported.added) > _SHOWN:
                more = f"and {len(imported.added) - _SHOWN} more"
                click.echo(more if dry_run else f"{more}; `cr results --external` lists all")
        click.echo(_summary(imported, dry_run))
        _tell(imported.unknown, "of no known format")
        _tell(imported.beside, "beside results and not read, such as logs of accuracy runs")
    _fail(imported, as_json)


def _as_data(imported: Imported, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "added": [{"id": r.id, **r.document} for r in imported.added],
        "present": [r.id for r in imported.present],
        "failures": [{"label": f.label, **f.error.as_dict()["error"]} for f in imported.failures],  # type: ignore[dict-item]
        "beside": list(imported.beside),
        "unknown": list(imported.unknown),
    }


def _count(number: int) -> str:
    return f"{number} external result{'' if number == 1 else 's'}"


def _summary(imported: Imported, dry_run: bool) -> str:
    verb = "would be added" if dry_run else "added"
    text = f"{_count(len(imported.added))} {verb}"
    if imported.present:
        text += f", {len(imported.present)} there already"
    return f"{text}."


def _tell(labels: Sequence[str], what: str) -> None:
    if labels:
        more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
        note(f"note: {len(labels)} file{'' if len(labels) == 1 else 's'} {what}: {', '.join(labels[:3])}{more}")


def _fail(imported: Imported, as_json: bool) -> None:
    """End with an error where something could not be read; with --json that is told in the data alone."""
    if not imported.failures:
        return
    first = imported.failures[0].error
    if as_json:
        raise click.exceptions.Exit(first.exit_code)
    for failure in imported.failures[1:]:
        note(f"{click.style('not read:', fg='red')} {failure.error.message}")
    more = len(imported.failures) - 1
    raise type(first)(
        first.message + (f" {more} more could not be read, as told above." if more else ""),
        hint=first.hint,
        context={**first.context, "failures": len(imported.failures)},
    )
