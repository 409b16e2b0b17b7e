"""Keras's classes: hyperparameters, clips, hooks, configurations. What they compute is in test_golden_keras.py."""

import copy
import json
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.keras import optimizers, schedules
from symopt.keras.optimizers import Adagrad, Adam, Adamax, Nadam, RMSprop
from symopt.keras.stepping import Steps
from symopt.sparse import IndexedSlices, RowSparseArray

CLASSES = [
    c
    for n, c in vars(optimizers).items()
    if isinstance(c, type) and n in optimizers.__all__ and n not in ("Optimizer", "Rule")
]
SGD: Any = optimizers.SGD
SCHEDULES = [
    schedules.ExponentialDecay(0.5, 2, 0.5, staircase=True),
    schedules.InverseTimeDecay(0.5, 2, 0.5),
    schedules.PiecewiseConstantDecay([1, 2], [0.5, 0.25, 0.125]),
    schedules.PolynomialDecay(0.5, 3, power=2, cycle=True),
    schedules.CosineDecay(0.5, 3, 0.1, warmup_target=1, warmup_steps=2),
    schedules.CosineDecayRestarts(0.5, 2, m_mul=0.5),
]


def stepped(optimizer: Any, n: int = 3) -> np.ndarray[Any, Any]:
    """A weight after n steps."""
    w = np.array([1.0, -2.0, 3.0])
    for step in range(n):
        optimizer.apply_gradients([(np.array([0.5, -1.0, 2.0]) * (step + 1), w)])
    return w


def test_the_list_of_classes_is_whole() -> None:
    names = {"SGD", "Adagrad", "Adadelta", "Adam", "Adamax", "Nadam", "RMSprop", "Ftrl"}
    assert {cls.__name__ for cls in CLASSES} == names == set(optimizers.CLASSES)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("rate", [0.25, 1, np.float32(0.25), *SCHEDULES], ids=repr)
def test_every_class_comes_back_from_its_configuration(cls: Any, rate: Any) -> None:
    if cls is Nadam and isinstance(rate, schedules.LearningRateSchedule):
        pytest.skip("takes no schedule, as in Keras")
    optimizer = cls(rate, clipnorm=2.0, **({} if cls is Nadam else {"decay": 0.5}))
    before = json.dumps(optimizer.get_config())
    expected = stepped(optimizer)
    assert json.dumps(optimizer.get_config()) == before  # also after use
    described = optimizers.serialize(optimizer)
    kept = copy.deepcopy(described)
    for again in (
        cls.from_config(described["config"]),
        optimizers.deserialize(described),
        optimizers.get(described),
    ):
        assert type(again) is cls and json.dumps(again.get_config()) == before
        np.testing.assert_array_equal(stepped(again), expected)
    assert described == kept
    assert described["module"] == "keras.optimizers.legacy" and described["registered_name"] is None


@pytest.mark.parametrize("cls", CLASSES)
def test_names_find_classes(cls: Any) -> None:
    for name in (cls.__name__, cls.__name__.lower(), cls.__name__.upper()):
        assert type(optimizers.get(name, use_legacy_optimizer=True)) is cls
    optimizer = cls()
    assert optimizers.get(optimizer) is optimizer
    assert optimizer.name == cls.__name__ == optimizer.get_config()["name"]


def test_names_are_made_up() -> None:
    class NewKind(optimizers.SGD):
        """Counted apart from others."""

    kind: Any = NewKind
    assert [kind(name=name).name for name in ("", None, "own", "")] == [
        "new_kind",
        "new_kind_1",
        "own",
        "new_kind_2",
    ]


def test_configurations_that_keras_wrote() -> None:
    nadam = Nadam.from_config(
        {"name": "Nadam", "learning_rate": 0.5, "decay": 0.01, "beta_1": 0.5, "beta_2": 0.5, "epsilon": 1e-7}
    )
    assert nadam.schedule_decay == 0.01 and Nadam.from_config(nadam.get_config()).schedule_decay == 0.01
    assert Adam.from_config({"lr": 0.5}).learning_rate == 0.5
    rates = {"halved": lambda: 0.5}
    assert (
        Adam.from_config({"learning_rate": "halved"}, custom_objects=rates).get_config()["learning_rate"]
        == 0.5
    )
    assert Adam(epsilon=None).epsilon == 1e-7 and Adam(epsilon=0).epsilon == 0


