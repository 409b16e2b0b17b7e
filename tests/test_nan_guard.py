"""Guarded steps: what is not finite is found, named and, if so wished, never stored. Every op, form and engine."""

import pytest
from device_graphs import GRAPHS
from injected import faults, op_graph, wrong
from test_engines import STORAGES, UPDATES, required

from symopt.errors import DTypeError, StorageError
from symopt.dtypes import COMPLEX, FLOATS
from symopt.forms import get_op
from symopt.opdef import OpDef

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


def cases() -> list[tuple[str, str]]:
    return [(op.name, storage) for op in UPDATES for storage in STORAGES if not (op.is_matrix and storage != "dense")]


@pytest.mark.parametrize(("name", "storage"), cases())
def test_faults_in_every_op_are_found(name: str, storage: str) -> None:
    op = get_op(name)
    found = []
    for dtype in (*FLOATS, *COMPLEX):
        try:
            graph = op_graph(op, storage, dtype, (17, 33))
        except (DTypeError, StorageError):
            continue
        every = [None, *faults(graph, listed_rows=True)]
        for engine in ("reference", "native"):
            found += [f"{dtype}, {engine}: {each}" for each in wrong(graph, engine, every)]
    assert not found
