"""Formulas of nodes and kernels cannot lie: evaluated with NumPy in float64 they give what the engine gives."""

import zlib
from typing import Any

import numpy as np
import pytest
from formula_values import Env, counts, run
from test_engines import ORDINARY, UPDATES, required, state_shape

from symopt import sym
from symopt.backends.base import Numbers
from symopt.opdef import STATE_KINDS, OpDef
from symopt.passes.calls import size_of
from symopt.passes.ir import LISTED, Instance, Launch, Program
from symopt.show.doors import known_of
from symopt.show.formula import COUNTS
from symopt.show.formulas import formulas_of
from symopt.show.kernels import kernel_blocks, number_names
from symopt.sparse import RowSparseArray

SHAPES = [(5, 7), (7, 5), (6,), (2, 3, 4)]


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.uniform(0.3, 0.5, shape)  # a square of any is less than any


def variants(op: OpDef) -> list[dict[str, Any]]:
    """Attributes: the defaults, everything neutral off, clips on, every flag at its other value."""
    given = required(op)
    numeric = {"wd": 0.1, "rescale_grad": 0.5, "momentum": 0.8}
    clips = {a.name: 0.4 for a in op.attrs.values() if a.switch}
    other = {
        a.name: not a.default
        for a in op.attrs.values()
        if a.kind == "bool" and a.name in op.keywords and a.name != "lazy_update"
    }
    on = {k: v for k, v in numeric.items() if k in op.attrs}
    return [given, {**given, **on, **clips}, *({**given, **on, k: v} for k, v in other.items())]


def update(op: OpDef, attrs: dict[str, Any], shape: tuple[int, ...], **given: Any) -> Any:
    """An executor of one update op on random arrays in float64."""
    rng = np.random.default_rng(zlib.crc32(op.name.encode()))
    arrays = {"w_0": rng.standard_normal(shape), "the_grad": rng.standard_normal(shape)} | given
    states = {}
    for spec in op.inputs[2:]:
        if spec.kind in STATE_KINDS:
            states[f"s.{spec.name}"] = positive(rng, state_shape(op, spec, shape))
        else:
            arrays[f"s.{spec.name}"] = positive(rng, (1,) if spec.kind == "scalar" else shape)
    names = ["w_0", "the_grad", *(f"s.{i.name}" for i in op.inputs[2:])]
    node = getattr(sym, op.name)(*map(sym.var, names), name="the_node", **attrs)
    return node.bind(args=arrays, aux_states=states, engine="reference")


def held(executor: Any, op: OpDef) -> Env:
    """The arrays by name; of formulas on matrices, one value per row as a column, one per column as a row."""
    axes = {"row_state": (-1,), "column_state": (-2,)} if op.is_matrix else {}
    added = {f"s.{i.name}": axes.get(i.kind, ()) for i in op.inputs}
    arrays = {**executor.arg_dict, **executor.aux_dict}
    return {
        n: np.expand_dims(np.array(x), added.get(n, ())) for n, x in arrays.items() if not hasattr(x, "stype")
    }


def check_node(executor: Any, op: OpDef, shape: tuple[int, ...]) -> None:
    planned = executor._planned()
    (block,) = formulas_of(planned.roots, known=lambda n: known_of(n, planned.types))
    made = run(block, {**held(executor, op), **counts(shape, op.is_matrix)}, op.is_matrix)
    (output,) = executor.forward()
    name = "w_0'" if "w_0'" in made else "the_node"
    np.testing.assert_allclose(np.broadcast_to(made[name], output.shape), output, 1e-9, 1e-9)
    for n, state in executor.aux_dict.items():
        np.testing.assert_allclose(_like(made[f"{n}'"], state), state, 1e-9, 1e-9, err_msg=n)


def _like(made: Any, array: Any) -> Any:
    return (
        np.reshape(made, array.shape) if np.size(made) == array.size else np.broadcast_to(made, array.shape)
    )


def fits(op: OpDef, shape: tuple[int, ...]) -> bool:
    return len(shape) > 1 or not op.is_matrix


@pytest.mark.parametrize("op", UPDATES, ids=[op.name for op in UPDATES])
def test_update_nodes(op: OpDef) -> None:
    for shape in SHAPES:
        for attrs in variants(op) if fits(op, shape) else ():
            check_node(update(op, attrs, shape), op, shape)


@pytest.mark.parametrize("op", ORDINARY, ids=[op.name for op in ORDINARY])
def test_ordinary_nodes(op: OpDef) -> None:
    rng = np.random.default_rng(0)
    attrs = {"scalar": 0.75, "a_min": -0.5, "a_max": 0.5, "dtype": "float64"}
    attrs = required(op) | {k: v for k, v in attrs.items() if k in op.attrs}
    over: list[dict[str, Any]] = [{"axis": None}, {"axis": (1,), "keepdims": True}]
    for variant in over if "axis" in op.attrs else [{}]:
        given = {f"x{k}": positive(rng, (5, 7)) for k in range(len(op.inputs))}
        node = getattr(sym, op.name)(*map(sym.var, given), name="the_node", **attrs, **variant)
        check_node(node.bind(args=given, engine="reference"), op, (5, 7))


