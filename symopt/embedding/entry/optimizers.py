"""Monolith's optimizers, with the arguments and defaults of its entry.py; None is the default of its proto file.

`published=True` gives what Monolith's code computes where that is not what it means to: docs/migration/monolith.md.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from ...errors import AttributeValueError, RuleError
from . import arguments
from .arguments import flag, number, share, whole
from .learning_rates import LearningRate
from .optimizer import Optimizer


@dataclass(frozen=True, eq=False)
class SgdOptimizer(Optimizer):
    """Gradient descent: `monolith_sgd_update`. There is no weight decay."""

    kind: ClassVar[str] = "sgd"
    _rule: ClassVar[str] = "monolith_sgd"
    learning_rate: float | None = arguments.rate(0.01)


@dataclass(frozen=True, eq=False)
class AdagradOptimizer(Optimizer):
    """AdaGrad: `monolith_adagrad_update`; without an epsilon.

    `hessian_compression_times` k > 1 is symopt's own (Monolith keeps the number and never reads it): each block of k
    neighbouring columns shares one accumulator, to which the mean of its squared gradients is added; that is
    ceil(dim / k) numbers of state for dim, and k = dim is row-wise AdaGrad. The rule is then
    `monolith_rowwise_adagrad_update` on blocks. `published`: blocks of 8 columns move without weight decay.
    """

    kind: ClassVar[str] = "adagrad"
    _rule: ClassVar[str] = "monolith_adagrad"
    _states: ClassVar[tuple[int, int]] = (1, 0)
    learning_rate: float | None = arguments.rate(0.001)
    initial_accumulator_value: float | None = arguments.first(0.1, "history")
    hessian_compression_times: int = whole(1, low=1)
    warmup_steps: int = whole(0, low=0)
    weight_decay_factor: float = arguments.decay()
    _: KW_ONLY
    published: bool = arguments.published()

    def _check(self) -> None:
        if self.published and self.hessian_compression_times > 1:
            raise AttributeValueError(
                f"AdagradOptimizer: published=True with hessian_compression_times = {self.hessian_compression_times}: "
                "Monolith publishes nothing that compresses; give one of the two"
            )


@dataclass(frozen=True, eq=False)
class AdadeltaOptimizer(Optimizer):
    """AdaDelta: `monolith_adadelta_update`."""

    kind: ClassVar[str] = "adadelta"
    _rule: ClassVar[str] = "monolith_adadelta"
    _states: ClassVar[tuple[int, int]] = (2, 0)
    learning_rate: float | None = arguments.rate(0.01)
    weight_decay_factor: float = arguments.decay()
    averaging_ratio: float = share(0.9, "rho")
    epsilon: float = number(0.01, low=0, attr="epsilon")
    warmup_steps: int = whole(0, low=0)


@dataclass(frozen=True, eq=False)
class AdamOptimizer(Optimizer):
    """Adam: `monolith_adam_update`. A row's biases are corrected by the number of its own updates.

    RuleError (a NotImplementedError) for use_beta1_warmup=True, which no published code reads.
    """

    kind: ClassVar[str] = "adam"
    _rule: ClassVar[str] = "monolith_adam"
    _states: ClassVar[tuple[int, int]] = (2, 2)
    learning_rate: float | None = arguments.rate(0.01)
    beta1: float = number(0.9, low=0, high=1, ends="[)", attr="beta1", state="beta1_power")
    beta2: float = number(0.99, low=0, high=1, ends="[)", attr="beta2", state="beta2_power")
    use_beta1_warmup: bool = flag(False)
    weight_decay_factor: float = arguments.decay()
    use_nesterov: bool = flag(False, attr="nesterov")
    epsilon: float = number(0.01, low=0, attr="epsilon")
    warmup_steps: int = whole(0, low=0)

    def _check(self) -> None:
        if self.use_beta1_warmup:
            _refuse(self, "use_beta1_warmup", True, False)


def _refuse(optimizer: Optimizer, name: str, value: Any, only: Any) -> None:
    """RuleError for an argument that Monolith keeps and none of its published code reads."""
    raise RuleError(
        f"{type(optimizer).__name__}: {name} = {value!r}: no published code says what this does; only {only!r} is known"
    )


@dataclass(frozen=True, eq=False)
class AmsgradOptimizer(Optimizer):
    """AMSGrad: `monolith_amsgrad_update`."""

    kind: ClassVar[str] = "amsgrad"
    _rule: ClassVar[str] = "monolith_amsgrad"
    _states: ClassVar[tuple[int, int]] = (3, 2)
    learning_rate: float | None = arguments.rate(0.01)
    beta1: float = number(0.9, low=0, high=1, ends="[)", attr="beta1", state="beta1_power")
    beta2: float = number(0.99, low=0, high=1, ends="[)", attr="beta2", state="beta2_power")
    weight_decay_factor: float = arguments.decay()
    use_nesterov: bool = flag(False, attr="nesterov")
    epsilon: float = number(0.01, low=0, attr="epsilon")
    warmup_steps: int = whole(0, low=0)


@dataclass(frozen=True, eq=False)
class BatchSoftmaxOptimizer(Optimizer):
    """The mean number of steps between an id's batches: `monolith_batch_softmax_update`, on a segment of 1 column."""

    kind: ClassVar[str] = "batch_softmax"
    _rule: ClassVar[str] = "monolith_batch_softmax"
    _states: ClassVar[tuple[int, int]] = (0, 1)
    learning_rate: float | None = arguments.rate(0.1)

    @property
    def clock(self) -> str:
        return "table"


