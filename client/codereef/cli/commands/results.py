# SPDX-License-Identifier: Apache-2.0
"""`cr results` and `cr compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codereef.cli.commands.shared import PLOT, complete_component, complete_result, session
from codereef.cli.edge import note, print_json, shared_options, table, with_interval
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
    # Latency under another load is another quantity; where all is single-stream nobody needs to be told.
    loads = any(r.document["scenario"] != "single-stream" for r in results)
    names = {row(r).accuracy_metric for r in results} - {""}
    head = ["result", "started", "configuration"] if when else ["result"]
    head += ["runtime"] if when else ["runtime", "precision"]
    head += ["scenario"] if loads else []
    numbers = [
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "samples/s",
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
                *([d["scenario"]] if loads else []),
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
    from codereef.errors import NotFoundError
    from codereef.record.plot import Point, pareto_svg
    from codereef.record.summary import cpu_name, newest_comparable, row

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
    type=PLOT,
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


@click.command(
    epilog="\b\nExamples:\n  cr compare 1a2b3c4d latest\n  cr compare 1a2b3c4d 5e6f7a8b --json\n"
    "  cr compare 1a2b3c4d 5e6f7a8b 9c0d1e2f     every one against the first"
)
@click.argument("a", shell_complete=complete_result)
@click.argument("b", nargs=-1, required=True, shell_complete=complete_result)
@shared_options
def compare(a: str, b: tuple[str, ...], as_json: bool) -> None:
    """Compare result B with result A: faster, slower or no measurable difference, and what differed.

    With more results, every one is held against A.
    """
    from codereef.cli.external import refuse_external
    from codereef.errors import UsageError

    history = _history()
    refuse_external(history, a, *b)
    found = [history.find(text) for text in (a, *b)]
    twice = [r for i, r in enumerate(found[1:], 1) if r.id in {other.id for other in found[:i]}]
    if twice and len(found) > 2:
        raise UsageError(f"Result {twice[0].short} is named twice.", hint="Name each result once.")
    if len(found) > 2:
        _compare_many(found, list(history.all()), as_json)
    else:
        _compare_two(found[0], found[1], list(history.all()), as_json)


def _effort(results: Sequence[Result]) -> frozenset[str]:
    """Return the options of effort of the program, where the results are not on one ranking and it is known here."""
    from codereef.errors import CrError
    from codereef.run.options import effort_options

    if len({r.document["comparability"] for r in results}) == 1:
        return frozenset()
    programs = {name for r in results for name in r.document["components"] if name.startswith("program:")}
    try:
        index = session().index
        known = [effort_options(index.find(name).meta) for name in programs]
    except CrError:
        return frozenset()
    # What one of the programs takes for a difference in what is measured is one.
    return frozenset.intersection(*known) if known else frozenset()


def _compare_two(a: Result, b: Result, everything: Sequence[Result], as_json: bool) -> None:
    from codereef.record.compare import compare_results

    comparison = compare_results(a, b, everything, effort=_effort((a, b)))
    if as_json:
        print_json(comparison.as_dict())
        return
    if comparison.unlike:
        click.echo(click.style("not like for like:", fg="yellow", bold=True) + " " + "; ".join(comparison.unlike))
    click.echo(comparison.sentence)
    if comparison.reach:
        click.echo(comparison.reach)
    if comparison.runs > 1:
        click.echo(
            f"Repeated runs of one of them lie up to {comparison.noise_floor:.1%} apart ({comparison.runs} runs); "
            "less is not called a difference."
        )
    elif min(comparison.processes) == 1:
        click.echo("Each was run once: how far repeated runs lie apart here is not known. Run both again to learn it.")
    for text in comparison.notes:
        note(f"note on {text}")
    for line in comparison.accuracy:
        click.echo(line)
    if comparison.parting:
        click.echo(comparison.parting)
    if comparison.differences:
        click.echo(table([[d.what, d.a, d.b] for d in comparison.differences], ["differs in", "A", "B"]))
    else:
        click.echo("Nothing else differs in graph, options or machine.")


def _compare_many(results: Sequence[Result], everything: Sequence[Result], as_json: bool) -> None:
    import shutil
    import sys

    from codereef.record.compare import p_text, rank_results

    ranking = rank_results(results, everything, effort=_effort(results))
    if as_json:
        print_json(ranking.as_dict())
        return
    apart = [(entry.id[:12], reason) for entry in ranking.entries for reason in entry.unlike]
    for name, reason in apart:
        start = click.style("not like for like:", fg="yellow", bold=True)
        click.echo(f"{start} {reason.replace(' in A and ', ' in the first and ').removesuffix(' in B')} in {name}")
    rows = []
    for entry in ranking.entries:
        outcome = entry.comparison
        ratio = "1" if outcome is None else with_interval(outcome.ratio, outcome.interval, 3)
        verdict = {"no measurable difference": "tied", "too few repetitions to say": "too few"}.get(
            entry.verdict, entry.verdict
        )
        rows.append(
            [
                entry.id[:12],
                f"{entry.median * 1e3:.3f}",
                ratio,
                "" if outcome is None else p_text(entry.p_value).removeprefix("p ").removeprefix("= "),
                "the first" if outcome is None else verdict,
                entry.label,
            ]
        )
    head = ["result", "p50 ms", "ratio [95 %]", "p", "verdict", "configuration"]
    if sys.stdout.isatty():
        # What names a configuration gives way to the numbers where the terminal is narrow.
        used = sum(max(len(row[i]) for row in [head, *rows]) + 2 for i in range(len(head) - 1))
        room = max(len(head[-1]), shutil.get_terminal_size().columns - used)
        rows = [[*row[:-1], row[-1] if len(row[-1]) <= room else row[-1][: room - 1] + "…"] for row in rows]
    click.echo(table(rows, head, right=[1]))
    tied = [entry.id[:12] for entry in ranking.entries if entry.tied]
    if tied:
        click.echo(f"Tied with {ranking.first[:12]}: {', '.join(tied)}. Their order in the table says nothing.")
    click.echo(f"p is corrected for {len(results) - 1} comparisons (Holm). `cr compare A B` tells what differs in two.")
