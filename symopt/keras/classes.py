"""The classes: whose op does the work is for `rules`; here are their arguments, in Keras's order, and what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import AttributeValueError
from .optimizer import Optimizer
from .rules import Rule
from .schedule import LearningRateSchedule


class SGD(Optimizer):
    """Gradient descent, with momentum [Polyak 1964] or Nesterov's [Sutskever et al. 2013]. Slot: momentum, if used.

    w -= learning_rate * g; with momentum, m = momentum * m - learning_rate * g, and w += m, or with nesterov
    w += momentum * m - learning_rate * g. With a sparse gradient only the rows it lists are touched.
    """

    _keras_class = "SGD"
    _option_names = ("nesterov",)
    _groups_slots = False

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: Any = 0.0,
        nesterov: bool = False,
        name: str = "SGD",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", kwargs.get("lr", learning_rate))
        self._set_hyper("momentum", momentum)
        self.nesterov = nesterov


class Adagrad(Optimizer):
    """Adagrad [Duchi et al. 2011]: the more a parameter is updated, the smaller its updates. Slot: accumulator.

    a += g^2, from initial_accumulator_value; w -= learning_rate * g / (sqrt(a) + epsilon). With a sparse gradient only
    the rows it lists are touched. learning_rate=1.0 is the paper's.

    >>> import numpy as np
    >>> w = np.array([1.0])
    >>> int(Adagrad(0.5, initial_accumulator_value=0.0, epsilon=0).apply_gradients([(np.array([3.0]), w)]))
    1
    >>> w
    array([0.5])
    """

    _keras_class = "Adagrad"
    _option_names = ("initial_accumulator_value", "epsilon")
    _groups_slots = False
    _may_lack_iterations = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float | None = 1e-7,
        name: str = "Adagrad",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", kwargs.get("lr", learning_rate))
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon


class Adadelta(Optimizer):
    """Adadelta [Zeiler 2012]. Slots: accum_grad, accum_var.

    a = rho * a + (1 - rho) * g^2; u = sqrt(d + epsilon) / sqrt(a + epsilon) * g; w -= learning_rate * u;
    d = rho * d + (1 - rho) * u^2. With a sparse gradient only the rows it lists are touched. learning_rate=1.0 is the
    paper's.
    """

    _keras_class = "Adadelta"
    _option_names = ("epsilon",)
    _may_lack_iterations = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: Any = 0.95,
        epsilon: float | None = 1e-7,
        name: str = "Adadelta",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", kwargs.get("lr", learning_rate))
        self._set_hyper("rho", rho)
        self.epsilon = epsilon


class Adam(Optimizer):
    """Adam [Kingma & Ba 2015], with amsgrad AMSGrad [Reddi et al. 2018]. Slots: m, v, and vhat with amsgrad.

    m += (g - m) * (1 - beta_1); v += (g^2 - v) * (1 - beta_2);
    w -= learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon), amsgrad with the largest v so
    far. A sparse gradient counts as zero in the rows that it does not list: every row moves.
    """

    _keras_class = "Adam"
    _option_names = ("epsilon", "amsgrad")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: float | None = 1e-7,
        amsgrad: bool = False,
        name: str = "Adam",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", kwargs.get("lr", learning_rate))
        self._set_hyper("beta_1", beta_1)
        self._set_hyper("beta_2", beta_2)
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def _in_todays_order(self, weights: list[Any]) -> list[Any]:
        n_variables = (len(self._slots.weights) - 1) // 2
        if not self.amsgrad and len(weights) == 3 * n_variables + 1:  # with vhat, which once was always there
            return weights[: len(self._slots.weights)]
        return weights


class Adamax(Optimizer):
    """Adam with the infinity norm [Kingma & Ba 2015, section 7]. Slots: m, v.

    m += (g - m) * (1 - beta_1); v = max(beta_2 * v, |g|); w -= learning_rate / (1 - beta_1^t) * m / (v + epsilon).
    With a sparse gradient only the rows it lists are touched, in m and v too.

    >>> import numpy as np
    >>> optimizer, w = Adamax(0.5, beta_1=0.5, epsilon=0), np.zeros(2)
    >>> _ = optimizer.apply_gradients([(np.array([4.0, -2.0]), w)])
    >>> w, optimizer.get_slot(w, "v").numpy()
    (array([-0.5,  0.5]), array([4., 2.]))
    """

    _keras_class = "Adamax"
    _option_names = ("epsilon",)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: float | None = 1e-7,
        name: str = "Adamax",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", kwargs.get("lr", learning_rate))
        self._set_hyper("beta_1", beta_1)
        self._set_hyper("beta_2", beta_2)
        self.epsilon = epsilon


class Nadam(Optimizer):
    """Adam with Nesterov's momentum [Dozat 2016]. Slots: m, v.

    The momentum at step t is u(t) = beta_1 * (1 - 0.96^(schedule_decay * t) / 2); the product of them so far is the
    weight momentum_cache. With a sparse gradient m and v decay in every row, and the rows that it lists move.

    There is no `decay` of the rate (ValueError, unless 0) and no schedule for it (ValueError), as in Keras.
    """

    _keras_class = "Nadam"
    _option_names = ("epsilon",)
    _product_names = {"u_product": "momentum_cache"}  # noqa: RUF012  never changed
    _has_decay = False
    _schedule_base = 0.96

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: float | None = 1e-7,
        name: str = "Nadam",
        schedule_decay: Any = 0.004,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("decay"):
            raise AttributeValueError(
                f"Nadam has no decay of its learning rate, received: decay={kwargs['decay']!r}. The speed of its "
                "momentum's schedule is schedule_decay; in configurations that Keras wrote that is called decay, "
                "which from_config knows"
            )
        learning_rate = kwargs.get("lr", learning_rate)
        if isinstance(learning_rate, LearningRateSchedule):
            raise AttributeValueError(
                "The Nadam optimizer does not support tf.keras.optimizers.LearningRateSchedules as the learning rate."
                " Give a function of no arguments, or so.keras3.optimizers.Nadam a schedule"
            )
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", learning_rate)
        self._set_hyper("beta_1", beta_1)
        self._set_hyper("beta_2", beta_2)
        self._set_hyper("schedule_decay", schedule_decay)
        self.epsilon = epsilon

    def update_rule(self, variable: Any) -> Rule:
        rule = super().update_rule(variable)
        return rule._replace(attrs={**rule.attrs, "schedule_base": self._schedule_base})

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The optimizer that `get_config` described. Keras's own configurations call schedule_decay `decay`."""
        if "schedule_decay" not in config:
            config = {"schedule_decay" if key == "decay" else key: value for key, value in config.items()}
        return super().from_config(config, custom_objects)


