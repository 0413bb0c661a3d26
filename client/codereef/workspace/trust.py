# SPDX-License-Identifier: Apache-2.0
"""The gate before code of others runs: whose components those are, and whether the user has trusted them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codereef.errors import UsageError
from codereef.lock.keys import install_method
from codereef.meta.component import Component
from codereef.meta.reference import parse_reference
from codereef.repo.sources import may_run, trust_publishers

if TYPE_CHECKING:
    from codereef.workspace.session import Session


@dataclass(frozen=True)
class Unknown:
    """Somebody whose code would run and whom the user has not trusted.

    Attributes:
        repository: name of the repository.
        origin: where it is.
        publisher: name of the publisher in a registry, or "" where the repository speaks for itself.
        key: identity of the key that signed, or "" without signature.
        components: what would run, as references.
    """

    repository: str
    origin: str
    publisher: str
    key: str
    components: tuple[str, ...]


def holds_code(component: Component) -> bool:
    """Tell whether code of a component runs when it is installed or used.

    A recipe counts as code: it says which distributions are installed, and those run. It is asked of the component,
    not of a lock, which may come from somebody whom nobody trusts.
    """
    return component.kind in ("program", "package") or install_method(component) == "generate"


def unknown_publishers(session: Session, components: Collection[tuple[str, str]]) -> list[Unknown]:
    """Return whose code would run without the user's trust, by repository and publisher.

    Args:
        session: the command's session.
        components: (repository, reference) of components with code that would run.
    """
    known = {repository.name: repository for repository in session.repositories}
    found: dict[tuple[str, str, str], set[str]] = {}
    for name, text in components:
        component = _component(session, name, text)
        publisher, key = "", ""
        if component is not None and component.published is not None:
            publisher, key = component.published.publisher, component.published.key
        if name not in known or not may_run(known[name], key):
            found.setdefault((name, publisher, key), set()).add(text)
    return [
        Unknown(name, known[name].origin if name in known else "", publisher, key, tuple(sorted(references)))
        for (name, publisher, key), references in sorted(found.items())
    ]


def _component(session: Session, repository: str, text: str) -> Component | None:
    reference = parse_reference(text)
    for component in session.usable.versions(reference.kind, reference.name):
        if component.version == reference.version and component.repository == repository:
            return component
    return None


def require_trust(session: Session, components: Collection[tuple[str, str]]) -> None:
    """Return where all code may run; ask a person where there is one, and remember a yes.

    Args:
        session: the command's session.
        components: (repository, reference) of components with code that would run.

    Raises:
        UsageError: somebody is not trusted; with the command that trusts the repository.
    """
    unknown = unknown_publishers(session, components)
    if not unknown:
        return
    if session.ask is not None and session.ask(unknown):
        for entry in unknown:
            trust_publishers(session.home, entry.repository, (entry.key,) if entry.key else ())
        session.forget()
        return
    first = unknown[0]
    shown = ", ".join(reference for entry in unknown for reference in entry.components[:5])
    who = (
        f"`{first.publisher}` of the repository `{first.repository}`"
        if first.publisher
        else f"the repository `{first.repository}`"
    )
    option = f" --publisher {first.publisher}" if first.publisher else ""
    raise UsageError(
        f"Code of {shown} would run, and you have not trusted {who}" + (f" (key {first.key})." if first.key else "."),
        hint=f"Look at it; then `cr repo trust {first.repository}{option}`.",
        context={
            "repositories": sorted({entry.repository for entry in unknown}),
            "publishers": sorted({entry.publisher for entry in unknown if entry.publisher}),
            "keys": sorted({entry.key for entry in unknown if entry.key}),
        },
    )
