# SPDX-License-Identifier: Apache-2.0
"""docs/reference/ is what scripts/generate-reference makes of the schemas, and says something of every key."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "generate-reference"
SCHEMAS = ROOT / "schemas"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The script as a module; no bytecode is left beside it."""
    loader = SourceFileLoader("generate_reference", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def test_the_committed_pages_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_key_of_every_schema_is_described(generator: ModuleType) -> None:
    assert generator.undescribed(SCHEMAS) == []


def test_every_kind_and_format_has_a_page(generator: ModuleType) -> None:
    names = {path.stem for path in SCHEMAS.glob("*.json")} - {"common"}
    assert {f"{name}.md" for name in names} < set(generator.pages(SCHEMAS))


def test_references_into_other_schemas_are_followed(generator: ModuleType) -> None:
    page = generator.pages(SCHEMAS)["solution.md"]
    assert "| `deps.NAME.needs` | string or object | yes |" in page
    assert "$ref" not in page


def test_a_key_without_a_description_is_noticed(generator: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    shutil.copytree(SCHEMAS, folder)
    document = json.loads((folder / "target.json").read_text(encoding="utf-8"))
    document["properties"]["novelty"] = {"type": "string"}
    (folder / "target.json").write_text(json.dumps(document), encoding="utf-8")
    assert "target: novelty" in generator.undescribed(folder)
    assert generator.pages(folder)["target.md"] != generator.pages(SCHEMAS)["target.md"]


def test_the_examples_a_page_names_exist(generator: ModuleType) -> None:
    for example in generator.EXAMPLES.values():
        assert (ROOT / example).is_file(), example
