# SPDX-License-Identifier: Apache-2.0
"""`cr detect` and `cr doctor`."""

from __future__ import annotations

import click

from codereef.cli.commands.shared import session
from codereef.cli.edge import print_json, print_tree, shared_options, table


@click.command(epilog="\b\nExamples:\n  cr detect\n  cr detect compiler.c\n  cr detect --machine --json")
@click.argument("capabilities", nargs=-1)
@click.option(
    "--machine", "only_machine", is_flag=True, help="Only the machine: processor, memory, system, accelerators."
)
@click.option("--verbose", is_flag=True, help="Also what was looked at and rejected.")
@shared_options
def detect(capabilities: tuple[str, ...], only_machine: bool, verbose: bool, as_json: bool) -> None:
    """Show the software that detectors found on this machine, and the machine itself."""
    from codereef.detect.machine import machine_class
    from codereef.errors import NotFoundError
    from codereef.meta.reference import nearest

    current = session()
    known = {str(c.meta["detects"]) for c in current.index.of_kind("soft")}
    for capability in capabilities:
        if capability not in known:
            near = nearest(capability, known)
            raise NotFoundError(
                f"No detector looks for `{capability}`.",
                hint=f"Did you mean `{near[0]}`?" if near else f"Known are {', '.join(sorted(known))}.",
            )
    report = current.report(set(capabilities) or None) if not only_machine else None
    machine = machine_class(current.home.cache) if only_machine or not capabilities else None
    if as_json:
        data: dict[str, object] = {"target": current.host}
        if machine is not None:
            data["machine"] = machine
        if report is not None:
            data["software"] = [
                {
                    "capability": d.capability,
                    "version": d.version,
                    "path": d.path,
                    "digest": d.digest,
                    "soft": d.soft,
                    "facts": dict(d.facts),
                    "paths": dict(d.paths),
                }
                for d in report.found
            ]
            data["rejected"] = (
                [{"soft": r.soft, "path": r.path, "reason": r.reason} for r in report.rejected] if verbose else []
            )
        print_json(data)
        return
    if machine is not None:
        click.echo(click.style(f"This machine ({current.host})", bold=True))
        print_tree({key: value for key, value in machine.items() if value not in (None, [], {})}, indent=1)
    if report is not None:
        rows = [
            [
                d.capability,
                d.version,
                d.path,
                str(d.facts.get("triple", "")) or ("runs cr" if d.facts.get("tool") is True else ""),
            ]
            for d in report.found
        ]
        click.echo(table(rows, ["capability", "version", "path", "note"]) if rows else "None of it was found.")
        if verbose:
            for rejected in report.rejected:
                click.echo(f"rejected {rejected.path} ({rejected.soft}): {rejected.reason}")


@click.command(epilog="\b\nExample:\n  cr doctor")
@shared_options
def doctor(as_json: bool) -> None:
    """Check that this machine can initialise and measure; exit code 1 when something must be mended."""
    from codereef.workspace.doctor import examine

    checks = examine(session())
    if as_json:
        print_json({"checks": [{"name": c.name, "status": c.status, "found": c.found, "hint": c.hint} for c in checks]})
    else:
        colours = {"ok": "green", "note": "yellow", "bad": "red"}
        for check in checks:
            click.echo(f"{click.style(check.status.ljust(4), fg=colours[check.status])}  {check.name}: {check.found}")
            if check.hint and check.status != "ok":
                click.echo(f"      {check.hint}")
    if any(check.status == "bad" for check in checks):
        raise click.exceptions.Exit(1)
