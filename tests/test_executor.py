"""What a bound graph does: buffers, rebinding, numbers, attributes, foreign arrays."""

from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import sym
from symopt.backends import jit

SHAPE = (6, 4)


def arrays(*names: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {n: rng.random(SHAPE, np.float32) for n in names or "wgmv"}


def adam(**attrs: Any) -> Any:
    w = sym.var("w")
    return sym.adam_update(
        w, sym.var("g"), sym.var("m"), sym.var("v"), out=w, name="fc1", **{"lr": 0.1, **attrs}
    )


def numpy_adam(a: dict[str, Any], lr: float = 0.1, wd: float = 0.0) -> dict[str, np.ndarray]:
    g = a["g"] + wd * a["w"]
    m, v = 0.9 * a["m"] + 0.1 * g, 0.999 * a["v"] + 0.001 * g * g
    return {"w": a["w"] - lr * m / (np.sqrt(v) + 1e-8), "m": m, "v": v}


def close(given: dict[str, Any], expected: dict[str, np.ndarray]) -> None:
    for name, x in expected.items():
        np.testing.assert_allclose(given[name], x, rtol=2e-5, atol=1e-6)


@pytest.fixture(params=["native", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_in_place_and_same_buffers(engine: str) -> None:
    given = arrays()
    expected = numpy_adam(given)
    executor = adam().bind(so.cpu(), args=given, aux_states=given, engine=engine)
    first = executor.forward()
    close(given, expected)
    assert first[0] is given["w"] and executor.forward()[0] is given["w"]
    assert executor.output_dict["fc1_output"] is given["w"]


def test_lists_and_dicts_bind_alike(engine: str) -> None:
    one, other = arrays(), arrays()
    adam().bind(args=[one["w"], one["g"]], aux_states=[one["m"], one["v"]], engine=engine).forward()
    adam().bind(args={**other, "surplus": 3}, aux_states=other, engine=engine).forward()
    close(one, other)


def test_output_without_out_leaves_the_weight(engine: str) -> None:
    given = arrays()
    before = given["w"].copy()
    node = sym.adam_update(*(sym.var(n) for n in "wgmv"), lr=0.1)
    executor = node.bind(args=given, aux_states=given, engine=engine)
    expected = numpy_adam(given)
    (out,) = executor.forward()
    np.testing.assert_allclose(out, expected["w"], rtol=2e-5)
    assert np.array_equal(given["w"], before) and executor.forward()[0] is out


def test_forward_binds_arrays_and_numbers_without_compiling() -> None:
    given = arrays()
    executor = adam(lr=sym.var("lr", shape=())).bind(args={**given, "lr": 0.1}, aux_states=given)
    executor.forward()
    compiled, program = jit.compiled_count(), executor._step.program
    other = np.ones(SHAPE, np.float32)
    expected = numpy_adam({**given, "g": other}, lr=0.3)
    executor.forward(g=other, lr=0.3)
    close(given, expected)
    assert jit.compiled_count() == compiled and executor._step.program is program
    assert executor.arg_dict["g"] is other and executor.arg_dict["lr"] == 0.3
    other[:] = 2  # bound by reference
    expected = numpy_adam({**given, "g": other}, lr=0.3)
    executor.forward()
    close(given, expected)


def test_assigning_rebinds_and_the_old_array_stays(engine: str) -> None:
    given = arrays()
    executor = adam().bind(args=given, aux_states=given, engine=engine)
    old, new = given["w"].copy(), np.ones(SHAPE, np.float32)
    executor.arg_dict["w"] = new
    expected = numpy_adam({**given, "w": new})
    assert executor.forward()[0] is new
    close({"w": new, "m": given["m"]}, {k: expected[k] for k in "wm"})
    assert np.array_equal(given["w"], old)
    executor.aux_dict["m"] = np.zeros(SHAPE, np.float32)
    executor.forward()


def test_the_list_of_outputs_is_the_callers() -> None:
    given = arrays()
    executor = adam().bind(args=given, aux_states=given)
    before = executor.forward()
    other = np.ones(SHAPE, np.float32)
    after = executor.forward(w=other)
    assert before[0] is given["w"] and after[0] is other
    after.clear()
    executor.outputs.clear()
    assert executor.outputs[0] is other


def test_copy_params_and_reshape(engine: str) -> None:
    given = arrays()
    executor = adam().bind(args=given, aux_states=given, engine=engine)
    executor.copy_params_from({"w": np.zeros(SHAPE)}, {"m": np.ones(SHAPE)})
    assert not given["w"].any() and given["m"].all()
    with pytest.raises(ValueError, match="nothing"):
        executor.copy_params_from({"nothing": 1})
    executor.copy_params_from({"nothing": 1}, allow_extra_params=True)
    larger = executor.reshape(w=(9, 4))
    assert larger.forward()[0].shape == (9, 4) and larger.aux_dict["v"].shape == (9, 4)
    assert larger.reshape(w=5).forward()[0].shape == (5,)


def test_simple_bind_and_eval() -> None:
    executor = adam().simple_bind(w=SHAPE, type_dict={"w": "float16"})
    assert {x.dtype.name for x in (*executor.arg_arrays, *executor.aux_arrays)} == {"float16"}
    executor.arg_dict["g"][:] = 1
    assert (executor.forward()[0] < 0).all()
    assert (sym.var("a") * 2).eval(a=np.ones(2))[0].tolist() == [2, 2]


def test_monitor_sees_every_output() -> None:
    given = arrays()
    executor = adam().bind(args=given, aux_states=given)
    seen: dict[str, np.ndarray] = {}
    executor.set_monitor_callback(seen.__setitem__)
    expected = numpy_adam(given)
    executor.forward()
    np.testing.assert_allclose(seen["fc1_output"], expected["w"], rtol=2e-5)
    executor.set_monitor_callback(seen.__setitem__, monitor_all=True)
    executor.forward()
    assert {*"wgmv", "fc1_output"} <= set(seen)
    executor.set_monitor_callback(None)
    seen.clear()
    executor.forward()
    assert not seen


def test_strided_inputs_are_read_anew(engine: str) -> None:
    given = arrays()
    wide = np.ones((6, 8), np.float32)
    executor = adam().bind(args={**given, "g": wide[:, ::2]}, aux_states=given, engine=engine)
    assert "strided" in executor.summary()
    for value in (1, 3):
        wide[:] = value
        expected = numpy_adam({**given, "g": wide[:, ::2]})
        executor.forward()
        close(given, expected)


class Foreign:
    """An array of some other library."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.__array_interface__ = array.__array_interface__


class Capsule:
    """An array that only DLPack can see."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__


def test_foreign_arrays_are_updated_in_place(engine: str) -> None:
    given = arrays()
    expected = numpy_adam(given)
    adam().bind(
        args={n: Foreign(given[n]) for n in "wg"},
        aux_states={n: Foreign(given[n]) for n in "mv"},
        engine=engine,
    ).forward()
    close(given, expected)


def test_arrays_through_dlpack(engine: str) -> None:
    given = arrays()
    expected = numpy_adam(given)
    executor = adam().bind(
        args={n: Capsule(given[n]) for n in "wg"},
        aux_states={n: Capsule(given[n]) for n in "mv"},
        engine=engine,
    )
    executor.forward()
    close(given, expected)
    executor.copy_params_from({"w": Capsule(np.zeros(SHAPE))})
    assert not given["w"].any()


def test_torch_tensors_are_updated_in_place() -> None:
    torch = pytest.importorskip("torch")
    given = arrays()
    expected = numpy_adam(given)
    tensors = {n: torch.from_numpy(x.copy()) for n, x in given.items()}
    adam().bind(args=tensors, aux_states=tensors).forward()
    close({n: x.numpy() for n, x in tensors.items()}, expected)


def test_looking_inside() -> None:
    executor = adam(clip_gradient=1.0).bind(args=arrays(), aux_states=arrays())
    assert "adam_update" in executor.summary() and "Op:adam_update, Name=fc1" in executor.debug_str()
    assert "adam.py:" in executor.source() and "define" in executor.source("llvm")
    assert "ret" in executor.source("asm")
    with pytest.raises(ValueError, match="text, llvm, cuda, asm"):
        executor.source("c")
    graph = executor.to_networkx()
    assert [graph.nodes[n]["op"] for n in graph] == ["null"] * 4 + ["adam_update"]
    assert sorted(port for _, _, port in graph.in_edges(4, data="port")) == [0, 1, 2, 3]


def test_a_variable_as_an_output_means_its_old_value(engine: str) -> None:
    w, given = sym.var("w"), arrays("w")
    before = given["w"].copy()
    old, new = sym.Group([w, sym._plus_scalar(w, scalar=1, out=w)]).bind(args=given, engine=engine).forward()
    assert np.array_equal(old, before) and new is given["w"] and np.array_equal(new, before + 1)


def test_variables_and_repeated_heads(engine: str) -> None:
    w = sym.var("w")
    double = w * 2
    given = arrays("w")
    executor = sym.Group([w, double, double]).bind(args=given, engine=engine)
    outputs = executor.forward()
    assert outputs[0] is given["w"] and np.array_equal(outputs[1], outputs[2])
    assert np.array_equal(outputs[1], given["w"] * 2)


def test_eager_states_and_outputs() -> None:
    given = arrays()
    expected = numpy_adam(given)
    before = given["w"].copy()
    out = so.nd.adam_update(given["w"], given["g"], mean=given["m"], var=given["v"], lr=0.1)
    np.testing.assert_allclose(out, expected["w"], rtol=2e-5)
    close(given, {k: expected[k] for k in "mv"})
    assert np.array_equal(given["w"], before)
    compiled = jit.compiled_count()
    target = np.empty(SHAPE, np.float32)
    assert so.nd.adam_update(given["w"], given["g"], given["m"], given["v"], lr=0.2, out=target) is target
    assert jit.compiled_count() == compiled and target.any()
