"""Classes that follow the moments of gradients: Adam and its kin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Unpack

from ..errors import AttributeValueError
from .optimizer import Optimizer
from .options import LearningRate, MoreOptions, Options, at_least, within
from .rules import FullRule, class_rule


class Adam(Optimizer):
    """Adam [Kingma & Ba 2015], or AMSGrad; epsilon is the paper's epsilon-hat. Slots: momentum, velocity, velocity_hat.

    >>> Adam(0.001).get_config()["beta_2"]
    0.999
    """

    rule_name = "Adam"
    later_slots = ("velocity_hat",)

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        *options: Any,
        **more: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, *options, **more)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = bool(amsgrad)


class AdamW(Optimizer):
    """Adam with decoupled weight decay [Loshchilov & Hutter 2019], which must be a number."""

    rule_name = "Adam"
    later_slots = ("velocity_hat",)

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        *options: Any,
        **more: Unpack[MoreOptions],
    ) -> None:
        if weight_decay is None:
            raise AttributeValueError("Argument `weight_decay` must be a float. Received: weight_decay=None")
        super().__init__(learning_rate, weight_decay, *options, **more)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = bool(amsgrad)


class Adamax(Optimizer):
    """Adam with the infinity norm [Kingma & Ba 2015, section 7.1]. Slots: momentum, norm."""

    rule_name = "Adamax"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *options: Any,
        **more: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, *options, **more)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon


class Nadam(Optimizer):
    """Adam with Nesterov's momentum [Dozat 2016], its schedule 0.96^t. Slots: momentum, velocity; u_product."""

    rule_name = "Nadam"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *options: Any,
        **more: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, *options, **more)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon


class Lamb(Optimizer):
    """LAMB [You et al. 2020]: Adam's step, as long as the weight. Slots: momentum, velocity."""

    rule_name = "Lamb"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *options: Any,
        **more: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, *options, **more)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon


class ScheduleFreeAdamW(Optimizer):
    """Schedule-free AdamW [Defazio et al. 2024]: the published rule. Slots: momentum (the paper's z), velocity."""

    rule_name = "ScheduleFreeAdamW"

    def __init__(
        self,
        learning_rate: LearningRate = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        *options: Any,
        **more: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, *options, **more)
        if within(beta_1, "beta_1", 0, 1) == 0:
            raise AttributeValueError(
                f"`beta_1` must be above 0: the rule divides by it. Received: beta_1={beta_1!r}"
            )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warmup_steps = int(at_least(warmup_steps, "warmup_steps", 0))


class Lion(Optimizer):
    """Lion [Chen et al. 2023]: the sign of an average. Slot: momentum. beta_1 must be above 0."""

    rule_name = "Lion"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        *options: Any,
        **more: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, *options, **more)
        if within(beta_1, "beta_1", 0, 1) == 0:
            raise AttributeValueError(
                "Argument `beta_1` must be above 0 and at most 1. Otherwise, the optimizer degenerates to SignSGD. "
                f"Received: beta_1={beta_1!r}."
            )
        self.beta_1 = beta_1
        self.beta_2 = beta_2


ADAM_OF_MUON = {"beta_1": "adam_beta_1", "beta_2": "adam_beta_2", "epsilon": "epsilon"}
OF_MUON = {
    "momentum": "momentum",
    "nesterov": "nesterov",
    "ns_steps": "ns_steps",
    "a": "muon_a",
    "b": "muon_b",
    "c": "muon_c",
    "rms_rate": "rms_rate",
}


class Muon(Optimizer):
    """Muon [Jordan et al. 2024] for matrices; Adam for what is none, for names with "embedding" in them (unless
    exclude_embeddings=False), and for names in which a pattern of `exclude_layers` is found.

    Slots: momentum, and velocity where it is Adam. Matrices decay by weight_decay, the others by adam_weight_decay; the
    others' learning rate is multiplied by adam_lr_ratio.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **unknown: Any,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **unknown,
        )  # fmt: skip
        self.adam_beta_1 = within(adam_beta_1, "adam_beta_1", 0, 1)
        self.adam_beta_2 = within(adam_beta_2, "adam_beta_2", 0, 1)
        self.adam_weight_decay = (
            None if adam_weight_decay is None else at_least(adam_weight_decay, "adam_weight_decay", 0)
        )
        self.epsilon = epsilon
        if isinstance(exclude_layers, str) or not all(isinstance(x, str) for x in exclude_layers or ()):
            raise AttributeValueError(f"`exclude_layers` must be a list of patterns, got {exclude_layers!r}")
        self.exclude_layers = list(exclude_layers or ())
        self.exclude_embeddings = bool(exclude_embeddings)
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = int(at_least(ns_steps, "ns_steps", 0))
        self.nesterov = bool(nesterov)
        self.rms_rate = None if rms_rate is None else at_least(rms_rate, "rms_rate", 0)

    def update_rule(self, variable: Any) -> FullRule:
        """Muon for a matrix, Adam for anything else."""
        if self._is_for_adam(variable):
            return class_rule("Adam", self, ADAM_OF_MUON, 1, "adam_weight_decay", "adam_lr_ratio")
        return class_rule("Muon", self, OF_MUON, 2)

    def _is_for_adam(self, variable: Any) -> bool:
        if len(variable.shape) != 2 or (self.exclude_embeddings and "embedding" in variable.path.lower()):
            return True
        return any(re.search(pattern, variable.path) for pattern in self.exclude_layers)
