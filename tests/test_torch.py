"""The torch_ ops follow torch.optim step by step: weights and states, every class and every combination of flags."""

import zlib
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_torch_matrices import TABLE as MATRICES

import symopt as so
from symopt import sym
from symopt.opdef import OpDef, all_ops
from symopt.sparse import RowSparseArray

torch = pytest.importorskip(
    "torch", reason="torch is not installed here: `make torch` installs and runs this"
)

STEPS = 7  # RAdam is rectified from the sixth
SHAPES = [(), (1,), (17, 5), (3, 4, 7), (1031,)]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
PLAIN: dict[str, list[Any]] = {"weight_decay": [0.0, 0.1], "maximize": [False, True]}
DECOUPLED: dict[str, list[Any]] = {**PLAIN, "decoupled_weight_decay": [False, True]}

# What torch calls its arguments, and its states where the op does not have the same name for them.
ATTRS = {"eps": ("epsilon",), "weight_decay": ("wd",), "betas": ("beta1", "beta2"), "etas": ("etaminus", "etaplus"),
         "step_sizes": ("step_size_min", "step_size_max")}  # fmt: skip
STATES = {"mean": ("exp_avg", "grad_avg"), "var": ("exp_avg_sq", "square_avg"), "max_var": ("max_exp_avg_sq",),
          "mom": ("momentum_buffer",), "u": ("exp_inf",), "history": ("sum",), "acc_g": ("square_avg",),
          "average": ("ax",)}  # fmt: skip

# op: class, arguments that the op stands for, and the values of each argument that are tried in all combinations
TABLE: dict[str, tuple[str, dict[str, Any], dict[str, list[Any]]]] = {
    "torch_sgd_update": ("SGD", {}, PLAIN),
    "torch_sgd_mom_update": (
        "SGD",
        {},
        {"momentum": [0.9], "dampening": [0.0, 0.3], "nesterov": [False, True], **PLAIN},
    ),
    "torch_asgd_update": ("ASGD", {}, {"t0": [1e6, 2.0], "lambd": [1e-4, 0.1], **PLAIN}),
    "torch_adam_update": ("Adam", {}, {"betas": [(0.9, 0.999), (0.3, 0.5)], **DECOUPLED}),
    "torch_amsgrad_update": ("Adam", {"amsgrad": True}, DECOUPLED),
    "torch_adamw_update": ("AdamW", {}, {"weight_decay": [0.01, 0.0], "maximize": [False, True]}),
    "torch_adamw_amsgrad_update": (
        "AdamW",
        {"amsgrad": True},
        {"weight_decay": [0.01], "maximize": [False, True]},
    ),
    "torch_sparse_adam_update": ("SparseAdam", {}, {"maximize": [False, True]}),
    "torch_nadam_update": ("NAdam", {}, DECOUPLED),
    "torch_radam_update": ("RAdam", {}, DECOUPLED),
    "torch_adamax_update": ("Adamax", {}, PLAIN),
    "torch_adagrad_update": ("Adagrad", {}, {"lr_decay": [0.0, 0.2], **PLAIN}),
    "torch_adadelta_update": ("Adadelta", {}, PLAIN),
    "torch_rmsprop_update": ("RMSprop", {}, PLAIN),
    "torch_rmsprop_mom_update": ("RMSprop", {}, {"momentum": [0.8], **PLAIN}),
    "torch_rmsprop_centered_update": ("RMSprop", {"centered": True}, PLAIN),
    "torch_rmsprop_centered_mom_update": ("RMSprop", {"centered": True}, {"momentum": [0.8], **PLAIN}),
    "torch_rprop_update": ("Rprop", {}, {"etas": [(0.5, 1.2), (0.7, 1.5)], "maximize": [False, True]}),
}
OPS = {op.name: op for op in all_ops() if op.name in TABLE}


