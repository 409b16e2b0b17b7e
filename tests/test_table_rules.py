"""Any rule in a table does to a row what it does to a tensor of one row: every update op there is, and one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.attrs import REQUIRED
from symopt.embedding import Segment, Table
from symopt.errors import RuleError
from symopt.lang import State, Tensor, Updated, norm, updated
from symopt.opdef import OpDef, all_ops, update_op
from symopt.training.hyper import Hyper
from symopt.training.update import Update, count_of, new_states

Array = np.ndarray[Any, np.dtype[Any]]
DIM = 7
RULES = [op for op in all_ops() if op.is_update and not op.is_variadic and not op.is_matrix]
TAKES_MORE = {op.name for op in RULES if op.name == "sgld_update"}  # an array of noise
FITTING = [op for op in RULES if op.name not in TAKES_MORE]
engines = pytest.mark.parametrize("engine", ["reference", "native"])


def needed(op: OpDef) -> dict[str, Any]:
    """Values for attributes without a default."""
    automatic = {count_of(op), *op.running}
    return {n: 0.1 for n, a in op.attrs.items() if a.default is REQUIRED and n not in automatic}


class OneRow:
    """A tensor of one row and its states, updated by the op itself."""

    def __init__(self, op: OpDef, attrs: dict[str, Any], first: float) -> None:
        self.op, self.hyper, self.done = op, Hyper(op, attrs), 0
        self.weight = np.full((1, DIM), first, np.float32)
        self.states = new_states(Update(op, attrs), self.weight)

    def step(self, grad: Array) -> None:
        found = {name[1:]: value for name, value in self.hyper.numbers(self.done).items()}
        own = {
            n: float(v) if n != self.hyper.count else int(v) for n, v in found.items() if n in self.op.attrs
        }
        given = {"weight": self.weight, "grad": grad[None], **self.states}
        names = [i.name for i in self.op.inputs]
        inputs = [given.get(n, np.ones(1, np.float32)) for n in (names[0], names[1], *names[2:])]
        inputs[0], inputs[1] = self.weight, grad[None]
        getattr(so.nd, self.op.name)(*inputs, **{**self.hyper.fixed, **own}, out=self.weight)
        self.hyper.advance(self.done)
        self.done += 1


@engines
@pytest.mark.parametrize("op", FITTING, ids=lambda op: op.name)
def test_a_row_is_a_tensor_of_its_own(op: OpDef, engine: str) -> None:
    attrs = needed(op)
    by_table = "global_step" in op.attrs  # it asks for the table's step, not the row's
    table = Table(Segment(DIM, op, initializer=0.5, **attrs), engine=engine)
    rows: dict[int, OneRow] = {}
    rng = np.random.default_rng(0)
    for step in range(4):
        ids = rng.permutation(9)[:5] * (1 << 60) - 5
        grads = rng.standard_normal((5, DIM)).astype(np.float32)
        table.apply_gradients(ids, grads)
        for id_, grad in zip(ids.tolist(), grads, strict=True):
            row = rows.setdefault(id_, OneRow(op, attrs, 0.5))
            if by_table:
                row.done = step - 1  # nodes count from 1
            row.step(grad)
    found = table.lookup_entry(list(rows))
    # `so.nd` runs native code, whose power function is the processor's library's, not NumPy's.
    rtol = 1e-5 if engine == "reference" and "power" in op.name else 0
    for k, (id_, row) in enumerate(rows.items()):
        expected = {"weight": row.weight} | row.states
        ours = {"weight": found.weights} | {name: found.states[f"0/{name}"] for name in row.states}
        for name, array in expected.items():
            got = ours[name][k].reshape(array.shape)
            np.testing.assert_allclose(got, array, rtol=rtol, atol=0, err_msg=f"id {id_}: {name}")


@pytest.mark.parametrize("name", ["keras3_muon", "torch_muon", "torch_adafactor", "sgld"])
def test_a_rule_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(RuleError, match=name):
        Segment(4, name, learning_rate=0.1)


@engines
def test_a_rule_of_ones_own(engine: str, registered_ops: None) -> None:
    @update_op
    def trusting_update(
        weight: Tensor, grad: Tensor, mom: State, *, lr: float, momentum: float = 0.9
    ) -> Updated:
        """Steps of the length of the weight."""
        mom = momentum * mom + grad
        return updated(weight - lr * mom * (norm(weight) / norm(mom)), mom=mom)

    table = Table(Segment(3, trusting_update, learning_rate=0.5, initializer=2.0), engine=engine)
    table.apply_gradients([5, -5], [[1.0, 0.0, 0.0], [0.0, 3.0, 4.0]])
    length = np.sqrt(12)
    expected = [[2 - 0.5 * length, 2, 2], [2, 2 - 0.5 * length * 0.6, 2 - 0.5 * length * 0.8]]
    np.testing.assert_allclose(table.lookup([5, -5]), expected, rtol=1e-6)
