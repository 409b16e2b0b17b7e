"""Codecs of embedding tables: bit for bit the reference's codes, on rows and as graphs; what training sees of them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symopt import sym
from symopt.embedding.compressors import (
    FixedR8,
    Fp16,
    Fp32,
    OneBit,
    as_compressor,
    bytes_per_row,
    compressor_from_config,
)
from symopt.embedding.kinds import config_of
from symopt.errors import AttributeValueError, DTypeError
from symopt.symbol import Symbol

Array = np.ndarray[Any, np.dtype[Any]]
FOLDER = Path(__file__).parent / "golden"
FILE: dict[str, list[dict[str, Any]]] = json.loads((FOLDER / "monolith.json").read_text())
VECTORS = np.load(FOLDER / "monolith.npz")
CONFIGS = {case["case"]: case["config"] for case in FILE["cases"] if case["kind"] == "codec"}
FACTS = [fact for fact in FILE["facts"] if fact["kind"] == "codec"]
ONE_BIT = [fact for fact in FILE["facts"] if fact["kind"] == "one_bit"]
engines = pytest.mark.parametrize("engine", ["reference", "native"])


def of_case(case: str) -> Any:
    """The compressor of a golden case."""
    config = CONFIGS[case]
    if config["codec"] == "one_bit":
        return OneBit(**{k: v for k, v in config.items() if k != "codec"})
    return FixedR8(config["r"]) if config["codec"] == "fixed_r8" else Fp16()


GOLDEN = ["codec_fixed_r8_default", "codec_fixed_r8_r", "codec_fp16", "codec_one_bit"]
ALL: list[Any] = [
    Fp32(),
    Fp16(),
    FixedR8(),
    FixedR8(0.3),
    OneBit(),
    OneBit(packed=True),
    OneBit(amplitude=3.0),
]


def value(graph: Symbol, engine: str = "native", **arrays: Array) -> Array:
    found: Array = graph.bind(args=arrays, engine=engine).forward()[0]
    return found


def restored(x: Any, rows: Array) -> Array:
    """What rows are after their codes were stored and read."""
    codes = x.encode(rows)
    assert codes.dtype == x.dtype and codes.shape == (len(rows), x.width(rows.shape[1]))
    assert codes[:1].nbytes == bytes_per_row(x, rows.shape[1]) or not len(rows)
    out = np.full(rows.shape, np.nan, np.float32)
    x.decode_into(codes, out)
    return out


@engines
@pytest.mark.parametrize("case", GOLDEN)
def test_graphs_equal_the_reference(case: str, engine: str) -> None:
    x, compressor, w = VECTORS[f"{case}/in.x"], of_case(case), sym.var("w")
    code, decoded = compressor.code(w), VECTORS[f"{case}/out.decoded"]
    if compressor != Fp16():  # there the code is the number itself
        assert np.array_equal(value(code, engine, w=x), VECTORS[f"{case}/out.code"])
    assert np.array_equal(value(compressor.decode(code), engine, w=x), decoded, equal_nan=True)


@pytest.mark.parametrize("case", GOLDEN)
def test_rows_equal_the_reference(case: str) -> None:
    """Rows are float32: where that is what the reference was given too, bit for bit."""
    x, compressor = VECTORS[f"{case}/in.x"], of_case(case)
    decoded = VECTORS[f"{case}/out.decoded"]
    same = x.astype(np.float32) == x
    rows = x.astype(np.float32).reshape(1, -1)
    found = restored(compressor, rows)[0]
    assert np.array_equal(
        found[same | np.isnan(x)], decoded.astype(np.float32)[same | np.isnan(x)], equal_nan=True
    )

    codes = compressor.encode(rows)
    code = VECTORS[f"{case}/out.code"].ravel()
    numbers = codes.view(np.uint16) if compressor == Fp16() else codes
    assert np.array_equal(numbers.ravel()[same], code[same])


@pytest.mark.parametrize("fact", FACTS, ids=[fact["name"] for fact in FACTS])
def test_codecs_equal_the_unit_tests_of_monolith(fact: dict[str, Any]) -> None:
    names = {"r": "fixed_range", "amplitude": "amplitude"}
    config = {names[k]: v for k, v in fact["args"].items() if k in names}
    found = restored(
        compressor_from_config({"kind": fact["codec"], **config}), np.array([fact["x"]], np.float32)
    )
    rtol = {"fp16": 1e-3, "fp32": 1e-7}.get(fact["codec"], 0)
    np.testing.assert_allclose(found[0], fact["decoded"], rtol=rtol, atol=fact["atol"])


@engines
@pytest.mark.parametrize("fact", ONE_BIT, ids=[fact["name"] for fact in ONE_BIT])
def test_one_bit_equals_the_unit_tests_of_monolith(fact: dict[str, Any], engine: str) -> None:
    names = ("step_size", "amplitude", "init_scale", "max_scale")
    quantizer = OneBit(**{"amplitude": 0.1, **{k: v for k, v in fact["args"].items() if k in names}})
    rtol = 2e-4 if "evaluate_in" in fact else fact["rtol"]  # a table made in float32, with a cancellation
    scale, w, g = quantizer.init_scale, sym.var("w"), sym.var("g")
    for name, *numbers in fact["ops"]:
        *given_, expected = numbers
        if name == "backward":
            scale = quantizer.scale_after(scale, given_[2])
            arrays = {"w": np.array([given_[0]]), "g": np.array([given_[1]])}
            found: Any = value(quantizer.backward(g, w, scale), engine, **arrays)
        else:
            found = value(quantizer.lookup(w, scale), engine, w=np.array(given_)) if given_ else scale
        np.testing.assert_allclose(found, expected, rtol=rtol)


@engines
@pytest.mark.parametrize("x", ALL, ids=str)
def test_what_training_sees(x: Any, engine: str) -> None:
    """The weights themselves, or, of int8 codes, what their rows are restored to; gradients go straight through."""
    rows = np.random.default_rng(0).normal(0, 0.5, (20, 7)).astype(np.float32)
    w, g = sym.var("w"), sym.var("g")
    seen, back = (
        value(x.lookup(w), engine, w=rows),
        value(x.backward(g, w + 0 * g), engine, w=rows, g=rows * 2),
    )
    assert x.is_straight == np.array_equal(seen, rows)
    if isinstance(x, OneBit):
        soft = x.amplitude * np.tanh(rows.astype(float))
        np.testing.assert_allclose(seen, soft, rtol=1e-6)
        np.testing.assert_allclose(
            back, rows * 2 * x.amplitude * (1 - np.tanh(rows.astype(float)) ** 2), rtol=1e-6
        )
        assert np.array_equal(np.sign(seen), np.sign(restored(x, rows)))
    else:
        assert np.array_equal(back, rows * 2)
        assert x.is_straight or np.array_equal(seen, restored(x, rows))


def test_a_scale_of_the_table_reaches_the_graphs() -> None:
    x, rows = OneBit(), np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    w, g, scale = sym.var("w"), sym.var("g"), sym.var("scale", shape=())
    both = sym.Group([x.lookup(w, scale), x.backward(g, w, scale)])
    executor = both.bind(args={"w": rows, "g": np.ones_like(rows), "scale": 1.0})
    for k in (1.0, 3.0):
        soft, slope = executor.forward(scale=k)
        np.testing.assert_allclose(soft, 0.05 * np.tanh(k * rows.astype(float)), rtol=1e-6)
        np.testing.assert_allclose(slope, 0.05 * k / np.cosh(k * rows.astype(float)) ** 2, rtol=1e-5)
    step = sym.var("step", shape=())
    grown = x.next_scale(sym.var("s"), step).bind(args={"s": np.array([1.0]), "step": 1600.0}).forward()[0]
    assert grown.item() == x.scale_after(1.0, 1600) == 3.0
    assert x.scale_after(2.5, 1601) == 2.5 and OneBit(max_scale=2).scale_after(1.0, 1600) == 2.0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(width=32), min_size=1, max_size=40), st.sampled_from(ALL))
def test_errors_are_within_the_codec(numbers: list[float], x: Any) -> None:
    """Any float32: NaN and infinities too."""
    rows = np.array([numbers], np.float32)
    found = restored(x, rows)[0]
    for before, after in zip(rows[0].tolist(), found.tolist(), strict=True):
        if isinstance(x, Fp32):
            assert before == after or math.isnan(before)
        elif isinstance(x, Fp16):
            with np.errstate(over="ignore"):
                assert np.array_equal(np.float16(before), after, equal_nan=True)
        elif isinstance(x, FixedR8):
            bound = min(max(before, -x.fixed_range), x.fixed_range * 127 / 128) if before == before else 0
            assert abs(after - bound) <= x.factor / 2 * (1 + 1e-4)
        else:
            underflow = 0 < before < 1e-36  # times the amplitude it is no number above 0
            assert abs(after) == np.float32(x.amplitude)
            assert underflow or (after > 0) == (before > 0)


@pytest.mark.parametrize("dim", [1, 7, 8, 9, 33])
def test_packed_bits_are_the_signs(dim: int) -> None:
    rows = np.random.default_rng(dim).normal(size=(11, dim)).astype(np.float32)
    plain, packed = OneBit(), OneBit(packed=True)
    assert np.array_equal(restored(plain, rows), restored(packed, rows))
    assert packed.encode(rows).nbytes == 11 * -(-dim // 8)


def test_float16_in_blocks_and_apart() -> None:
    """Long and strided arrays, and what is left over at the end."""
    rows = np.random.default_rng(0).normal(size=(1100, 250)).astype(np.float32)
    with np.errstate(over="ignore"):
        assert np.array_equal(restored(Fp16(), rows), rows.astype(np.float16).astype(np.float32))
        wide = np.zeros((1100, 500), np.float32)
        Fp16().decode_into(Fp16().encode(rows), wide[:, ::2])
    assert np.array_equal(wide[:, ::2], rows.astype(np.float16)) and not wide[:, 1::2].any()


class OneBitCompressor:
    step_size, amplitude = 100, None


@pytest.mark.parametrize("x", ALL, ids=str)
def test_configurations(x: Any) -> None:
    assert compressor_from_config(config_of(x)) == x and as_compressor(x) is x


def test_what_is_taken_for_a_compressor() -> None:
    assert as_compressor(None) == Fp32() and as_compressor("fp16") == Fp16()
    assert as_compressor(OneBitCompressor()) == OneBit(step_size=100)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: FixedR8(0), AttributeValueError, "fixed_range must be above 0"),
        (lambda: OneBit(step_size=0), AttributeValueError, "step_size must be above 0"),
        (lambda: OneBit(step_size=0.5), AttributeValueError, "a number of steps"),
        (lambda: OneBit(amplitude=math.inf), AttributeValueError, "amplitude must be a finite"),
        (lambda: as_compressor("fp8"), AttributeValueError, "no compressor is called 'fp8'"),
        (lambda: as_compressor(Fp16), DTypeError, "give one of Fp32, Fp16"),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
