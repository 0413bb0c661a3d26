# SPDX-License-Identifier: Apache-2.0
"""Realistic result documents and components, valid by the published schemas."""

from __future__ import annotations

import hashlib
import json
import random
import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from codereef_portal.settings import ComponentSource

REPOSITORY = Path(__file__).resolve().parents[2]


def _machine(arch: str, cpu: str, cores: int, isa: list[str], mib: int, system: str, **more: Any) -> dict[str, Any]:
    virtual = {"hypervisor": more.pop("hypervisor", None), "container": None}
    return {
        "arch": arch,
        "cpu": {
            "model": cpu,
            "logical_cores": cores,
            "isa": isa,
            "caches": [{"level": 3, "type": "unified", "size_kib": 32768}],
        },
        "memory_mib": mib,
        "board": None,
        "accelerators": [],
        "os": {"system": "linux", "name": system},
        "virtualisation": virtual,
        **more,
    }


MACHINES: dict[str, dict[str, Any]] = {
    "epyc": _machine("x86_64", "AMD EPYC 7B13", 8, ["avx2", "fma"], 31744, "Debian GNU/Linux 12", hypervisor="kvm"),
    "ryzen": _machine("x86_64", "AMD Ryzen 7 5800X", 16, ["avx2", "fma"], 64512, "Ubuntu 24.04 LTS"),
    "pi5": _machine("aarch64", "Cortex-A76", 4, ["neon"], 8192, "Debian GNU/Linux 12", board="Raspberry Pi 5"),
}
SPEED = {"epyc": 1.0, "ryzen": 0.62, "pi5": 5.2}
RUNTIMES = {"onnx": ("onnxruntime", "1.20.1", 1.0), "tflite": ("ai-edge-litert", "1.0.1", 0.8)}
MODELS = {
    "shapes-ssd": (4.1, 0.713, 1.4e6),
    "shapes-ssd-wide": (9.4, 0.781, 4.2e6),
    "shapes-ssd-tiny": (1.9, 0.584, 0.5e6),
}  # latency in ms, mAP, bytes