@dataclass(frozen=True, eq=False)
class MomentumOptimizer(Optimizer):
    """Momentum, the learning rate inside it: `monolith_momentum_update`."""

    kind: ClassVar[str] = "momentum"
    _rule: ClassVar[str] = "monolith_momentum"
    _states: ClassVar[tuple[int, int]] = (1, 0)
    learning_rate: float | None = arguments.rate(0.01)
    weight_decay_factor: float = arguments.decay()
    use_nesterov: bool = flag(False, attr="nesterov")
    momentum: float = share(0.9, "momentum")
    warmup_steps: int = whole(0, low=0)


@dataclass(frozen=True, eq=False)
class MovingAverageOptimizer(Optimizer):
    """The weight follows what is given as its gradient: `monolith_moving_average_update`; no learning rate."""

    kind: ClassVar[str] = "moving_average"
    _rule: ClassVar[str] = "monolith_moving_average"
    momentum: float = share(0.9, "momentum")


@dataclass(frozen=True, eq=False)
class RmspropOptimizer(Optimizer):
    """RMSProp with a mean of squares: `monolith_rmsprop_update`.

    `published`: the learning rate is this constant, whatever function the table is given.
    """

    kind: ClassVar[str] = "rmsprop"
    _rule: ClassVar[str] = "monolith_rmsprop"
    _states: ClassVar[tuple[int, int]] = (1, 0)
    learning_rate: float | None = arguments.rate(0.01)
    weight_decay_factor: float = arguments.decay()
    momentum: float = share(0.9, "rho")
    _: KW_ONLY
    published: bool = arguments.published(attr="")

    def rate(self, given: LearningRate | None = None) -> LearningRate | None:
        return super().rate(None if self.published else given)


@dataclass(frozen=True, eq=False)
class RmspropV2Optimizer(Optimizer):
    """RMSProp with a decaying sum of squares: `monolith_rmspropv2_update`."""

    kind: ClassVar[str] = "rmspropv2"
    _rule: ClassVar[str] = "monolith_rmspropv2"
    _states: ClassVar[tuple[int, int]] = (1, 0)
    learning_rate: float | None = arguments.rate(0.01)
    weight_decay_factor: float = arguments.decay()
    momentum: float = share(0.9, "rho")