# ---- kernels


def run_kernels(executor: Any) -> dict[str | int, Any]:
    """Every array of a step after it, computed from the formulas of its kernels alone."""
    step = executor._step
    program: Program = step.program
    numbers = Numbers(program, step.memory)
    numbers.evaluate()
    arrays: dict[str | int, Any] = {k: np.array(x) for k, x in step.memory.arrays.items()}
    for launch in program.launches:
        for instance in launch.instances:
            run_kernel(launch, instance, program, numbers, arrays, step.memory.sparse)
    for value, variable in program.copies:
        arrays[variable] = arrays[program.storage[id(value)]].reshape(value.shape)
    return arrays


def run_kernel(
    launch: Launch,
    instance: Instance,
    program: Program,
    numbers: Numbers,
    arrays: dict[str | int, Any],
    sparse: Any,
) -> None:
    kernel, domain = launch.kernel, instance.domain or (1,)
    named = number_names(kernel)
    env: Env = {}
    for leaf, source in zip(kernel.leaves, instance.leaves, strict=True):
        name = named[leaf]
        env[f"{COUNTS[name]}()" if name in COUNTS else name] = numbers.number(source)
    if {"matrices()", "column_count()", "row_count()"} <= set(env):
        env["count()"] = env["matrices()"] * env["column_count()"] * env["row_count()"]
    n_rows, width = domain[0] if len(domain) else 1, size_of(domain[1:])
    env["column()"] = np.arange(width, dtype=float)
    shapes = {3: (n_rows, width), 2: (n_rows, 1), 1: ()}
    listed = np.zeros((n_rows, 1), bool)
    for k, (buffer, value) in enumerate(zip(kernel.buffers, instance.values, strict=True)):
        if k == kernel.sparse:
            gradient: RowSparseArray = sparse[value.variable]
            listed[gradient.indices] = True
            env[buffer.name] = gradient.todense().reshape(n_rows, width)
        else:
            whole, at = value.base or (value, None)
            array = arrays[program.storage[id(whole)]]
            env[buffer.name] = (array if at is None else array.reshape(-1)[at]).reshape(
                value.shape if kernel.mode == "library" else shapes[int(buffer.extent)]
            )
    present, *absent = (run(block, env) for block in kernel_blocks(kernel))
    for _, b in kernel.stores:
        buffer, value = kernel.buffers[b], instance.values[b]
        name = buffer.name + "'" * (buffer.read and buffer.write)
        old = env[buffer.name]
        made: Any = present.get(name, old)
        if kernel.sparse >= 0:
            made = np.where(
                listed, made, old if kernel.mode == LISTED or not absent else absent[0].get(name, old)
            )
        whole, at = value.base or (value, None)
        array = arrays[program.storage[id(whole)]]
        array.reshape(-1)[slice(None) if at is None else slice(at, at + 1)] = np.broadcast_to(
            made, old.shape
        ).reshape(-1)


def check_kernels(executor: Any) -> None:
    step = executor._step
    made = run_kernels(executor)
    executor.forward()
    for key, array in step.memory.arrays.items():
        if isinstance(key, str):
            np.testing.assert_allclose(made[key], array, 1e-9, 1e-9, err_msg=key)
    for value, output in zip(step.program.lowered.heads, executor.outputs, strict=True):
        np.testing.assert_allclose(
            made[step.program.storage[id(value)]].reshape(output.shape), output, 1e-9, 1e-9
        )


@pytest.mark.parametrize("storage", ["dense", "lazy", "standard"])
@pytest.mark.parametrize("op", UPDATES, ids=[op.name for op in UPDATES])
def test_kernels_of_update_ops(op: OpDef, storage: str) -> None:
    shape = (6, 4)
    rng = np.random.default_rng(1)
    for attrs in variants(op):
        sparse = RowSparseArray(rng.standard_normal((2, 4)), np.array([4, 1]), shape)
        given = {} if storage == "dense" else {"the_grad": sparse}
        check_kernels(update(op, {**attrs, "lazy_update": storage != "standard"}, shape, **given))


def test_kernels_of_a_whole_step() -> None:
    rng = np.random.default_rng(0)
    names = "abc"
    args = {p + n: rng.standard_normal((3, 4)) for p in "wg" for n in names}
    states = {p + n: positive(rng, (3, 4)) for p in "mv" for n in names}
    grads = [sym.var("g" + n) for n in names]
    scale = sym.minimum(1 / sym.sqrt(sym.sum(sym.multi_sum_sq(*grads))), 1)
    rate = sym.var("base") * 0.5
    heads = []
    for n, g in zip(names, grads, strict=True):
        w, m, v = (sym.var(p + n) for p in "wmv")
        heads.append(sym.adam_update(w, g * scale, m, v, lr=rate, wd=0.1, out=w))
    step = sym.Group(heads)
    check_kernels(step.bind(args={**args, "base": 0.3}, aux_states=states, engine="reference"))
