"""`so.rules`: formulas read as what they compute, are found equal when they are, and the pages say what the ops say."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from symopt import lang, rules
from symopt.errors import AttributeValueError, UnknownAttributeError, UnknownOpError
from symopt.lang import Integer, RowState, Scalar, State, Tensor, Updated, updated
from symopt.matrices import ColumnState, Matrix, column_mean, is_tall, matmul, matrix_norm, transpose
from symopt.opdef import OpDef, all_ops, op, update_op
from symopt.show.canonical import canonical
from symopt.show.formula import formula_of
from symopt.show.pages import all_pages, own_ops

ROOT = Path(__file__).parents[1]
UPDATES = [x for x in own_ops() if x.is_update and not x.is_variadic]


SAID: dict[str, tuple[Callable[..., Any], str]] = {
    "clip": (lambda x, y: lang.clip(x, 0.5), "clip(data, 0.5)"),
    "sign": (lambda x, y: lang.sign(x), "sign(data)"),
    "maximum": (lambda x, y: lang.maximum(x, y), "max(data, other)"),
    "number first": (lambda x, y: lang.maximum(0, x), "max(data, 0)"),
    "minimum": (lambda x, y: lang.minimum(x, y), "min(data, other)"),
    "square": (lambda x, y: lang.square(x + y), "(data + other)²"),
    "norm": (lambda x, y: x / lang.norm(x - y), "data / ‖data - other‖"),
    "row mean": (lambda x, y: x - lang.row_mean(x), "data - row_mean(data)"),
    "finite": (lambda x, y: lang.where(lang.is_finite(x), x, 0), "where(is_finite(data), data, 0)"),
    "host condition": (lambda x, y: lang.where(True, x, y), "data"),
    "brackets right": (lambda x, y: x - (y - x), "data - (other - data)"),
    "brackets left": (lambda x, y: (x - y) - x, "data - other - data"),
    "products": (lambda x, y: x / (y * x) * y, "data / (other · data) · other"),
    "negation": (lambda x, y: -(x + y) * x, "-(data + other) · data"),
    "power": (lambda x, y: (x * y) ** (x + 1), "(data · other)^(data + 1)"),
    "root of a root": (lambda x, y: lang.sqrt(lang.sqrt(x) + 1), "√(√data + 1)"),
    "compared": (lambda x, y: lang.where(x > 1, 1, y), "where(data > 1, 1, other)"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_functions_of_the_language_are_found_again(name: str) -> None:
    formula, expected = SAID[name]

    @op(name="drawn_formula")
    def drawn(data: Tensor, other: Tensor) -> Tensor:
        return formula(data, other)  # type: ignore[no-any-return]

    assert rules.formula("drawn_formula") == f"output = {expected}"


# ---- formulas of ops that nobody wrote a page for


def register_flagged() -> None:
    @update_op
    def flagged_update(
        weight: Tensor,
        grad: Tensor,
        mean: State,
        size: RowState,
        scale: Scalar,
        *,
        step: Integer,
        lr: float,
        beta1: float = 0.9,
        wd: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
        quiet: bool = False,
    ) -> Updated:
        """Everything at once."""
        g = -scale * grad if maximize else scale * grad
        mean = beta1 * mean + (1 - beta1) * g
        corrected = mean / (1 - beta1**step)
        move = g + beta1 * corrected if nesterov else corrected
        size = size + lang.row_mean(lang.square(move))
        ratio = lang.where(lang.norm(weight) > 0, lang.norm(weight) / lang.norm(move), 1)
        return updated(weight - lr * (ratio * move / lang.sqrt(size) + wd * weight), mean=mean, size=size)  # fmt: skip


def test_a_formula_keeps_its_authors_names_and_tells_what_flags_change() -> None:
    register_flagged()
    assert rules.formula("flagged_update").splitlines() == [
        "g         = scale · grad",
        "mean'     = beta1 · mean + (1 - beta1) · g",
        "corrected = mean' / (1 - beta1^step)",
        "size'     = size + row_mean(corrected²)",
        "ratio     = where(‖weight‖ > 0, ‖weight‖ / ‖corrected‖, 1)",
        "weight'   = weight - lr · (ratio · corrected / √size' + wd · weight)",
    ]
    text = rules.describe("flagged_update")
    assert "size (state, one value per row), scale (one element)" in text
    assert "with nesterov = True\n  move      = g + beta1 · corrected" in text
    assert "with maximize = True\n  g         = -scale · grad" in text
    assert "quiet = True" not in text
    assert "looks at the whole tensor: a row_sparse grad is read as a dense one" in text
    assert "step         required" in text
    assert "complex      no meaning for complex weights" in text  # square is of real numbers, abs2 of both
    assert "complex      weights may be complex; then mean complex, var real" in rules.describe("adam_update")


def test_values_are_put_in_and_simplified() -> None:
    assert (
        rules.formula("adam_update", wd=0, rescale_grad=1)
        .splitlines()[0]
        .endswith("clip(grad, clip_gradient)")
    )
    assert rules.formula("adam_update", simplified=True).splitlines() == [
        "mean'   = beta1 · mean + (1 - beta1) · grad",
        "var'    = beta2 · var + (1 - beta2) · grad²",
        "weight' = weight - lr · mean' / (√var' + epsilon)",
    ]
    register_flagged()
    assert "0.5 · mean + 0.5 · g" in rules.formula("flagged_update", beta1=0.5)
    assert "(1 - beta1^3)" in rules.formula("flagged_update", step=3)


def test_latex() -> None:
    assert rules.latex("adam_update").splitlines() == [
        r"\begin{aligned}",
        r"\tilde{g} &= \operatorname{clip}\left(\text{rescale grad} \cdot g_{t}, \text{clip gradient}\right)"
        r" + \mathrm{wd} \cdot w_{t-1} \\",
        r"m_{t} &= \beta_{1} \cdot m_{t-1} + \left(1 - \beta_{1}\right) \cdot \tilde{g} \\",
        r"v_{t} &= \beta_{2} \cdot v_{t-1} + \left(1 - \beta_{2}\right) \cdot \tilde{g}^2 \\",
        r"w_{t} &= w_{t-1} - \frac{\mathrm{lr} \cdot m_{t}}{\sqrt{v_{t}} + \epsilon}",
        r"\end{aligned}",
    ]  # fmt: skip
    register_flagged()
    text = rules.latex("flagged_update")
    assert r"\mathrm{corrected} &= \frac{m_{t}}{1 - \beta_{1}^{t}}" in text
    assert (
        r"\begin{cases} \frac{\lVert w_{t-1} \rVert}{\lVert \mathrm{corrected} \rVert} & \text{if }" in text
    )


@pytest.mark.parametrize("of", own_ops(), ids=lambda x: x.name)
def test_every_op_has_latex_and_a_description(of: OpDef) -> None:
    text = rules.latex(of.name)
    assert text.count("{") == text.count("}")
    assert text.count(r"\left(") == text.count(r"\right)")
    assert "_" not in re.sub(r"_\{[^}]*\}", "", text), "an underscore that is no subscript"
    assert of.name in rules.describe(of.name)


def test_two_names_never_share_a_symbol() -> None:
    @update_op
    def crowded_update(
        weight: Tensor, grad: Tensor, g: State, mean: State, m: State, *, step: float, t: float
    ) -> Updated:
        return updated(weight - step * grad * t, g=g + mean, mean=mean + m, m=m)

    text = rules.latex("crowded_update")
    assert r"w_{t} &= w_{t-1} - \mathrm{step} \cdot \mathrm{grad}_{t} \cdot t" in text
    assert r"g_{t} &= g_{t-1} + \mathrm{mean}_{t-1}" in text


def test_forms_are_described_by_what_they_derive_from() -> None:
    assert "weight32' = weight32 - lr · mean' / (√var' + epsilon)" in rules.describe("mp_adam_update")
    assert rules.formula("multi_adam_update") == rules.formula("adam_update")
    assert "forms        mp_, multi_, multi_mp_, preloaded_multi_, preloaded_multi_mp_" in rules.describe(
        "adam_update"
    )


def test_matrices_read_as_such() -> None:
    @update_op
    def whitened_update(weight: Matrix, grad: Tensor, col: ColumnState, *, lr: float) -> Updated:
        gram = matmul(transpose(grad), grad) if is_tall(grad) else matmul(grad, transpose(grad))
        col = col + column_mean(lang.square(grad))
        return updated(weight - lr * grad / lang.sqrt(col) / matrix_norm(gram), col=col)

    assert rules.formula("whitened_update").splitlines() == [
        "col'    = col + column_mean(grad²)",
        "gram    = grad @ gradᵀ",
        "weight' = weight - lr · grad / √col' / matrix_norm(gram)",
    ]
    text = rules.describe("whitened_update")
    assert "with more rows than columns\n  gram    = gradᵀ @ grad" in text
    assert "needs matmul of array values" in text
    assert r"g_{t} \thinspace g_{t}^{\top}" in rules.latex("whitened_update")


def test_errors_name_what_is_near() -> None:
    with pytest.raises(UnknownOpError, match="did you mean"):
        rules.describe("adam_updat")
    with pytest.raises(UnknownAttributeError, match="did you mean beta2, beta1"):
        rules.latex("adam_update", beta=1)
    with pytest.raises(AttributeValueError, match="wd must be a number"):
        rules.formula("adam_update", wd="much")


# ---- who agrees

EQUAL: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "expanded": (lambda x, y, a: a * (x + y), lambda x, y, a: y * a + x * a),
    "mean": (lambda x, y, a: a * x + (1 - a) * y, lambda x, y, a: x + (y - x) * (1 - a)),
    "divided later": (lambda x, y, a: a / 2 * x / y, lambda x, y, a: a * x / (y * 2)),
    "root of a quotient": (
        lambda x, y, a: lang.sqrt(x / (1 - a)),
        lambda x, y, a: lang.sqrt(x) / lang.sqrt(1 - a),
    ),
    "a divisor's factor": (lambda x, y, a: x / (2 * y + 2 * a), lambda x, y, a: x / 2 / (a + y)),
    "max": (lambda x, y, a: lang.maximum(x, y), lambda x, y, a: lang.maximum(y, x)),
    "square": (lambda x, y, a: (x + y) ** 2, lambda x, y, a: x * x + 2 * (x * y) + y * y),
}
UNEQUAL: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "epsilon outside": (lambda x, y, a: y / lang.sqrt(x + a), lambda x, y, a: y / (lang.sqrt(x) + a)),
    "a root of a square": (lambda x, y, a: lang.sqrt(x * x), lambda x, y, a: x),
    "order of a clip": (lambda x, y, a: lang.clip(x, a) + y, lambda x, y, a: lang.clip(x + y, a)),
    "difference": (lambda x, y, a: x - y, lambda x, y, a: y - x),
}


def canonical_pair(formulas: tuple[Callable[..., Any], Callable[..., Any]]) -> list[Any]:
    def made(formula: Callable[..., Any]) -> Any:
        def drawn(x: Tensor, y: Tensor, *, a: float) -> Tensor:
            return formula(x, y, a)  # type: ignore[no-any-return]

        return canonical(formula_of(OpDef(drawn, is_update=False)).outputs["output"])

    return [made(formula) for formula in formulas]


@pytest.mark.parametrize("name", EQUAL)
def test_algebra_finds_equal_formulas(name: str) -> None:
    a, b = canonical_pair(EQUAL[name])
    assert a is b


@pytest.mark.parametrize("name", UNEQUAL)
def test_algebra_keeps_unequal_formulas_apart(name: str) -> None:
    a, b = canonical_pair(UNEQUAL[name])
    assert a is not b


def test_agreement_under_other_names_orders_and_conditions() -> None:
    @update_op(standard=("speed",))
    def other_mom_update(
        weight: Tensor, grad: Tensor, speed: State, *, lr: float = 0.1, mu: float = 0.9, noise: float = 0.0
    ) -> Updated:
        speed = speed * mu - (grad + noise * grad) * lr
        return updated(weight + speed, speed=speed)  # fmt: skip

    found = {a.op.name: a for a in rules.agreeing("other_mom_update")}
    first = found["sgd_mom_update"]
    assert first.verdict == "the same but for rounding" or first.verdict == "the same operations"
    assert set(first.renamed) == {("speed", "mom"), ("mu", "momentum")}
    assert first.at == {"noise": 0.0}
    assert first.own_at == {"wd": 0.0, "rescale_grad": 1.0, "clip_gradient": -1.0}
    assert not first.same_rows
    assert "nag_mom_update" not in found
    assert "other_mom_update" in {a.op.name for a in rules.agreeing("sgd_mom_update")}


def test_states_that_swap_names_are_matched_by_what_they_do() -> None:
    (found,) = (a for a in rules.agreeing("rmspropalex_update") if a.op.name == "mxnet1_rmspropalex_update")
    assert {("g", "n"), ("n", "g"), ("rho", "gamma1"), ("momentum", "gamma2")} == set(found.renamed)
    assert found.at == found.own_at == {"clip_gradient": -1.0}  # decay is on the other side of the clip


def test_agreeing_ops_follow_one_path() -> None:
    """Nobody compares ops by hand; this does it by number."""
    for of in UPDATES:
        for found in rules.agreeing(of.name):
            if not found.at and not found.own_at:
                done = rules.diff(of.name, found.op.name, steps=3)
                assert done.is_same
                assert done.trajectory is None or done.trajectory.relative < 1e-9


# ---- two ops side by side


def test_difference_of_two_dialects_of_adam() -> None:
    found = rules.diff("adam_update", "mxnet1_adam_update")
    assert not found.is_same
    assert {line.name: line.verdict for line in found.lines} == {
        "g": "different",
        "mean'": "the same operations",
        "var'": "the same operations",
        "weight'": "the same operations",
    }
    assert found.lines[0].first == "⟦clip(rescale_grad · grad, clip_gradient) + wd · weight⟧"
    assert found.trajectory is not None
    assert found.trajectory.step == 1
    assert found.own_trajectory is not None
    assert found.own_trajectory.step is None
    assert "their own defaults: equal for 100 steps" in str(found)


def test_difference_marks_the_smallest_parts_and_lists_attributes() -> None:
    @update_op
    def my_adam_update(
        weight: Tensor,
        grad: Tensor,
        m: State,
        v: State,
        *,
        step: Integer,
        lr: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-7,
        blend: bool = False,
    ) -> Updated:
        m = m + (grad - m) * (1 - beta1)
        v = v + (grad * grad - v) * (1 - beta2)
        rate = lr * lang.sqrt(1 - beta2**step) / (1 - beta1**step)
        return updated(weight - rate * m / (lang.sqrt(v) + eps), m=m, v=v)  # fmt: skip

    found = rules.diff("adam_update", "my_adam_update", steps=20, seed=5)
    assert found.inputs == (("weight", "weight"), ("grad", "grad"), ("mean", "m"), ("var", "v"))
    assert [(a.name, a.second_name, a.first, a.second) for a in found.attributes if a.name != "lazy_update"] == [
        ("lr", "lr", "required", "0.001"), ("epsilon", "eps", "1e-08", "1e-07"),
    ]  # fmt: skip
    assert dict(found.only_first) == {"wd": "0", "rescale_grad": "1", "clip_gradient": "off"}
    assert dict(found.only_second) == {"step": "required", "blend": "False"}
    mean, var, weight = found.lines
    assert (mean.verdict, var.verdict, weight.verdict) == (*["the same but for rounding"] * 2, "different")
    assert weight.first == "weight - lr · mean' / (√var' + epsilon)"
    assert weight.second == "weight - lr · ⟦√(1 - beta2^step)⟧ / ⟦1 - beta1^step⟧ · mean' / (√var' + epsilon)"
    assert found.trajectory is not None
    assert found.trajectory.step == 1
    assert "part at step 1: relative difference" in str(found)


def test_difference_of_ops_with_other_states_scalars_and_rows() -> None:
    register_flagged()
    found = rules.diff("flagged_update", "sgd_mom_update", steps=3)
    assert found.only_first_inputs == ("size", "scale")
    assert found.inputs[-1] == ("mean", "mom")
    assert found.trajectory is not None
    assert str(found)


def test_values_of_a_comparison_hold_for_both() -> None:
    assert not rules.diff("adam_update", "mxnet1_adam_update", steps=2).is_same
    assert rules.diff("adam_update", "mxnet1_adam_update", steps=2, clip_gradient=-1).is_same


# ---- the pages


def test_rules_are_reached_lazily() -> None:
    code = "import sys, symopt; assert 'symopt.rules' not in sys.modules; symopt.rules.describe('sgd_update')"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.slow
def test_pages_are_what_the_formulas_say(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "symopt.rules", str(tmp_path)], cwd=ROOT, check=True)
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "ops").iterdir()}
    stale = sorted(name for name in made.keys() | on_disk.keys() if made.get(name) != on_disk.get(name))
    assert not stale, f"run `make docs`: {', '.join(stale)} are not what the formulas say"
    for of in own_ops():
        assert f"`{of.name}`" in made["README.md"]


def test_pages_of_some_ops() -> None:
    register_flagged()
    (flagged,) = (x for x in all_ops() if x.name == "flagged_update")
    pages = all_pages([flagged])
    assert set(pages) == {"README.md", "test_rules.md"}
    assert "With `nesterov = True`:" in pages["test_rules.md"]
    assert "| `step` | required |" in pages["test_rules.md"]
