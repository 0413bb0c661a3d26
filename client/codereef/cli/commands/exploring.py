# SPDX-License-Identifier: Apache-2.0
"""`cr explore`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.commands.shared import (
    PLOT,
    configurations_option,
    memory_option,
    program_option,
    read_variants,
    session,
    solution_argument,
    timeout_option,
)
from codereef.cli.edge import key_values, note, print_json, shared_options, table, with_interval
from codereef.cli.exploring import Shown
from codereef.cli.progress import TerminalProgress

if TYPE_CHECKING:
    from codereef.explore.document import Exploration
    from codereef.explore.jobs import Machines
    from codereef.explore.summary import Estimate, Row
    from codereef.lock.model import Lock
    from codereef.record.history import Result
    from codereef.workspace.session import Session

#: Unit of a metric in files -> factor and unit for people.
_UNITS = {"s": (1e3, "ms"), "1/s": (1.0, "samples/s"), "B": (1e-6, "MB"), "bytes": (1e-6, "MB")}


class _Vary(click.Command):
    """A command whose --vary takes every NAME=VALUES that follows it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spelt: list[str] = []
        taking = False
        for place, word in enumerate(args):
            if word == "--":
                spelt += args[place:]
                break
            if taking and spelt[-1] != "--vary" and "=" in word and not word.startswith("-"):
                spelt.append("--vary")
            elif spelt[-1:] != ["--vary"]:
                taking = word == "--vary" or word.startswith("--vary=")
            spelt.append(word)
        return super().parse_args(ctx, spelt)


@click.command(
    cls=_Vary,
    epilog="\b\nExamples:\n  cr explore demo-object-detection --vary threads=1,2 precision=fp32,int8 --repeat 5\n"
    "  cr explore demo-object-detection --vary threads=1..8 --search halving --objective throughput\n"
    "  cr explore demo-object-detection --vary input_limit=1..64*2 --search random --samples 5 --plot frontier.svg\n"
    "  cr explore demo-object-detection --resume",
)
@solution_argument
@click.option(
    "--vary",
    multiple=True,
    metavar="NAME=VALUES...",
    help="Options of the program and variants, each with its values: 1,2,4 or 1..8, 1..9+2, 1..64*2. Several may follow.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 1000),
    help="Repetitions of each point, each a process of its own; 5 by default, for halving 1 in the first rung.",
)
@click.option(
    "--search",
    "kind",
    type=click.Choice(["grid", "random", "halving"]),
    default="grid",
    show_default=True,
    help="Every point; some of them; or the better half of them, again and again.",
)
@click.option("--samples", type=click.IntRange(min=1), help="Points that --search random takes.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of order and choice of points.")
@click.option("--objective", default="latency_p50", show_default=True, metavar="METRIC", help="Metric to be good in.")
@click.option(
    "--budget", type=click.FloatRange(min=1, max=1e8), metavar="SECONDS", help="Measuring time that halving may spend."
)
@configurations_option("Only these configurations.")
@program_option("Option of the program, for every point.")
@timeout_option("Time one measurement may take.")
@memory_option("Address space one measurement may use, in MB.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[ID]",
    help="Go on with an exploration: the newest of SOLUTION that is not complete, or the one named.",
)
@click.option("--fresh", is_flag=True, help="Begin anew although the same exploration is there.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Measure in so many Dask workers on this machine.")
@click.option(
    "--pinned", is_flag=True, help="With --workers: measure at the same time, each worker on processors of its own."
)
@click.option("--scheduler", metavar="ADDRESS", help="Measure on the workers of this Dask scheduler.")
@click.option(
    "--worker-directory", metavar="PATH", help="With --scheduler: folder on the workers that holds the solution's."
)
@click.option("--plot", type=PLOT, help="Save accuracy over the objective, with the Pareto frontier, as SVG.")
@shared_options
@click.pass_context
def explore(
    ctx: click.Context,
    /,
    solution: str,
    directory: Path,
    vary: tuple[str, ...],
    variants: tuple[str, ...],
    options: tuple[str, ...],
    resume: str | None,
    fresh: bool,
    workers: int | None,
    pinned: bool,
    scheduler: str | None,
    worker_directory: str | None,
    plot: Path | None,
    as_json: bool,
    **search: Any,
) -> None:
    """Measure many points of SOLUTION, each several times and in turn, and show which are best.

    A point is a choice of program options and variants. What was measured is kept after each repetition: the same
    command again, or --resume, goes on where it ended.
    """
    from codereef.explore.asking import Wish, ask, require_lock
    from codereef.explore.document import Explorations
    from codereef.explore.places import Place, machines
    from codereef.workspace.initialise import open_workspace

    _refuse(ctx, resume, workers, pinned, scheduler, worker_directory)
    current = session()
    component, lock, installed, _ = open_workspace(current, solution, directory)
    kept = Explorations(current.home.explorations)
    if resume is not None:
        exploration = kept.find(component.name, resume)
        require_lock(exploration, lock)
    else:
        memory = search.pop("memory_limit")
        wish = Wish(
            vary,
            read_variants(variants),
            key_values(options, "--option"),
            memory=int(memory * 1e6) if memory else None,
            pinned=pinned,
            **search,
        )
        exploration = ask(wish, component, lock, current.index, current.home, fresh=fresh)
    _announce(exploration)
    if not exploration.complete:
        with kept.carrying_out(exploration):
            # Another process may have gone on with it since it was read.
            if any(exploration.measured):
                exploration = kept.find(component.name, exploration.id)
            place = Place(directory, workers, scheduler, worker_directory)
            where = machines(current, lock, installed, exploration.subject, place, lambda text: note(f"note: {text}"))
            exploration = _carry_out(current, lock, exploration, where)
    _finish(current, exploration, plot, as_json)


