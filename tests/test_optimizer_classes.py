"""The interface of MXNet's optimizer classes: arguments, registry, rates, counts, errors."""

import copy
import inspect
import pickle
import warnings
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from optimizer_driver import NAMES, Setup, make

import symopt as so
from symopt import sym
from symopt.lr_scheduler import FactorScheduler
from symopt.optimizer import SGD, Adam, Optimizer

# As in MXNet 2: arguments beside those of Optimizer, in order, with their defaults.
SIGNATURES = {
    "SGD": "learning_rate=0.1 momentum=0.0 lazy_update=False multi_precision=False use_fused_step=True aggregate_num=1",
    "NAG": "learning_rate=0.1 momentum=0.9 multi_precision=False use_fused_step=True",
    "Signum": "learning_rate=0.01 momentum=0.9 wd_lh=0.0 use_fused_step=True",
    "FTML": "learning_rate=0.0025 beta1=0.6 beta2=0.999 epsilon=1e-08 use_fused_step=True",
    "LARS": "learning_rate=0.1 momentum=0.0 eta=0.001 epsilon=1e-08 lazy_update=False use_fused_step=True "
    "aggregate_num=1",
    "LAMB": "learning_rate=0.001 beta1=0.9 beta2=0.999 epsilon=1e-06 lower_bound=None upper_bound=None "
    "bias_correction=True aggregate_num=4 use_fused_step=True",
    "LANS": "learning_rate=0.001 beta1=0.9 beta2=0.999 epsilon=1e-06 lower_bound=None upper_bound=None "
    "aggregate_num=4 use_fused_step=True",
    "Adam": "learning_rate=0.001 beta1=0.9 beta2=0.999 epsilon=1e-08 lazy_update=False use_fused_step=True",
    "AdamW": "learning_rate=0.001 beta1=0.9 beta2=0.999 epsilon=1e-06 correct_bias=True use_fused_step=True",
    "AdaBelief": "learning_rate=0.001 beta1=0.9 beta2=0.999 epsilon=1e-06 correct_bias=True use_fused_step=True",
    "AdaGrad": "learning_rate=0.01 epsilon=1e-06 use_fused_step=True",
    "GroupAdaGrad": "learning_rate=0.01 epsilon=1e-06 use_fused_step=True",
    "RMSProp": "learning_rate=0.001 rho=0.9 momentum=0.9 epsilon=1e-08 centered=False clip_weights=None "
    "use_fused_step=True",
    "AdaDelta": "learning_rate=1.0 rho=0.9 epsilon=1e-06 use_fused_step=False",
    "Ftrl": "learning_rate=0.1 lamda1=0.01 beta=1.0 use_fused_step=True",
    "Adamax": "learning_rate=0.002 beta1=0.9 beta2=0.999 epsilon=1e-08 use_fused_step=False",
    "Nadam": "learning_rate=0.001 beta1=0.9 beta2=0.999 epsilon=1e-08 schedule_decay=0.004 use_fused_step=False",
    "DCASGD": "learning_rate=0.1 momentum=0.0 lamda=0.04 use_fused_step=False",
    "SGLD": "learning_rate=0.1 use_fused_step=False",
    "Test": "rescale_grad=1.0 param_idx2name=None wd=0.0 clip_gradient=None learning_rate=None lr_scheduler=None "
    "sym=None begin_num_update=0 multi_precision=False param_dict=None aggregate_num=None use_fused_step=None",
}


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_mxnets(name: str) -> None:
    parameters = inspect.signature(getattr(so.optimizer, name)).parameters.values()
    found = [f"{p.name}={p.default}" for p in parameters if p.kind is not p.VAR_KEYWORD]
    assert " ".join(found) == SIGNATURES[name]
    optimizer = make(name.upper())
    assert type(optimizer) is getattr(so.optimizer, name)
    assert Optimizer.opt_registry[name.lower()] is type(optimizer)


def raises(error: type[Exception], text: str, call: Any) -> None:
    with pytest.raises(error, match=text) as caught:
        call()
    assert isinstance(caught.value, so.SymoptError)


