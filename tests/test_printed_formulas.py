"""What `so.rules` prints of an op, read as Python, computes what the op computes."""

import ast
import re
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import rules
from symopt.attrs import REQUIRED
from symopt.opdef import OpDef
from symopt.prims import PRIMS
from symopt.show.pages import own_ops

OPS = [x for x in own_ops() if not x.is_variadic and x.name != "Cast"]


class Conditions(ast.NodeTransformer):
    """`a or b` of arrays."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        name = "logical_or" if isinstance(node.op, ast.Or) else "logical_and"
        made: ast.expr = node.values[0]
        for value in node.values[1:]:
            made = ast.Call(ast.Name(name, ast.Load()), [made, value], [])
        return ast.copy_location(made, node)


def over(rows: bool, fold: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: fold(x, axis=1, keepdims=True) if rows else fold(x)


def extremum(of_two: Any, fold: Any) -> Callable[..., Any]:
    return lambda *x: of_two(*x) if len(x) == 2 else fold(x[0])


def drawn(seed: float, stream: float) -> Any:
    """What the language's uniform gives for the elements of the arrays below."""
    index = np.arange(12).reshape(3, 4)
    return PRIMS["noise"].numpy(index, np.float32(seed), np.float32(-1 - stream)).astype(np.float64)


FUNCTIONS: dict[str, Any] = {
    **{n: getattr(np, n) for n in ("sqrt", "sign", "exp", "log", "where", "floor", "ceil", "trunc", "rint")},
    **{n: getattr(np, n) for n in ("fmod", "tanh", "logical_or", "logical_and", "abs")},
    **{f"row_{n}": over(True, getattr(np, n)) for n in ("sum", "mean", "max", "min")},
    "row_norm": lambda x: np.sqrt(np.sum(x * x, axis=1, keepdims=True)),
    "matrix_norm": np.linalg.norm, "column_mean": lambda x: np.mean(x, axis=0, keepdims=True),
    "row_count": 4, "column_count": 3, "count": 12,
    "norm": np.linalg.norm, "sum": np.sum, "mean": np.mean, "is_finite": np.isfinite,
    "max": extremum(np.maximum, np.max), "min": extremum(np.minimum, np.min),
    "clip": lambda x, c: np.where(c >= 0, np.clip(x, -abs(c), abs(c)), x), "lerp": lambda x, y, w: x + w * (y - x),
    "float16": lambda x: x.astype(np.float16).astype(np.float64),
    "uniform": drawn,
}  # fmt: skip


def evaluated(lines: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the lines of a formula say, as Python."""
    names = {**FUNCTIONS, **{f"in_{n}": x for n, x in given.items()}}
    for line in lines.splitlines():
        left, right = (part.strip() for part in line.split(" = ", 1))
        right = (
            right.replace(" = ", " == ")
            .replace("·", "*")
            .replace("≤", "<=")
            .replace("≥", ">=")
            .replace("ᵀ", ".T")
        )
        right = re.sub(
            r"‖([^‖]*)‖", r"norm(\1)", right.replace("≠", "!=").replace("²", "**2").replace("^", "**")
        )
        right = re.sub(r"√([\w']+)", r"sqrt(\1)", re.sub(r"\|([^|]*)\|", r"abs(\1)", right)).replace(
            "√(", "sqrt("
        )
        tree = Conditions().visit(ast.parse(re.sub(r"(\w+)'", r"new_in_\1", right), mode="eval"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and f"in_{node.id}" in names:
                node.id = f"in_{node.id}"
            elif isinstance(node, ast.Name) and node.id not in names:
                pytest.skip(f"{node.id} has no line in FUNCTIONS")
        value = eval(compile(ast.fix_missing_locations(tree), line, "eval"), names)
        names[f"new_in_{left[:-1]}" if left.endswith("'") else f"in_{left}"] = value
    return names


SHAPES = {"row_state": (3, 1), "column_state": (1, 4), "scalar": (1,)}


def sample(of: OpDef) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and attributes that every formula can be computed with."""
    rng = np.random.default_rng(zlib.crc32(of.name.encode()))
    arrays = {i.name: rng.uniform(0.3, 0.6, SHAPES.get(i.kind, (3, 4))) for i in of.inputs}
    numbers = {
        a.name: 3.0 if a.kind == "integer" else rng.uniform(0.3, 0.9)
        for a in of.attrs.values()
        if a.is_numeric
    }
    return arrays, {n: v for n, v in numbers.items() if n in of.keywords}


@pytest.mark.parametrize("of", OPS, ids=lambda x: x.name)
def test_a_printed_formula_is_what_the_op_computes(of: OpDef) -> None:
    arrays, numbers = sample(of)
    flags = {a.name: False for a in of.attrs.values() if a.kind == "bool" and a.default is REQUIRED}
    said = evaluated(rules.formula(of.name), {**arrays, **numbers})
    copies = {n: x.copy() for n, x in arrays.items()}
    output = getattr(so.nd, of.name)(**copies, **numbers, **flags)
    name = (of.inputs[0].name if of.gives == "weight" else of.gives) if of.is_update else "output"
    results = {f"new_in_{n}": copies[n] for n in of.states}
    results["in_" + name if f"new_in_{name}" not in said else f"new_in_{name}"] = output
    for key, result in results.items():
        expected = np.broadcast_to(said[key], np.shape(result)).reshape(np.shape(result))
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)