class Case(NamedTuple):
    """An op and the arguments of its class in torch."""

    op: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return "-".join([self.op, *(f"{k}={v}" for k, v in self.arguments.items())])

    def optimizer(self, parameter: Any) -> Any:
        name, fixed, _ = TABLE[self.op]
        return getattr(torch.optim, name)([parameter], **fixed, **self.arguments)

    def attrs(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in self.arguments.items():
            values = value if isinstance(value, tuple) else (value,)
            found.update(zip(ATTRS.get(name, (name,)), values, strict=True))
        return found


def cases() -> Iterator[Case]:
    for op, (_, _, choices) in TABLE.items():
        for values in product(*choices.values()):
            arguments = dict(zip(choices, values))
            if not (arguments.get("nesterov") and arguments["dampening"]):  # torch refuses both together
                yield Case(op, arguments)


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """torch keeps mu_product, mu and eta in its default dtype: in float32 they would be the only digits to differ."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with torch.sparse.check_sparse_tensor_invariants(True):
        yield
    torch.set_default_dtype(before)


def gradients(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Iterator[np.ndarray]:
    """Of both signs, with zeros, and some exactly as they were in the step before."""
    last = np.zeros(shape, dtype)
    for _ in range(STEPS):
        new = np.asarray(rng.standard_normal(shape), dtype)
        chosen = rng.random(shape)
        last = np.where(chosen < 0.1, 0, np.where(chosen < 0.3, last, new)).astype(dtype)
        yield last


def first_states(op: OpDef, weight: np.ndarray, optimizer: Any) -> dict[str, np.ndarray]:
    """Zeros, as torch has them, but for the step sizes of Rprop."""
    states = {name: np.zeros_like(weight) for name in op.states}
    if "step_size" in states:
        states["step_size"][...] = optimizer.param_groups[0]["lr"]
    return states


def executor(case: Case, weight: np.ndarray, grad: Any, states: dict[str, np.ndarray], engine: str) -> Any:
    """The op in place, with the numbers that change at every step as variables."""
    op, attrs = OPS[case.op], case.attrs()
    if "lr" not in op.attrs:  # Rprop: only the first step sizes
        attrs.pop("lr", None)
    changing: dict[str, Any] = {name: 1.0 for name in ("step", "mu_product") if name in op.attrs}
    w = sym.var("w")
    attrs.update({name: sym.var(name, shape=()) for name in changing})
    node = getattr(sym, op.name)(w, sym.var("g"), *map(sym.var, states), out=w, **attrs)
    return node.bind(so.cpu(), args={"w": weight, "g": grad, **changing}, aux_states=states, engine=engine)


def numbers(exe: Any, optimizer: Any, parameter: Any, step: int) -> dict[str, float]:
    """The numbers of this step; mu_product as torch keeps it between steps."""
    kept = optimizer.state[parameter].get("mu_product", 1.0)
    return {k: v for k, v in {"step": step, "mu_product": float(kept)}.items() if k in exe.arg_dict}


def assert_same(found: np.ndarray, expected: Any, tolerance: float, what: str) -> None:
    """Relative to each element, and to the largest where terms of that size cancel."""
    wanted = expected.detach().to_dense().numpy()  # the momentum of sparse gradients is sparse
    if np.iscomplexobj(wanted):
        wanted = wanted.view(found.dtype)
    size = float(np.max(np.abs(wanted), initial=0))
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * size, err_msg=what)


def assert_same_state(
    weight: np.ndarray, states: dict[str, np.ndarray], optimizer: Any, parameter: Any, tolerance: float
) -> None:
    assert_same(weight, parameter, tolerance, "weight")
    kept = optimizer.state[parameter]
    for name, state in states.items():
        key = next(k for k in (*STATES.get(name, ()), name) if k in kept)
        assert_same(state, kept[key], tolerance, name)


def gradient_of(case: Case, grad: np.ndarray) -> Any:
    """SparseAdam takes sparse tensors only: here one that has every row, in any other class the array."""
    given = torch.from_numpy(grad.copy())
    if case.op == "torch_sparse_adam_update":
        return sparse_tensor(np.arange(len(grad)), given, len(grad))
    return given


def sparse_tensor(indices: np.ndarray, values: Any, rows: int) -> Any:
    return torch.sparse_coo_tensor(indices[None], values, (rows, *values.shape[1:]))


def follow(case: Case, shape: tuple[int, ...], dtype: str, engine: str) -> None:
    """STEPS steps of both, compared after each."""
    rng = np.random.default_rng(zlib.crc32(f"{case}{shape}{dtype}".encode()))
    start = np.asarray(rng.standard_normal(shape), dtype)
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = case.optimizer(parameter)
    weight, states = start.copy(), first_states(OPS[case.op], start, optimizer)
    exe = executor(case, weight, np.zeros_like(start), states, engine)
    for step, grad in enumerate(gradients(rng, shape, dtype), 1):
        now = numbers(exe, optimizer, parameter, step)
        parameter.grad = gradient_of(case, grad)
        optimizer.step()
        exe.forward(g=grad, **now)
        assert_same_state(weight, states, optimizer, parameter, TOLERANCE[dtype])


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_follows_torch(case: Case, dtype: str, engine: str) -> None:
    for shape in SHAPES:
        if shape or case.op != "torch_sparse_adam_update":  # there are no rows in a number
            follow(case, shape, dtype, engine)


@pytest.mark.parametrize("op", [op for op in TABLE if "_mom_" not in op])
def test_defaults_are_torchs(op: str) -> None:
    follow(Case(op, {}), (17, 5), "float64", "native")


def test_every_torch_op_is_in_the_table() -> None:
    assert {op.name for op in all_ops() if op.name.startswith("torch_")} == {*TABLE, *MATRICES}


DECAYS = st.sampled_from([0.0, 0.25, 0.5, 0.75]) | st.floats(0, 0.999)
DRAWN = {
    "lr": st.floats(1e-5, 0.5), "eps": st.floats(1e-10, 1e-2), "weight_decay": st.floats(0, 0.5),
    "betas": st.tuples(DECAYS, DECAYS), "rho": DECAYS, "alpha": DECAYS, "momentum": st.floats(0.1, 0.99),
    "dampening": st.floats(0, 1), "lambd": st.floats(0, 0.5), "t0": st.floats(0, 8), "lr_decay": st.floats(0, 1),
    "momentum_decay": st.floats(0, 0.1), "etas": st.tuples(st.floats(0.1, 0.9), st.floats(1.1, 3)),
    "step_sizes": st.tuples(st.floats(1e-6, 1e-2), st.floats(1, 50)), "maximize": st.booleans(),
}  # fmt: skip
CANCELS = ("torch_rmsprop_centered_update", "torch_rmsprop_centered_mom_update")  # var - mean ** 2


@pytest.mark.parametrize("op", [op for op in TABLE if op not in CANCELS])
@settings(deadline=None, max_examples=20, derandomize=True)
@given(data=st.data())
def test_follows_torch_at_any_numbers(op: str, data: st.DataObject) -> None:
    name = TABLE[op][0]
    known = getattr(torch.optim, name).__init__.__code__.co_varnames
    wanted = [k for k in DRAWN if k in known and (k != "momentum" or "_mom_" in op)]
    if op == "torch_sgd_update":
        wanted.remove("dampening")
    follow(Case(op, {k: data.draw(DRAWN[k], k) for k in wanted}), (5, 3), "float64", "native")


@pytest.mark.parametrize("op", [op for op in TABLE if op != "torch_sparse_adam_update"])
def test_complex_parameters_are_pairs_of_reals(op: str) -> None:
    """So torch has them, in second moments and signs too: bind the real view. SGD alone would not notice."""
    case = Case(op, {"momentum": 0.9} if "_mom_" in op else {})
    rng = np.random.default_rng(zlib.crc32(op.encode()))
    start = rng.standard_normal((6, 5, 2)).view(np.complex128)[..., 0]
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = case.optimizer(parameter)
    weight = start.copy().view(np.float64)
    states = first_states(OPS[op], weight, optimizer)
    exe = executor(case, weight, np.zeros_like(weight), states, "native")
    for step, grad in enumerate(gradients(rng, weight.shape, np.float64), 1):
        now = numbers(exe, optimizer, parameter, step)
        parameter.grad = torch.from_numpy(grad.view(np.complex128).copy())
        optimizer.step()
        exe.forward(g=grad, **now)
        assert_same_state(weight, states, optimizer, parameter, 1e-12)


SPARSE = [
    Case("torch_sparse_adam_update", {}),
    Case("torch_sparse_adam_update", {"maximize": True, "betas": (0.7, 0.9), "eps": 1e-4}),
    Case("torch_adagrad_update", {"lr_decay": 0.1}),
    Case("torch_sgd_update", {"lr": 0.1}),
    Case("torch_sgd_mom_update", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    Case("torch_sgd_mom_update", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
]


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", SPARSE, ids=str)
def test_sparse_gradients_follow_torch(case: Case, dtype: str, engine: str) -> None:
    """Repeated rows, rows in any order, no rows: the classes of torch that take sparse gradients at all."""
    rng = np.random.default_rng(zlib.crc32(str(case).encode()))
    start = np.asarray(rng.standard_normal((23, 3)), dtype)
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = case.optimizer(parameter)
    weight, states = start.copy(), first_states(OPS[case.op], start, optimizer)
    exe = executor(case, weight, RowSparseArray(start[:0], [], start.shape), states, engine)
    for step, count in enumerate([4, 40, 1, 0, 9], 1):
        indices = rng.integers(0, 23, count)
        values = np.asarray(rng.standard_normal((count, 3)), dtype)
        now = numbers(exe, optimizer, parameter, step)
        parameter.grad = sparse_tensor(indices, torch.from_numpy(values), len(start))
        optimizer.step()
        exe.forward(g=RowSparseArray(values, indices, start.shape), **now)
        assert_same_state(weight, states, optimizer, parameter, TOLERANCE[dtype])


def test_a_run_of_torch_goes_on_in_its_own_tensors() -> None:
    """The state of an optimizer is bound as it is: nothing is copied, and torch could take over again."""
    rng = np.random.default_rng(3)
    start = torch.from_numpy(rng.standard_normal((7, 5)))
    parameters = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    optimizers = [torch.optim.NAdam([p]) for p in parameters]
    for parameter, optimizer in zip(parameters, optimizers):
        for _ in range(3):
            parameter.grad = parameter.detach() ** 3
            optimizer.step()
    ours, theirs = parameters
    kept, weight = optimizers[0].state[ours], ours.detach()
    so.nd.torch_nadam_update(
        weight, weight**3, kept["exp_avg"], kept["exp_avg_sq"], out=weight,
        step=int(kept["step"]) + 1, mu_product=float(kept["mu_product"]),
    )  # fmt: skip
    theirs.grad = theirs.detach() ** 3
    optimizers[1].step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(kept["exp_avg_sq"], optimizers[1].state[theirs]["exp_avg_sq"])
