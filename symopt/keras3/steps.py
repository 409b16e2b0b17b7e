"""The steps of one optimizer: its variables, what it keeps for them, and the executors."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError, DTypeError, MissingArgumentError, StateError, StorageError, TooLateError
from ..keras.scalars import Scalar
from ..keras.variables import KnownVariables, Variable
from ..places import HOST, place_of_array
from ..training.graph import variable_name
from ..training.runner import Runner
from ..training.update import count_of
from .calls import Call
from .graph import Phase, Processing, StepGraph
from .kept import Initializer, Kept, new_variable
from .options import CLIPS
from .rules import Rule

if TYPE_CHECKING:
    from .optimizer import Optimizer

KEPT_CALLS = 8  # lists of variables and kinds of gradients; the one used longest ago goes first


class Steps:
    """What an optimizer does and keeps. `kept`: in the order of `build`; `own`: the variables that it made, in Keras's
    order; `added`: those of a subclass, by name; `products`: numbers that rules multiply up from step to step."""

    def __init__(self, optimizer: Optimizer, engine: str = "auto") -> None:
        self.optimizer = optimizer
        self.engine = engine
        self.kept: list[Kept] = []
        self.own: list[Variable | Scalar] = []
        self.added: dict[str, Variable] = {}
        self.products: dict[str, Scalar] = {}
        self.is_swapped = False
        self._given: list[Any] = []
        self._by_id: dict[int, Kept] = {}
        self._calls: list[Call] = []
        self._numbers: dict[str, float] = {}  # of the graph, by their names there, that change when they are set
        self._excluded: list[Any] = []
        self._pattern: re.Pattern[str] | None = None
        self._is_stale = False  # rules are to be asked for again
        self.twin: Any = None  # takes the steps of stateless_apply

    # ---- variables

    def build(self, variables: list[Any]) -> None:
        """Keep what the variables need. All are looked at before anything is kept."""
        known, kept = KnownVariables(), []
        for variable in variables:
            if known.find(variable) is not None:
                raise AttributeValueError(f"variable {known.meet(variable).name!r} was given twice")
            kept.append(Kept(known.meet(variable), len(kept)))
        for one in kept:
            one.rule = None if self.is_python or one.overwritten else self.optimizer._rule_of(one.shown)
        self.kept, self._given = kept, variables
        self._by_id = {id(x): one for one in kept for x in (one.known.variable, one.shown)}
        self._keep_options()
        self._keep_states()
        self._check_names()
        self._read_numbers()

    @property
    def is_python(self) -> bool:
        """Whether a subclass updates variables by `update_step`."""
        from .optimizer import Optimizer

        return type(self.optimizer).update_step is not Optimizer.update_step

    def _keep_options(self) -> None:
        """Averages of all variables, then sums of their gradients."""
        if self.optimizer.use_ema:
            for one in self.kept:
                if not one.overwritten:
                    self.own.append(one.keep_zeros("average", "average"))
        if self.optimizer.gradient_accumulation_steps:
            for one in self.kept:
                self.own.append(one.keep_zeros("accumulator", "gradient_accumulator"))

    def _keep_states(self) -> None:
        """The slots of rules, variable by variable, but each of `later_slots` for all variables together."""
        later = self.optimizer.later_slots
        for one in self.kept:
            one.keep_states()
        for group in (None, *later):
            for one in self.kept:
                slots = {} if one.rule is None else one.rule.slots
                wanted = [s for s in slots if (s not in later if group is None else s == group)]
                self.own += [one.slots[slot] for slot in wanted]
        for one in self.kept:
            for name in one.rule.op.running if one.rule is not None else ():
                if name not in self.products:
                    self.products[name] = Scalar(1.0, name, np.float64)
                    self.own.append(self.products[name])

    def _check_names(self) -> None:
        """AttributeValueError where a variable is called what the graph calls something kept for another."""
        names = [variable_name(k.key, kind) for k in self.kept for kind in ("", "grad", *k.bound)]
        wrong = [k.key for k in self.kept if k.key.startswith("@")]
        wrong += [name for name in names if len(set(names)) < len(names) and names.count(name) > 1]
        if wrong:
            raise AttributeValueError(
                f"a variable is called {wrong[0]!r}, which is kept for another use: rename it"
            )

    def find(self, variable: Any) -> Kept:
        """What is kept for a variable. ValueError for one that the optimizer was not built with."""
        one = self._by_id.get(id(variable))
        if one is None:
            raise AttributeValueError(
                f"Unknown variable: {variable!r}. This optimizer can only be called for the variables it was "
                "originally built with. When working with a new set of variables, you should recreate a new "
                "optimizer instance."
            )
        return one

    def add(
        self, shape: Sequence[int], initializer: Initializer, dtype: Any, name: str, place: Any = HOST
    ) -> Variable:
        """A variable of a subclass; names that come again are numbered."""
        key, count = name, 0
        while key in self.added:
            count += 1
            key = f"{name}_{count}"
        self.added[key] = made = new_variable(shape, initializer, dtype, key, place)
        self.own.append(made)
        return made

    def add_like(self, variable: Any, name: str, initializer: Initializer) -> Variable:
        """A variable of a subclass, like another one."""
        one = self._by_id.get(id(variable))
        path = one.path if one is not None else str(getattr(variable, "name", None) or "variable")
        place = place_of_array(variable.value if isinstance(variable, Variable) else variable)
        stem = path.partition(":")[0].replace("/", "_")
        return self.add(variable.shape, initializer, variable.dtype, f"{stem}_{name}", place)

    # ---- configuration

    def change(self, name: str, value: Any) -> None:
        """An attribute of the optimizer was set."""
        self.twin = None
        if f"@{name}" in self._numbers and isinstance(value, (int, float)) and not isinstance(value, bool):
            self._numbers[f"@{name}"] = float(value)
        else:
            self._is_stale = True

    def exclude(self, variables: list[Any], patterns: list[str]) -> None:
        """See Optimizer.exclude_from_weight_decay."""
        self.twin = None
        self._pattern = re.compile("|".join(patterns)) if patterns else None
        self._excluded = variables
        self._is_stale = True

    def _decaying(self) -> dict[str, str]:
        """By key of a variable, the optimizer's attribute that is its weight decay."""
        found = {}
        for one in self.kept:
            name = one.rule.decay if one.rule is not None else "weight_decay"
            if getattr(self.optimizer, name) is not None and not one.overwritten and not self.is_excluded(one):
                found[one.key] = name
        return found

    def is_excluded(self, one: Kept) -> bool:
        """Whether no weight decay acts on a variable."""
        is_listed = any(x is one.known.variable or x is one.shown for x in self._excluded)
        return is_listed or bool(self._pattern is not None and self._pattern.search(one.known.name))

    def _renew(self) -> None:
        """Ask for the rules again: something that shapes the graph has changed."""
        rules = {k.key: self.optimizer._rule_of(k.shown) for k in self.kept if k.rule is not None}
        for one in self.kept:
            lacking = [s for s in (rules[one.key].slots if one.key in rules else ()) if s not in one.slots]
            lacking += ["average"] * (self.optimizer.use_ema and "average" not in one.bound and not one.overwritten)
            if self.optimizer.gradient_accumulation_steps and "accumulator" not in one.bound:
                lacking.append("gradient_accumulator")
            if lacking:
                raise TooLateError(
                    f"{type(self.optimizer).__name__}: what was set needs {lacking[0]!r} of variable "
                    f"{one.known.name!r}, which was not made when the optimizer was built: set it before, or make "
                    "another optimizer"
                )
        for one in self.kept:
            one.rule = rules.get(one.key)
        self._calls.clear()
        self._read_numbers()
        self._is_stale = False

    def _read_numbers(self) -> None:
        """The optimizer's attributes that are numbers of the graph."""
        names = set(self._decaying().values())
        for one in self.kept:
            if one.rule is not None:
                names |= {*one.rule.keys.values(), one.rule.lr_factor} - {""}
        self._numbers = {f"@{name}": float(getattr(self.optimizer, name)) for name in names}

    # ---- steps

    def run(self, grads: Sequence[Any], variables: Sequence[Any] | None, loss_scale: float | None) -> bool:
        """One call of `apply`; with a loss scale, whether all gradients were finite and the step was taken."""
        if self.is_swapped:
            self.check_not_swapped("apply")
        if self._is_stale:
            self._renew()
        grads = grads if isinstance(grads, (list, tuple)) else list(grads)
        given = self._given if variables is None else variables
        given = given if isinstance(given, (list, tuple)) else list(given)
        call = self._calls[0] if self._calls and self._calls[0].fits(given, grads) else self._find(given, grads)
        try:
            is_taken = self._step(call, grads, loss_scale)
        except (DTypeError, StorageError):
            fresh = self._new_call(given, grads)  # of the types before, but perhaps other dtypes
            if not fresh.converts or len(fresh.converts) == len(call.converts):
                raise
            self._calls[self._calls.index(call)] = fresh
            is_taken = self._step(fresh, grads, loss_scale)
        if call.missing:
            warnings.warn(f"Gradients do not exist for variables {call.missing}", stacklevel=4)
        return is_taken

    def _find(self, given: Sequence[Any], grads: Sequence[Any]) -> Call:
        """The call that fits, the last one first."""
        call = next((c for c in self._calls if c.fits(given, grads)), None)
        if call is None:
            call = self._new_call(given, grads)
        else:
            self._calls.remove(call)
        self._calls.insert(0, call)
        del self._calls[KEPT_CALLS:]
        return call

    def _new_call(self, given: Sequence[Any], grads: Sequence[Any]) -> Call:
        if len(given) != len(grads):
            raise MissingArgumentError(f"expected a gradient for each variable: got {len(grads)} for {len(given)}")
        kept = [self.find(variable) for variable in given]
        if all(g is None for g in grads):
            raise MissingArgumentError("No gradients provided for any variable.")
        return Call(kept, given, grads)

    def _phase(self, is_scaled: bool) -> Phase:
        every = self.optimizer.gradient_accumulation_steps or 1
        count = int(self.optimizer._iterations)
        frequency = self.optimizer.ema_overwrite_frequency if self.optimizer.use_ema else None
        overwrites = bool(frequency) and (count // every + 1) % (frequency or 1) == 0
        return Phase((count + 1) % every == 0, overwrites, is_scaled)

    def _step(self, call: Call, grads: Sequence[Any], loss_scale: float | None) -> bool:
        phase = self._phase(loss_scale is not None)
        numbers = self._now(loss_scale)
        live = call.gradients(grads)
        if self.is_python:
            from .python_steps import run_python_step

            is_taken = run_python_step(self, call, phase, live, numbers)
        else:
            outputs = self.runner(call, phase, "fused", live, numbers).run(live, numbers)
            is_taken = loss_scale is None or bool(outputs[0][0])
        if is_taken:
            self._advance(call, phase, numbers)
        return is_taken

    def runner(self, call: Call, phase: Phase, part: str, live: Sequence[Any], numbers: dict[str, float]) -> Runner:
        """The executor of a part of a step ("fused": all of it), made when there is none."""
        is_sum = phase.is_update and self.optimizer.gradient_accumulation_steps
        sums = tuple(one.index for one in self.kept if one.has_sum) if is_sum else ()
        key = (part, phase, sums)
        found = call.runners.get(key)
        if found is None:
            options = self.optimizer
            clip = next((name for name in CLIPS if getattr(options, name) is not None), "")
            processing = Processing(
                clip,
                getattr(options, clip) if clip else 0.0,
                options.loss_scale_factor,
                options.gradient_accumulation_steps or 1,
                options.use_ema,
            )
            graph = StepGraph(processing, self.kept, call.stypes, self._decaying(), phase)
            symbol = getattr(graph, part)()
            arrays = {variable_name(k.key, kind): x for k in self.kept for kind, x in k.arrays().items()}
            used = set(symbol.list_inputs())
            given = {name: g for name, g in zip(call.names, live, strict=True) if name in used}
            context = self.kept[0].place.context
            found = call.runners[key] = Runner(symbol, arrays, given, numbers, context, self.engine)
            call.order = list(graph.gradients)
        return found

    def _now(self, loss_scale: float | None) -> dict[str, float]:
        """The numbers of this step."""
        optimizer, numbers = self.optimizer, dict(self._numbers)
        rate = optimizer._learning_rate
        numbers["@lr"] = rate.value if type(rate) is Scalar else float(optimizer.learning_rate)
        every = optimizer.gradient_accumulation_steps or 1
        done = optimizer._iterations.value // every
        numbers["@step"] = numbers["@t"] = done + 1
        if optimizer.use_ema:
            numbers["@ema"] = optimizer.ema_momentum if done else 0.0
        if loss_scale is not None:
            numbers["@loss_scale"] = loss_scale
        if self.products:
            self._multiply(numbers)
        return numbers

    def _multiply(self, numbers: dict[str, float]) -> None:
        """Running products as this step's formulas take them."""
        for name, product in self.products.items():
            rule = next(k.rule for k in self.kept if k.rule is not None and name in k.rule.op.running)
            running = rule.op.running[name]
            numbers[f"@{name}!"] = product.value * running.factor(**_arguments(rule, running.factor, numbers))
            numbers[f"@{name}"] = numbers[f"@{name}!"] if running.inclusive else product.value

    def _advance(self, call: Call, phase: Phase, numbers: dict[str, float]) -> None:
        """Take in that a step was made."""
        iterations = self.optimizer._iterations
        iterations.value = int(iterations.value) + 1
        if phase.is_update:
            for name, product in self.products.items():
                product.value = numbers[f"@{name}!"]
        if self.optimizer.gradient_accumulation_steps:
            for one in self.kept if phase.is_update else call.kept:
                one.has_sum = not phase.is_update
        for one in call.constrained:
            with one.place.current():
                one.known.view[...] = one.known.constraint(one.known.view)

    def look_at_sums(self) -> None:
        """Values were given to the accumulators: those that are not 0 are sums of gradients."""
        every = self.optimizer.gradient_accumulation_steps or 1
        is_between = int(self.optimizer._iterations) % every != 0
        for one in self.kept:
            if "accumulator" in one.bound:
                with one.place.current():
                    one.has_sum = is_between and bool(one.bound["accumulator"].any())

    def check_not_swapped(self, what: str) -> None:
        """StateError while averages are in the weights."""
        if self.is_swapped:
            raise StateError(f"{what}: the averages are in the weights: swap() them back first")


def _arguments(rule: Rule, factor: Any, numbers: dict[str, float]) -> dict[str, float]:
    """What a running product's factor is a function of. Keras has the base of Nadam's schedule exact here."""
    fixed = {name: value for name, value in rule.attrs.items() if name != "schedule_base"}
    known = {**{n: a.default for n, a in rule.op.attrs.items()}, **fixed}
    known.update({attr: numbers[f"@{key}"] for attr, key in rule.keys.items()})
    known[count_of(rule.op)] = numbers["@step"]
    return {name: known[name] for name in inspect.signature(factor).parameters}
