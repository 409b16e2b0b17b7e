"""How Keras 3's classes step: accumulation, averages, loss scales, exclusions, subclasses, and settings changed on the
way."""

from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.keras3 import optimizers as o
from symopt.keras3 import schedules

NAMES = ["SGD", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam", "Adagrad", "Adadelta", "Adafactor", "Ftrl", "Lion",
         "Lamb", "ScheduleFreeAdamW", "Muon"]  # fmt: skip
SHAPES = ((4, 3), (3,))


def some(seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in SHAPES]


def variables(seed: int = 0) -> list[so.Variable]:
    return [so.Variable(x, name=n) for n, x in zip(("kernel", "bias"), some(seed), strict=True)]


def values(optimizer: Any, trained: list[so.Variable]) -> list[Any]:
    return [x.numpy() for x in (*trained, *optimizer.variables)]


def assert_same(a: list[Any], b: list[Any], **tolerance: float) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, **tolerance)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", NAMES)
def test_accumulation_equals_the_big_batch(name: str) -> None:
    parts, whole = variables(), variables()
    slow = getattr(o, name)(0.05, gradient_accumulation_steps=4, clipnorm=0.5, weight_decay=0.1)
    fast = getattr(o, name)(0.05, clipnorm=0.5, weight_decay=0.1)
    for step in range(3):
        micro = [some(10 * step + k + 1) for k in range(4)]
        for grads in micro:
            slow.apply(grads, parts)
        fast.apply([sum(g) / 4 for g in zip(*micro, strict=True)], whole)
        assert slow.iterations == fast.iterations == step + 1
        assert_same([v.numpy() for v in parts], [v.numpy() for v in whole], rtol=1e-9, atol=1e-12)


def test_a_gradient_of_any_call_of_a_window_counts() -> None:
    """Keras 3 forgets what it accumulated for a variable that has no gradient at the last call."""
    trained = variables()
    before = trained[1].numpy()
    optimizer = o.SGD(1.0, gradient_accumulation_steps=2)
    optimizer.apply([np.ones((4, 3)), np.full(3, 2.0)], trained)
    with pytest.warns(UserWarning, match="bias"):
        optimizer.apply([np.ones((4, 3)), None], trained)
    np.testing.assert_allclose(trained[1].numpy(), before - 1.0)
    assert not optimizer._steps.kept[1].slots["gradient_accumulator"].numpy().any()


def test_swapped_averages_come_back() -> None:
    trained = variables()
    optimizer = o.Adam(0.1, use_ema=True, ema_momentum=0.5)
    for step in range(3):
        optimizer.apply(some(step + 1), trained)
    weights, state = [v.numpy() for v in trained], [x.numpy() for x in optimizer.variables]
    averages = [kept.slots["average"].numpy() for kept in optimizer._steps.kept]
    with optimizer.averaged():
        assert_same([v.numpy() for v in trained], averages, rtol=0)
        for call in (lambda: optimizer.apply(some(1), trained), optimizer.state_dict):
            with pytest.raises(so.errors.StateError, match="swap"):
                call()
    assert_same([v.numpy() for v in trained], weights, rtol=0)
    assert_same([x.numpy() for x in optimizer.variables], state, rtol=0)
    optimizer.finalize_variable_values(trained)
    assert_same([v.numpy() for v in trained], averages, rtol=0)


