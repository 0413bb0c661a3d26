# SPDX-License-Identifier: Apache-2.0
"""The graph of a lock as a software bill of materials: CycloneDX JSON, written by its own library.

What stands for what: a component of a repository is a component with a `pkg:generic/codereef/...` purl and its
licence; its files are components inside it, with their SHA-256. A Python distribution has a `pkg:pypi` purl and
the digests of the files that may be installed as a reference to its distribution. What the machine had itself is
marked by the property `codereef:source`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from codereef import __version__
from codereef.errors import UsageError
from codereef.export.parts import Part
from codereef.lock.types import LockedDistribution, LockedEnvironment, LockedNode
from codereef.meta.component import Component as OwnComponent
from codereef.meta.reference import parse_reference

if TYPE_CHECKING:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

#: Namespace of the serial numbers: the same lock gives the same one.
_NAMESPACE = uuid.UUID("6f1b6b0e-8f0c-5d1e-9b7a-0c5a54d2c0de")
SPEC = "1.6"

#: Finds the component that a node is made from, or None where no repository has it any more.
Find = Callable[[LockedNode], "OwnComponent | None"]


def sbom(part: Part, find: Find, licences: Mapping[str, str] | None = None) -> str:
    """Return the CycloneDX document of a part of a lock.

    With SOURCE_DATE_EPOCH in the environment the same lock gives the same bytes.

    Args:
        part: the configurations of one target.
        find: finds the component of a node, for its licence and summary.
        licences: licence by `name==version` of Python distributions, where they are known.

    Raises:
        UsageError: the library that writes it is not installed.
    """
    try:
        from cyclonedx.model.bom import Bom
        from cyclonedx.output.json import JsonV1Dot6
    except ImportError:
        raise UsageError(
            "A bill of materials is written by a library that is not installed.",
            hint="pip install 'codereef[sbom]'",
            context={"extra": "sbom"},
        ) from None
    writer = _Writer(part, find, licences or {})
    writer.add_all()
    bom = Bom(serial_number=uuid.uuid5(_NAMESPACE, part.lock.digest))
    bom.metadata.component = writer.solution
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch.isdigit():
        bom.metadata.timestamp = datetime.fromtimestamp(int(epoch), tz=timezone.utc)
    bom.metadata.tools.components.add(writer.tool())
    bom.components.update(writer.components.values())
    for source, targets in writer.edges.items():
        bom.register_dependency(source, sorted(targets, key=lambda component: str(component.bom_ref)))
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


class _Writer:
    """Makes the components of one document and the edges between them."""

    def __init__(self, part: Part, find: Find, licences: Mapping[str, str]) -> None:
        from cyclonedx.contrib.license.factories import LicenseFactory

        self.part = part
        self._find = find
        self._known = licences
        self._licences = LicenseFactory()
        self.components: dict[str, Component] = {}
        self.edges: dict[Component, list[Component]] = {}
        self.solution = self._root()

    def tool(self) -> Component:
        """Return the program that writes the document."""
        from cyclonedx.model.component import Component, ComponentType

        return Component(type=ComponentType.APPLICATION, name="codereef", version=__version__)

    def add_all(self) -> None:
        """Add every node, every environment and what depends on what."""
        roots = {c.root for c in self.part.lock.configurations}
        for key, node in sorted(self.part.lock.nodes.items()):
            self.components[key] = self._node(key, node)
        for key, node in sorted(self.part.lock.nodes.items()):
            self.edges[self.components[key]] = [self.components[dep] for dep in sorted(set(node.deps.values()))]
        self.edges[self.solution] = [self.components[key] for key in sorted(roots)]
        for name, environment in sorted(self.part.lock.environments.items()):
            self._environment(name, environment)

    def _root(self) -> Component:
        from cyclonedx.model.component import Component, ComponentType

        return Component(
            type=ComponentType.APPLICATION,
            name=self.part.solution,
            version=self.part.version,
            bom_ref=f"{self.part.solution}@{self.part.version}",
            purl=_generic("solution", self.part.solution, self.part.version),
            properties=_properties({"target": self.part.target, "lock": self.part.lock.digest}),
        )

    def _node(self, key: str, node: LockedNode) -> Component:
        from cyclonedx.model import HashAlgorithm, HashType
        from cyclonedx.model.component import Component, ComponentType

        found = node.source in ("detected", "expected")
        reference = parse_reference(node.component)
        own = None if found else self._find(node)
        types = {
            "model": ComponentType.MACHINE_LEARNING_MODEL,
            "dataset": ComponentType.DATA,
            "program": ComponentType.APPLICATION,
            "solution": ComponentType.APPLICATION,
        }
        name = reference.name
        version = node.version if found or node.capability else (reference.version or node.version)
        facts = {
            "source": node.source,
            "for": node.scope,
            "component": node.component,
            "capability": node.capability,
            "component-digest": node.digest,
            "install-key": node.install_key,
            "tree": node.tree,
            **{f"variant:{k}": v for k, v in node.variants.items()},
            **({f"fact:{k}": str(v) for k, v in node.facts.items() if isinstance(v, (str, int, float))}),
        }
        return Component(
            type=types.get(reference.kind, ComponentType.LIBRARY),
            name=name,
            version=version or None,
            bom_ref=key,
            purl=_generic("found" if found else reference.kind, name, version),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=node.binary[7:])] if node.binary else None,
            licenses=[self._licences.make_from_string(str(own.meta["license"]))] if own is not None else None,
            description=str(own.meta["summary"]) if own is not None else None,
            properties=_properties(facts),
            components=[
                Component(
                    type=ComponentType.FILE,
                    name=file.name,
                    bom_ref=f"{key}#{file.name}",
                    hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)],
                    properties=_properties({"size": str(file.size)}),
                )
                for file in node.files
            ]
            or None,
        )

    def _environment(self, name: str, environment: LockedEnvironment) -> None:
        from cyclonedx.model.component import Component, ComponentType

        made = self.components[name] = Component(
            type=ComponentType.PLATFORM,
            name=name,
            version=environment.python_version or None,
            bom_ref=name,
            properties=_properties(
                {
                    "source": "environment",
                    "target": environment.target,
                    "install-key": environment.install_key,
                    "open": "" if environment.install_key or not environment.requirements else "true",
                }
            ),
        )
        members = [self._distribution(d) for d in environment.distributions]
        base = [self.components[key] for key in (environment.python, *environment.reused)]
        self.edges[made] = [*base, *members]
        for member in members:
            self.edges.setdefault(member, [])
        self.edges[self.solution].append(made)

    def _distribution(self, distribution: LockedDistribution) -> Component:
        from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
        from cyclonedx.model.component import Component, ComponentType
        from packageurl import PackageURL

        purl = PackageURL("pypi", None, distribution.name, distribution.version)
        reference = str(purl)
        if reference not in self.components:
            hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in distribution.sha256]
            licence = self._known.get(f"{distribution.name}=={distribution.version}", "")
            self.components[reference] = Component(
                type=ComponentType.LIBRARY,
                name=distribution.name,
                version=distribution.version,
                bom_ref=reference,
                purl=purl,
                # One file is the distribution; of several, one will be.
                hashes=hashes if len(hashes) == 1 else None,
                licenses=[self._licences.make_from_string(licence)] if licence else None,
                external_references=[
                    ExternalReference(
                        type=ExternalReferenceType.DISTRIBUTION,
                        url=XsUri(reference),
                        comment="any of these files may be installed",
                        hashes=hashes,
                    )
                ],
                properties=_properties({"source": "distribution"}),
            )
        return self.components[reference]


def _generic(kind: str, name: str, version: str | None) -> PackageURL:
    from packageurl import PackageURL

    return PackageURL("generic", f"codereef/{kind}", name, version or None)


def _properties(entries: Mapping[str, str]) -> list[Property]:
    from cyclonedx.model import Property

    return [Property(name=f"codereef:{key}", value=value) for key, value in sorted(entries.items()) if value]
