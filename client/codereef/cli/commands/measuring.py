# SPDX-License-Identifier: Apache-2.0
"""`cr benchmark`, `cr run` and `cr validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.commands.shared import (
    CLAIM_HEAD,
    PLOT,
    claim_cells,
    configurations_option,
    memory_option,
    program_option,
    read_variants,
    session,
    solution_argument,
    timeout_option,
)
from codereef.cli.edge import key_values, note, print_json, shared_options

if TYPE_CHECKING:
    from codereef.errors import OptionError
    from codereef.lock.model import LockedConfiguration
    from codereef.record.history import Result
    from codereef.run.measurement import Measured
    from codereef.run.process import Update
    from codereef.workspace.session import Session


#: Detections below this score, and more than so many, are left to `--json`.
SHOWN_SCORE = 0.3
SHOWN_COUNT = 10


def _options(command: Any) -> Any:
    for option in (
        memory_option("Address space the program may use, in MB."),
        timeout_option("Time each process may take."),
        program_option(),
        configurations_option("Only these configurations of the lock."),
    ):
        command = option(command)
    return command


def _measure(
    action: str,
    solution: str,
    directory: Path,
    variants: tuple[str, ...],
    options: tuple[str, ...],
    timeout: float | None,
    memory_limit: float | None,
    processes: int | None = None,
    scenario: str | None = None,
    interleave: bool = False,
) -> tuple[Session, list[tuple[LockedConfiguration, Measured, Result]]]:
    from codereef.cli.progress import TerminalProgress
    from codereef.errors import CancelledError, OptionError
    from codereef.record.history import History, Result, result_id
    from codereef.run.measure import Order, measure_all
    from codereef.workspace.chosen import chosen_configurations
    from codereef.workspace.initialise import open_workspace

    current = session()
    _, lock, installed, _ = open_workspace(current, solution, directory)
    chosen = chosen_configurations(lock, read_variants(variants))
    history = History(current.home.results)
    limit = int(memory_limit * 1e6) if memory_limit else None
    if interleave and len(chosen) == 1:
        note(f"note: {chosen[0].id} is the only configuration, so there is none that it could take turns with.")
    order = Order(action, key_values(options, "--option"), scenario, timeout, limit, processes)
    names = [f"[{i}/{len(chosen)}] {c.id}" if len(chosen) > 1 else c.id for i, c in enumerate(chosen, 1)]
    progress = TerminalProgress()

    def show(number: int, update: Update) -> None:
        share = f" {update.fraction * 100:.0f} %" if update.fraction is not None else ""
        progress.status(
            f"{names[number]}: {update.phase}{share}"
            + (f", {update.done}" + (f" of {update.total}" if update.total else "") if update.done else "")
        )

    done: list[tuple[LockedConfiguration, Measured, Result]] = []
    try:
        for number, measured in measure_all(
            lock, chosen, current.index, installed, current.home, order, interleave=interleave, on_update=show
        ):
            document = measured.document
            # A run shows predictions; only what was measured belongs into the history.
            result = Result(result_id(document), document) if action == "run" else history.add(document)
            done.append((chosen[number], measured, result))
            progress.pause()
            _say(names[number], action, measured, result)
    except OptionError as error:
        raise _with_kept(error, [(c, r) for c, _, r in done if action != "run"]) from None
    finally:
        progress.close()
    stopped = [(c, r) for c, _, r in done if r.document["status"] == "interrupted"]
    if stopped:
        kept = "; ".join(f"{c.id} as {r.short}" for c, r in stopped)
        raise CancelledError(f"Interrupted; what was measured is kept: {kept}.", hint="Run the same command again.")
    return current, done


def _with_kept(error: OptionError, kept: list[tuple[LockedConfiguration, Result]]) -> OptionError:
    """Return the error of a configuration that refused, with what of the command was measured before and is kept."""
    from codereef.errors import OptionError

    if not kept:
        return error
    more = f"; and {len(kept) - 3} more" if len(kept) > 3 else ""
    said = "; ".join(f"{c.id} as {r.short}" for c, r in kept[:3]) + more
    return OptionError(
        error.message,
        hint=f"{error.hint} What was measured before is kept: {said}.".strip(),
        context={**error.context, "results": [r.id for _, r in kept]},
    )


def _say(name: str, action: str, measured: Measured, result: Result) -> None:
    """Tell that a configuration is done, or how it failed."""
    status = result.document["status"]
    if status == "ok":
        note(f"{name}: done" + ("" if action == "run" else f", result {result.short}"))
    elif status != "interrupted":
        error = result.document.get("error", "")
        note(click.style(f"{name}: {status}", fg="red") + f", {error} (result {result.short})")
        for line in measured.tail[-5:]:
            note(f"    {line}")


def _finish(done: list[tuple[LockedConfiguration, Measured, Result]]) -> None:
    from codereef.errors import RunError

    failed = [(c, r) for c, _, r in done if r.document["status"] != "ok"]
    if failed:
        raise RunError(
            f"{len(failed)} of {len(done)} configurations did not finish: "
            + "; ".join(f"{c.id} ({r.document['status']})" for c, r in failed)
            + ".",
            hint=f"`cr show {failed[0][1].short}` has what is known; the others are kept.",
            context={"results": [r.id for _, r in failed]},
        )


@click.command(
    epilog="\b\nExamples:\n  cr benchmark demo-object-detection\n  cr benchmark demo-object-detection --variant precision=int8 -o threads=2\n  cr benchmark demo-object-detection -o max_seconds=30 --processes 10 --json\n  cr benchmark demo-object-detection --interleave     sharper comparisons\n  cr benchmark demo-object-detection --scenario server -o target_qps=50 -o target_latency=0.1"
)
@solution_argument
@_options
@click.option(
    "--processes",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Processes that share the measurement, one after the other; the program's own number by default.",
)
@click.option(
    "--scenario",
    metavar="NAME",
    help="Load pattern: single-stream, multi-stream, server or offline, or one of the program's own.",
)
@click.option(
    "--interleave",
    is_flag=True,
    help="Let the configurations take turns of 0.05 s, to tell smaller differences; all are loaded at once, and results come at the end.",
)
@click.option("--plot", type=PLOT, help="Save the Pareto plot of these results as SVG.")
@shared_options
def benchmark(
    solution: str,
    directory: Path,
    variants: tuple[str, ...],
    options: tuple[str, ...],
    timeout: float | None,
    memory_limit: float | None,
    processes: int | None,
    scenario: str | None,
    interleave: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure every configuration in the lock of SOLUTION and keep the results.

    Nothing is uploaded; `cr push` does that, after showing what is sent.
    """
    from codereef.cli.commands.results import result_table, save_plot

    _, done = _measure(
        "benchmark", solution, directory, variants, options, timeout, memory_limit, processes, scenario, interleave
    )
    results = [result for _, _, result in done]
    if as_json:
        print_json({"results": [{"id": r.id, **r.document} for r in results]})
    else:
        click.echo(result_table(results))
        for r in results:
            for warning in r.document["warnings"]:
                note(f"note on {r.short}: {warning}" if len(results) > 1 else f"note: {warning}")
    if plot is not None:
        save_plot(results, plot)
        note(f"Pareto frontier saved as {plot}")
    _finish(done)
    if not as_json:
        note(
            f"Next: cr compare {results[0].short} {results[-1].short}"
            if len(results) > 1
            else f"Next: cr show {results[0].short}"
        )