def test_hyperparameters_are_read_and_set() -> None:
    optimizer = Adagrad(0.5)
    assert optimizer.lr == optimizer.learning_rate == 0.5 and optimizer.lr.numpy() == 0.5
    stepped(optimizer, 1)
    optimizer.lr = 0.25
    assert optimizer.get_config()["learning_rate"] == 0.25
    optimizer.learning_rate.assign(0.125)
    assert optimizer.lr == 0.125
    optimizer.learning_rate = schedules.PiecewiseConstantDecay([1], [1.0, 0.0])
    optimizer.epsilon = 0
    optimizer.initial_accumulator_value = 0.0
    w = np.ones(2)
    for _ in range(2):
        optimizer.apply_gradients([(np.ones(2), w)])
    np.testing.assert_array_equal(w, [0.0, 0.0])  # the rate is 1 at step 1, then 0
    optimizer.learning_rate = 0.5
    assert optimizer.learning_rate == 0.5
    with pytest.warns(UserWarning, match="`lr` argument is deprecated"):
        assert Adagrad(0.25, lr=0.5).learning_rate == 0.5


def test_functions_and_variables_are_read_at_every_step() -> None:
    calls: list[int] = []
    kept = so.Variable(0.5, dtype="float64")

    def rate() -> float:
        calls.append(1)
        return 1.0 / len(calls)

    optimizer, w = SGD(rate, momentum=kept), np.zeros(1)
    for _ in range(2):
        optimizer.apply_gradients([(np.ones(1), w)])
    assert len(calls) == 2 and w[0] == -1 + (-0.5 - 0.5)
    kept.assign(0.0)
    optimizer.learning_rate = 2.0
    optimizer.apply_gradients([(np.ones(1), w)])
    assert w[0] == -4.0 and optimizer.get_config()["momentum"] == 0.0


def test_decay_holds_on_top_of_a_schedule_and_can_be_set() -> None:
    optimizer, w = SGD(schedules.PiecewiseConstantDecay([0], [1.0, 0.5]), decay=1.0), np.zeros(1)
    for expected in (-1.0, -1.25):
        optimizer.apply_gradients([(np.ones(1), w)])
        assert w[0] == expected
    optimizer.decay = 0.0
    optimizer.apply_gradients([(np.ones(1), w)])
    assert w[0] == -1.75


def test_momentum_may_begin_later() -> None:
    """Keras ignores momentum that is set after construction without."""
    optimizer, w = SGD(1.0), np.zeros(1)
    optimizer.apply_gradients([(np.ones(1), w)])
    optimizer.momentum = 0.5
    for expected in (-2.0, -3.5):
        optimizer.apply_gradients([(np.ones(1), w)])
        assert w[0] == expected
    assert optimizer.get_slot_names() == ["momentum"]


def test_rates_are_doubles() -> None:
    w = np.ones(1)
    SGD(0.1).apply_gradients([(np.ones(1), w)])
    assert w[0] == 1 - 0.1


def test_clips_can_be_set_and_are_in_order() -> None:
    optimizer, w = SGD(1.0, clipvalue=3.0, clipnorm=2.5), np.zeros(2)
    g = np.array([3.0, 40.0])
    optimizer.apply_gradients([(g, w)])
    np.testing.assert_allclose(w, -np.array([3.0, 3.0]) * 2.5 / np.sqrt(18))
    optimizer.clipvalue = optimizer.clipnorm = None
    optimizer.apply_gradients([(g, w)])
    np.testing.assert_allclose(w[1], -40 - 3 * 2.5 / np.sqrt(18))
    np.testing.assert_array_equal(g, [3.0, 40.0])
    for clip in ("clipvalue", "clipnorm", "global_clipnorm"):
        still = np.ones(2)
        SGD(1.0, **{clip: 0}).apply_gradients([(np.ones(2), still)])
        np.testing.assert_array_equal(still, [1.0, 1.0])  # 0 makes the gradient 0


@pytest.mark.parametrize("before_sum", [True, False])
def test_rows_are_clipped_as_stored_or_summed(before_sum: bool) -> None:
    g = IndexedSlices(np.array([[0.3], [0.4]]), np.array([1, 1]))
    optimizer, w = SGD(1.0, clipvalue=0.35), np.zeros((2, 1))
    optimizer.clip_before_sum = before_sum
    for _ in range(2):
        optimizer.apply_gradients([(g, w)])
    np.testing.assert_allclose(w[:, 0], [0.0, -2 * (0.65 if before_sum else 0.35)])
    np.testing.assert_array_equal(g.values, [[0.3], [0.4]])


def test_aggregator_and_transformers() -> None:
    seen: list[bool] = []

    def summed(pairs: Any) -> Any:
        seen.append(all(w is v for (_, w), v in zip(pairs, variables, strict=True)))
        return [2 * g for g, _ in pairs]

    variables = [np.zeros(1), np.zeros(1)]
    optimizer = optimizers.get("sgd")
    optimizer.learning_rate = 1.0
    optimizer.gradient_aggregator = summed
    optimizer.gradient_transformers = [lambda pairs: [(g + 1, w) for g, w in pairs]]
    grads = [np.ones(1), np.ones(1)]
    for aggregate in (True, True, False):
        optimizer.apply_gradients(zip(grads, variables), experimental_aggregate_gradients=aggregate)
    assert [w[0] for w in variables] == [-8.0, -8.0] and seen == [True, True]