WRONG = [
    (TypeError, "has no argument 'beta9'", lambda: Adam(beta9=1)),
    (AssertionError, "must be a dict", lambda: SGD(param_idx2name=["w"])),
    (AssertionError, "needs use_fused_step=True", lambda: SGD(lazy_update=True, use_fused_step=False)),
    (AssertionError, "exclude each other", lambda: SGD(lazy_update=True, multi_precision=True)),
    (
        AssertionError,
        "needs use_fused_step=True",
        lambda: make("lars", lazy_update=True, use_fused_step=False),
    ),
    (AssertionError, "exclude each other", lambda: make("lars", lazy_update=True, multi_precision=True)),
    (AssertionError, "needs use_fused_step=True", lambda: Adam(lazy_update=True, use_fused_step=False)),
    (AssertionError, "at most 45", lambda: make("lamb", aggregate_num=46)),
    (AssertionError, "at most 45", lambda: make("lans", aggregate_num=46)),
    (DeprecationWarning, "eps is called epsilon", lambda: make("adagrad", eps=1e-8)),
    (DeprecationWarning, "gamma1 is called rho", lambda: make("rmsprop", gamma1=0.9)),
    (DeprecationWarning, "gamma2 is called momentum", lambda: make("rmsprop", gamma2=0.9)),
    (AssertionError, "takes a class", lambda: so.optimizer.register(cast("type", "Adam"))),
    (ValueError, "'adm'; did you mean adam", lambda: so.optimizer.create("adm")),
    (NotImplementedError, r"define rule\(\), or step\(\)", lambda: Setup(Optimizer())),
    (AssertionError, "must have two axes", lambda: Setup(make("groupadagrad"), [(3,)])),
]


@pytest.mark.parametrize(("error", "text", "call"), WRONG, ids=lambda x: x if isinstance(x, str) else "")
def test_refused(error: type[Exception], text: str, call: Any) -> None:
    raises(error, text, call)


def test_group_adagrad_has_no_weight_decay() -> None:
    setup = Setup(make("groupadagrad", wd=0.1))
    before = copy.deepcopy(setup.weights)
    raises(AssertionError, "wd = 0.1 must be 0", setup.step)
    np.testing.assert_equal(setup.weights, before)
    setup.optimizer.set_wd_mult({0: 0, 1: 0})
    setup.step()


# ---- rates


