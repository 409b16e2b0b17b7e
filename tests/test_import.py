"""`import symopt` stays cheap: the engine, its libraries and slow parts of the standard library come when needed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

ENGINE = {
    *(
        f"symopt.{name}"
        for name in ("arrays", "backends", "binding", "build", "codegen", "executor", "infer", "nd")
    ),
    *(
        f"symopt.{name}"
        for name in ("passes", "prims", "report", "rules", "serial", "show", "sparse", "step", "trace")
    ),
}
LIBRARIES = {"llvmlite", "ml_dtypes", "networkx"}
STANDARD = {"ast", "dataclasses", "difflib", "inspect", "json", "linecache", "pathlib", "urllib.parse"}


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded when it has run `code`."""
    script = f"import sys\n{code}\nprint(*sys.modules, sep='\\n')"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(run.stdout.split())


def test_import_loads_neither_the_engine_nor_slow_modules() -> None:
    loaded = modules_after("import symopt") - modules_after("import numpy")
    assert "symopt.symbol" in loaded
    assert not loaded & (ENGINE | LIBRARIES | STANDARD)


def test_building_a_graph_loads_no_engine() -> None:
    code = (
        "from symopt import sym; w, g = sym.var('w'), sym.var('g'); str(sym.sgd_update(w, g, lr=0.1, out=w))"
    )
    assert not modules_after(code) & (ENGINE | LIBRARIES)
