"""The torch_ ops on matrices follow torch.optim step by step: Adafactor and Muon, weights and states."""

import zlib
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import sym
from symopt.forms import get_op

torch = pytest.importorskip(
    "torch", reason="torch is not installed here: `make torch` installs and runs this"
)

STEPS = 5
Shapes = list[tuple[int, ...]]
MATRICES: Shapes = [(5, 3), (3, 5), (1, 4), (16, 16)]
VECTORS: Shapes = [(1,), (7,)]
TOLERANCE = {"float32": 3e-5, "float64": 1e-10}
ADAFACTOR: dict[str, list[Any]] = {"weight_decay": [0.0, 0.1], "d": [1.0, 1.5], "maximize": [False, True]}
RENAMED = {"weight_decay": "wd"}

# op: class, shapes, and the values of each argument that are tried in all combinations
TABLE: dict[str, tuple[str, Shapes, dict[str, list[Any]]]] = {
    "torch_adafactor_update": ("Adafactor", MATRICES, ADAFACTOR),
    "torch_adafactor_vector_update": ("Adafactor", VECTORS, ADAFACTOR),
    "torch_muon_update": (
        "Muon",
        MATRICES,
        {
            "nesterov": [True, False],
            "adjust_lr_fn": ["original", "match_rms_adamw"],
            "weight_decay": [0.0, 0.2],
        },
    ),
}


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    for op, (_, _, choices) in TABLE.items():
        yield op, {}
        yield from ((op, dict(zip(choices, values))) for values in product(*choices.values()))


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch rounds the matrices of Muon to bfloat16: here it makes the copy that it then writes to, and no more."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)


def assert_same(found: np.ndarray, expected: Any, tolerance: float) -> None:
    wanted = expected.detach().numpy().reshape(found.shape)  # one value per row is (rows, 1) in torch
    size = float(np.max(np.abs(wanted), initial=0))
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * size)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("op, arguments", list(cases()), ids=str)
def test_follows_torch(op: str, arguments: dict[str, Any], dtype: str) -> None:
    name, shapes, _ = TABLE[op]
    attrs: dict[str, Any] = {RENAMED.get(k, k): v for k, v in arguments.items()}
    if "epsilon1" in get_op(op).attrs:
        attrs["epsilon1"] = float(np.finfo(dtype).eps)  # torch's default
    for shape in shapes:
        rng = np.random.default_rng(zlib.crc32(f"{op}{arguments}{shape}".encode()))
        weight = rng.standard_normal(shape).astype(dtype)
        parameter = torch.nn.Parameter(torch.from_numpy(weight.copy()))
        optimizer = getattr(torch.optim, name)([parameter], **arguments)
        exe, states = executor(op, weight, attrs)
        for step in range(1, STEPS + 1):
            grad = rng.standard_normal(shape).astype(dtype)
            parameter.grad = torch.from_numpy(grad.copy())
            optimizer.step()
            exe.forward(g=grad, **({"step": step} if "step" in exe.arg_dict else {}))
            assert_same(weight, parameter, TOLERANCE[dtype])
            for state, array in states.items():
                assert_same(array, optimizer.state[parameter][state], TOLERANCE[dtype])


def executor(op: str, weight: np.ndarray, attrs: dict[str, Any]) -> tuple[Any, dict[str, np.ndarray]]:
    """The op in place, with its states, of zeros."""
    w, given = sym.var("w"), get_op(op)
    count = {"step": sym.var("step", shape=())} if "step" in given.attrs else {}
    node = getattr(sym, op)(w, sym.var("g"), *map(sym.var, given.states), out=w, **attrs, **count)
    shapes = node.infer_shape(w=weight.shape)[2]
    states = {n: np.zeros(s, weight.dtype) for n, s in zip(given.states, shapes, strict=True)}
    args = {"w": weight, "g": weight.copy(), "step": 1}
    return node.bind(so.cpu(), args=args, aux_states=states), states