@pytest.mark.parametrize("inner", ["SGD", "Adam", "Nadam", "Adafactor"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_that_are_not_finite_leave_everything(inner: str, dtype: str) -> None:
    """The scale follows Keras's rule; all else is as if the bad step had not been."""
    options: dict[str, Any] = {"weight_decay": 0.1, "use_ema": True, "gradient_accumulation_steps": 2}
    scaled, plain = (getattr(o, inner)(0.05, **options) for _ in range(2))
    optimizer = o.LossScaleOptimizer(scaled, initial_scale=64.0, dynamic_growth_steps=3)
    one, other = (
        [so.Variable(x.astype(dtype), name=n) for n, x in zip("ab", some(0), strict=True)] for _ in range(2)
    )
    scales = []
    for step, bad in enumerate([0, 0, 1, 0, 0, 0, 0, 1, 1, 0]):
        scale, grads = optimizer.scale_loss(1.0), [g.astype(dtype) for g in some(step + 1)]
        given = [g * scale for g in grads]
        given[step % 2].flat[0] = [given[step % 2].flat[0], np.nan if step % 2 else np.inf][bad]
        optimizer.apply(given, one)
        if not bad:
            plain.apply(grads, other)
        scales.append(float(optimizer.dynamic_scale))
        assert_same(values(scaled, one), values(plain, other), rtol=1e-6 if dtype == "float32" else 1e-12)
    assert scales == [64, 64, 32, 32, 32, 64, 64, 32, 16, 16]


def test_a_large_float64_is_finite() -> None:
    weight = so.Variable(np.zeros(1))
    o.LossScaleOptimizer(o.SGD(1.0), initial_scale=1.0).apply([np.array([1e300])], [weight])
    assert weight.numpy()[0] == -1e300


def test_the_scale_has_a_floor() -> None:
    optimizer = o.LossScaleOptimizer(o.SGD(1.0), initial_scale=4.0, minimum_scale=2.0)
    for _ in range(3):
        optimizer.apply([np.array([np.nan])], [so.Variable(np.zeros(1))] if not optimizer.built else None)
    assert optimizer.scale_loss(1.0) == 2.0


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", ["identity", "pattern"])
def test_exclusion_from_weight_decay(how: str, when: str) -> None:
    trained = variables()
    optimizer = o.SGD(0.5, weight_decay=0.5)
    if when == "after":
        optimizer.build(trained)
    optimizer.exclude_from_weight_decay(
        **({"var_list": [trained[1]]} if how == "identity" else {"var_names": ["^b"]})
    )
    expected = [trained[0].numpy() * 0.75, trained[1].numpy()]
    optimizer.apply([np.zeros(shape) for shape in SHAPES], trained)
    assert_same([v.numpy() for v in trained], expected, rtol=1e-12)
    optimizer.exclude_from_weight_decay()
    optimizer.apply([np.zeros(shape) for shape in SHAPES], trained)
    assert_same([v.numpy() for v in trained], [expected[0] * 0.75, expected[1] * 0.75], rtol=1e-12)


def test_settings_hold_from_the_next_step() -> None:
    trained, expected = so.Variable(np.ones(2)), np.ones(2)
    optimizer, mom = o.SGD(0.5, momentum=0.5), np.zeros(2)
    for step in range(6):
        if step == 1:
            optimizer.learning_rate = 0.25
        if step == 2:
            optimizer.momentum = 0.75
        if step == 3:
            optimizer.nesterov = True
        if step == 4:
            optimizer.clipvalue = 0.5
        if step == 5:
            optimizer.learning_rate = schedules.PiecewiseConstantDecay([4], [1.0, 0.125])
        lr, mu = float(optimizer.learning_rate), optimizer.momentum
        g = min(1.0, optimizer.clipvalue or 1.0)
        mom = mu * mom - lr * g
        expected = expected + (mu * mom - lr * g if optimizer.nesterov else mom)
        optimizer.apply([np.ones(2)], [trained])
        np.testing.assert_allclose(trained.numpy(), expected, rtol=1e-12, err_msg=str(step))
    assert lr == 0.125 and len(optimizer.variables) == 2  # no learning rate among them any more


class Momentum(o.Optimizer):
    """Keras's own example of a subclass, in NumPy."""

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.9, **options: Any) -> None:
        super().__init__(learning_rate, **options)
        self.momentum = momentum

    def build(self, variables: Any) -> None:
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        m = self.momentums[self._get_variable_index(variable)]
        self.assign(m, m.value * self.momentum - gradient * learning_rate)
        self.assign_add(variable, m)


class Fused(o.Optimizer):
    """A subclass that names an op."""

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.9, **options: Any) -> None:
        super().__init__(learning_rate, **options)
        self.momentum = momentum

    def update_rule(self, variable: Any) -> Any:
        return o.Rule("keras3_momentum", keys={"momentum": "momentum"})


