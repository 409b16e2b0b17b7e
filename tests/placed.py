"""Arrays on a GPU for tests: emulated ones everywhere, CuPy's where there is a GPU."""

from typing import Any

import numpy as np

from symopt import sym
from symopt.places import Place, from_host
from symopt.sparse import RowSparseArray

SHAPE = (6, 4)


def arrays(names: str = "wgmv") -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {n: rng.random(SHAPE, np.float32) for n in names}


def up(place: Place, given: Any) -> Any:
    """Copies on a device: of an array, a row_sparse array or a dict of them. Numbers stay."""
    if isinstance(given, dict):
        return {name: up(place, x) for name, x in given.items()}
    if isinstance(given, RowSparseArray):
        return given.copy_to(place)
    return from_host(place, np.asarray(given)) if isinstance(given, np.ndarray) else given


def adam(**attrs: Any) -> Any:
    w, g, m, v = map(sym.var, "wgmv")
    return sym.adam_update(w, g, m, v, out=w, name="one", **{"lr": 0.1, "lazy_update": True, **attrs})


def bind(symbol: Any, given: dict[str, Any], ctx: Any = None, **options: Any) -> Any:
    states = set(symbol.list_auxiliary_states())
    args = {n: x for n, x in given.items() if n not in states}
    return symbol.bind(ctx, args, aux_states={n: given[n] for n in states}, **options)


def same(device: dict[str, Any], host: dict[str, Any]) -> bool:
    return all(np.array_equal(device[n].get(), host[n]) for n in "wmv")