def _refuse(
    ctx: click.Context,
    resume: str | None,
    workers: int | None,
    pinned: bool,
    scheduler: str | None,
    worker_directory: str | None,
) -> None:
    """Refuse options that contradict each other, before anything is opened."""
    from click.core import ParameterSource

    from codereef.errors import UsageError

    if resume is not None:
        free = {"solution", "directory", "resume", "workers", "scheduler", "worker_directory", "plot", "as_json"}
        given = [
            p.opts[-1]
            for p in ctx.command.params
            if p.name not in free and p.name and ctx.get_parameter_source(p.name) is ParameterSource.COMMANDLINE
        ]
        given = [name for name in given if name not in ("--debug", "--quiet", "-q")]
        if given:
            raise UsageError(
                f"--resume takes everything from the exploration, and {given[0]} is given.",
                hint=f"Leave {given[0]} out, or leave --resume out to begin another exploration.",
            )
    if workers is not None and scheduler is not None:
        raise UsageError("--workers and --scheduler are both given.", hint="Give one: workers here, or a scheduler's.")
    if pinned and workers is None:
        raise UsageError("--pinned is about the workers of this machine.", hint="For example --workers 2 --pinned.")
    if worker_directory is not None and scheduler is None:
        raise UsageError("--worker-directory is about the workers of a scheduler.", hint="Give --scheduler too.")
    if scheduler is not None:
        from codereef.explore.scheduler import require_address

        require_address(scheduler)


def _announce(exploration: Exploration) -> None:
    from codereef.explore.search import repetitions_left

    search, count = exploration.search, len(exploration.points)
    done = sum(len(repetitions) for repetitions in exploration.measured)
    if exploration.complete:
        note(f"Exploration {exploration.id} is complete; --fresh measures everything again.")
        return
    more = repetitions_left(search, exploration.measured)
    amount = f"{search.budget:.0f} s of measuring" if more is None else f"{more} measurements to come"
    note(
        f"Exploration {exploration.id}: {count} point{'s' if count != 1 else ''}, {search.kind}, {amount}"
        + (f", {done} are there" if done else "")
        + "."
    )


def _carry_out(
    current: Session, lock: Lock, exploration: Exploration, where: contextlib.AbstractContextManager[Machines]
) -> Exploration:
    from codereef.errors import CancelledError
    from codereef.explore.asking import measurables_of
    from codereef.explore.document import Explorations
    from codereef.explore.runner import Keeper, carry_out, without_accuracy
    from codereef.record.history import History

    keeper = Keeper(History(current.home.results).add, Explorations(current.home.explorations).save)
    skip = {m.configuration.id: without_accuracy(m.program) for m in measurables_of(lock, current.index)}
    progress = TerminalProgress()
    try:
        with where as there:
            shown = Shown(progress, max(1, len(there.names())))
            return carry_out(exploration, there, keeper, shown, skip)
    except (KeyboardInterrupt, CancelledError):
        raise CancelledError(
            f"Interrupted; what was measured of the exploration {exploration.id} is kept.",
            hint=f"`cr explore {exploration.subject.name} --resume {exploration.id}` goes on.",
            context={"exploration": exploration.id},
        ) from None
    finally:
        progress.close()