def test_constraints_come_after_the_update() -> None:
    w = so.Variable(np.zeros(2), constraint=lambda x: np.clip(x, -0.5, 0.5))
    SGD(1.0).apply_gradients([(np.array([0.25, 4.0]), w)])
    np.testing.assert_array_equal(w.numpy(), [-0.25, -0.5])


def test_variables_without_gradient_stay_and_are_named_once() -> None:
    optimizer, a, b = Adam(0.5), so.Variable(np.ones(1), "a"), np.ones(1)
    with pytest.warns(UserWarning, match=r"Gradients do not exist for variables \['a'\]"):
        optimizer.apply_gradients([(None, a), (np.ones(1), b)])
    assert a.numpy() == 1 and b[0] != 1 and optimizer.iterations == 1
    optimizer.apply_gradients([(None, a), (np.ones(1), b)])  # told before
    optimizer.apply_gradients([(np.ones(1), a), (np.ones(1), b)])
    assert optimizer.iterations == 3 and optimizer.apply_gradients([]) is None


def test_a_later_variable_shares_the_count() -> None:
    optimizer, a, b, alone = Adamax(0.5), np.zeros(1), np.zeros(1), np.zeros(1)
    optimizer.apply_gradients([(np.ones(1), a)])
    optimizer.apply_gradients([(np.ones(1), b)])
    late = Adamax(0.5)
    late.iterations = 1
    late.apply_gradients([(np.ones(1), alone)])
    assert b[0] == alone[0] != a[0]


def test_minimize_and_other_kinds_of_gradients() -> None:
    optimizer, w = SGD(1.0), so.Variable(np.zeros((3, 1)), "w")
    rows = RowSparseArray(np.ones((1, 1)), np.array([2]), (3, 1))
    assert optimizer.minimize(lambda: (0.0, [rows]), lambda: [w]) == 1
    tf_like = type("Slices", (), {"values": [[1.0]], "indices": [0], "dense_shape": np.array([3, 1])})()
    tf_like.values = np.asarray(tf_like.values)
    optimizer.apply_gradients([(tf_like, w)])
    np.testing.assert_array_equal(w.numpy()[:, 0], [-1.0, 0.0, -1.0])


def test_iterations_count_and_are_shared() -> None:
    first, second, w = SGD(1.0), SGD(1.0), np.zeros(1)
    second.iterations = first.iterations
    for optimizer in (first, second, first):
        optimizer.apply_gradients([(np.ones(1), w)])
    assert (
        first.iterations == second.iterations == 3
        and first.iterations % 2 == 1
        and f"{first.iterations:03d}" == "003"
    )
    first.iterations.assign(10)
    assert int(second.iterations) == 10 and first.iterations.numpy().dtype == np.int64


@pytest.mark.parametrize("cls", [Adam, RMSprop, Nadam])
def test_updates_as_symbols(cls: Any) -> None:
    """The graph that get_updates gives is the step that apply_gradients takes."""

    def make() -> Any:
        return cls(0.5, clipvalue=2.0, **({} if cls is Nadam else {"decay": 0.5}))

    expected = stepped(make())
    [update] = make().get_updates(["w"], ["g"])
    executor = update.simple_bind(so.cpu(), type_dict={"w": "float64"}, w=(3,))
    executor.copy_params_from({"w": np.array([1.0, -2.0, 3.0])})
    if cls is Nadam:
        executor.copy_params_from({"momentum_cache": 1.0})
    for step in range(3):
        executor.forward(g=np.array([0.5, -1.0, 2.0]) * (step + 1))
    np.testing.assert_allclose(executor.arg_dict["w"], expected, rtol=1e-14)
    assert executor.arg_dict["iterations"] == 3


def test_graphs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each set of variables with gradients and their storage, whatever numbers are set between."""
    built: list[tuple[str, ...]] = []
    build = Steps._build

    def counted(self: Steps, variables: Any, *rest: Any) -> Any:
        built.append(tuple(known.name for known in variables))
        return build(self, variables, *rest)

    monkeypatch.setattr(Steps, "_build", counted)
    optimizer, a, b = (
        SGD(1.0, momentum=0.5),
        so.Variable(np.zeros((2, 1)), "a"),
        so.Variable(np.zeros(1), "b"),
    )
    rows = IndexedSlices(np.ones((1, 1)), np.array([1]))
    for step in range(3):
        optimizer.learning_rate, optimizer.momentum = 1.0 / (step + 1), 0.25 * step
        optimizer.apply_gradients([(np.ones((2, 1)), a), (np.ones(1), b)])
        optimizer.apply_gradients([(rows, a), (np.ones(1), b)])
        optimizer.apply_gradients([(rows, a)])
    assert built == [("a", "b"), ("a", "b"), ("a",)]
