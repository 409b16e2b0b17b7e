"""The base of Keras 3's optimizers: options, variables, and one executor call for a step of all variables."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import (
    AttributeValueError,
    DTypeError,
    MissingArgumentError,
    RuleError,
    SymoptError,
    TooLateError,
)
from ..keras.pairs import columns
from ..keras.rules import Rule
from ..keras.scalars import Scalar
from ..keras.schedules import LearningRateSchedule
from ..training.copies import Locked
from . import saving, stateless
from .added import MakesVariables
from .attributes import HasAttributes
from .averages import HasAverages
from .calls import check_first
from .options import DEFAULTS, LearningRate, automatic_name, check_clips, check_learning_rate
from .rules import FullRule, class_rule, full_rule
from .steps import Steps
from .weights import KeepsState


class Optimizer(HasAttributes, MakesVariables, KeepsState, HasAverages, Locked):
    """What all optimizers of Keras 3 have in common; a class of one's own says what it does to one variable.

    learning_rate: a number, a schedule of the count of calls, or a function without arguments. weight_decay: before
    each update the weight is multiplied by 1 - learning_rate * weight_decay. clipnorm, clipvalue, global_clipnorm: one
    of them at most. use_ema: keep an average `ema_momentum * average + (1 - ema_momentum) * weight` of each weight,
    which replaces the weights every `ema_overwrite_frequency` updates. loss_scale_factor: gradients are divided by it.
    gradient_accumulation_steps: one update from the mean gradient of so many calls. AttributeValueError, a ValueError,
    for anything else.

    A subclass overrides `update_rule`, which names an update op, so that a step stays one call; or `update_step`, in
    Python, with variables that it makes in `build`.

    >>> import numpy as np, symopt as so
    >>> class Signum(Optimizer):
    ...     def __init__(self, learning_rate=0.01, momentum=0.9, **options):
    ...         super().__init__(learning_rate, **options)
    ...         self.momentum = momentum
    ...
    ...     def update_rule(self, variable):
    ...         return Rule("signum", keys={"momentum": "momentum"})
    >>> w = so.Variable(np.zeros(2), name="w")
    >>> Signum(0.5).apply([np.array([3.0, -4.0])], [w])
    >>> w.numpy()
    array([-0.5,  0.5])
    """

    # Slots that are made for all variables together, after those that are made variable by variable.
    later_slots: ClassVar[tuple[str, ...]] = ()
    rule_name: ClassVar[str] = ""  # of Keras's class, in the table of rules

    def __init__(
        self,
        learning_rate: LearningRate,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        if unknown.pop("decay", None) is not None:
            warnings.warn("Argument `decay` is no longer supported and will be ignored.", stacklevel=3)
        if unknown:
            raise AttributeValueError(f"Argument(s) not recognized: {unknown}")
        self._lock = threading.RLock()
        self._iterations = Scalar(0, "iteration")
        self._learning_rate: Any = _as_rate(check_learning_rate(learning_rate))
        self._steps = Steps(self)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.global_clipnorm = global_clipnorm
        self.clipvalue = clipvalue
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        check_clips(vars(self))
        self.name = automatic_name(type(self)) if name is None else str(name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, iterations {int(self._iterations)}>"

    # ---- the rule

    def update_rule(self, variable: Any) -> Rule | FullRule:
        """Which op updates a variable (which has name, shape and dtype), with what; what a subclass overrides. The
        learning rate and the count of steps are filled in."""
        if not self.rule_name:
            raise RuleError(f"{type(self).__name__} must define update_rule(variable) or update_step(...)")
        return class_rule(self.rule_name, self, {name: name for name in self.hypers}, len(variable.shape))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable in Python, for subclasses without an op. `gradient` is an array, after all options but
        averages; the weight has decayed."""
        raise RuleError(f"{type(self).__name__} has no update_step: its rule is an op, see update_rule")

    def _listed(self, slots: Sequence[Any]) -> list[Any]:
        """What `variables` has where these slots of one variable are."""
        return list(slots)

    def _rule_of(self, variable: Any) -> FullRule:
        return full_rule(self.update_rule(variable), self)

    # ---- steps

    def build(self, variables: Sequence[Any]) -> None:
        """Make the state for these variables, which from then on are the only ones. Does nothing a second time."""
        self._check_started()
        with self._lock:
            if not self.built:
                self._steps.build(list(variables))
                self.built = True

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """One step. `grads`: an array, RowSparseArray, IndexedSlices or None for each variable; without variables, for
        those of `build`, in order. The first call builds.

        ValueError when no variable has a gradient, or for one that the optimizer was not built with. Errors leave every
        array as it was.
        """
        self._apply(grads, trainable_variables, None)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> Any:
        """`apply` of (gradient, variable) pairs; returns the count of calls. ValueError for none; PairsError, a
        TypeError, for what are no pairs."""
        grads, variables = columns(grads_and_vars)
        if not grads:
            raise MissingArgumentError("apply_gradients: expected (gradient, variable) pairs, got none")
        self.apply(grads, variables)
        return self._iterations

    def _apply(self, grads: Sequence[Any], variables: Sequence[Any] | None, loss_scale: float | None) -> bool:
        """A step; with a loss scale, whether it was taken."""
        if not len(grads):
            return True
        self._check_started()
        with self._lock:
            was_built = self.built
            self._build_first(grads, variables)
            try:
                return self._take(grads, variables, loss_scale)
            except SymoptError:
                if not was_built:
                    self._unbuild()
                raise

    def _take(self, grads: Sequence[Any], variables: Sequence[Any] | None, loss_scale: float | None) -> bool:
        """`_apply` of what is built."""
        return self._steps.run(grads, variables, loss_scale)

    def _unbuild(self) -> None:
        """Be as before `build`."""
        self._steps.forget()
        self.built = False

    def _build_first(self, grads: Sequence[Any], variables: Sequence[Any] | None) -> None:
        """Build at the first step, if its gradients fit: variables are fixed for good then."""
        if self.built:
            return
        if variables is None:
            raise MissingArgumentError(
                "When passing `grads` without `variables`, the optimizer must already be built on a list of "
                "variables. Call `optimizer.build(trainable_variables)` first."
            )
        check_first(grads, variables)
        self.build(variables)

    def stateless_apply(
        self, optimizer_variables: Sequence[Any], grads: Sequence[Any], trainable_variables: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """New values of the trainable variables and of `variables`, from arrays; nothing given is changed, nor is the
        optimizer. ValueError before `build`, and for lists of another length."""
        with self._lock:
            return stateless.apply(self, optimizer_variables, grads, trainable_variables)

    def scale_loss(self, loss: Any) -> Any:
        """The loss times `loss_scale_factor`."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    @property
    def iterations(self) -> Any:
        """Updates done: the count of calls, divided by gradient_accumulation_steps."""
        every = self.gradient_accumulation_steps
        return self._iterations if not every else int(self._iterations) // every

    @property
    def learning_rate(self) -> Any:
        """The learning rate now; settable, but for a number where a schedule is."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate(int(self._iterations))
        return rate if isinstance(rate, Scalar) else rate()

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        given = check_learning_rate(learning_rate)
        if not isinstance(given, float):
            self._learning_rate = given
        elif isinstance(self._learning_rate, Scalar):
            self._learning_rate.assign(given)
        elif isinstance(self._learning_rate, LearningRateSchedule):
            raise DTypeError(
                "This optimizer was created with a `LearningRateSchedule` object as its `learning_rate` constructor "
                "argument, hence its learning rate is not settable: set another schedule"
            )
        else:
            self._learning_rate = _as_rate(given)

    def exclude_from_weight_decay(
        self, var_list: Sequence[Any] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Let no weight decay act on these variables, nor on those in whose names one of the patterns `var_names` is
        found; instead of those named before. At any time: the next step has it."""
        self._check_started()
        with self._lock:
            self._steps.exclude(list(var_list or ()), list(var_names or ()))

    # ---- variables

    @property
    def variables(self) -> list[Any]:
        """The count of calls, the learning rate if it is a number, then what is kept for the variables in Keras's
        order, and variables that a subclass added."""
        rate = [self._learning_rate] if isinstance(self._learning_rate, Scalar) else []
        return [self._iterations, *rate, *self._steps.own]

    def _get_variable_index(self, variable: Any) -> int:
        """The place of a variable among those of `build`."""
        return self._steps.find(variable).index

    # ---- configuration and state

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain Python data, as they are now; not the state."""
        own = {name: getattr(self, name) for name in self.hypers if hasattr(self, name)}
        options = {name: getattr(self, name) for name in DEFAULTS}
        return {
            "name": self.name,
            "learning_rate": saving.learning_rate_config(self._learning_rate),
            **options,
            **own,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """An optimizer with the configuration that `get_config` gave, which is not changed."""
        given = dict(config)
        if "learning_rate" in given:
            given["learning_rate"] = saving.learning_rate_of(given["learning_rate"], custom_objects)
        return cls(**given)

    def _trained(self) -> list[Any]:
        """The variables of `build`, as Variables."""
        return [kept.shown for kept in self._steps.kept]

    def _twin(self) -> Any:
        """An optimizer like this one on variables of its own; its state is to be given."""
        steps = self._steps
        if steps.twin is None:
            steps.twin = stateless.twin_of(self)
        if not isinstance(self._learning_rate, Scalar):
            steps.twin._learning_rate = self._learning_rate
        return steps.twin

    def _check_started(self) -> None:
        if "_steps" not in vars(self):
            raise TooLateError(
                f"In optimizer '{type(self).__name__}', you forgot to call `super().__init__()` as the first statement "
                "in the `__init__()` method"
            )


def _as_rate(given: Any) -> Any:
    return Scalar(given, "learning_rate", np.float64) if isinstance(given, float) else given