class _WithCommand(click.Command):
    """A command that takes what follows `--` as the words of another program, untouched."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta["codereef.command"] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


@click.command(
    cls=_WithCommand,
    epilog="\b\nExamples:\n  cr run demo-object-detection -o limit=3\n  cr run demo-object-detection -- python -c 'import numpy; print(numpy.__version__)'\n  cr run demo-object-detection --variant format=tflite -- python my_script.py --fast",
)
@solution_argument
@_options
@shared_options
@click.pass_context
def run(
    ctx: click.Context,
    solution: str,
    directory: Path,
    variants: tuple[str, ...],
    options: tuple[str, ...],
    timeout: float | None,
    memory_limit: float | None,
    as_json: bool,
) -> None:
    """Run SOLUTION on a few inputs and print what it predicts.

    With `-- COMMAND`, run that instead, in the environment of SOLUTION: with its Python, tools and libraries. Signals
    and the exit code pass through.
    """
    if (command := ctx.meta.get("codereef.command")) is not None:
        _refuse_options(command, options, timeout, memory_limit, as_json)
        from codereef.cli.commands.environments import run_command

        run_command(solution, directory, variants, command)
    _, done = _measure("run", solution, directory, variants, options, timeout, memory_limit)
    if as_json:
        print_json(
            {
                "configurations": [
                    {
                        "id": c.id,
                        "status": r.document["status"],
                        "error": r.document.get("error"),
                        "predictions": m.predictions,
                    }
                    for c, m, r in done
                ]
            }
        )
    else:
        for configuration, measured, _ in done:
            click.echo(click.style(configuration.id, bold=True))
            for item in (measured.predictions or {}).get("items", []):
                click.echo("  " + _prediction(item))
    _finish(done)


def _refuse_options(
    command: tuple[str, ...],
    options: tuple[str, ...],
    timeout: float | None,
    memory_limit: float | None,
    as_json: bool,
) -> None:
    """Refuse options that are about the solution's program where another command is to be run."""
    from codereef.errors import UsageError

    if not command:
        raise UsageError("No command stands after `--`.", hint="For example `cr run SOLUTION -- python my_script.py`.")
    given = {
        "--option": options,
        "--timeout": timeout is not None,
        "--memory-limit": memory_limit is not None,
        "--json": as_json,
    }
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise UsageError(
            f"{wrong[0]} is about the program of the solution, and you run another command.",
            hint="Leave it out, or put it after `--` where it belongs to your command.",
        )