@pytest.mark.parametrize("cls", [Momentum, Fused])
@pytest.mark.parametrize("options", [
    {}, {"weight_decay": 0.1}, {"clipnorm": 0.5}, {"gradient_accumulation_steps": 2, "global_clipnorm": 0.5},
    {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}, {"loss_scale_factor": 4.0},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("is_scaled", [False, True])
def test_subclasses_in_python_and_by_op(cls: type, options: dict[str, Any], is_scaled: bool) -> None:
    if is_scaled and "loss_scale_factor" in options:
        pytest.skip("a LossScaleOptimizer takes it away")
    trained, expected = variables(), variables()
    optimizer, reference = cls(0.05, momentum=0.5, **options), o.SGD(0.05, momentum=0.5, **options)
    stepping = o.LossScaleOptimizer(optimizer, initial_scale=8.0) if is_scaled else optimizer
    for step in range(4):
        grads = some(step + 1)
        stepping.apply([g * 8 for g in grads] if is_scaled else grads, trained)
        reference.apply(grads, expected)
        if is_scaled:
            stepping.apply([g * np.nan for g in grads], trained)
            stepping.dynamic_scale.assign(8.0)
    assert_same(values(optimizer, trained), values(reference, expected), rtol=1e-12)
    assert optimizer.get_config()["momentum"] == 0.5
    assert isinstance(o.deserialize(o.serialize(optimizer)), cls)


def test_constraints_and_overwritten_variables() -> None:
    positive = so.Variable(np.zeros(2), name="positive", constraint=lambda w: np.maximum(w, 0))
    scale = so.Variable(np.zeros(2), name="scale")
    scale.overwrite_with_gradient = True  # type: ignore[attr-defined]
    optimizer = o.Adam(0.5, weight_decay=0.5, loss_scale_factor=2.0)
    optimizer.apply([np.array([1.0, -1.0]), np.array([3.0, 4.0])], [positive, scale])
    np.testing.assert_allclose(positive.numpy(), [0.0, 0.5], rtol=1e-5)
    np.testing.assert_array_equal(scale.numpy(), [3.0, 4.0])
    assert [v.name for v in optimizer.variables][2:] == ["positive_momentum", "positive_velocity"]


def test_several_optimizers() -> None:
    trained, alone = variables(), variables()
    multi = o.MultiOptimizer(o.OptimizerMap(o.SGD(0.5), {"ker.*": o.Adam(0.25)}))
    adam, sgd = o.Adam(0.25), o.SGD(0.5)
    outer = o.LossScaleOptimizer(multi, initial_scale=4.0)
    for step in range(3):
        grads = some(step + 1)
        outer.apply([4 * g for g in grads], trained)
        adam.apply(grads[:1], alone[:1])
        sgd.apply(grads[1:], alone[1:])
    assert_same([v.numpy() for v in trained], [v.numpy() for v in alone], rtol=1e-12)
    outer.apply([g * np.inf for g in some(9)], trained)
    assert_same([v.numpy() for v in trained], [v.numpy() for v in alone], rtol=1e-12)
    with pytest.raises(ValueError, match="bias"):
        multi.apply([some(9)[0], np.zeros(7)], trained)
    assert_same([v.numpy() for v in trained], [v.numpy() for v in alone], rtol=1e-12)
    again = o.deserialize(o.serialize(multi))
    assert again.get_config() == multi.get_config()
    fresh = variables(5)
    again.build(fresh)
    again.load_state_dict(multi.state_dict())
    assert_same([v.numpy() for v in multi.variables], [v.numpy() for v in again.variables], rtol=0)


def test_a_variable_may_be_called_what_is_kept_for_another() -> None:
    trained = [so.Variable(np.zeros(2), name=name) for name in ("w", "w/mean", "w/grad", "@lr", "w:0/mean")]
    o.Adam(0.5).apply([np.full(2, k + 1.0) for k in range(5)], trained)
    assert_same([v.numpy() for v in trained], [np.full(2, -0.5)] * 5, rtol=1e-5)


@pytest.mark.parametrize("name", ["AdamW", "Nadam", "Adafactor"])
def test_on_a_gpu(name: str, gpu: Any) -> None:
    """Variables, gradients and state lie there; the scale and the counts are the host's."""

    def there(x: Any) -> Any:
        made = gpu.zeros(x.shape, x.dtype)
        gpu.upload(made, x)
        return made

    results = []
    for put in (np.copy, there):
        rng = np.random.default_rng(0)
        weights = [rng.standard_normal(shape).astype("float32") for shape in ((4, 3), ())]
        trained = [so.Variable(put(np.asarray(w)), name=n) for w, n in zip(weights, "ab", strict=True)]
        inner = getattr(o, name)(0.1, use_ema=True, clipnorm=1.0, gradient_accumulation_steps=2)
        optimizer = o.LossScaleOptimizer(inner, 8.0)
        for step in range(5):
            grads = [np.asarray(rng.standard_normal(w.shape), "float32") for w in weights]
            grads[0].flat[0] = np.nan if step == 3 else 1.0
            optimizer.apply([put(g) for g in grads], trained)
        with inner.averaged():
            results.append([v.numpy() for v in (*trained, *optimizer.variables)])
    assert_same(*results, rtol=1e-5, atol=1e-6)


def test_decay_is_ignored_aloud() -> None:
    with pytest.warns(UserWarning, match="no longer supported"):
        o.SGD(0.1, decay=0.5)  # type: ignore[call-arg]
