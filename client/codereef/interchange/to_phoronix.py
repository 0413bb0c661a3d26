# SPDX-License-Identifier: Apache-2.0
"""Results in the Phoronix Test Suite's formats: the XML of a result file, and the JSON that it makes of one.

The XML follows `pts-core/openbenchmarking.org/schemas/result-file.xsd`; the JSON is what `phoronix-test-suite
result-file-to-json` writes of that XML, with the same keys. Each of our results is a system, each metric in a
scenario a test of it. Times are in ms, since the suite shows two digits.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from codereef import __version__
from codereef.record.history import Result

_PROPORTIONS = {"lower": "LIB", "higher": "HIB", "none": "ABSTRACT"}
_SCALES = {"s": ("ms", 1e3), "": ("Score", 1.0), "1/s": ("Per Second", 1.0), "B": ("Bytes", 1.0), "J": ("Joules", 1.0)}
_TITLE = 50
_IDENTIFIER = 128


@dataclass(frozen=True)
class _Test:
    """A metric of a solution in a scenario.

    Attributes:
        identifier: such as `codereef/demo-1.0.0`.
        title, version, arguments, description, scale, proportion: as the suite has them.
    """

    identifier: str
    title: str
    version: str
    arguments: str
    description: str
    scale: str
    proportion: str

    @property
    def key(self) -> str:
        """The suite's comparison hash (`pts_test_profile::generate_comparison_hash`)."""
        parts = (self.identifier.rpartition(".")[0], self.arguments, self.description, self.version, self.scale)
        return hashlib.sha1(",".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class _Entry:
    system: str
    value: float
    raw: tuple[float, ...]


def _system(result: Result) -> str:
    d = result.document
    runtime = f"{d['runtime']['name']} {d['runtime']['version']} {d.get('precision', '')}".strip()
    return f"{runtime} {result.short}"[-_IDENTIFIER:]


def _hardware(document: Mapping[str, Any]) -> dict[str, str]:
    machine = document["machine"]["class"]
    cpu = machine.get("cpu") or {}
    cores = f" ({cpu['physical_cores']} Cores)" if cpu.get("physical_cores") else ""
    found = {"Processor": f"{cpu.get('model') or ''}{cores}" if cpu.get("model") else ""}
    found["Memory"] = f"{machine['memory_mib']}MB" if machine.get("memory_mib") else ""
    return {name: _plain(text) for name, text in found.items() if text}


def _software(document: Mapping[str, Any]) -> dict[str, str]:
    machine = document["machine"]["class"]
    found = {
        "OS": (machine.get("os") or {}).get("name") or "",
        "Kernel": (machine.get("kernel") or {}).get("release") or "",
        "Runtime": f"{document['runtime']['name']} {document['runtime']['version']}".strip(),
    }
    return {name: _plain(str(text)) for name, text in found.items() if text}


def _plain(text: str) -> str:
    # The suite splits these lists at commas, and names from values at colons.
    return text.replace(",", ";").replace(":", " ")


def _tests(results: Sequence[Result]) -> Iterator[tuple[_Test, _Entry]]:
    for result in results:
        d = result.document
        name, _, version = d["solution"]["component"].split(":")[1].partition("@")
        for metric, found in d["metrics"].items():
            value = result.metric(metric)
            if value is None:
                continue
            scale, factor = _SCALES.get(found["unit"], (found["unit"], 1.0))
            label = f"{name} {d['configuration']['id']}"
            arguments = f"{d['configuration']['id']} {d['scenario']} {metric}"
            test = _Test(
                f"codereef/{name}-{version}",
                label if len(label) <= _TITLE else name[:_TITLE],
                version,
                arguments,
                f"Configuration: {d['configuration']['id']} - Scenario: {d['scenario']} - Metric: {metric}",
                scale,
                _PROPORTIONS[found["direction"]],
            )
            each = [p["metrics"].get(metric) for p in d.get("processes", []) if p.get("metrics")]
            raw = tuple(v * factor for v in each if v is not None)
            # Of one run the suite keeps no raw value beside the value.
            yield test, _Entry(_system(result), value * factor, raw if len(raw) > 1 else ())


def _grouped(results: Sequence[Result]) -> dict[_Test, list[_Entry]]:
    grouped: dict[_Test, list[_Entry]] = {}
    for test, entry in _tests(results):
        grouped.setdefault(test, []).append(entry)
    return grouped


def _time(document: Mapping[str, Any]) -> str:
    return str(document["ended_at"])[:19].replace("T", " ")


_TITLE_TEXT = "CodeReef results"
_DESCRIPTION = "Exported by cr; each system is one result, its last word is the result's identity"


def _last(results: Sequence[Result]) -> str:
    return max((_time(r.document) for r in results), default="1970-01-01 00:00:00")


def to_json(results: Sequence[Result]) -> str:
    """Return results as the suite's `result-file-to-json` writes them."""
    systems = {
        _system(r): {
            "identifier": _system(r),
            "hardware": _hardware(r.document),
            "software": _software(r.document),
            "timestamp": _time(r.document),
            "client_version": f"codereef {__version__}",
            "notes": r.id,
        }
        for r in results
    }
    tests = {
        test.key: {
            "identifier": test.identifier,
            "title": test.title,
            "app_version": test.version,
            "arguments": test.arguments,
            "description": test.description,
            "scale": test.scale,
            "proportion": test.proportion,
            "display_format": "BAR_GRAPH",
            "results": {e.system: {"value": e.value} | ({"raw_values": list(e.raw)} if e.raw else {}) for e in entries},
        }
        for test, entries in _grouped(results).items()
    }
    document = {
        "title": _TITLE_TEXT,
        "last_modified": _last(results),
        "description": _DESCRIPTION,
        "systems": systems,
        "results": tests,
    }
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"


#: What XML 1.0 has no way to write, escaped or not: control characters, halves of surrogate pairs, two others.
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _child(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = _NO_XML.sub("\ufffd", text)


def _list(facts: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {text}" for name, text in facts.items())


def to_xml(results: Sequence[Result]) -> str:
    """Return results as a result file (`composite.xml`) of the suite."""
    root = ElementTree.Element("PhoronixTestSuite")
    generated = ElementTree.SubElement(root, "Generated")
    for name, text in (
        ("Title", _TITLE_TEXT),
        ("LastModified", _last(results)),
        ("TestClient", f"codereef {__version__}"),
        ("Description", _DESCRIPTION),
    ):
        _child(generated, name, text)
    for result in results:
        system = ElementTree.SubElement(root, "System")
        for name, text in (
            ("Identifier", _system(result)),
            ("Hardware", _list(_hardware(result.document))),
            ("Software", _list(_software(result.document))),
            ("User", ""),
            ("TimeStamp", _time(result.document)),
            ("TestClientVersion", f"codereef {__version__}"),
            ("Notes", result.id),
        ):
            _child(system, name, text)
    for test, entries in _grouped(results).items():
        element = ElementTree.SubElement(root, "Result")
        for name, text in (
            ("Identifier", test.identifier),
            ("Title", test.title),
            ("AppVersion", test.version),
            ("Arguments", test.arguments),
            ("Description", test.description),
            ("Scale", test.scale),
            ("Proportion", test.proportion),
            ("DisplayFormat", "BAR_GRAPH"),
        ):
            _child(element, name, text)
        data = ElementTree.SubElement(element, "Data")
        for entry in entries:
            row = ElementTree.SubElement(data, "Entry")
            _child(row, "Identifier", entry.system)
            _child(row, "Value", repr(entry.value))
            if entry.raw:
                _child(row, "RawString", ":".join(map(repr, entry.raw)))
    ElementTree.indent(root)
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
