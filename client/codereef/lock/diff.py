# SPDX-License-Identifier: Apache-2.0
"""What differs between two locks, by what people call things: a changed version is one change, not two nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from codereef.lock.document import node_document
from codereef.lock.types import Lock, LockedEnvironment, LockedNode
from codereef.meta.reference import parse_reference

#: Parts of a node that are told of, in order; the others follow from these.
_PARTS = ("version", "component", "source", "variants", "digest", "binary", "facts", "files", "tree", "install_key")


@dataclass(frozen=True)
class Detail:
    """One part that changed."""

    part: str
    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        kind: `solution`, `request`, `configuration`, `node`, `distribution`, `environment` or `without`.
        what: its name.
        status: `added`, `removed` or `changed`.
        targets: the targets it is for; nothing where it is for all.
        details: what changed of it.
    """

    kind: str
    what: str
    status: str
    targets: tuple[str, ...] = ()
    details: tuple[Detail, ...] = ()

    @property
    def text(self) -> str:
        """The change as the end of a line."""
        if not self.details:
            return self.status
        return "; ".join(f"{d.part} {d.before or '–'} → {d.after or '–'}" for d in self.details)

    def as_dict(self) -> dict[str, Any]:
        """Return it as data."""
        details = [{"part": d.part, "before": d.before, "after": d.after} for d in self.details]
        return {
            "kind": self.kind,
            "what": self.what,
            "status": self.status,
            "targets": list(self.targets),
            "details": details,
        }


def compare_locks(a: Lock, b: Lock) -> list[Change]:
    """Return what lock B has otherwise than lock A; nothing where they say the same.

    The client that wrote them, their format and the names of their nodes do not count.
    """
    changes = list(_heads(a, b))
    changes += _configurations(a, b)
    changes += _nodes(a, b)
    changes += _environments(a, b)
    changes += _missing_targets(a, b)
    # The same change on several targets is one.
    joined: dict[Change, tuple[str, ...]] = {}
    for change in changes:
        joined[replace(change, targets=())] = (*joined.get(replace(change, targets=()), ()), *change.targets)
    return [replace(change, targets=tuple(sorted(set(targets)))) for change, targets in joined.items()]


def _heads(a: Lock, b: Lock) -> Iterator[Change]:
    parts = [
        Detail("component", a.solution, b.solution),
        Detail("digest", a.solution_digest[7:19], b.solution_digest[7:19]),
    ]
    changed = tuple(d for d in parts if d.before != d.after)
    if changed:
        yield Change("solution", b.solution, "changed", (), changed)
    for part in sorted({*a.request, *b.request}):
        before, after = _text(a.request.get(part)), _text(b.request.get(part))
        if before != after:
            yield Change("request", part, "changed", (), (Detail(part, before, after),))


def _configurations(a: Lock, b: Lock) -> Iterator[Change]:
    before = {(c.target, c.id) for c in a.configurations}
    after = {(c.target, c.id) for c in b.configurations}
    for target, name in sorted(before - after):
        yield Change("configuration", name, "removed", (target,))
    for target, name in sorted(after - before):
        yield Change("configuration", name, "added", (target,))


def _missing_targets(a: Lock, b: Lock) -> Iterator[Change]:
    flat = [{(t, i): r for t, reasons in lock.without.items() for i, r in reasons.items()} for lock in (a, b)]
    for target, name in sorted({*flat[0], *flat[1]}):
        before, after = flat[0].get((target, name), ""), flat[1].get((target, name), "")
        if before != after:
            status = "added" if not before else "removed" if not after else "changed"
            yield Change("without", name or target, status, (target,), (Detail("reason", before, after),))


Slot = tuple[str, str, tuple[str, ...]]


def _users(lock: Lock) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {key: set() for key in lock.nodes}
    for configuration in lock.configurations:
        for key in configuration.nodes:
            found[key].add(configuration.target)
    return found


def _slots(lock: Lock, keys: Iterable[str]) -> dict[Slot, list[str]]:
    """Group nodes by what they stand for, the machine they are for and the targets that use them."""
    users = _users(lock)
    found: dict[Slot, list[str]] = {}
    for key in sorted(keys):
        node = lock.nodes[key]
        found.setdefault((label(node), node.scope, tuple(sorted(users[key]))), []).append(key)
    return found


def label(node: LockedNode) -> str:
    """Return what a node is called whatever its version: its capability, else its component and variants."""
    if node.capability:
        return node.capability
    variants = ",".join(f"{k}={v}" for k, v in sorted(node.variants.items()))
    return parse_reference(node.component).unversioned + (f"[{variants}]" if variants else "")


