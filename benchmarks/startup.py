"""What comes before the first step: importing, binding, compiling."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable

from harness import OURS, Row

COLD = """
import time, numpy as np, symopt as so
from symopt import sym
n = {n}
heads, arrays = [], {{}}
for k in range(n):
    w, g, m, v = (sym.var(f"{{p}}{{k}}") for p in "wgmv")
    heads.append(sym.adam_update(w, g, m, v, lr=1e-3, out=w, name=f"u{{k}}"))
    for p in "wgmv":
        arrays[f"{{p}}{{k}}"] = np.ones(100, np.float32)
symbol = sym.Group(heads)
from symopt.backends import jit
spent, compile_text = [0.0], jit._compile
def timed(text):
    begin = time.perf_counter()
    made = compile_text(text)
    spent[0] += time.perf_counter() - begin
    return made
jit._compile = timed
begin = time.perf_counter()
executor = symbol.bind(so.cpu(), args=arrays, aux_states=arrays)
executor.forward()
print(time.perf_counter() - begin, spent[0])
"""


def bind(quick: bool) -> Iterable[Row]:
    """10,000 Adam nodes: bind and first step in a new process."""
    n = 1000 if quick else 10_000
    runs = [_python(COLD.format(n=n)).split() for _ in range(3 if quick else 5)]
    total = statistics.median(float(a) for a, _ in runs)
    compiling = statistics.median(float(b) for _, b in runs)
    yield Row(f"bind + first step, {n:,} nodes", {OURS: total}, limit=1.5)
    yield Row("of that compilation", {OURS: compiling}, limit=0.05)


def imports(quick: bool) -> Iterable[Row]:
    """Whole processes that import and do nothing else, in turn."""
    times: dict[str, list[float]] = {"symopt": [], "numpy": []}
    for name in times:
        _python(f"import {name}")
    for _ in range(5 if quick else 25):
        for name, found in times.items():
            begin = time.perf_counter()
            _python(f"import {name}")
            found.append(time.perf_counter() - begin)
    seconds = {name: statistics.median(found) for name, found in times.items()}
    yield Row("import", seconds, {"numpy": 1 / 1.3})


def _python(code: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout
