"""What is wrong with what a ShardedOptimizer is given is said before anything is sent; and how parameters are cut."""

from typing import Any

import numpy as np
import pytest
import sharded_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st
from losing import Losing
from sharded_cases import ODD, arrays, ranks, same_bits

import symopt as so
from symopt import errors, lang
from symopt.distributed import InProcess, ShardedOptimizer, tree_sum
from symopt.distributed.cuts import Cuttable, cut, grain, span
from symopt.distributed.flat import layout
from symopt.expr import Extent
from symopt.lang import Tensor, Updated, updated
from symopt.opdef import OPS, OpDef
from symopt.training.update import Update, find_op

W: dict[str, Any] = {"w": np.ones((4, 3), np.float32), "h": np.ones(3, np.float16)}
ROWS = so.sparse.row_sparse_array((np.ones((1, 3), np.float32), [0]), shape=(4, 3))

CONSTRUCTOR: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "no such rule": (errors.UnknownOpError, "did you mean", {"rule": "adm"}),
    "no such option": (errors.UnknownAttributeError, "momentum", {"momentum": 0.9}),
    "a guard": (errors.AttributeValueError, "skip_nonfinite", {"nan_guard": "raise"}),
    "a wire of 8 bits": (errors.AttributeValueError, "wire is one of", {"wire": "int8"}),
    "no owners": (errors.AttributeValueError, "n_owners", {"n_owners": 0}),
    "half a rank": (errors.AttributeValueError, "n_ranks", {"n_ranks": 0.5}),
    "all frozen": (errors.MissingArgumentError, "no parameter to train", {"groups": {"*": None}}),
    "a norm of two dtypes": (errors.DTypeError, "must have the dtype", {"clip_global_norm": 1.0}),
    "finite in two dtypes": (errors.DTypeError, "must have the dtype", {"skip_nonfinite": True}),
    "two decays": (errors.AttributeValueError, "both decay", {"wd": 0.1, "weight_decay": 0.1}),
}


@pytest.mark.parametrize("case", CONSTRUCTOR)
def test_what_is_wrong_is_said_before_a_process_is_started(case: str) -> None:
    error, match, options = CONSTRUCTOR[case]
    transport = Losing()
    with pytest.raises(error, match=match):
        ShardedOptimizer(transport, W, **{"rule": "adam", "lr": 0.1, "n_owners": 2, **options})
    assert not transport.started


def rule_update(weight: Tensor, grad: Tensor, *, lr: float) -> Updated:
    """A rule of the user's own, in a module that can be imported."""
    return updated(weight - lr * lang.sqrt(lang.absolute(grad)))


@pytest.mark.parametrize("module", [__name__, "__main__"])
def test_a_rule_of_the_users_own_is_imported_by_owners(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_update, "__module__", module)
    monkeypatch.setitem(OPS, "rule_update", OpDef(rule_update, is_update=True))
    made, whole, params, single = cases.both(InProcess(), "rule", ODD, 3, 1, lr=0.1)
    cases.step(made, whole, ranks(0, 1))
    same_bits(params, single)
    if module == "__main__":
        with pytest.raises(errors.AttributeValueError, match="can't import"):
            ShardedOptimizer(Losing(), arrays(0), "rule", lr=0.1)
        return
    made, whole, params, single = cases.both(Losing(), "rule", ODD, 3, 2, lr=0.1)
    cases.step(made, whole, ranks(0, 2))
    same_bits(params, single)
    assert made._pieces.configs([module], "auto")[0]["modules"] == [module]


def of_place(look: Any) -> OpDef:
    def placed_update(weight: Tensor, grad: Tensor, *, lr: float) -> Updated:
        return updated(weight - lr * grad * look(weight))

    return OpDef(placed_update, is_update=True)


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (lang.absolute, Extent.ELEMENT), (lang.row_count, Extent.ROW), (lang.column, Extent.ROW),
        (lang.row_sum, Extent.ROW), (lang.count, Extent.TENSOR), (lambda x: lang.size(x, 0), Extent.TENSOR),
        (lambda x: lang.uniform(x, 1.0), Extent.TENSOR), (lang.norm, Extent.TENSOR),
    ],
)  # fmt: skip
def test_a_formula_that_knows_places_is_cut_where_it_does_not_notice(look: Any, expected: Extent) -> None:
    assert span(Update(of_place(look))) == expected


GRADIENTS: dict[str, tuple[type[Exception], str, Any]] = {
    "a missing name": (errors.MissingArgumentError, "'w' is missing", lambda g: {"h": g["h"]}),
    "an unknown name": (errors.UnknownArgumentError, "no parameter 'x'", lambda g: {**g, "x": g["w"]}),
    "a wrong shape": (
        errors.ShapeError,
        r"rank 1: the gradient of 'w' has shape \(3,\)",
        lambda g: {**g, "w": g["h"]},
    ),
    "a wrong dtype": (errors.DTypeError, "'w' is float64", lambda g: {**g, "w": g["w"].astype("f8")}),
    "rows": (errors.StorageError, "row_sparse", lambda g: {**g, "w": ROWS}),
    "no array": (errors.DTypeError, "'w'", lambda g: {**g, "w": "x"}),
}


@pytest.mark.parametrize("how", ["step", "push"])
@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients_that_are_wrong_change_nothing(case: str, how: str) -> None:
    error, match, spoil = GRADIENTS[case]
    params = {n: w.copy() for n, w in W.items()}
    transport = Losing()
    made = ShardedOptimizer(transport, params, "adam", lr=0.1, n_owners=2, n_ranks=2)
    good = {n: w / 2 for n, w in W.items()}
    before = len(transport.log)
    with pytest.raises(error, match=match):
        made.step([good, spoil(good)]) if how == "step" else made.push(1, spoil(good))
    assert len(transport.log) == before
    same_bits(params, W)
    assert made.step([good, good])


def test_calls_that_are_wrong() -> None:
    made, whole, params, _ = cases.both(
        Losing(), "adam", ODD, 2, 3, lr=lambda done: float("nan") if done else 0.1
    )
    grads = ranks(0, 3)
    nothing = dict.fromkeys(ODD)
    wrong: list[tuple[type[Exception], str, Any]] = [
        (errors.MissingArgumentError, "a list of the gradients of 3 ranks", lambda: made.step(grads[:2])),
        (errors.MissingArgumentError, "a list of the gradients of 3 ranks", lambda: made.step(grads[0])),
        (errors.MissingArgumentError, "every one is None", lambda: made.step([nothing] * 3)),
        (errors.MissingArgumentError, "rank 0 are missing", lambda: made.pull()),
        (errors.AttributeValueError, "rank", lambda: made.push(3, grads[0])),
        (errors.AttributeValueError, "rank", lambda: made.push(-1, grads[0])),
        (errors.TooLateError, "step 3 is too early", lambda: made.push(0, grads[0], step=3)),
        (errors.UnknownAttributeError, "momentum", lambda: made.step(grads, momentum=0.5)),
        (errors.TooLateError, "state_dtype", lambda: made.set(state_dtype="bfloat16")),
    ]
    for error, match, call in wrong:
        with pytest.raises(error, match=match):
            call()
    assert made.push(1, grads[1]) == "held"
    assert made.push(1, grads[1]) == "dup"
    with pytest.raises(errors.MismatchError, match="rank 1 sent other gradients"):
        made.push(1, grads[0])
    with pytest.raises(errors.TooLateError, match=r"ranks \[1\] pushed"):
        made.step(grads)
    for rank in (2, 0):
        made.push(rank, grads[rank])
    assert made.pull()
    assert made.push(0, grads[1], step=1) == "dup"
    before = {n: p.copy() for n, p in params.items()}
    with pytest.raises(errors.AttributeValueError, match="schedule of lr"):
        made.step(grads)
    same_bits(params, before)
    made.close()
    for call in (lambda: made.step(grads), made.state_dict, lambda: made.load_state_dict(whole.state_dict())):
        with pytest.raises(errors.ClusterError, match="closed"):
            call()


def test_ranks_without_gradients_together_refuse_the_step_before_it_is_made() -> None:
    made, whole, params, single = cases.both(Losing(), "adam", ODD, 2, 2, lr=0.1)
    nothing, grads = dict.fromkeys(ODD), ranks(0, 2)
    assert made.push(0, nothing) == "held"
    with pytest.raises(errors.MissingArgumentError, match="every one is None"):
        made.push(1, nothing)
    made.push(1, grads[1])
    assert made.pull() == whole(tree_sum([nothing, grads[1]]))
    same_bits(params, single)


def test_gradients_may_be_changed_after_a_push() -> None:
    for transport in (InProcess(), Losing()):
        made, whole, params, single = cases.both(transport, "adam", ODD, 2, 2, lr=0.1)
        grads = ranks(0, 2)
        total = tree_sum(grads)
        for rank, each in enumerate(grads):
            made.push(rank, each)
            for g in each.values():
                g[...] = 9
        assert made.pull() == whole(total)
        same_bits(params, single)


shapes = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=3).map(tuple), min_size=1, max_size=12)


@given(shapes, st.integers(1, 9), st.data())
@settings(max_examples=200, deadline=None)
def test_pieces_cover_everything_once(shapes: list[tuple[int, ...]], n_owners: int, data: Any) -> None:
    params = []
    for k, shape in enumerate(shapes):
        how = data.draw(st.sampled_from(list(Extent)[1:]))
        step = grain(how, shape, 4, data.draw(st.booleans()))
        params.append(Cuttable(str(k), shape, step, data.draw(st.sampled_from([4.0, 12.0]))))
    owners = cut(params, n_owners)
    assert len(owners) == n_owners
    for p in params:
        found = [(piece, k) for k, pieces in enumerate(owners) for piece in pieces if piece.name == p.name]
        size = int(np.prod(p.shape))
        assert len({k for _, k in found}) == len(found)
        assert [x.start for x, _ in found] == [0, *(x.stop for x, _ in found[:-1])]
        assert found[-1][0].stop == size
        array = np.arange(size)
        assert np.array_equal(np.concatenate([x.of(array) for x, _ in found]), array)
        for piece, _ in found:
            assert piece.start % p.grain == 0 or piece.is_whole
            assert int(np.prod(piece.shape)) == piece.stop - piece.start


def test_owners_have_equal_shares_of_what_can_be_cut() -> None:
    params = [
        Cuttable("whole", (1000,), 1000, 4.0),
        Cuttable("a", (5000,), 16, 4.0),
        Cuttable("b", (300, 10), 10, 4.0),
    ]
    owners = cut(params, 3)
    sizes = [sum(p.stop - p.start for p in pieces) for pieces in owners]
    assert max(sizes) - min(sizes) <= 32


@pytest.mark.parametrize(
    ("rule", "attrs", "expected"),
    [
        ("adam", {}, Extent.ELEMENT), ("adam", {"kahan": True}, Extent.ELEMENT), ("group_adagrad", {}, Extent.ROW),
        ("adam", {"rounding": "stochastic", "seed": 0.0}, Extent.TENSOR), ("lamb", {"wd": 0.0}, Extent.TENSOR),
        ("torch_muon", {}, Extent.TENSOR), ("monolith_rowwise_adagrad", {}, Extent.ROW),
    ],
)  # fmt: skip
def test_the_formula_says_where_it_may_be_cut(rule: str, attrs: dict[str, Any], expected: Extent) -> None:
    assert span(Update(find_op(rule), attrs)) == expected


def test_a_layout_has_every_array_on_a_line() -> None:
    where = layout([3, 0, 70, 5], ["float32", "float64", None, "float32"])
    assert where.places == ((0, 0, 3), (1, 0, 0), None, (0, 16, 21))
    assert [b.size for b in where.buffers()] == [21, 0]
