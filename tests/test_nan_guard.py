"""Guarded steps: what is not finite is found, named and, if so wished, never stored. Every op, form and engine."""

import zlib

import numpy as np
import pytest
from device_graphs import GRAPHS, Graph
from injected import drawn_graph, faults, op_graph, unlike_reference, wrong
from test_engines import STORAGES, UPDATES

from symopt import sym
from symopt.dtypes import COMPLEX, FLOATS
from symopt.errors import DTypeError, StorageError
from symopt.forms import get_op

ENGINES = ("reference", "native", "emulator")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", GRAPHS)
def test_faults_in_graphs_are_found(name: str, engine: str, request: pytest.FixtureRequest) -> None:
    if engine == "emulator":
        request.getfixturevalue("cxx")
    graph = GRAPHS[name]()
    every = [None, *faults(graph, listed_rows=True)]
    some = every if engine != "emulator" else every[:: max(len(every) // 6, 1)]
    assert not wrong(graph, engine, some)


@pytest.mark.parametrize("seed", [44, *range(15)])  # 44: a sum is an output, and its partial results are not
def test_random_graphs_are_guarded_as_by_the_interpreter(seed: int) -> None:
    graph = drawn_graph(seed)
    every = [None, *faults(graph)]
    assert not unlike_reference(graph, "native", every[:: max(len(every) // 12, 1)])


def test_a_sum_that_is_an_output_is_looked_at(request: pytest.FixtureRequest) -> None:
    """Its partial results are stored in a rehearsal too: nothing else makes the total."""
    g, w = sym.var("g"), sym.var("w")
    symbol = sym.Group([sym.sum(g), sym.sgd_update(w, 0 * w, lr=0.1, out=w)])
    graph = Graph(symbol, {n: np.ones((3, 9000), np.float32) for n in "gw"}, {})
    request.getfixturevalue("cxx")
    for engine in ENGINES:
        assert not wrong(graph, engine, [None, *faults(graph)])


def drawn(name: str, choices: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """One storage and dtype for each op, not the same for all."""
    return [choices[zlib.crc32(name.encode()) % len(choices)]]


@pytest.mark.parametrize("name", [op.name for op in UPDATES])
def test_faults_in_every_op_are_found(name: str, request: pytest.FixtureRequest) -> None:
    """Of each op with one storage and dtype; `--all-kernels`: with all."""
    op, found = get_op(name), []
    storages = STORAGES if not op.is_matrix else ("dense",)
    choices = [(storage, dtype) for storage in storages for dtype in (*FLOATS, *COMPLEX)]
    if not request.config.getoption("--all-kernels"):
        choices = drawn(name, choices)
    for storage, dtype in choices:
        try:
            graph = op_graph(op, storage, dtype, (17, 33))
        except (DTypeError, StorageError):
            graph = op_graph(op, "dense", "float32", (17, 33))
        for engine in ("reference", "native"):
            every = [None, *faults(graph, listed_rows=True)]
            found += [f"{storage}, {dtype}, {engine}: {x}" for x in wrong(graph, engine, every)]
    assert not found
