# SPDX-License-Identifier: Apache-2.0
"""Terms that a user has accepted: asked for once, kept in the home, listed, and withdrawn at any time.

`<home>/terms.json` has one entry for each name. An entry holds for the wording it was given for: when the terms
change, they are asked for again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from codereef.canonical import digest_of, pretty_json
from codereef.disk import write_atomic
from codereef.errors import MetadataError, NeedsYouError, NotFoundError, UsageError
from codereef.home import Home
from codereef.meta.component import Component
from codereef.meta.reference import nearest
from codereef.witness import looked

FORMAT = "codereef-terms/1"


@dataclass(frozen=True)
class Terms:
    """Terms of a component.

    Attributes:
        name: what the user types.
        summary: what they demand.
        url: where their text stands.
        component: one of those under them.
    """

    name: str
    summary: str
    url: str
    component: str

    @property
    def digest(self) -> str:
        """Digest of the wording."""
        return digest_of([self.name, self.summary, self.url])


@dataclass(frozen=True)
class Accepted:
    """An acceptance.

    Attributes:
        name: name of the terms.
        url: where their text stood.
        digest: digest of the wording that was accepted.
        component: the component it was accepted for.
        at: when, UTC, ISO 8601.
    """

    name: str
    url: str
    digest: str
    component: str
    at: str


def _path(home: Home) -> Path:
    return home.root / "terms.json"


def accepted(home: Home) -> list[Accepted]:
    """Return what was accepted, by name.

    Raises:
        MetadataError: the file cannot be read.
    """
    looked(str(_path(home)))
    try:
        entries = json.loads(_path(home).read_bytes())["accepted"]
        return sorted((Accepted(**entry) for entry in entries), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MetadataError(
            f"The terms you accepted, at {_path(home)}, cannot be read: {error}.",
            hint="Mend the file or delete it; you are then asked again.",
        ) from None


def terms_of(components: Iterable[Component]) -> list[Terms]:
    """Return the terms of components, each name once, in the order they come."""
    found: dict[str, Terms] = {}
    for component in components:
        entry = component.meta.get("terms")
        if entry:
            made = Terms(entry["name"], entry["summary"], entry["url"], str(component.reference))
            found.setdefault(made.digest, made)
    return list(found.values())


def outstanding(home: Home, terms: Sequence[Terms]) -> list[Terms]:
    """Return those of the terms that were not accepted in this wording."""
    if not terms:
        return []
    known = {entry.digest for entry in accepted(home)}
    return [entry for entry in terms if entry.digest not in known]


def accept(home: Home, terms: Sequence[Terms]) -> None:
    """Keep that terms were accepted.

    Raises:
        StorageError: it cannot be written.
    """
    if terms:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        names = {entry.name for entry in terms}
        fresh = [Accepted(entry.name, entry.url, entry.digest, entry.component, now) for entry in terms]
        _change(home, names, fresh)


def withdraw(home: Home, name: str) -> Accepted:
    """Forget an acceptance; what was installed under it stays where it is.

    Raises:
        NotFoundError: nothing of that name was accepted.
    """
    entries = accepted(home)
    for entry in entries:
        if entry.name == name:
            _change(home, {name}, [])
            return entry
    near = nearest(name, [entry.name for entry in entries])
    raise NotFoundError(
        f"You have not accepted any terms called `{name}`.",
        hint=f"Did you mean `{near[0]}`?" if near else "`cr terms list` shows those you have accepted.",
    )


def _change(home: Home, without: set[str], added: list[Accepted]) -> None:
    from codereef.store.locks import locked

    with locked(home.root / "terms.lock"):
        entries = [entry for entry in accepted(home) if entry.name not in without] + added
        entries.sort(key=lambda entry: entry.name)
        write_atomic(
            _path(home),
            pretty_json({"format": FORMAT, "accepted": [asdict(entry) for entry in entries]}),
            what="the terms you accepted",
        )


def check_names(names: Collection[str], terms: Sequence[Terms]) -> None:
    """Refuse a name that stands for none of the terms: a misspelt one must not look like a consent.

    Raises:
        UsageError: naming the near ones.
    """
    known = [entry.name for entry in terms]
    for name in names:
        if name not in known:
            near = nearest(name, known)
            raise UsageError(
                f"No terms called `{name}` are asked for here.",
                hint=f"Did you mean `{near[0]}`?"
                if near
                else f"The terms here are: {', '.join(known)}."
                if known
                else "Leave out --accept-license; nothing here asks for it.",
            )


def require(home: Home, terms: Sequence[Terms]) -> None:
    """Refuse to go on where terms were not accepted.

    Raises:
        NeedsYouError: naming them, and the option that accepts them.
    """
    missing = outstanding(home, terms)
    if missing:
        listed = "\n".join(f"  · {entry.name} ({entry.component}): {entry.summary} {entry.url}" for entry in missing)
        options = " ".join(f"--accept-license {entry.name}" for entry in missing)
        raise NeedsYouError(
            f"Terms have to be accepted first, and -y does not accept any:\n{listed}",
            hint=f"Read them; where you agree, run the same command again with {options}.",
            context={"terms": [asdict(entry) for entry in missing]},
        )
