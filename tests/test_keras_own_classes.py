"""Optimizers of one's own: an op of the catalogue and its numbers, or NumPy in tf.keras's methods."""

from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.errors import RuleError, UnknownMemberError, UnknownOpError
from symopt.keras import optimizers
from symopt.keras.optimizers import Optimizer, Rule


class Lion(Optimizer):
    """The op does all."""

    def __init__(
        self, learning_rate: Any = 0.5, beta_1: Any = 0.9, name: str = "Lion", **kwargs: Any
    ) -> None:
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", kwargs.get("lr", learning_rate))
        self._set_hyper("beta_1", beta_1)

    def update_rule(self, variable: Any) -> Rule:
        return Rule("keras3_lion", keys={"beta1": "beta_1"}, slots={"m": "mean"}, weight_decay=0.5)

    def get_config(self) -> dict[str, Any]:
        names = ("learning_rate", "beta_1")
        return super().get_config() | {name: self._serialize_hyperparameter(name) for name in names}


class Momentum(Optimizer):
    """As in the documentation of tf.keras, with arrays in place of tensors."""

    def __init__(self, learning_rate: Any = 0.5, name: str = "Momentum", **kwargs: Any) -> None:
        self.note = "attributes may come before the base's constructor"
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", learning_rate)

    def _create_slots(self, var_list: Any) -> None:
        for var in var_list:
            self.add_slot(var, "m", "ones")

    def _resource_apply_dense(self, grad: Any, var: so.Variable, apply_state: Any = None) -> None:
        m = self.get_slot(var, "m")
        m.assign(0.5 * m.value + grad)
        var.assign_sub(self._decayed_lr(var.dtype) * m.value)

    def _resource_apply_sparse(
        self, grad: Any, var: so.Variable, indices: Any, apply_state: Any = None
    ) -> None:
        var[indices] -= self._decayed_lr(var.dtype) * grad


def test_an_op_of_the_catalogue() -> None:
    optimizer, w = Lion(), np.full(2, 2.0)
    optimizer.apply_gradients([(np.array([3.0, -3.0]), w)])
    np.testing.assert_array_equal(w, [2 - 0.25 * 2 - 0.5, 2 - 0.25 * 2 + 0.5])
    np.testing.assert_allclose(optimizer.get_slot(w, "m").numpy(), [0.03, -0.03])
    again = optimizers.deserialize(optimizers.serialize(optimizer), {"Lion": Lion})
    assert type(again) is Lion and again.get_config() == optimizer.get_config()
    assert optimizers.serialize(optimizer)["registered_name"] == "Lion"


@pytest.mark.parametrize("make", [np.asarray, lambda x: so.Variable(x, "w")], ids=["array", "Variable"])
def test_the_methods_of_tf_keras(make: Any) -> None:
    optimizer, w = Momentum(decay=1.0), make(np.zeros((3, 2)))
    assert optimizer.apply_gradients([(np.ones((3, 2)), w)]) == 1
    np.testing.assert_array_equal(np.asarray(w), np.full((3, 2), -0.75))
    rows = so.sparse.IndexedSlices(np.ones((2, 2)), np.array([1, 1]))
    assert optimizer.apply_gradients([(rows, w)]) == 2
    np.testing.assert_array_equal(np.asarray(w)[:, 0], [-0.75, -0.75 - 0.25 * 2, -0.75])
    np.testing.assert_array_equal(optimizer.get_slot(w, "m").numpy(), np.full((3, 2), 1.5))


def test_the_methods_of_tf_keras_see_clipped_gradients() -> None:
    optimizer, w = Momentum(clipvalue=0.5), np.zeros(2)
    optimizer.apply_gradients([(np.array([4.0, 0.25]), w)])
    np.testing.assert_array_equal(w, [-0.5, -0.375])


def test_what_a_class_must_say() -> None:
    with pytest.raises(RuleError, match="update_rule") as error:
        Optimizer("plain").apply_gradients([(np.ones(1), np.ones(1))])
    assert isinstance(error.value, NotImplementedError)

    class Wrong(Optimizer):
        def update_rule(self, variable: Any) -> Rule:
            return Rule("keras_adan")

    with pytest.raises(UnknownOpError, match="keras_adam"):
        Wrong("wrong").apply_gradients([(np.ones(1), np.ones(1))])
    with pytest.raises(UnknownMemberError, match="learning_rate"):
        Lion().learning_rat  # noqa: B018  is looked up
