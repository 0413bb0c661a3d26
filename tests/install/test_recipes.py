# SPDX-License-Identifier: Apache-2.0
"""The install recipes of the repository: valid, and true for the Pythons they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "packages").glob("*/cr.json"))
WHEELS = [path for path in RECIPES if json.loads(path.read_text(encoding="utf-8"))["install"]["using"] == "pip"]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def holds(dependency: dict[str, Any], version: str) -> bool:
    return SpecifierSet(dependency.get("when", {}).get("version", "")).contains(version, prereleases=True)


def pythons(recipe: dict[str, Any], version: str) -> list[str]:
    """The Pythons that all dependencies on the interpreter let through, for one version being provided."""
    ranges = [
        SpecifierSet(dependency.get("version", ""))
        for dependency in recipe["deps"].values()
        if dependency["needs"] == "compiler.python" and holds(dependency, version)
    ]
    return [python for python in PYTHONS if all(allowed.contains(f"{python}.5") for allowed in ranges)]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_recipes_follow_the_schema(path: Path) -> None:
    import jsonschema
    from referencing import Registry, Resource

    schemas = [load(file) for file in (ROOT / "schemas").glob("*.json")]
    registry = Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in schemas)
    schema = load(ROOT / "schemas" / "package.json")
    jsonschema.Draft202012Validator(schema, registry=registry).validate(load(path))
    assert load(path)["name"] == path.parent.name


@pytest.mark.parametrize("path", WHEELS, ids=lambda path: path.parent.name)
def test_recipes_install_exactly_the_version_they_provide(path: Path) -> None:
    recipe = load(path)
    for version in recipe["provides"]["versions"]:
        (line,) = recipe["install"]["requirements"]
        assert str(Requirement(line.format(version=version)).specifier) == f"=={version}"
        assert pythons(recipe, version), f"{version} fits no supported Python"


@pytest.mark.parametrize(
    ("name", "newest"),
    [
        ("onnxruntime-wheel", {"3.10": "1.23.2", "3.11": "1.31.1", "3.12": "1.31.1", "3.13": "1.31.1"}),
        ("ai-edge-litert-wheel", {"3.10": "2.3.0", "3.11": "2.3.0", "3.12": "2.3.0", "3.13": "2.3.0"}),
        ("tflite-runtime-wheel", {"3.10": "2.14.0", "3.11": "2.14.0", "3.12": None, "3.13": None}),
        ("numpy-wheel", {"3.10": "2.2.6", "3.11": "2.4.6", "3.12": "2.5.5", "3.13": "2.5.5"}),
        ("pillow-wheel", {"3.10": "12.3.0", "3.11": "13.0.0", "3.12": "13.0.0", "3.13": "13.0.0"}),
        ("pycocotools-wheel", {"3.10": "2.0.11", "3.11": "2.0.11", "3.12": "2.0.11", "3.13": "2.0.11"}),
    ],
)
def test_each_python_gets_the_newest_version_that_has_a_wheel_for_it(name: str, newest: dict[str, str | None]) -> None:
    recipe = load(ROOT / "packages" / name / "cr.json")
    versions = recipe["provides"]["versions"]
    for python, expected in newest.items():
        assert next((v for v in versions if python in pythons(recipe, v)), None) == expected


def test_numpy_one_is_to_be_had_up_to_python_312_and_old_runtimes_ask_for_it() -> None:
    numpy = load(ROOT / "packages" / "numpy-wheel" / "cr.json")
    assert pythons(numpy, "1.26.4") == ["3.10", "3.11", "3.12"]
    tflite = load(ROOT / "packages" / "tflite-runtime-wheel" / "cr.json")
    assert not SpecifierSet(tflite["deps"]["numpy"]["version"]).contains("2.0.0")
    assert SpecifierSet(tflite["deps"]["numpy"]["version"]).contains("1.26.4")
    runtime = load(ROOT / "packages" / "onnxruntime-wheel" / "cr.json")
    needs_one = [v for v in runtime["provides"]["versions"] if holds(runtime["deps"]["numpy-1"], v)]
    assert needs_one == ["1.18.1", "1.16.3"]


def test_of_two_tflite_runtimes_the_maintained_one_is_preferred() -> None:
    recipes = [load(path) for path in WHEELS]
    preference = {
        r["name"]: r["provides"].get("preference", 0) for r in recipes if r["provides"]["capability"] == "lib.tflite"
    }
    assert preference == {"ai-edge-litert-wheel": 0, "tflite-runtime-wheel": -10}


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_the_package_index_has_the_newest_wheels_a_recipe_names_for_a_python(python: str, tmp_path: Path) -> None:
    import os
    import subprocess

    from codereef.install.indexes import uv_environment
    from codereef.install.pip import find_uv

    uv = find_uv()
    assert uv is not None
    lines = []
    for recipe in map(load, WHEELS):
        version = next((v for v in recipe["provides"]["versions"] if python in pythons(recipe, v)), None)
        # tflite-runtime asks for numpy 1 where the others get numpy 2; without dependencies both are looked up.
        lines += [line.format(version=version) for line in recipe["install"]["requirements"] if version]
    command = [uv, "pip", "compile", "-", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--python-version", python, "--python-platform", "x86_64-manylinux_2_35"]
    done = subprocess.run(
        command,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | uv_environment(os.environ),
    )
    assert done.returncode == 0, f"Python {python}: {done.stderr}"
    assert len(lines) >= 5
