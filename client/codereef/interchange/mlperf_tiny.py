# SPDX-License-Identifier: Apache-2.0
"""MLPerf Tiny summaries: `summary.csv` of a round, one row a result."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from codereef.interchange.external import external, metric
from codereef.interchange.source import Content, Source, Unit, bad, number, read

NAME = "mlperf-tiny"
VERSION = 1
_COLUMNS = ("Organization", "Division", "SystemDesc", "Model", "MlperfModel", "Result", "ResultUnit", "Accuracy")
_REPORTER = "MLPerf Tiny"
_ROUND = re.compile(r"tiny_results_(v\d+(?:\.\d+)+)")
#: Unit in the file -> name, SI unit, factor.
_RATES = {"inf./sec.": 1.0}
_ENERGY = {"uJ/inf.": 1e-6, "mJ/inf.": 1e-3, "J/inf.": 1.0}
_FACTS = (
    "BoardName",
    "HostProcessorModelName",
    "HostProcessorFrequency",
    "HostProcessorMemory",
    "AcceleratorModelName",
    "AcceleratorFrequency",
    "AcceleratorMemory",
    "HardwareNotes",
    "InferenceFramework",
    "SoftwareLibraries",
    "SoftwareNotes",
)


def find(sources: Sequence[Source]) -> Iterator[Unit]:
    """Yield a unit for each summary among the files, told by its header."""
    for source in sources:
        if source.path.suffix == ".csv" or source.named:
            header = source.head().decode("utf-8-sig", "replace").splitlines()[:1]
            if header and all(column in header[0].replace('"', "").split(",") for column in _COLUMNS):
                yield Unit(NAME, source.label, (source,), partial(_make, source))


def _make(source: Source) -> list[dict[str, Any]]:
    content = read(source)
    reader = csv.DictReader(io.StringIO(content.text(), newline=""), strict=True)
    made: list[dict[str, Any]] = []
    try:
        for row in reader:
            line = reader.line_num
            if None in row or None in row.values():
                raise bad(source, "it has more or fewer cells than the header", line=line)
            made.append(_row(content, row, line, len(made) + 1))
    except csv.Error as error:
        raise bad(source, f"it is no CSV: {error}", line=reader.line_num) from None
    return made


def _row(content: Content, row: Mapping[str, str], line: int, count: int) -> dict[str, Any]:
    source = content.source
    if row["ResultUnit"] not in _RATES:
        raise bad(source, f"the unit of the result is {row['ResultUnit'][:40]!r}, which is not known", line=line)
    rate = number(source, row["Result"], "`Result`", line)
    metrics = {"throughput": metric(rate * _RATES[row["ResultUnit"]], "1/s", "higher", _REPORTER)}
    if row["Accuracy"]:
        accuracy = number(source, row["Accuracy"], "`Accuracy`", line)
        # Anomaly detection is judged by the area under the curve, a fraction; the others by percentages.
        area = row["MlperfModel"] == "ad"
        metrics["AUC" if area else "accuracy"] = metric(accuracy if area else accuracy / 100, "", "higher", _REPORTER)
    if row.get("HasPower", "").lower() == "true":
        if row.get("PowerUnit") not in _ENERGY:
            raise bad(
                source, f"the unit of the energy is {row.get('PowerUnit', '')[:40]!r}, which is not known", line=line
            )
        energy = number(source, row["Power"], "`Power`", line)
        metrics["energy_per_inference"] = metric(energy * _ENERGY[row["PowerUnit"]], "J", "lower", _REPORTER)
    found = _ROUND.search(str(source.path.absolute()))
    return external(
        NAME,
        VERSION,
        files=[content.entry(source.path.name)],
        entry=f"row {count}",
        benchmark=row["Model"],
        system=row["SystemDesc"],
        metrics=metrics,
        about={
            "tool": _REPORTER,
            "organisation": row["Organization"],
            "division": row["Division"],
            "availability": row.get("Availability", ""),
            "round": found[1] if found else "",
        },
        facts={name: row[name] for name in _FACTS if row.get(name) not in (None, "", "None", "N/A")},
        parameters={"mlperf_model": row["MlperfModel"]},
        reported={key: value for key, value in row.items() if value},
    )
