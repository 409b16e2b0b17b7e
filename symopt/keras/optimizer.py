"""The base of Keras's optimizer classes, as they were up to TF 2.10."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .. import errors
from ..errors import AttributeValueError, NoAutogradError, TooLateError, near
from ..state import Commit, Differences, load_state
from ..symbol import Symbol
from .checks import CLIPS, check_clips, check_kwargs, checked_clip, checked_name, checked_option
from .clipping import Clips
from .configs import config_of, instance_of
from .hypers import Hypers, is_constant
from .losses import NO_AUTOGRAD, gradients_of
from .oldstyle import apply_old_style, is_old_style
from .rules import SQUARE_ROOT, Rule
from .scalars import Scalar
from .slots import Slots, first_array, new_weight, plan_weights
from .states import plan_state, state_of
from .stepping import Steps, constrain, list_of_pairs
from .symbols import update_symbols
from .updates import Updates, builtin_rule
from .variables import Variable

ALIASES = {"lr": "learning_rate"}


class Optimizer:
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
    _option_names: tuple[str, ...] = ()
    _groups_slots = True
    _product_names: Mapping[str, str] = {}
    _may_lack_iterations = False
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

    # ---- hyperparameters

    def __getattr__(self, name: str) -> Any:
        name = ALIASES.get(name, name)
        hypers = self.__dict__.get("_hypers", ())
        if name in hypers:
            return hypers.shown(name)
        raise errors.UnknownMemberError(
            f"{type(self).__name__} has no attribute {name!r}{near(name, hypers)}"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        name = ALIASES.get(name, name)
        if name in self.__dict__.get("_hypers", ()):
            self._set_hyper(name, value)
            return
        if name in CLIPS and value is not None:
            value = checked_clip(name, value)
            if self.__dict__.get("gradient_transformers"):
                raise AttributeValueError(f"`{name}` cannot be set when `gradient_transformers` are given")
        if name in self._option_names:
            value = checked_option(name, value)
        object.__setattr__(self, name, value)
        if not name.startswith("_"):
            self.__dict__["_version"] = self.__dict__.get("_version", 0) + 1

    def _set_hyper(self, name: str, value: Any) -> None:
        """Give a hyperparameter a value, of which `optimizer.<name>` then tells; see Optimizer."""
        before = self._hypers.set(name, value)
        now = self._hypers[name]
        if name == "momentum" and not self._with_momentum and (not is_constant(now) or now > 0):
            self._with_momentum = True
            self.__dict__["_version"] += 1  # another op
        elif name == "learning_rate_power" and (before == SQUARE_ROOT) != (now == SQUARE_ROOT):
            self.__dict__["_version"] += 1

    def _get_hyper(self, name: str, dtype: Any = None) -> Any:
        """The value that a hyperparameter has now, or its schedule."""
        return self._hypers.shown(name)

    def _decayed_lr(self, dtype: Any = None) -> float:
        """The learning rate of the next step, its schedule and `decay` counted in."""
        return float(self._hypers.numbers(int(self.iterations))["@learning_rate"])

    def _serialize_hyperparameter(self, name: str) -> Any:
        """A hyperparameter as plain data, for `get_config`."""
        return self._hypers.described(ALIASES.get(name, name))

    @property
    def iterations(self) -> Scalar:
        """How many steps were taken. Can be set, to a number or another optimizer's, until it is first used."""
        if self._iterations is None:
            self._iterations = Scalar(0, f"{self._name}/iter:0")
            self._slots.weights.append(self._iterations)
        return self._iterations

    @iterations.setter
    def iterations(self, value: Any) -> None:
        if self._iterations is not None:
            raise TooLateError(
                "Cannot set `iterations` to a new Variable after the Optimizer weights have been created. "
                "Use iterations.assign(number), or set it before the first apply_gradients."
            )
        count = value if isinstance(value, Scalar) else Scalar(0, f"{self._name}/iter:0").assign(value)
        self._iterations = count
        self._slots.weights.append(count)

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
        pairs = list_of_pairs(grads_and_vars)
        if not pairs:
            return None
        with self._lock:
            count = self.iterations
            if is_old_style(self):
                grads, variables, _ = self._steps.gradients(pairs, experimental_aggregate_gradients)
                apply_old_style(self, grads, variables)
                constrained = [known for known in variables if known.constraint is not None]
            else:
                step = self._steps.prepare(pairs, experimental_aggregate_gradients)
                self._steps.run(step, self._updates.numbers(int(count.value)))
                self._updates.advance()
                constrained = step.constrained
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

    # ---- slots and weights

    def add_slot(self, var: Any, slot_name: str, initializer: Any = "zeros", shape: Any = None) -> Variable:
        """The slot of that name, made if there is none: "zeros", "ones", a function of (shape, dtype), or values."""
        with self._lock:
            known = self._slots.known.meet(var)
            found = self._slots.of(known.key).get(slot_name)
            if found is None:
                array = first_array(known, initializer, shape)
                found = self._slots.add(self._name, known, slot_name, array)
            return found

    def get_slot(self, var: Any, slot_name: str) -> Variable:
        """A slot of a variable. UnknownSlotError, a KeyError, if there is none of that name."""
        return self._slots.get(var, slot_name)

    def get_slot_names(self) -> list[str]:
        """Names of slots, in the order in which they came up; none before the first step."""
        return list(self._slots.names)

    @property
    def weights(self) -> list[Variable | Scalar]:
        """`iterations`, then all slots, in the order in which they were made."""
        return list(self._slots.weights)

    def variables(self) -> list[Variable | Scalar]:
        """The same as `weights`."""
        return self.weights

    def add_weight(
        self,
        name: str,
        shape: Any = (),
        dtype: Any = "float32",
        initializer: Any = "zeros",
        trainable: Any = None,
    ) -> Variable:
        """A new variable of the optimizer's own, which is not among `weights` unless you append it."""
        return new_weight(name, shape, dtype, initializer)

    def get_weights(self) -> list[Any]:
        """Copies of all weights as NumPy arrays."""
        return [weight.numpy() for weight in self._slots.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Copy arrays into all weights, as `get_weights` gave them. ValueError if they are not as many, or of other
        shapes; nothing was changed then. Lists of older Keras are taken too: without iterations, or with vhat."""
        with self._lock:
            plan_weights(self._name, self._slots.weights, self._in_todays_order(list(weights)))()

    def _in_todays_order(self, weights: list[Any]) -> list[Any]:
        """A list of weights as older Keras wrote it, in the form of today's."""
        if self._may_lack_iterations and len(weights) == len(self._slots.weights) - 1:
            return [0, *weights]
        return weights

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

    def state_dict(self) -> dict[str, Any]:
        """`class`, `config`, `iterations`, `products` and, by variable and slot, `variables`: the arrays in use."""
        return state_of(self)

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """Compare a state with this optimizer's, and give the function that takes it over."""
        return plan_state(self, state, found, path)

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Differences:
        """Take over a state of the same class and variables, whole or, with a StateError, not at all.

        Slots must be there: call build(variables) before the first step. Hyperparameters stay as configured here.
        With strict=False what only one of both has is left; the result lists it.
        """
        with self._lock:
            return load_state(self, state, strict, f"{type(self).__name__} {self._name!r}")