def test_learning_rate() -> None:
    assert Optimizer().learning_rate == 0.01
    optimizer = SGD(0.3)
    optimizer.set_learning_rate(0.2)
    assert optimizer.learning_rate == optimizer.lr == 0.2
    scheduler = FactorScheduler(1, 0.5, base_lr=0.7)
    with pytest.warns(UserWarning, match="base_lr"):
        optimizer = SGD(0.3, lr_scheduler=scheduler)
    assert scheduler.base_lr == 0.3
    raises(UserWarning, "lr_scheduler", lambda: optimizer.set_learning_rate(0.1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = SGD(None, lr_scheduler=FactorScheduler(1, 0.5, base_lr=0.7))
    assert optimizer.lr is None
    setup = Setup(optimizer)
    for rate in (0.7, 0.35, 0.175):
        before, grads = copy.deepcopy(setup.weights), setup.grads()
        setup.step(grads)
        assert optimizer.learning_rate == rate
        np.testing.assert_allclose(setup.weights[0], before[0] - rate * grads[0])


NAMED = {0: "fc_weight", 1: "fc_bias"}


def of_symbol() -> Optimizer:
    w, b = sym.var("fc_weight", lr_mult=0.5), sym.var("fc_bias", wd_mult=0.0)
    return SGD(1.0, wd=0.1, sym=w + b, param_idx2name=NAMED)


def of_objects() -> Optimizer:
    parts = {0: SimpleNamespace(lr_mult=0.5, wd_mult=1.0), 1: SimpleNamespace(lr_mult=1.0, wd_mult=0.0)}
    return SGD(1.0, wd=0.1, param_dict=parts)


def by_index() -> Optimizer:
    optimizer = SGD(1.0, wd=0.1)
    optimizer.set_lr_mult({0: 0.5})
    optimizer.set_wd_mult({1: 0.0})
    return optimizer


def by_name() -> Optimizer:
    optimizer = SGD(1.0, wd=0.1, param_idx2name=NAMED)
    optimizer.set_lr_mult({"fc_weight": 0.5, "other": 9.0})
    optimizer.set_wd_mult({"fc_bias": 0.0})
    return optimizer


@pytest.mark.parametrize("made", [of_symbol, of_objects, by_index, by_name])
def test_multipliers(made: Any) -> None:
    optimizer = made()
    assert optimizer._get_lrs([0, 1]) == [0.5, 1.0]
    assert optimizer._get_wds([0, 1]) == [0.1, 0.0]
    setup = Setup(optimizer)
    before, grads = copy.deepcopy(setup.weights), setup.grads()
    setup.step(grads)
    np.testing.assert_allclose(setup.weights[0], before[0] - 0.5 * (grads[0] + 0.1 * before[0]))
    np.testing.assert_allclose(setup.weights[1], before[1] - grads[1])


def test_multipliers_of_the_symbol_stay_others_go() -> None:
    optimizer = of_symbol()
    optimizer.set_lr_mult({"fc_bias": 3.0})
    assert optimizer._get_lrs([0, 1]) == [0.5, 3.0]
    optimizer.set_lr_mult({})
    assert optimizer._get_lrs([0, 1]) == [0.5, 1.0]


@pytest.mark.parametrize(
    "change",
    [
        lambda o: o.set_lr_mult({0: 3.0}),
        lambda o: o.lr_mult.update({0: 3.0}),
        lambda o: setattr(o, "param_dict", {0: SimpleNamespace(lr_mult=3.0, wd_mult=1.0)}),
        lambda o: (o.set_lr_mult({"a": 3.0}), o.idx2name.update({0: "a"})),
    ],
    ids=["set", "in-place", "object", "renamed"],
)
def test_a_multiplier_counts_from_the_next_step_on(change: Any) -> None:
    setup = Setup(SGD(1.0))
    setup.step()
    change(setup.optimizer)
    before, grads = copy.deepcopy(setup.weights), setup.grads()
    setup.step(grads)
    np.testing.assert_allclose(setup.weights[0], before[0] - 3 * grads[0])
    np.testing.assert_allclose(setup.weights[1], before[1] - grads[1])


def test_an_object_that_changes_its_multiplier() -> None:
    part = SimpleNamespace(lr_mult=1.0, wd_mult=1.0)
    setup = Setup(SGD(1.0, param_dict={0: part}))
    for part.lr_mult in (1.0, 2.0, 0.0):
        before, grads = copy.deepcopy(setup.weights), setup.grads()
        setup.step(grads)
        np.testing.assert_allclose(setup.weights[0], before[0] - part.lr_mult * grads[0])


# ---- counts, registry, copies


def test_counts_can_be_read_and_set() -> None:
    setup = Setup(make("adam", begin_num_update=5))
    for _ in range(3):
        setup.step()
    counts = setup.optimizer._index_update_count
    assert (counts[0], dict(counts), len(counts), repr(counts)) == (8, {0: 8, 1: 8}, 2, "{0: 8, 1: 8}")
    setup.step()
    counts[0] -= 3
    del counts[1]
    setup.step()
    assert dict(counts) == {0: 7, 1: 6}
    assert setup.optimizer.num_update == 9
    setup.optimizer._set_current_device(1)
    setup.step()
    assert dict(setup.optimizer._index_update_count) == {0: 6, 1: 6}
    assert dict(counts) == {0: 7, 1: 6}


def test_registering_a_name_again_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(so.optimizer.registry, "OPTIMIZERS", {"adam": Adam})
    klass = type("Adam", (Adam,), {})
    with pytest.warns(UserWarning, match="takes the name of symopt"):
        assert so.optimizer.register(klass) is klass
    assert type(so.optimizer.create("ADAM")) is klass


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["copy", "pickle"]
)
def test_a_copy_goes_on_by_itself_without_param_dict(copied: Any) -> None:
    setup = Setup(make("adam", param_dict={0: SimpleNamespace(lr_mult=1.0, wd_mult=1.0)}))
    setup.step()
    twin = copied(setup.optimizer)
    assert twin.param_dict == {} and setup.optimizer.param_dict
    weights, states = copy.deepcopy((setup.weights, setup.states))
    grads = setup.grads()
    setup.step(grads)
    assert twin.num_update == 1 and dict(twin._index_update_count) == {0: 1, 1: 1}
    twin.update(setup.indices, weights, grads, states)
    np.testing.assert_equal(weights, setup.weights)
