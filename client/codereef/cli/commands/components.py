# SPDX-License-Identifier: Apache-2.0
"""`cr search`, `cr show`, `cr versions` and `cr lint`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.commands.shared import complete_component, session
from codereef.cli.edge import print_json, print_tree, shared_options, table
from codereef.disk import human
from codereef.meta.reference import KINDS

if TYPE_CHECKING:
    from codereef.meta.component import Component, Published
    from codereef.record.history import Result


@click.command(
    epilog="\b\nExamples:\n  cr search detection\n  cr search --kind model tflite\n  cr search --tag coco --json"
)
@click.argument("words", nargs=-1)
@click.option("--kind", type=click.Choice(KINDS), help="Only this kind.")
@click.option("--tag", "tags", multiple=True, help="Only components with this tag.")
@shared_options
def search(words: tuple[str, ...], kind: str | None, tags: tuple[str, ...], as_json: bool) -> None:
    """Search components by name, tag, capability, task and summary; every word must fit."""
    from codereef.cli.searching import print_hits

    print_hits(words, kind, tags, as_json)


def _describe(component: Component) -> dict[str, Any]:
    meta = component.meta
    shown: dict[str, Any] = {
        "component": str(component.reference),
        "summary": meta["summary"],
        "license": meta["license"],
        "repository": component.repository,
        "digest": component.digest,
    }
    if component.yanked:
        shown["withdrawn"] = component.yanked
    if component.published is not None:
        shown.update(_published(component.published))
    if meta.get("description"):
        shown["description"] = meta["description"]
    for key in ("task", "detects", "tags", "targets", "authors", "homepage"):
        if key in meta:
            shown[key] = meta[key]
    if "provides" in meta:
        shown["provides"] = f"{meta['provides']['capability']} {', '.join(meta['provides']['versions'])}"
    if component.variants:
        shown["variants"] = {
            name: f"{', '.join(v['values'])} (default {v['default']})" for name, v in component.variants.items()
        }
    from codereef.meta.reference import needs_text
    from codereef.solve.declared import declared_dependencies

    deps = [(role, e) for role, e in declared_dependencies(component)]
    if deps:
        shown["needs"] = [needs_text(e["needs"]) + (f" {e['version']}" if "version" in e else "") for _, e in deps]
    if "options" in meta:
        shown["options"] = {name: f"{o['summary']} (default {o['default']})" for name, o in meta["options"].items()}
    if "files" in meta:
        shown["files"] = {f["name"]: f"{human(f['size'])} sha256 {f['sha256'][:16]}…" for f in meta["files"]}
    return shown


def _published(published: Published) -> dict[str, str]:
    """Return who published a version and whether that is signed, for people."""
    shown = {
        "published": f"{published.time[:10]}" + (f" by {published.publisher}" if published.publisher else ""),
        "signature": f"verified, {published.key}" if published.key else "none: the registry is not signed",
    }
    if published.identity:
        shown["sigstore"] = f"{published.identity}, verified when it is fetched"
    return shown


def _print_metrics(metrics: Mapping[str, Any]) -> None:
    """Print the metrics of a result in groups, no line longer than a terminal of 80 columns."""
    from textwrap import wrap

    from codereef.record.quantities import grouped

    if metrics:
        click.echo(click.style("metrics:", bold=True))
    for group, rows in grouped(metrics).items():
        click.echo(f"  {group}")
        width = max((len(row.names[0]) for row in rows if row.given), default=0)
        for row in rows:
            if row.given:
                click.echo(f"    {row.names[0].ljust(width)}  {row.text}")
            else:
                for line in wrap(f"{', '.join(row.names)}: {row.text}", 76, subsequent_indent="    "):
                    click.echo(f"    {line}")


def _result_head(result: Result) -> dict[str, Any]:
    d = result.document
    return {
        "result": result.id,
        "status": d["status"],
        "solution": d["solution"]["component"],
        "configuration": d["configuration"]["id"],
        "target": d["configuration"]["target"],
        "model": d["model"],
        "dataset": d["dataset"],
        "runtime": f"{d['runtime']['name']} {d['runtime']['version']}",
        "scenario": d.get("scenario"),
        "load": _load(d.get("load") or {}),
        "processes": len(d.get("processes") or ()) or None,
        "started": d["started_at"],
    }


def _load(load: Mapping[str, Any]) -> str | None:
    """Return the verdict on how queries were sent; None where the program says nothing of it."""
    if "valid" not in load:
        return None
    verdict = "valid" if load["valid"] else f"not valid, {'; '.join(load.get('reasons', []))}"
    return f"{verdict} (sent by {load['driver']})" if load.get("driver") else verdict


def _result_rest(result: Result) -> dict[str, Any]:
    d = result.document
    during = d["environment"].get("during", {})
    shown = {
        "samples": {name: f"{len(s['values'])} in {s['unit']}" for name, s in d["samples"].items()},
        "options": d["options"],
        "machine": d["machine"]["class"],
        "while it ran": {name: value for name, value in during.items() if value != "not available"},
    }
    if d.get("claims"):
        shown["claims"] = [
            f"{c['metric']} {c['claimed']:g} on {c['dataset']}: {c['verdict']}, {c.get('reason', '')}"
            for c in d["claims"]
        ]
    if d.get("stages"):
        shown["stages"] = {
            f"{number} {stage['side']} {stage['step']}": _stage(stage) for number, stage in enumerate(d["stages"], 1)
        }
    if d.get("error"):
        shown["error"] = d["error"]
    if d["warnings"]:
        shown["warnings"] = {str(number): text for number, text in enumerate(d["warnings"], 1)}
    return shown


def _stage(stage: Mapping[str, Any]) -> str:
    """Return a stage as one line: time, digest, implementation."""
    seconds, digest = stage.get("seconds"), stage.get("digest", "")
    parts = [
        "–" if seconds is None else f"{seconds * 1e3:.3f} ms",
        digest[7:19] if digest else "–",
        f"{stage['implementation']} ({stage['version']})" if stage.get("version") else stage["implementation"],
    ]
    return ", ".join(parts)


def _published_data(component: Component) -> dict[str, Any] | None:
    from dataclasses import asdict

    return asdict(component.published) if component.published is not None else None


@click.command(
    epilog="\b\nExamples:\n  cr show model:shapes-ssd\n  cr show demo-object-detection\n  cr show latest\n  cr show 1a2b3c4d --json"
)
@click.argument("what", shell_complete=complete_component(None))
@shared_options
def show(what: str, as_json: bool) -> None:
    """Show a component (`kind:name`, or a name that only one kind has) or a result (its first digits, or `latest`; one that was imported too)."""
    current = session()
    digits = re.fullmatch(r"[0-9a-f]{4,64}", what) is not None and what not in current.index.names()
    if what == "latest" or digits or (what.endswith(".json") and Path(what).is_file()):
        from codereef.cli.external import external_data, find_external
        from codereef.home import Home
        from codereef.record.history import History

        history = History(Home.default().results)
        external = find_external(history, what)
        if external is not None:
            if as_json:
                print_json({"id": external.id, **external.document})
            else:
                from codereef.record.quantities import quantity

                print_tree(external_data(external, quantity))
            return
        result = history.find(what)
        if as_json:
            print_json({"id": result.id, **result.document})
        else:
            print_tree(_result_head(result))
            _print_metrics(result.document["metrics"])
            print_tree(_result_rest(result))
        return
    if what.endswith(".json") and what not in current.index.names():
        from codereef.errors import NotFoundError

        raise NotFoundError(
            f"There is no file {what}.", hint="Name the file of a result; components and results have no `.json`."
        )
    component = current.index.find(what)
    if as_json:
        print_json(
            {
                "reference": str(component.reference),
                "digest": component.digest,
                "repository": component.repository,
                # What lies in a registry has no folder before it is used.
                "folder": str(component.place) if isinstance(component.place, Path) else None,
                "published": _published_data(component),
                "yanked": component.yanked,
                "meta": component.meta,
            }
        )
    else:
        print_tree(_describe(component))


@click.command(epilog="\b\nExample:\n  cr versions package:onnxruntime-wheel")
@click.argument("component", shell_complete=complete_component(None))
@shared_options
def versions(component: str, as_json: bool) -> None:
    """List the versions of a component, newest first; for a package also the versions it installs."""
    from codereef.meta.reference import parse_reference

    index = session().index
    key = component.partition("@")[0]
    if key not in index:
        found = index.find(key)  # a bare name, or an error that says what is near
        key = found.reference.unversioned
    reference = parse_reference(key)
    rows = index.versions(reference.kind, reference.name)
    if as_json:
        print_json(
            {
                "versions": [
                    {
                        "version": c.version,
                        "repository": c.repository,
                        "digest": c.digest,
                        "provides": c.meta.get("provides", {}).get("versions", []),
                        "yanked": c.yanked,
                        "published": _published_data(c),
                    }
                    for c in rows
                ]
            }
        )
        return
    click.echo(
        table(
            [
                [
                    c.version,
                    c.repository,
                    c.digest[:19],
                    ", ".join(c.meta.get("provides", {}).get("versions", [])),
                    (c.published.publisher or "unsigned") if c.published else "",
                    f"withdrawn: {c.yanked}" if c.yanked else "",
                ]
                for c in rows
            ],
            ["version", "repository", "digest", "provides", "publisher", "note"],
        )
    )


@click.command(epilog="\b\nExamples:\n  cr lint .\n  cr lint components/model/shapes-ssd")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@shared_options
def lint(paths: tuple[Path, ...], as_json: bool) -> None:
    """Check components: schema, references, files, checksums, licences, scripts and targets."""
    from codereef.errors import MetadataError
    from codereef.repo.lint import lint as check

    report = check(paths, session().index)
    if as_json:
        print_json(
            {
                "components": len(report.folders),
                "findings": [
                    {"file": str(f.file), "path": f.path, "message": f.message, "hint": f.hint} for f in report.findings
                ],
            }
        )
    else:
        for finding in report.findings:
            click.echo(
                f"{finding.file}: {finding.path + ': ' if finding.path else ''}{finding.message}"
                + (f" {finding.hint}" if finding.hint else "")
            )
        if not report.findings:
            click.echo(
                f"{len(report.folders)} component{'s' if len(report.folders) != 1 else ''} checked, nothing found."
            )
    if report.findings:
        if as_json:
            raise click.exceptions.Exit(MetadataError.exit_code)
        raise MetadataError(
            f"{len(report.findings)} finding{'s' if len(report.findings) != 1 else ''} in {len(report.folders)} components.",
            hint="Each line above names the file, the place and what was expected.",
        )
