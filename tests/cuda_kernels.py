"""Every kernel that the shipped ops make: each op, dtype and storage, distinct texts once."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from test_engines import STORAGES, UPDATES, other_input, random_array, required, sparse_array, state_shape

import symopt as so
from symopt import sym
from symopt.dtypes import COMPLEX, FLOATS
from symopt.opdef import STATE_KINDS, OpDef
from symopt.passes.ir import LIBRARY, Kernel

SHAPE = (37, 51)


def program_kernels(symbol: Any, args: dict[str, Any], states: dict[str, Any]) -> Iterator[Kernel]:
    """The compiled kernels of a symbol on some arrays."""
    executor = symbol.bind(so.cpu(), args=args, aux_states=states, engine="reference")
    for launch in executor._step.program.launches:
        if launch.kernel.mode != LIBRARY:
            yield launch.kernel


def op_kernels(op: OpDef, storage: str, dtype: str, **attrs: Any) -> Iterator[Kernel]:
    """The kernels of one update op, clipping where it can."""
    rng = np.random.default_rng(0)
    usual = {"rescale_grad": 0.5} | ({} if dtype in COMPLEX else {"clip_gradient": 0.7})
    attrs = {k: v for k, v in usual.items() if k in op.attrs} | required(op) | attrs
    variables = [sym.var(name) for name in ("new", "given", *(i.name for i in op.inputs[2:]))]
    lazy = storage != "standard"
    node = getattr(sym, op.name)(*variables, out=variables[0], lazy_update=lazy, **attrs)
    kept = dict(zip(node.list_auxiliary_states(), node.infer_type_partial(new=dtype)[2], strict=True))
    states: dict[str, Any] = {}
    args: dict[str, Any] = {"new": random_array(rng, SHAPE, dtype)}
    for spec in op.inputs[2:]:
        if spec.kind in STATE_KINDS:
            states[spec.name] = np.zeros(state_shape(op, spec, SHAPE), kept[spec.name])
        else:
            args[spec.name] = other_input(rng, spec, SHAPE, dtype)
    args["given"] = (
        random_array(rng, SHAPE, dtype) if storage == "dense" else sparse_array(rng, SHAPE, dtype, False)
    )
    yield from program_kernels(node, args, states)


def all_kernels(storages: Sequence[str] = STORAGES, dtypes: Sequence[str] = FLOATS) -> dict[str, Kernel]:
    """By a name that says where each comes from; duplicates have the kernels of lazy ones."""
    found: dict[int, tuple[str, Kernel]] = {}
    for op in UPDATES:
        for storage in storages:
            for dtype in dtypes if storage != "duplicates" else ():
                for k, kernel in enumerate(op_kernels(op, storage, dtype)):
                    found.setdefault(id(kernel), (f"{op.name}-{storage}-{dtype}-{k}", kernel))
    return dict(found.values())