class RMSprop(Optimizer):
    """RMSprop [Tieleman & Hinton 2012]. Slots: rms, momentum if used, mg if centered.

    s = rho * s + (1 - rho) * g^2; w -= learning_rate * g / (sqrt(s) + epsilon); with momentum,
    m = momentum * m + learning_rate * g / sqrt(s + epsilon), and w -= m. `centered` subtracts the square of the mean
    gradient from s. With a sparse gradient the rows it lists move; without momentum, s and the mean decay everywhere.
    """

    _keras_class = "RMSprop"
    _option_names = ("epsilon", "centered")
    _may_lack_iterations = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: Any = 0.9,
        momentum: Any = 0.0,
        epsilon: float | None = 1e-7,
        centered: bool = False,
        name: str = "RMSprop",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", kwargs.get("lr", learning_rate))
        self._set_hyper("rho", rho)
        self._set_hyper("momentum", momentum)
        self.epsilon = epsilon
        self.centered = centered


class Ftrl(Optimizer):
    """Follow the regularised leader [McMahan et al. 2013]. Slots: accumulator, linear.

    The weight is made anew at each step from `linear`, which begins at 0: what it was at first is forgotten. Its L2
    strength counts twice. With a sparse gradient only the rows it lists are touched.
    """

    _keras_class = "Ftrl"
    _option_names = ("initial_accumulator_value", "l2_shrinkage_regularization_strength")
    _groups_slots = False

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: Any = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: Any = 0.0,
        l2_regularization_strength: Any = 0.0,
        name: str = "Ftrl",
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: Any = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", kwargs.get("lr", learning_rate))
        self._set_hyper("learning_rate_power", learning_rate_power)
        self._set_hyper("l1_regularization_strength", l1_regularization_strength)
        self._set_hyper("l2_regularization_strength", l2_regularization_strength)
        self._set_hyper("beta", beta)
        self.initial_accumulator_value = initial_accumulator_value
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
