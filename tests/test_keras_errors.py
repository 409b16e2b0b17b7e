"""What Keras's classes refuse: with the builtin error that tf.keras raises or promises, and nothing changed."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import symopt as so
from symopt.errors import SymoptError
from symopt.keras import optimizers, schedules
from symopt.keras.optimizers import SGD, Adagrad, Nadam, RMSprop
from symopt.sparse import IndexedSlices

SHAPE = (3, 2)
Adam: Any = optimizers.Adam
Ftrl: Any = optimizers.Ftrl


def ones(dtype: Any = "float64", shape: tuple[int, ...] = SHAPE) -> Any:
    return np.ones(shape, dtype)


def rows(index: int, shape: tuple[int, ...] | None = None) -> IndexedSlices:
    return IndexedSlices(np.ones((1, 2)), np.array([index]), shape)


class Case(NamedTuple):
    """What is called, the builtin errors that it must be, and a part of what it says."""

    name: str
    call: Callable[[], Any]
    types: tuple[type, ...]
    text: str


def bound(x: Any) -> Any:
    return np.clip(x, 0, 1)


MADE = (
    Case("unknown keyword", lambda: Adam(foo=1), (TypeError,),
         "Unexpected keyword argument passed to optimizer: foo. Allowed kwargs are {"),
    *(Case(f"negative {k}", lambda k=k: Adam(**{k: -1.0}), (ValueError,), f"Expected {k} >= 0, received: -1.0")  # type: ignore[misc]
      for k in ("clipnorm", "clipvalue", "global_clipnorm", "decay")),
    Case("both norms", lambda: Adam(clipnorm=1.0, global_clipnorm=1.0), (ValueError,), "Cannot accept both `clipnorm`"),
    Case("clip and transformers", lambda: optimizers.Optimizer("x", gradient_transformers=[bound], clipvalue=1.0),
         (ValueError,), "`clipvalue` cannot be set when `gradient_transformers`"),
    Case("name is a number", lambda: Adam(name=3), (ValueError,), "name of an optimizer must be a string"),
    Case("rate is text", lambda: Adam("fast"), (ValueError,), "learning_rate must be a real number, got 'fast'"),
    Case("rate is negative", lambda: Adam(-0.1), (ValueError,), "learning_rate"),
    Case("beta is 1", lambda: Adam(beta_1=1.0), (ValueError,), "`beta_1` must be in [0, 1)"),
    Case("SGD momentum", lambda: SGD(momentum=2.0), (ValueError,),
         "`momentum` must be between [0, 1]. Received: momentum=2.0 (of type <class 'float'>)."),
    Case("RMSprop momentum", lambda: RMSprop(momentum=-0.5), (ValueError,), "`momentum` must be between [0, 1]"),
    Case("accumulator", lambda: Adagrad(initial_accumulator_value=-0.1), (ValueError,),
         "initial_accumulator_value must be non-negative: -0.1"),
    *(Case(f"Ftrl {k}", lambda k=k: Ftrl(**{k: -0.5}), (ValueError,),  # type: ignore[misc]
           f"`{k}` needs to be positive or zero. Received: {k}=-0.5")
      for k in ("l1_regularization_strength", "l2_regularization_strength", "l2_shrinkage_regularization_strength")),
    Case("Ftrl power", lambda: Ftrl(learning_rate_power=0.5), (ValueError,), "needs to be negative or zero"),
    Case("Nadam schedule", lambda: Nadam(schedules.ExponentialDecay(0.1, 1, 0.5)), (ValueError,),
         "does not support tf.keras.optimizers.LearningRateSchedules"),
    Case("Nadam decay", lambda: Nadam(decay=0.1), (ValueError,), "schedule_decay"),
    Case("get a number", lambda: optimizers.get(3), (ValueError,), "Could not interpret optimizer identifier: 3"),
    Case("get None", lambda: optimizers.get(None), (ValueError,), "Could not interpret optimizer identifier: None"),
    Case("get unknown", lambda: optimizers.get("zzz"), (ValueError,), "Unknown optimizer: 'zzz'"),
    Case("get near", lambda: optimizers.get("adm"), (ValueError,), "did you mean"),
    Case("get keyword", lambda: optimizers.get("adam", foo=1), (TypeError,), "Invalid keyword arguments: ['foo']"),
    Case("config keyword", lambda: Adam.from_config({"foo": 1}), (TypeError,), "Unexpected keyword argument"),
    Case("unknown attribute", lambda: Adam().beta_3, (AttributeError,), "did you mean beta_2, beta_1?"),
    Case("base rate", lambda: schedules.LearningRateSchedule()(0), (NotImplementedError,), "__call__"),
    Case("base config", lambda: schedules.LearningRateSchedule().get_config(), (NotImplementedError,), "get_config"),
    Case("schedule of too few values", lambda: schedules.PiecewiseConstantDecay([1, 2], [1.0, 0.5]), (ValueError,),
         "The length of boundaries should be 1 less than the length of values."),
    Case("schedule out of order", lambda: schedules.PiecewiseConstantDecay([2, 1], [1.0, 0.5, 0.1]), (ValueError,),
         "ascend"),
    *(Case(f"{cls.__name__} of no steps", lambda cls=cls, a=a: cls(0.1, *a), (ValueError,), "steps must be above 0")  # type: ignore[misc]
      for cls, a in ((schedules.ExponentialDecay, (0, 0.5)), (schedules.InverseTimeDecay, (-1, 0.5)),
                     (schedules.PolynomialDecay, (0,)), (schedules.CosineDecay, (0,)),
                     (schedules.CosineDecayRestarts, (0,)))),
    Case("step below 0", lambda: schedules.ExponentialDecay(0.1, 1, 0.5)(-1), (ValueError,), "0 or above"),
    Case("schedule keyword", lambda: schedules.ExponentialDecay.from_config({"foo": 1}), (TypeError,), "foo"),
    Case("schedule unknown", lambda: schedules.deserialize({"class_name": "Step", "config": {}}), (ValueError,),
         "Unknown learning rate schedule: 'Step'"),
)  # fmt: skip


@pytest.mark.parametrize("case", MADE, ids=lambda case: case.name)
def test_refused(case: Case) -> None:
    with pytest.raises(case.types, match=re.escape(case.text)) as error:
        case.call()
    assert isinstance(error.value, SymoptError) or "unexpected keyword argument" in str(error.value)


class Step(NamedTuple):
    """Pairs, made of a variable, that cannot be a step, and what they raise."""

    name: str
    pairs: Callable[[Any], Any]
    types: tuple[type, ...]
    text: str


STEPS = (
    Step("no gradient at all", lambda w: [(None, w)], (ValueError,), "No gradients provided for any variable: ['w:0']"),
    Step("three", lambda w: [(ones(), w, 1)], (TypeError, ValueError), "number 0 is a tuple of 3"),
    Step("one", lambda w: [(ones(), w), (ones(),)], (TypeError, ValueError), "number 1 is a tuple of 1"),
    Step("no pairs", lambda w: [w], (TypeError, ValueError), "number 0 is a"),
    Step("no list", lambda w: 3, (TypeError, ValueError), "got int"),
    Step("twice", lambda w: [(ones(), w), (ones(), w)], (ValueError,), "given more than once"),
    Step("target is text", lambda w: [(ones(), w), (ones(), "w")], (TypeError,), "got str"),
    Step("target is None", lambda w: [(ones(), w), (ones(), None)], (TypeError,), "got NoneType"),
    Step("target is read-only", lambda w: [(ones(), w), (ones(), np.broadcast_to(1.0, SHAPE))], (ValueError,),
         "read-only"),
    Step("target is whole numbers", lambda w: [(ones(), w), (ones(), ones("int64"))], (TypeError,), "int64"),
    Step("gradient is a list", lambda w: [([1.0], w)], (TypeError,), "the gradient of w:0 must be an array"),
    Step("dtype", lambda w: [(ones("float32"), w)], (TypeError,), "the gradient of w:0: expected float64, got float32"),
    Step("whole numbers", lambda w: [(ones("int64"), w)], (TypeError,), "int64"),
    Step("shape", lambda w: [(ones(shape=(2, 2)), w)], (ValueError,), "the gradient of w:0: expected shape (3, 2)"),
    Step("row above", lambda w: [(rows(3), w)], (IndexError,), "3 is not a row of 3"),
    Step("row below", lambda w: [(rows(-1), w)], (IndexError,), "-1 is not a row of 3"),
    Step("dense shape", lambda w: [(rows(0, (4, 2)), w)], (ValueError,), "dense_shape is (4, 2), expected (3, 2)"),
    Step("dtype of rows", lambda w: [(IndexedSlices(np.ones((1, 2), "float32"), [0]), w)], (TypeError,), "float64"),
)  # fmt: skip


@pytest.mark.parametrize("clip", [{}, {"clipnorm": 1.0}], ids=["", "clipped"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("case", STEPS, ids=lambda case: case.name)
def test_refused_steps_change_nothing(case: Step, is_first: bool, clip: dict[str, float]) -> None:
    optimizer, w = Adam(0.5, **clip), so.Variable(ones(), "w:0")
    if not is_first:
        optimizer.apply_gradients([(ones(), w)])
    before = w.numpy(), int(optimizer.iterations), [] if is_first else optimizer.get_weights()
    with pytest.raises(case.types[0], match=re.escape(case.text)) as error:
        optimizer.apply_gradients(case.pairs(w))
    assert isinstance(error.value, (SymoptError, *case.types))
    assert all(isinstance(error.value, one) for one in case.types)
    np.testing.assert_array_equal(w.numpy(), before[0])
    assert optimizer.iterations == before[1]
    for now, old in zip(optimizer.get_weights(), before[2], strict=False):
        np.testing.assert_array_equal(now, old)
    optimizer.apply_gradients([(ones(), w)])  # and goes on
    assert optimizer.iterations == before[1] + 1


def test_refused_later() -> None:
    optimizer, w = Adam(), so.Variable(ones(), "w", constraint=bound)
    optimizer.apply_gradients([(ones(), w)])
    with pytest.raises(RuntimeError, match="Cannot set `iterations` to a new Variable after"):
        optimizer.iterations = 3
    with pytest.raises(RuntimeError, match="Cannot use a constraint function on a sparse variable"):
        optimizer.apply_gradients([(rows(0), w)])
    with pytest.raises(KeyError, match="no slots were made"):
        optimizer.get_slot(ones(), "m")
    with pytest.raises(KeyError, match="'w' has no slot 'u'"):
        optimizer.get_slot(w, "u")
    with pytest.raises(
        ValueError, match=r"weight list of length 1, but the optimizer was expecting 3 weights"
    ):
        optimizer.set_weights([ones()])
    with pytest.raises(
        ValueError, match=r"weight shape \(3, 2\) not compatible with provided weight shape \(5,\)"
    ):
        optimizer.set_weights([0, ones(), ones(shape=(5,))])
    with pytest.raises(ValueError, match="expecting 0 weights"):
        Adam().set_weights([1.0])
    for name in ("learning_rate", "beta_1", "epsilon"):
        with pytest.raises(ValueError, match=name):
            setattr(optimizer, name, -1.0)
    assert optimizer.get_config() == Adam().get_config()


@pytest.mark.parametrize(
    "call",
    [
        lambda o, w: o.minimize(3.0, [w]),
        lambda o, w: o.minimize(lambda: 3.0, [w]),
        lambda o, w: o.minimize(lambda: (3.0, [ones()]), [w], tape=object()),
        lambda o, w: o.get_gradients(3.0, [w]),
        lambda o, w: o.get_updates(3.0, [w]),
    ],
)
def test_a_loss_is_not_differentiated(call: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(NotImplementedError, match="symopt has no autograd") as error:
        call(Adam(), ones())
    assert isinstance(error.value, (RuntimeError, ValueError))