def _pairs(a: Lock, b: Lock) -> Iterator[tuple[str | None, str | None]]:
    """Yield the nodes that stand for the same, one of which may be missing."""
    common = a.nodes.keys() & b.nodes.keys()
    yield from ((key, key) for key in sorted(common))
    left, right = _slots(a, a.nodes.keys() - common), _slots(b, b.nodes.keys() - common)
    for slot in sorted({*left, *right}):
        before, after = left.get(slot, []), right.get(slot, [])
        count = min(len(before), len(after))
        yield from zip(before, after)
        yield from ((key, None) for key in before[count:])
        yield from ((None, key) for key in after[count:])


def _nodes(a: Lock, b: Lock) -> Iterator[Change]:
    pairs = list(_pairs(a, b))
    now = {before: after for before, after in pairs if before is not None}
    users = (_users(a), _users(b))
    for before, after in pairs:
        if before is None or after is None:
            key = str(before or after)
            lock, status = (a, "removed") if after is None else (b, "added")
            targets = tuple(sorted(users[0 if after is None else 1][key]))
            node = lock.nodes[key]
            yield Change("node", _called(node), status, targets, tuple(_versions(node, status)))
            continue
        details = [*_parts(a.nodes[before], b.nodes[after]), *_deps(a.nodes[before], b.nodes[after], now, a)]
        if details:
            yield Change("node", _called(b.nodes[after]), "changed", tuple(sorted(users[1][after])), tuple(details))


def _called(node: LockedNode) -> str:
    return label(node) + (" (build)" if node.scope == "build" else "")


def _versions(node: LockedNode, status: str) -> Iterator[Detail]:
    version = node.version or "any"
    yield Detail("version", version if status == "removed" else "", version if status == "added" else "")


def _parts(a: LockedNode, b: LockedNode) -> Iterator[Detail]:
    before, after = node_document(a), node_document(b)
    for part in _PARTS:
        if before.get(part) == after.get(part):
            continue
        if part == "facts":
            facts, others = before.get(part, {}), after.get(part, {})
            for key in sorted({*facts, *others}):
                if facts.get(key) != others.get(key):
                    yield Detail(key, _text(facts.get(key)), _text(others.get(key)))
            continue
        yield Detail(part, _text(before.get(part)), _text(after.get(part)))


def _deps(a: LockedNode, b: LockedNode, now: Mapping[str, str | None], old: Lock) -> Iterator[Detail]:
    for role in sorted({*a.deps, *b.deps}):
        before, after = a.deps.get(role, ""), b.deps.get(role, "")
        if before and after and now.get(before) == after:
            continue
        yield Detail(f"needs {role}", before, after)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value[7:19] if value.startswith("sha256:") else value
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={_text(v)}" for k, v in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        names = [
            f"{v['name']} {v['sha256'][:12]}" if isinstance(v, Mapping) and "sha256" in v else _text(v) for v in value
        ]
        return ", ".join(names)
    return str(value)


def _environments(a: Lock, b: Lock) -> Iterator[Change]:
    """Yield how the distributions of each configuration's environment differ, each difference once."""
    found: dict[tuple[str, str, str, tuple[Detail, ...]], set[str]] = {}
    before = {(c.target, c.id): a.environments.get(c.environment) for c in a.configurations}
    after = {(c.target, c.id): b.environments.get(c.environment) for c in b.configurations}
    for pair in sorted(before.keys() & after.keys()):
        for kind, what, status, details in _distributions(before[pair], after[pair]):
            found.setdefault((kind, what, status, details), set()).add(pair[0])
    for (kind, what, status, details), targets in found.items():
        yield Change(kind, what, status, tuple(sorted(targets)), details)


def _distributions(
    a: LockedEnvironment | None, b: LockedEnvironment | None
) -> Iterator[tuple[str, str, str, tuple[Detail, ...]]]:
    versions = [{d.name: d for d in e.distributions} if e else {} for e in (a, b)]
    for name in sorted({*versions[0], *versions[1]}):
        one, other = versions[0].get(name), versions[1].get(name)
        if one is None or other is None:
            status = "added" if one is None else "removed"
            yield "distribution", name, status, (Detail("version", _version(one), _version(other)),)
        elif one.version != other.version:
            yield "distribution", name, "changed", (Detail("version", one.version, other.version),)
        elif one.sha256 != other.sha256:
            texts = [", ".join(digest[:12] for digest in d.sha256) for d in (one, other)]
            yield "distribution", name, "changed", (Detail("files", texts[0], texts[1]),)


def _version(distribution: object) -> str:
    return str(getattr(distribution, "version", ""))