@dataclass(frozen=True, eq=False)
class FTRLWithGroupSparsityOptimizer(Optimizer):
    """FTRL that zeroes whole rows: `monolith_group_ftrl_update`. In Monolith only its kernel exists."""

    kind: ClassVar[str] = "group_ftrl"
    _rule: ClassVar[str] = "monolith_group_ftrl"
    _states: ClassVar[tuple[int, int]] = (2, 0)
    learning_rate: float | None = arguments.rate(0.01)
    initial_accumulator_value: float | None = arguments.first(0.0, "n")
    beta: float | None = number(None, 1.0, low=0, attr="beta")
    warmup_steps: int = whole(0, low=0)
    l1_regularization: float | None = arguments.strength("l1")
    l2_regularization: float | None = arguments.strength("l2")


@dataclass(frozen=True, eq=False)
class AdaGradWithGroupLassoOptimizer(Optimizer):
    """AdaGrad with one accumulator per row and group lasso: `monolith_group_adagrad_update`."""

    kind: ClassVar[str] = "group_adagrad"
    _rule: ClassVar[str] = "monolith_group_adagrad"
    _states: ClassVar[tuple[int, int]] = (0, 1)
    learning_rate: float | None = arguments.rate(0.01)
    beta: float | None = number(None, 0.0, low=0, attr="beta")
    initial_accumulator_value: float | None = arguments.first(0.1, "history")
    l2_regularization: float | None = arguments.strength("l2")
    weight_decay_factor: float = arguments.decay()
    warmup_steps: int = whole(0, low=0)


@dataclass(frozen=True, eq=False)
class DynamicWdAdagradOptimizer(Optimizer):
    """AdaGrad with decoupled weight decay: `monolith_dynamic_wd_adagrad_update`. In Monolith only its kernel exists.

    `enable_dynamic_wd` is False here, as in Monolith's proto file (its entry.py has True): no published code says what
    it does, so True is refused with RuleError (a NotImplementedError), and so is a `dynamic_wd_temperature` other than
    1. `flip_direction` is taken and means nothing without it. `hessian_compression_times` is as in AdagradOptimizer.
    """

    kind: ClassVar[str] = "dynamic_wd_adagrad"
    _rule: ClassVar[str] = "monolith_dynamic_wd_adagrad"
    _states: ClassVar[tuple[int, int]] = (1, 0)
    learning_rate: float | None = arguments.rate(0.001)
    initial_accumulator_value: float | None = arguments.first(0.1, "history")
    hessian_compression_times: int = whole(1, low=1)
    warmup_steps: int = whole(0, low=0)
    weight_decay_factor: float = arguments.decay()
    decouple_weight_decay: bool | None = flag(True, False, attr="decoupled_weight_decay")
    enable_dynamic_wd: bool = flag(False)
    flip_direction: bool | None = flag(True, False)
    dynamic_wd_temperature: float = number(1.0)

    def _check(self) -> None:
        if self.enable_dynamic_wd:
            _refuse(self, "enable_dynamic_wd", True, False)
        if self.dynamic_wd_temperature != 1:
            _refuse(self, "dynamic_wd_temperature", self.dynamic_wd_temperature, 1.0)


@dataclass(frozen=True, eq=False)
class FtrlOptimizer(Optimizer):
    """FTRL-Proximal: `monolith_ftrl_update`. `published`: with signbit(z) in place of sign(z)."""

    kind: ClassVar[str] = "ftrl"
    _rule: ClassVar[str] = "monolith_ftrl"
    _states: ClassVar[tuple[int, int]] = (2, 0)
    learning_rate: float | None = arguments.rate(0.01)
    initial_accumulator_value: float | None = arguments.first(0.1, "n")
    beta: float | None = number(None, 0.0, low=0, attr="beta")
    warmup_steps: int = whole(0, low=0)
    l1_regularization: float | None = arguments.strength("l1")
    l2_regularization: float | None = arguments.strength("l2")
    _: KW_ONLY
    published: bool = arguments.published()
