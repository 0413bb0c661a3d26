# SPDX-License-Identifier: Apache-2.0
"""`cr pitfalls`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.commands.shared import (
    FILE,
    PLOT,
    complete_component,
    configurations_option,
    directory_option,
    program_option,
    read_variants,
    session,
    timeout_option,
)
from codereef.cli.edge import key_values, note, print_json, shared_options, table, with_interval

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from codereef.lock.model import Lock, LockedConfiguration
    from codereef.run.process import Update


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [c for kind in ("model", "solution") for c in complete_component(kind)(ctx, param, incomplete)]


@click.command(
    epilog="\b\nExamples:\n  cr pitfalls shapes-ssd\n  cr pitfalls demo-object-detection -v format=tflite --images 50\n  cr pitfalls mobilenet-v2-classification mobilenet-classification --plot pitfalls.svg"
)
@click.argument("name", metavar="MODEL-OR-SOLUTION", shell_complete=_complete)
@click.argument("solution", required=False, default="", shell_complete=complete_component("solution"))
@directory_option
@configurations_option("Only these configurations of the lock; without it, the first.")
@click.option(
    "--images",
    type=click.IntRange(min=1),
    metavar="N",
    help="The first N images of the dataset; without it, as many as about a minute allows.",
)
@program_option()
@timeout_option("Time one configuration may take.")
@click.option("--plot", type=PLOT, help="Save a plot as SVG; of one configuration only.")
@click.option("--output", type=FILE, help="Save everything as JSON.")
@shared_options
def pitfalls(
    name: str,
    solution: str,
    directory: Path,
    variants: tuple[str, ...],
    images: int | None,
    options: tuple[str, ...],
    timeout: float | None,
    plot: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure what classic mistakes in the processing would do to accuracy.

    Each mistake, such as BGR for RGB, is one change of the steps that the model declares. It goes over the same images
    as the right pipeline. For a MODEL, a solution that uses it must be initialised; where several are, name SOLUTION.
    """
    from codereef.canonical import pretty_json
    from codereef.disk import write_atomic
    from codereef.errors import UsageError
    from codereef.run.pitfalls import Wanted, find_pitfalls
    from codereef.workspace.initialise import open_workspace
    from codereef.workspace.using import find_use

    wanted = Wanted(images or 0, key_values(options, "--option"), timeout)
    if "accuracy_limit" in wanted.options:
        raise UsageError("The number of images is not an option of the program here.", hint="Say `--images N`.")
    current = session()
    use = find_use(current, name, solution, directory)
    if use.others:
        note(f"{use.model} is used through {use.solution}; {', '.join(use.others)} would do as well")
    _, lock, installed, _ = open_workspace(current, use.solution, directory)
    chosen = _configurations(lock, use.model, read_variants(variants))
    if plot is not None and len(chosen) > 1:
        raise UsageError("--plot shows one configuration.", hint=f"Choose it with `-v`, such as {chosen[0].id}.")
    documents = []
    for number, configuration in enumerate(chosen, 1):
        label = f"[{number}/{len(chosen)}] {configuration.id}" if len(chosen) > 1 else configuration.id
        show = _Shown(label)
        try:
            documents.append(find_pitfalls(lock, configuration, current.index, installed, current.home, wanted, show))
        finally:
            show.close()
        if not as_json:
            _print(documents[-1])
    found = {"configurations": documents}
    if as_json:
        print_json(found)
    if output is not None:
        write_atomic(output, pretty_json(found), what="the mistakes")
        note(f"everything written to {output}")
    if plot is not None:
        _save_plot(documents[0], plot)
        note(f"plot saved as {plot}")


class _Shown:
    """Shows how far a configuration is."""

    def __init__(self, label: str) -> None:
        from codereef.cli.progress import TerminalProgress

        self._label, self._progress = label, TerminalProgress()

    def __call__(self, update: Update) -> None:
        share = f" {update.fraction * 100:.0f} %" if update.fraction is not None else ""
        what = f", image {update.done} of {update.total}" if update.phase == "pitfalls" else ""
        self._progress.status(f"{self._label}: {update.phase}{share}{what}")

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.close()


def _configurations(lock: Lock, model: str, variants: dict[str, list[str]]) -> list[LockedConfiguration]:
    """Return the configurations to measure: those with the variants, or the first; of the model where one is named."""
    from codereef.errors import LockError
    from codereef.workspace.chosen import chosen_configurations
    from codereef.workspace.using import model_of

    fitting = chosen_configurations(lock, variants)
    chosen = [c for c in fitting if not model or model_of(lock, c) == model]
    if not chosen:
        raise LockError(
            f"No such configuration of {lock.solution} uses {model}.",
            hint="They use " + ", ".join(dict.fromkeys(model_of(lock, c) for c in fitting)) + ".",
        )
    if not variants and len(chosen) > 1:
        note(f"{chosen[0].id} is measured, the first of {len(chosen)} configurations; -v chooses others")
        return chosen[:1]
    return chosen


def _number(metric: dict[str, Any] | None, digits: int = 3, sign: str = "") -> str:
    """Return a metric with its interval; a dash where there is none."""
    return "–" if metric is None else with_interval(metric["value"], metric["interval"], digits, sign=sign)


def _print(document: dict[str, Any]) -> None:
    metric, images = document["metric"], document["images"]
    runtime = document["runtime"]
    click.echo(
        f"{document['model']} on {images} of {document['of']} images of {document['dataset']}, "
        f"{runtime['name']} {runtime['version']}, {document['configuration']['id']}"
    )
    right = document["metrics"].get(metric)
    rows = [["right pipeline", _number(right), "", "", "", "The steps as the model declares them."]]
    failed = []
    for row in document["pitfalls"]:
        if "error" in row:
            failed.append(row)
            continue
        same = row["side"] == "input" and row["same_tensors"] == images
        rows.append(
            [
                row["name"],
                _number({**row["metrics"][metric], "interval": None} if metric else None),
                "same tensors" if same else _number(row["change"].get(metric), sign="+"),
                _number({**row["agreement"], "interval": None}, 2),
                _number(row["tensors"], 2),
                row["summary"],
            ]
        )
    level = f"{document['options'].get('confidence', 0.95) * 100:g}"
    head = ["mistake", metric or "accuracy", f"change [{level} %]", "agreement", "tensors off", "what it is"]
    click.echo(table(rows, head, right=[1, 3, 4]))
    for row in failed:
        note(f"{row['name']} could not be measured: {row['error']}")
    for warning in document["warnings"]:
        note(f"note: {warning}")


def _save_plot(document: dict[str, Any], path: Path) -> None:
    from codereef.disk import write_atomic
    from codereef.record.pitfalls_plot import bars_of, pitfalls_svg

    runtime = document["runtime"]
    subtitle = (
        f"{document['images']} images of {document['dataset']} · {runtime['name']} {runtime['version']} · "
        f"{document['configuration']['id']}"
    )
    title = f"What mistakes would do to {document['model'].removeprefix('model:')}"
    axis, right, bars = bars_of(document)
    level = document["options"].get("confidence", 0.95) * 100
    write_atomic(path, pitfalls_svg(axis, right, bars, title=title, subtitle=subtitle, level=level), what="the plot")