def _finish(current: Session, exploration: Exploration, plot: Path | None, as_json: bool) -> None:
    """Show what was found, save the plot, and fail where points failed."""
    from codereef.explore.document import to_document
    from codereef.explore.runner import require_success
    from codereef.explore.summary import best_of, rivals_of, row_document, summarise
    from codereef.record.history import History

    results = History(current.home.results).named(
        r.result for repetitions in exploration.measured for r in repetitions if r.result
    )
    rows = summarise(exploration, results)
    if as_json:
        print_json(
            {
                "id": exploration.id,
                "best": best_of(exploration),
                "points": [row_document(found) for found in rows],
                "exploration": to_document(exploration),
            }
        )
    else:
        groups = dict.fromkeys(found.group for found in rows)
        for group in groups:
            own = [found for found in rows if found.group == group]
            if len(groups) > 1:
                # Accuracy on other data, or speed on another sort of machine, is no rival.
                title = " · ".join(part for part in (own[0].cpu, own[0].data) if part)
                click.echo(click.style(title or "not measured", bold=True))
            click.echo(_table(exploration, own, results))
        if best := best_of(exploration):
            rivals = rivals_of(exploration, rows, best)
            doubt = f"; {len(rivals)} more may be as good, their intervals overlap" if rivals else ""
            note(f"Best {exploration.search.objective}: {best}{doubt}")
        if any(found.repeats == 1 for found in rows):
            note("note: an interval of one repetition knows nothing of other runs.")
    if plot is not None:
        _save_plot(exploration, rows, results, plot)
        note(f"Pareto frontier saved as {plot}")
    require_success(exploration)


def _cell(found: Estimate | None, factor: float, digits: int) -> str:
    return "–" if found is None else with_interval(found.value, found.interval, digits, factor)


def _unit(results: dict[str, Result], name: str) -> tuple[float, str]:
    """Return factor and unit for people of a metric."""
    for result in results.values():
        if (found := result.document["metrics"].get(name)) is not None:
            unit = str(found.get("unit", ""))
            return _UNITS.get(unit, (1.0, unit))
    return 1.0, ""


def _table(exploration: Exploration, rows: Sequence[Row], results: dict[str, Result]) -> str:
    objective = exploration.search.objective
    halving = exploration.search.kind == "halving"
    failed = any(found.failed for found in rows)
    names = {found.accuracy for found in rows} - {""}
    accuracy = names.pop() if len(names) == 1 else "accuracy"
    extra = objective not in ("latency_p50", "throughput", accuracy)
    factor, unit = _unit(results, objective)
    head = ["point", "p50 ms [95 %]", "samples/s", *([f"{objective} {unit}".strip()] if extra else []), accuracy]
    head += ["repeats", *(["rung"] if halving else []), "frontier", *(["failed"] if failed else [])]
    cells = []
    for found in rows:
        cells.append(
            [
                found.name,
                _cell(found.metrics.get("latency_p50"), 1e3, 3),
                _cell(found.metrics.get("throughput"), 1.0, 0),
                *([_cell(found.metrics.get(objective), factor, 3)] if extra else []),
                _cell(found.metrics.get(found.accuracy), 1.0, 4),
                str(found.repeats),
                *([str(found.rung)] if halving else []),
                "yes" if found.best else "",
                *([f"{found.failed} ({found.status})" if found.failed else ""] if failed else []),
            ]
        )
    return table(cells, head, right=list(range(1, head.index("frontier"))))


def _save_plot(exploration: Exploration, rows: Sequence[Row], results: dict[str, Result], path: Path) -> None:
    from codereef.disk import write_atomic
    from codereef.errors import NotFoundError
    from codereef.explore.summary import plot_points
    from codereef.record.plot import pareto_svg

    search = exploration.search
    factor, unit = _unit(results, search.objective)
    # One plot is of one class of machine and one choice of data: those with most measurements.
    counts = {found.group: 0 for found in rows}
    for found in rows:
        counts[found.group] += found.repeats
    own = [found for found in rows if found.group == max(counts, key=lambda group: counts[group])]
    points = plot_points(exploration, own, factor)
    if not points:
        raise NotFoundError(
            f"No point has both {search.objective} and an accuracy, so there is nothing to plot.",
            hint="The table and --json have what was measured.",
        )
    first = results[next(found.results[0] for found in own if found.results)].document
    svg = pareto_svg(
        points,
        title=f"Accuracy over {search.objective}: {exploration.subject.name}",
        subtitle=f"{first['dataset'].split(':')[1]} · {own[0].cpu} · medians of up to {max(f.repeats for f in own)} runs",
        x_name=f"{search.objective} in {unit}" if unit else search.objective,
        y_name=next(found.accuracy for found in own if found.accuracy),
        x_better="lower" if search.direction == "lower" else "higher",
    )
    write_atomic(path, svg, what="the plot")
