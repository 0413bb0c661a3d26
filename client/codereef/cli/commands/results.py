# SPDX-License-Identifier: Apache-2.0
"""`cr results` and `cr compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codereef.cli.commands.shared import FILE, complete_component, complete_result
from codereef.cli.edge import note, print_json, shared_options, table
from codereef.home import Home

if TYPE_CHECKING:
    from codereef.record.history import History, Result


def _history() -> History:
    from codereef.record.history import History

    return History(Home.default().results)


def _within(result: Result, name: str, digits: int, factor: float = 1.0) -> str:
    """Return a metric as `value ±half`, the larger half of its interval; a dash where it cannot be given."""
    value, bounds = result.metric(name), result.interval(name)
    if value is None:
        return "–"
    half = ""
    if bounds:
        larger = max(value - bounds[0], bounds[1] - value) * factor
        half = f" ±{larger:.{digits}f}" if larger >= 0.5 * 10**-digits else f" ±{larger:.1g}"
    return f"{value * factor:.{digits}f}{half}"


def result_table(results: Sequence[Result], *, when: bool = False) -> str:
    """Return results as a table; ± is the larger half of the 95 % interval, a dash a number that cannot be given.

    Args:
        results: what to show.
        when: also show when each was measured and its whole configuration, for lists over time.
    """
    from codereef.record.summary import row

    failed = any(r.document["status"] != "ok" for r in results)
    names = {row(r).accuracy_metric for r in results} - {""}
    head = ["result", "started", "configuration"] if when else ["result"]
    head += ["runtime"] if when else ["runtime", "precision"]
    numbers = [
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "queries/s",
        names.pop() if len(names) == 1 else "accuracy",
        "peak MB",
    ]
    rows = []
    for result in results:
        summary = row(result)
        d = result.document
        peak = result.metric("peak_rss")
        first = (
            [result.short, d["started_at"][:16].replace("T", " "), d["configuration"]["id"]] if when else [result.short]
        )
        rows.append(
            [
                *first,
                *([summary.runtime] if when else [summary.runtime, summary.precision or "–"]),
                _within(result, "latency_p50", 3, 1e3),
                _within(result, "latency_p90", 3, 1e3),
                _within(result, "latency_p99", 3, 1e3),
                _within(result, "throughput", 0),
                _within(result, summary.accuracy_metric, 4) if summary.accuracy_metric else "–",
                "–" if peak is None else f"{peak / 1e6:.0f}",
                *([d["status"]] if failed else []),
            ]
        )
    right = range(len(head), len(head) + len(numbers))
    return table(rows, [*head, *numbers, *(["status"] if failed else [])], right=list(right))


def save_plot(results: Sequence[Result], path: Path) -> None:
    """Save accuracy over latency with the Pareto frontier as SVG.

    Raises:
        NotFoundError: no result has both a latency and an accuracy.
    """
    from codereef.disk import write_atomic
    from codereef.errors import NotFoundError, UsageError
    from codereef.record.plot import Point, pareto_svg
    from codereef.record.summary import cpu_name, newest_comparable, row

    if path.suffix.lower() != ".svg":
        raise UsageError(f"{path.name}: plots are saved as SVG.", hint=f"Write {path.with_suffix('.svg').name}.")
    rows = [row(r) for r in newest_comparable(results)]
    if not rows:
        raise NotFoundError(
            "No result has both a latency and an accuracy, so there is nothing to plot.",
            hint="`cr benchmark SOLUTION` measures both.",
        )
    metric = rows[0].accuracy_metric
    points = []
    for r in rows:
        value, accuracy, bounds = (
            r.result.metric("latency_p50"),
            r.result.metric(metric),
            r.result.interval("latency_p50"),
        )
        if value is not None and accuracy is not None:
            points.append(Point(r.label, value * 1e3, (bounds[0] * 1e3, bounds[1] * 1e3) if bounds else None, accuracy))
    first = rows[0].result.document
    subtitle = f"{first['model'].split(':')[1]} on {first['dataset'].split(':')[1]} · {cpu_name(rows[0].result)}"
    svg = pareto_svg(
        points,
        title=f"Accuracy over latency: {first['solution']['component'].split(':')[1].split('@')[0]}",
        subtitle=subtitle,
        x_name="latency p50 in ms",
        y_name=metric,
    )
    write_atomic(path, svg, what="the plot")


def selected(solution: str | None, limit: int | None = None) -> list[Result]:
    """Return the results of a solution, or all, oldest first; of them the newest where there is a limit.

    Raises:
        NotFoundError: the solution has none.
    """
    found = list(_history().all())
    if solution:
        name = solution.split(":")[-1].split("@")[0]
        found = [r for r in found if r.document["solution"]["component"].split(":")[1].split("@")[0] == name]
        if not found:
            from codereef.errors import NotFoundError

            raise NotFoundError(f"There is no result of {name} yet.", hint=f"`cr benchmark {name}` makes one.")
    return found[-limit:] if limit else found


@click.command(
    epilog="\b\nExamples:\n  cr results\n  cr results demo-object-detection --plot frontier.svg\n  cr results --json\n  cr results --external mobilenet"
)
@click.argument("solution", required=False, shell_complete=complete_component("solution"))
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Only the newest.")
@click.option(
    "--plot",
    type=FILE,
    help="Save a Pareto plot as SVG: the newest results on the same data, load and machine.",
)
@click.option(
    "--external",
    is_flag=True,
    help="List results of other tools that were imported; SOLUTION is then a part of what was measured, or on what.",
)
@shared_options
def results(solution: str | None, limit: int | None, plot: Path | None, external: bool, as_json: bool) -> None:
    """List the results of this machine, oldest first."""
    if external:
        from codereef.cli.external import list_external

        list_external(solution, limit, plot, as_json)
        return
    found = selected(solution, limit)
    for path in _history().damaged():
        note(f"note: {path} is damaged and was left out")
    if plot is not None:
        save_plot(found, plot)
        note(f"Pareto frontier saved as {plot}")
    if as_json:
        print_json({"results": [{"id": r.id, **r.document} for r in found]})
    elif found:
        names = list(dict.fromkeys(r.document["solution"]["component"] for r in found))
        for name in names:
            click.echo(click.style(name, bold=True))
            click.echo(result_table([r for r in found if r.document["solution"]["component"] == name], when=True))
    else:
        click.echo("There is no result yet. `cr benchmark SOLUTION` makes one.")


@click.command(epilog="\b\nExamples:\n  cr compare 1a2b3c4d latest\n  cr compare 1a2b3c4d 5e6f7a8b --json")
@click.argument("a", shell_complete=complete_result)
@click.argument("b", shell_complete=complete_result)
@shared_options
def compare(a: str, b: str, as_json: bool) -> None:
    """Compare result B with result A: faster, slower or no measurable difference, and what differed."""
    from codereef.cli.external import refuse_external
    from codereef.record.compare import compare_results

    history = _history()
    refuse_external(history, a, b)
    comparison = compare_results(history.find(a), history.find(b), history.all())
    if as_json:
        print_json(comparison.as_dict())
        return
    if comparison.unlike:
        click.echo(click.style("not like for like:", fg="yellow", bold=True) + " " + "; ".join(comparison.unlike))
    click.echo(comparison.sentence)
    if comparison.runs > 1:
        click.echo(
            f"Repeated runs of one of them lie up to {comparison.noise_floor:.1%} apart ({comparison.runs} runs); "
            "less is not called a difference."
        )
    else:
        click.echo("Each was run once: how far repeated runs lie apart here is not known. Run both again to learn it.")
    for text in comparison.notes:
        note(f"note on {text}")
    for line in comparison.accuracy:
        click.echo(line)
    if comparison.differences:
        click.echo(table([[d.what, d.a, d.b] for d in comparison.differences], ["differs in", "A", "B"]))
    else:
        click.echo("Nothing else differs in graph, options or machine.")
