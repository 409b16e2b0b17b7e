"""The base of Keras's optimizer classes, as they were up to TF 2.10."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .. import errors
from ..errors import NoAutogradError
from ..symbol import Symbol
from ..training.copies import Locked
from .attributes import HasHypers
from .checks import CLIPS, check_clips, check_kwargs, checked_name
from .clipping import Clips
from .configs import config_of, instance_of
from .hypers import Hypers
from .losses import NO_AUTOGRAD, gradients_of
from .oldstyle import apply_old_style, is_old_style
from .pairs import columns
from .rules import Rule
from .scalars import Scalar
from .slots import Slots
from .stepping import Steps, constrain
from .symbols import update_symbols
from .updates import Updates, builtin_rule
from .weights import KeepsState


class Optimizer(KeepsState, HasHypers, Locked):
    """Updates variables in place with their gradients: what all of tf.keras's classes have in common.

    `name`: in a configuration and in the names of slots; "" gives sgd, sgd_1, ... `gradient_aggregator(pairs)` gives
    the gradients to use, of (gradient, variable) pairs; `gradient_transformers` are functions of pairs that give pairs.
    Keywords: `clipvalue` bounds each element, `clipnorm` each gradient's norm, `global_clipnorm` that of all together,
    in this order; `decay` divides the rate by 1 + decay * iterations; `lr` is the former name of learning_rate.

    Attributes: every hyperparameter can be read and set, as a number, a schedule, or a function of no arguments;
    `engine`: "auto", or "reference" for NumPy; `clip_before_sum`: clip the rows of a sparse gradient as they are
    stored, as Keras does, and not after those of one row are summed.

    A class of one's own has hyperparameters, and one method that says which op of the catalogue does the work:

    >>> import numpy as np
    >>> class Lion(Optimizer):
    ...     def __init__(self, learning_rate=0.001, beta_1=0.9, name="Lion", **kwargs):
    ...         super().__init__(name, **kwargs)
    ...         self._set_hyper("learning_rate", kwargs.get("lr", learning_rate))
    ...         self._set_hyper("beta_1", beta_1)
    ...     def update_rule(self, variable):
    ...         return Rule("keras3_lion", keys={"beta1": "beta_1"}, slots={"m": "mean"})
    >>> w = np.ones(2)
    >>> optimizer = Lion(0.5)
    >>> _ = optimizer.apply_gradients([(np.array([3.0, -3.0]), w)])
    >>> w
    array([0.5, 1.5])
    """

    # Of the built-in classes: whose rule it is, its hyperparameters and options in the order of their configuration.
    _keras_class = ""
    _groups_slots = True
    _product_names: Mapping[str, str] = {}
    _has_decay = True

    def __init__(
        self,
        name: str,
        gradient_aggregator: Callable[[Sequence[Any]], Iterable[Any]] | None = None,
        gradient_transformers: Sequence[Callable[[Any], Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.__dict__["_hypers"] = Hypers()
        self.__dict__["_version"] = 1  # of everything that shapes a graph
        check_kwargs(kwargs)
        self._name = checked_name(name, type(self).__name__)
        self.engine = "auto"
        self.clip_before_sum = True
        self.gradient_aggregator = gradient_aggregator
        self.gradient_transformers = list(gradient_transformers or ())
        for clip in CLIPS:
            setattr(self, clip, kwargs.get(clip))
        check_clips(kwargs, bool(self.gradient_transformers))
        self._with_momentum = False
        self._initial_decay = kwargs.get("decay", 0.0)
        self._set_hyper("decay", self._initial_decay)
        self._iterations: Scalar | None = None
        self._slots = Slots()
        self._updates = Updates(self, self._slots)
        self._steps = Steps(self, self._updates, self._slots)
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        """The name given, or the one made up."""
        return self._name

    # ---- steps

    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[Any, Any]],
        name: str | None = None,
        experimental_aggregate_gradients: bool = True,
    ) -> Scalar | None:
        """Take one step on (gradient, variable) pairs; the new `iterations`, None if there were no pairs.

        Variables are arrays, wherever they lie, or so.Variable; gradients are arrays of their shape and dtype,
        so.sparse.RowSparseArray, so.sparse.IndexedSlices, or None for a variable that stays as it is. With
        experimental_aggregate_gradients=False the aggregator is left out.

        PairsError (a TypeError and ValueError) for what are no pairs, ValueError if no variable has a gradient,
        ShapeError, DTypeError and RowIndexError for gradients that do not fit: nothing was changed then.
        """
        grads, variables = columns(grads_and_vars)
        if not grads:
            return None
        with self._lock:
            if is_old_style(self):
                grads, known, _ = self._steps.gradients(grads, variables, experimental_aggregate_gradients)
                apply_old_style(self, grads, known)
                constrained = [one for one in known if one.constraint is not None]
            else:
                step = self._steps.prepare(grads, variables, experimental_aggregate_gradients)
                self._steps.run(step, self._updates.numbers(int(self.iterations.value)))
                self._updates.advance()
                constrained = step.constrained
            count = self.iterations
            count.value += 1
            if constrained:
                constrain(constrained)
        return count

    def minimize(
        self, loss: Any, var_list: Any, grad_loss: Any = None, name: str | None = None, tape: Any = None
    ) -> Scalar | None:
        """Take a step with the gradients that `loss()` gives: it returns (loss, gradients), one for each variable.

        `var_list`: the variables, or a function that gives them. NoAutogradError for a loss that is no function.
        """
        if grad_loss is not None or tape is not None:
            raise NoAutogradError(NO_AUTOGRAD)
        return self.apply_gradients(gradients_of(loss, var_list), name=name)

    def get_gradients(self, loss: Any, params: Any) -> Any:
        """NoAutogradError: symopt does not differentiate."""
        raise NoAutogradError(NO_AUTOGRAD)

    def get_updates(self, params: Sequence[Any], grads: Sequence[Any]) -> list[Symbol]:
        """The update of each parameter as a Symbol: for a graph of one's own.

        `params` and `grads` are Symbols or names. A parameter that is a variable is written back, its states are
        variables called name/slot. `iterations` is a variable that counts on, from 0; a hyperparameter that is not
        constant is a variable of its name.

        >>> from symopt.keras.optimizers import Adagrad
        >>> [update] = Adagrad(0.5).get_updates(["w"], ["g"])
        >>> update.list_auxiliary_states()
        ['w/accumulator']
        """
        return update_symbols(self, params, grads)

    def build(self, var_list: Iterable[Any]) -> None:
        """Make `iterations` and the slots of these variables now, and not at the first step: to load a state."""
        with self._lock:
            _ = self.iterations
            self._updates.create([self._slots.known.meet(variable) for variable in var_list])

    _create_all_weights = build

    def update_rule(self, variable: Any) -> Rule:
        """Which op updates a variable (which has name, shape and dtype), with what; what a subclass overrides."""
        if not self._keras_class:
            raise errors.RuleError(
                f"{type(self).__name__} must define update_rule(variable), which gives a Rule: "
                'Rule("adam_update", keys={"beta1": "beta_1"})'
            )
        return builtin_rule(self, variable)

    def _clips(self) -> Clips:
        """The bounds that gradients are clipped with."""
        return Clips(self.clipvalue, self.clipnorm, self.global_clipnorm)

    # ---- configuration and state

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain data: numbers as given, a schedule's description, and of a function the
        number that it gives now. Pure."""
        return config_of(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The optimizer that `get_config` described, without its state. `custom_objects`: schedules and functions of
        one's own by name. The configuration stays as it is."""
        return instance_of(cls, config, custom_objects)