def digest(text: str) -> str:
    """Return a digest made from a text."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def manifest(kind: str, name: str, version: str = "1.0.0", **more: Any) -> dict[str, Any]:
    """Return the metadata that every component has, with more."""
    return {
        "kind": kind,
        "name": name,
        "version": version,
        "summary": f"{name}, a {kind} for tests",
        "license": "Apache-2.0",
        **more,
    }


def components() -> list[ComponentSource]:
    """Return a small repository: the dashboards of this repository and what a detection solution needs."""
    found = [
        json.loads((REPOSITORY / "components" / "dashboard" / name / "cr.json").read_text())
        for name in ("object-detection", "image-classification")
    ]
    readme = (
        "# Shapes SSD\n\nA small detector of coloured shapes.\n\n## Use\n\n"
        "    cr init demo-object-detection\n\n"
        "| precision | mAP |\n|---|---|\n| fp32 | 0.71 |\n| int8 | 0.70 |\n"
    )
    for name in MODELS:
        found.append(
            manifest(
                "model",
                name,
                summary="Small SSD detector of coloured shapes, ONNX and TFLite",
                task="object-detection",
                tags=["ssd", "demo", "vision"],
                variants={"precision": {"values": ["fp32", "int8"], "default": "fp32"}},
                targets=["linux-x86_64-gnu", "linux-aarch64-gnu"],
                files=[
                    {
                        "name": f"{name}-{p}.{f}",
                        "path": f"{name}-{p}.{f}",
                        "sha256": digest(name + p + f)[7:],
                        "size": 1_400_000,
                        "role": "model",
                    }
                    for p in ("fp32", "int8")
                    for f in ("onnx", "tflite")
                ],
                runtimes=[
                    {"format": "onnx", "needs": "lib.onnxruntime", "version": ">=1.16"},
                    {"format": "tflite", "needs": "lib.tflite"},
                ],
            )
        )
    found.append(
        manifest(
            "dataset",
            "coloured-shapes",
            summary="Coloured shapes on textured backgrounds, with COCO annotations",
            task="object-detection",
            tags=["coco", "demo"],
        )
    )
    found.append(
        manifest(
            "program",
            "object-detection",
            summary="Runs a detector over a dataset and scores it",
            task="object-detection",
        )
    )
    found.append(
        manifest(
            "package",
            "onnxruntime-wheel",
            summary="ONNX Runtime from its official wheel",
            tags=["runtime", "onnx"],
            provides={"capability": "lib.onnxruntime", "versions": ">=1.16"},
            deps={"python": {"needs": "compiler.python", "version": ">=3.9"}},
        )
    )
    found.append(
        manifest(
            "package",
            "litert-wheel",
            summary="LiteRT interpreter from its official wheel",
            tags=["runtime", "tflite"],
            provides={"capability": "lib.tflite", "versions": ">=1.0"},
        )
    )
    found.append(manifest("soft", "python", summary="Python interpreters on the machine", detects="compiler.python"))
    found.append(
        manifest(
            "solution",
            "demo-object-detection",
            summary="Detect coloured shapes: two runtimes, two precisions, one frontier",
            tags=["demo"],
            program={"needs": "program:object-detection"},
            deps={
                "model": {"needs": "model:shapes-ssd", "version": "^1.0"},
                "data": {"needs": "dataset:coloured-shapes"},
            },
            variants={
                "precision": {
                    "values": ["fp32", "int8"],
                    "default": "fp32",
                    "summary": "Numeric precision of the model",
                },
                "runtime": {"values": ["onnx", "tflite"], "default": "onnx", "summary": "What runs it"},
            },
            actions={
                "benchmark": {
                    "scenario": "single-stream",
                    "metrics": ["latency_p50", "throughput", "mAP", "peak_rss"],
                }
            },
            dashboard="dashboard:object-detection",
            targets=["linux-x86_64-gnu", "linux-aarch64-gnu"],
        )
    )
    return [
        ComponentSource(item, component_digest(item), readme if item["name"] == "shapes-ssd" else None)
        for item in found
    ]


def component_digest(item: dict[str, Any]) -> str:
    """Return the digest that the factory gives a component."""
    return digest(f"{item['kind']}:{item['name']}@{item['version']}")


def _metric(
    value: float | None,
    unit: str,
    direction: str,
    n: int,
    interval: Sequence[float] | None = None,
    reason: str = "",
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "value": value,
        "unit": unit,
        "direction": direction,
        "interval": list(interval) if interval else None,
        "confidence": 0.95 if interval else None,
        "method": "percentile bootstrap, 2,000 draws" if interval else "as measured",
        "samples": n,
    }
    return {**made, "reason": reason} if reason else made


def result(
    model: str = "shapes-ssd",
    precision: str = "fp32",
    runtime: str = "onnx",
    machine: str = "epyc",
    *,
    seed: int = 1,
    samples: int = 400,
    images: int = 500,
    status: str = "ok",
    day: int = 0,
) -> dict[str, Any]:
    """Return a result document of a detection benchmark with seeded noise, valid by `schemas/result.json`."""
    rng = random.Random(f"{model}{precision}{runtime}{machine}{seed}")
    base_ms, accuracy, size = MODELS[model]
    name, version, factor = RUNTIMES[runtime]
    ms = base_ms * factor * SPEED[machine] * (0.55 if precision == "int8" else 1.0) * rng.uniform(0.97, 1.03)
    values = [
        max(ms * 0.9, rng.gauss(ms, ms * 0.012)) + (rng.expovariate(1 / (ms * 0.3)) if rng.random() < 0.05 else 0)
        for _ in range(samples)
    ]
    values = [round(value / 1e3 * (1.25 - 0.02 * i if i < 12 else 1.0), 9) for i, value in enumerate(values)]
    ordered = sorted(values)
    p50 = statistics.median(values)
    accuracy -= 0.013 if precision == "int8" else 0.0
    accuracy -= 0.0007 if runtime == "tflite" else 0.0
    p99 = ordered[int(samples * 0.99)] if samples >= 1000 else None
    target = "linux-aarch64-gnu" if machine == "pi5" else "linux-x86_64-gnu"
    variants = {"precision": precision, "runtime": runtime}
    identity = f"precision={precision},runtime={runtime}"
    refs = [
        "solution:demo-object-detection@1.0.0",
        "program:object-detection@1.0.0",
        f"model:{model}@1.0.0",
        "dataset:coloured-shapes@1.0.0",
        f"package:{'onnxruntime' if runtime == 'onnx' else 'litert'}-wheel@1.0.0",
    ]

    def node(ref: str, deps: dict[str, str], **more: Any) -> dict[str, Any]:
        return {
            "component": ref,
            "digest": digest(ref),
            "version": "1.0.0",
            "variants": {},
            "source": "component",
            "for": "run",
            "deps": deps,
            **more,
        }

    lib = "lib.onnxruntime" if runtime == "onnx" else "lib.tflite"
    nodes = {
        "python": node("soft:python@1.0.0", {}, capability="compiler.python", version="3.11.2", source="detected"),
        "data": node(refs[3], {}, variants={"images": str(images)}, tree=digest(f"tree{images}")),
        "runtime": node(
            refs[4],
            {"python": "python"},
            capability=lib,
            version=version,
            source="install",
            install_key=f"{name}-{version}-0f3a",
        ),
        "model": node(refs[2], {"runtime": "runtime"}, variants={"precision": precision}),
        "program": node(refs[1], {"python": "python"}),
        "solution": node(refs[0], {"program": "program", "model": "model", "data": "data"}, variants=variants),
    }
    lock = {
        "format": "codereef-lock/1",
        "resolver": {"codereef": "0.1.0", "policy": "reuse detected, then newest"},
        "solution": {"component": refs[0], "digest": digest(refs[0])},
        "configurations": [
            {
                "id": identity,
                "target": target,
                "variants": variants,
                "root": "solution",
                "nodes": list(nodes),
                "environment": "env",
            }
        ],
        "nodes": nodes,
        "environments": {
            "env": {
                "python": "python",
                "python_version": "3.11.2",
                "requirements": [f"{name}=={version}"],
                "distributions": [
                    {"name": name, "version": version, "sha256": [digest(name)[7:]]},
                    {"name": "numpy", "version": "2.1.3", "sha256": [digest("numpy")[7:]]},
                ],
                "install_key": "env-6b1d",
            }
        },
    }
    started = datetime(2026, 8, 3, 9, 12, tzinfo=timezone.utc) + timedelta(days=day, minutes=seed)
    metrics = {
        "latency_p50": _metric(p50, "s", "lower", samples, (p50 * 0.996, p50 * 1.005)),
        "latency_p90": _metric(
            ordered[int(samples * 0.9)],
            "s",
            "lower",
            samples,
            (ordered[int(samples * 0.88)], ordered[int(samples * 0.92)]),
        ),
        "latency_p99": _metric(p99, "s", "lower", samples, reason="" if p99 else f"{samples} samples; p99 needs 1,000"),
        "throughput": _metric(1 / statistics.fmean(values), "1/s", "higher", samples),
        "mAP": _metric(round(accuracy, 6), "", "higher", images, (accuracy - 0.012, accuracy + 0.011)),
        "mAP50": _metric(round(accuracy + 0.17, 6), "", "higher", images),
        "peak_rss": _metric(rng.uniform(88e6, 132e6), "B", "lower", 1),
        "load_time": _metric(rng.uniform(0.011, 0.05), "s", "lower", 1),
        "model_size": _metric(size * (0.3 if precision == "int8" else 1), "B", "lower", 1),
    }
    document: dict[str, Any] = {
        "format": "codereef-result/1",
        "action": "benchmark",
        "status": status,
        "solution": {"component": refs[0], "digest": digest(refs[0])},
        "configuration": {"id": identity, "target": target, "variants": variants},
        "lock_digest": digest(json.dumps(lock, sort_keys=True)),
        "lock": lock,
        "components": {ref: digest(ref) for ref in refs},
        "task": "object-detection",
        "model": f"model:{model}@1.0.0",
        "precision": precision,
        "dataset": "dataset:coloured-shapes@1.0.0",
        "runtime": {"name": name, "version": version},
        "scenario": "single-stream",
        "options": {"threads": 2, "batch": 1, "images": images},
        "comparability": digest(f"{model}{precision}{images}"),
        "machine": {
            "class": MACHINES[machine],
            "class_digest": digest(json.dumps(MACHINES[machine], sort_keys=True)),
            "instance": digest(machine + "1"),
        },
        "environment": {
            "before": {"governor": "performance", "load_1m": 0.12, "temperature_c": 44},
            "after": {"governor": "performance", "load_1m": 1.38, "temperature_c": 61},
        },
        "metrics": metrics if status == "ok" else {},
        "samples": {"latency": {"unit": "s", "values": values}} if status == "ok" else {},
        "processing": {"resize": "bilinear/1"},
        "warnings": ["The machine is virtual: other guests may take time from it."] if machine == "epyc" else [],
        "started_at": started.isoformat().replace("+00:00", "Z"),
        "ended_at": (started + timedelta(seconds=31)).isoformat().replace("+00:00", "Z"),
        "client": {"version": "0.1.0"},
    }
    if status != "ok":
        document["error"] = "The program was ended by the kernel: out of memory after 512 MB."
    return document


def crowd() -> list[dict[str, Any]]:
    """Return one result of every model, precision, runtime and machine, and a failed one."""
    made = [
        result(model, precision, runtime, machine, seed=i, day=i)
        for i, (model, precision, runtime, machine) in enumerate(
            (model, precision, runtime, machine)
            for model in MODELS
            for precision in ("fp32", "int8")
            for runtime in RUNTIMES
            for machine in MACHINES
        )
    ]
    return [
        *made,
        result("shapes-ssd", "fp32", "onnx", "pi5", seed=99, day=40, status="out-of-memory"),
        result("shapes-ssd", images=50, samples=1200, seed=98, day=41),
    ]