def _prediction(item: dict[str, Any]) -> str:
    """Return what was found in one item: detections a person would look at, the best classes, a score, or values."""
    listed = item.get("detections", item.get("classes", []))
    shown = [found for found in listed if "bbox" not in found or found.get("score", 0) >= SHOWN_SCORE][:SHOWN_COUNT]
    parts = []
    for found in shown:
        label = found.get("label") or found.get("category_id", found.get("class_index", ""))
        box = f" at {', '.join(f'{v:.0f}' for v in found['bbox'])}" if "bbox" in found else ""
        parts.append(f"{label} {found.get('score', 0):.3f}{box}")
    hidden = len(listed) - len(shown)
    more = f" (and {hidden} less certain; --json has all)" if hidden else ""
    if "values" in item:
        parts = [", ".join(f"{value:.6g}" for value in item["values"])]
    elif "score" in item:
        parts = [f"score {item['score']:.6g}"]
    return f"{item.get('image', item.get('item', ''))}: " + ("; ".join(parts) or "nothing") + more


@click.command(
    epilog="\b\nExamples:\n  cr validate mlperf-tiny-kws\n  cr validate demo-object-detection --variant size=500 --json"
)
@solution_argument
@_options
@shared_options
def validate(
    solution: str,
    directory: Path,
    variants: tuple[str, ...],
    options: tuple[str, ...],
    timeout: float | None,
    memory_limit: float | None,
    as_json: bool,
) -> None:
    """Measure the accuracy of SOLUTION on its whole dataset, without timing it, and check what its model claims.

    Ends with 13 where a claim is not met. A claim about other data, or about more of it, is not checkable here.
    """
    from codereef.cli.edge import table

    _, done = _measure("validate", solution, directory, variants, options, timeout, memory_limit)
    if as_json:
        print_json({"results": [{"id": r.id, **r.document} for _, _, r in done]})
    else:
        rows = [
            [c.id, name, f"{m['value']:.4f}", str(m["samples"])]
            for c, _, r in done
            for name, m in r.document["metrics"].items()
            # What is not a time or a size: accuracy has no unit.
            if m["value"] is not None and not m["unit"]
        ]
        if rows:
            click.echo(table(rows, ["configuration", "metric", "value", "items"], right=[2, 3]))
        checked = [[c.id, *claim_cells(claim)] for c, _, r in done for claim in r.document.get("claims", [])]
        if checked:
            click.echo(table(checked, ["configuration", *CLAIM_HEAD]))
    _finish(done)
    _refuse_broken_claims(done)


def _refuse_broken_claims(done: list[tuple[LockedConfiguration, Measured, Result]]) -> None:
    """Raise where a claim is not met."""
    from codereef.errors import ClaimError
    from codereef.run.claims import not_met

    broken = [(c, r, claim) for c, _, r in done for claim in not_met(r.document.get("claims", []))]
    if broken:
        total = sum(len(r.document.get("claims", [])) for _, _, r in done)
        raise ClaimError(
            f"{len(broken)} of {total} claims {'is' if len(broken) == 1 else 'are'} not met: "
            + "; ".join(f"{c.id} {claim['metric']} ({claim['reason']})" for c, _, claim in broken[:3])
            + (f"; and {len(broken) - 3} more" if len(broken) > 3 else "")
            + ".",
            hint=f"`cr show {broken[0][1].short}` has what every step gave; compare it with a result that meets the claim.",
            context={"results": list(dict.fromkeys(r.id for _, r, _ in broken))},
        )
