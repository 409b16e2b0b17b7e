"""What Monolith's own tests say of codecs, vector kernels, schedules and clipping; and that every fact is tested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_golden import FACTS

import symopt as so
from symopt.embedding import FixedR8, Segment, Table, entry

ROOT = Path(__file__).parent
engines = pytest.mark.parametrize("engine", ["reference", "native"])


def of_kind(kind: str) -> dict[str, Any]:
    """The one fact of a kind."""
    (fact,) = (fact for fact in FACTS.values() if fact["kind"] == kind)
    return fact


def test_codes_of_8_bits_end_below_their_range() -> None:
    fact = of_kind("codec_lt")
    code = FixedR8(fact["args"]["r"])
    found = np.empty((1, len(fact["x"])), np.float32)
    code.decode_into(code.encode(np.array([fact["x"]], np.float32)), found)
    assert (found < fact["less_than"]).all()


@engines
def test_lookups_in_training_are_near_the_weights(engine: str) -> None:
    fact = of_kind("r8_error")
    table = Table(Segment(8, "monolith_sgd", learning_rate=0.1, compressor=FixedR8(fact["r"])), engine=engine)
    weights = np.random.default_rng(0).uniform(-fact["r"], fact["r"] * 127 / 128, (200, 8)).astype(np.float32)
    ids = np.arange(200)
    table.assign(ids, weights)
    assert abs(table.lookup(ids) - weights).max() <= fact["max_error"]


def adagrad(weight: Any, grad: Any, norm: Any, lr: float, wd: float, decoupled: bool) -> tuple[Any, Any]:
    """Monolith's scalar kernels, in float64."""
    moved = grad if decoupled else grad + wd * weight
    norm = norm + moved * moved
    return weight - lr / np.sqrt(norm) * moved - (lr * wd * weight if decoupled else 0), norm


@engines
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("kind", ["avx", "avx_dynamic"])
def test_rows_of_any_width_follow_the_scalar_kernel(kind: str, decoupled: bool, engine: str) -> None:
    fact = of_kind(kind)
    rng = np.random.default_rng(7)
    for dim in fact["dims"]:
        attrs: dict[str, Any] = {"wd": fact["wd"], "initial": {"history": 0.1}}
        rule = "monolith_adagrad"
        if kind == "avx_dynamic":
            rule = "monolith_dynamic_wd_adagrad"
            attrs["decoupled_weight_decay"] = decoupled
        table = Table(Segment(dim, rule, learning_rate=fact["lr"], **attrs), engine=engine)
        weight, norm = np.zeros((3, dim)), np.full((3, dim), 0.1)
        for _ in range(fact.get("steps", 1)):
            grad = rng.standard_normal((3, dim)).astype(np.float32)
            table.apply_gradients([5, -6, 7], grad)
            dynamic = decoupled and kind == "avx_dynamic"
            weight, norm = adagrad(weight, grad.astype(np.float64), norm, fact["lr"], fact["wd"], dynamic)
        np.testing.assert_allclose(
            table.lookup([5, -6, 7]), weight, rtol=0, atol=fact["atol"], err_msg=str(dim)
        )


def test_polynomial_decay() -> None:
    fact = of_kind("lr")
    given = fact["args"]
    rate = entry.PolynomialDecay(given["lr0"], given["steps"], given["end"])
    for step, expected in fact["values"]:
        assert rate(step) == pytest.approx(expected, rel=fact["rtol"])


@pytest.mark.parametrize("case", of_kind("clip")["cases"], ids=str)
def test_clipping_by_the_norm_of_all(case: list[Any]) -> None:
    """t * c / max(norm, c); a norm that is infinite makes nan of everything."""
    grads, bound, expected = ([np.array(g, np.float64) for g in case[0]], case[1], case[2])
    params = {f"p{k}": np.zeros_like(g) for k, g in enumerate(grads)}
    step = so.compile("sgd", params, lr=1.0, clip_global_norm=bound)
    step({f"p{k}": g for k, g in enumerate(grads)})
    for k, want in enumerate(expected):
        wanted = np.array(want, np.float64)
        np.testing.assert_allclose(-params[f"p{k}"], wanted, rtol=0, atol=of_kind("clip")["atol"])


def test_every_fact_is_tested_somewhere() -> None:
    """By its kind or by its name."""
    texts = "\n".join(path.read_text() for path in ROOT.glob("test_*.py"))
    for fact in FACTS.values():
        said = (f'"{fact["kind"]}"', f'"{fact["name"]}"')
        assert any(text in texts for text in said), f"no test reads {fact['name']}, of kind {fact['kind']}"
