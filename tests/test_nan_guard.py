"""Guarded steps: what is not finite is found, named and, if so wished, never stored. Every op, form and engine."""

import pytest
from device_graphs import GRAPHS
from injected import faults, wrong

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
