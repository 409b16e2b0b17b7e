"""Classes that divide by roots of squared gradients, or by nothing: SGD, Adagrad and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from ..errors import AttributeValueError
from ..keras.numbers import plain_number
from ..keras.scalars import Scalar
from .factored import Factored
from .optimizer import Optimizer
from .options import LearningRate, Options, at_least


class SGD(Optimizer):
    """Gradient descent, with momentum [Polyak 1964], or Nesterov's. Slot: momentum, if that is above 0.

    >>> SGD(0.01, momentum=0.9, nesterov=True).get_config()["momentum"]
    0.9
    """

    rule_name = "SGD"

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *options: Any,
        **more: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, *options, **more)
        self.momentum = momentum
        self.nesterov = bool(nesterov)


class RMSprop(Optimizer):
    """RMSprop [Hinton 2012], or centered [Graves 2013], epsilon inside the root. Slots: velocity, momentum if that is
    above 0, average_gradient if centered."""

    rule_name = "RMSprop"
    later_slots = ("momentum", "average_gradient")

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        *options: Any,
        **more: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, *options, **more)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = bool(centered)


class Adagrad(Optimizer):
    """AdaGrad [Duchi, Hazan & Singer 2011], epsilon inside the root. Slot: accumulator."""

    rule_name = "Adagrad"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        *options: Any,
        **more: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, *options, **more)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon


class Adadelta(Optimizer):
    """AdaDelta [Zeiler 2012]. Slots: accumulated_grad, accumulated_delta_var."""

    rule_name = "Adadelta"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        *options: Any,
        **more: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, *options, **more)
        self.rho = rho
        self.epsilon = epsilon


class Adafactor(Optimizer):
    """Adafactor [Shazeer & Stern 2018] without momentum. Slots: row and col of the last two axes, or velocity of a
    vector. `relative_step` changes nothing, as in Keras: the learning rate is at most 1 / sqrt(step) either way."""

    rule_name = "Adafactor"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        *options: Any,
        **more: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, *options, **more)
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = at_least(epsilon_1, "epsilon_1", 0)
        self.epsilon_2 = at_least(epsilon_2, "epsilon_2", 0)
        self.clip_threshold = at_least(clip_threshold, "clip_threshold", 0)
        self.relative_step = bool(relative_step)

    def _listed(self, slots: Sequence[Any]) -> list[Any]:
        """Row, col and velocity of every variable, as in Keras: one of them is made of the others, or two are 0."""
        if len(slots) == 2:
            return [*slots, Factored(slots[0], slots[1], slots[0].name.removesuffix("_row") + "_velocity")]
        return [Scalar(0, "not used", np.int32), Scalar(0, "not used", np.int32), *slots] if slots else []


class Ftrl(Optimizer):
    """FTRL-Proximal [McMahan et al. 2013]. Slots: accumulator, linear.

    The first step forgets the weight it begins with, as Keras's does: `linear` starts at 0.
    """

    rule_name = "Ftrl"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        *options: Any,
        **more: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, *options, **more)
        if plain_number(initial_accumulator_value, "initial_accumulator_value") < 0:
            raise AttributeValueError(
                "`initial_accumulator_value` needs to be positive or zero. Received: "
                f"initial_accumulator_value={initial_accumulator_value}."
            )
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
