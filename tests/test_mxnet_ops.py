"""What the vectors of MXNet do not show: results apart from the weight, phases put together, LARS."""

from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import sym
from symopt.sparse import RowSparseArray

engines = pytest.mark.parametrize("engine", ["reference", "native"])


def arrays(*names: str, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {name: rng.random((5, 3)) + 0.1 for name in names}


@engines
@pytest.mark.parametrize("scale", [np.nan, np.inf, 0.0, 0.5])
@pytest.mark.parametrize("name", ["adamw_update", "adabelief_update"])
@pytest.mark.parametrize("as_array", [True, False], ids=["array", "number"])
def test_an_unusable_scale_changes_nothing(name: str, scale: float, as_array: bool, engine: str) -> None:
    given = arrays("w", "g", "mean", "var")
    before = {key: array.copy() for key, array in given.items()}
    s = sym.var("s", shape=None if as_array else ())
    node = getattr(sym, name)(*map(sym.var, given), s, lr=0.1, eta=1.0, wd=0.1)
    bound = given | {"s": np.array([scale]) if as_array else scale}
    new = node.bind(args=bound, aux_states=given, engine=engine).forward()[0]
    same = [np.array_equal(new, before["w"]), *(np.array_equal(given[k], before[k]) for k in ("mean", "var"))]
    assert same == [scale != 0.5] * 3


@engines
def test_lamb_is_its_two_phases(engine: str) -> None:
    given, other = (arrays("w", "g", "mean", "var") for _ in range(2))
    w, g, mean, var = map(sym.var, given)
    shared: dict[str, Any] = {"wd": 0.1, "t": 3, "clip_gradient": 0.5}
    bounds = {"lower_bound": 0.1, "upper_bound": 1.0}
    direction = sym.lamb_update_phase1(w, g, mean, var, **shared)
    phases = sym.lamb_update_phase2(w, direction, sym.norm(w), sym.norm(direction), lr=0.1, out=w, **bounds)
    whole = sym.lamb_update(w, g, mean, var, lr=0.1, out=w, **shared, **bounds)
    for node, bound in ((phases, given), (whole, other)):
        node.bind(args=bound, aux_states=bound, engine=engine).forward()
    for name in given:
        np.testing.assert_allclose(given[name], other[name], rtol=1e-14)


@engines
def test_lars_is_mxnets_rates_in_preloaded_momentum(engine: str) -> None:
    """The way MXNet's LARS takes for several tensors; a weight or gradient of zeros keeps its learning rate."""
    tensors = [arrays("w", "g", "m", seed=k) for k in range(3)]
    tensors[1]["w"][:], tensors[2]["g"][:] = 0, 0
    alone = [{key: x.copy() for key, x in tensor.items()} for tensor in tensors]
    lrs, wds = np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.01, 0.02])
    shared = {"momentum": 0.9, "rescale_grad": 0.5, "clip_gradient": 0.4}

    bound = {f"{key}{k}": x for k, tensor in enumerate(tensors) for key, x in tensor.items()}
    variables = {name: sym.var(name) for name in (*bound, "lrs", "wds")}
    w, g = ([variables[f"{key}{k}"] for k in range(3)] for key in "wg")
    sums = sym.multi_sum_sq(*w), sym.multi_sum_sq(*g)
    rates = sym.multi_lars(variables["lrs"], *sums, variables["wds"], eta=0.01, eps=1e-8, rescale_grad=0.5)
    node = sym.preloaded_multi_sgd_mom_update(
        *(variables[name] for name in bound), rates, variables["wds"], out=w, **shared
    )
    node.bind(args=bound | {"lrs": lrs, "wds": wds}, aux_states=bound, engine=engine).forward()

    for tensor, expected, lr, wd in zip(alone, tensors, lrs, wds):
        so.nd.lars_update(*tensor.values(), lr=lr, wd=wd, eta=0.01, out=tensor["w"], **shared)
        for key in tensor:
            np.testing.assert_allclose(tensor[key], expected[key], rtol=1e-12, err_msg=key)


def test_lans_of_a_zero_gradient_is_nan_as_in_mxnet() -> None:
    given = arrays("w", "g", "mean", "var")
    new = so.nd.lans_update(given["w"], np.zeros((5, 3)), given["mean"], given["var"], lr=0.1, wd=0.1, t=1)
    assert np.isnan(new).all()


def test_formulas_of_both_versions_stand_side_by_side() -> None:
    given = arrays("w", "g", "n")
    new, old = (
        getattr(so.nd, name)(given["w"], given["g"], given["n"].copy(), lr=0.1, wd=10.0, clip_gradient=0.2)
        for name in ("rmsprop_update", "mxnet1_rmsprop_update")
    )
    assert (new < old).all()  # the decay is clipped in MXNet 1
    one, other = (make(lr=0.1, name="u") for make in (sym.mxnet1_nag_mom_update, sym.nag_mom_update))
    assert one.tojson() == other.tojson()


@engines
def test_a_row_sparse_weight_that_is_only_read_is_read_as_dense(engine: str) -> None:
    rows = RowSparseArray(np.ones((2, 3)), np.array([0, 2]), (4, 3))
    grad = RowSparseArray(np.ones((2, 3)), np.array([3, 2]), (4, 3))
    node = sym.sgd_update(sym.var("w"), sym.var("g"), lr=0.5)
    new = node.bind(args={"w": rows, "g": grad}, engine=engine).forward()[0]
    assert new[:, 0].tolist() == [1.0, 0.0, 0.5, -0.5]
