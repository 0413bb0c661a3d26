# SPDX-License-Identifier: Apache-2.0
"""Entry point of the program regression: `main.py REQUEST.json`.

The harness is the client's package, loaded from the folder that the request names, without putting any folder
on the import path: whatever else lies beside it stays invisible to this environment.
"""

import importlib.util
import json
import sys
from pathlib import Path


def load_harness(folder: Path) -> None:
    """Make `import codereef` find the package in `folder`."""
    spec = importlib.util.spec_from_file_location(
        "codereef", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise SystemExit(f"no harness in {folder}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["codereef"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: main.py REQUEST.json")
    load_harness(Path(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["harness"]))

    from codereef.bench.program import main

    raise SystemExit(main("regression", sys.argv[1:]))
