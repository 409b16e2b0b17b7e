"""What an optimizer holds: its variables, what it keeps for each, their rules, and the numbers of these."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError, TooLateError
from ..keras.known import KnownVariables
from ..keras.scalars import Scalar
from ..keras.variables import Variable
from ..places import HOST, place_of_array
from ..training.update import count_of
from .kept import Initializer, Kept, new_variable
from .rules import FullRule

if TYPE_CHECKING:
    from .optimizer import Optimizer


class Held:
    """What an optimizer holds. `kept`: for each variable, in the order of `build`; `own`: the variables that it made,
    in Keras's order; `added`: those of a subclass, by name; `products`: numbers that rules multiply up step by step.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.kept: list[Kept] = []
        self.own: list[Any] = []
        self.added: dict[str, Variable] = {}
        self.products: dict[str, Scalar] = {}
        self._known = KnownVariables()
        self._by_key: dict[str, Kept] = {}
        self._given: list[Any] | None = None
        self._numbers: dict[str, float] = {}  # of the optimizer's attributes, by their names in the graph
        self._excluded: list[Any] = []  # before the variables are known, then:
        self._excluded_keys: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._is_stale = False  # something was set that shapes the graph

    # ---- variables

    def build(self, variables: list[Any]) -> None:
        """Keep what the variables need. All are looked at before anything is kept."""
        known = KnownVariables()
        kept: list[Kept] = []
        for variable in variables:
            if known.find(variable) is not None:
                raise AttributeValueError(f"variable {known.meet(variable).name!r} was given twice")
            kept.append(Kept(known.meet(variable), len(kept)))
            known.wrapped(kept[-1].known)
        for one in kept:
            one.rule = None if self.is_python or one.overwritten else self.optimizer._rule_of(one.shown)
        self.kept, self._known = kept, known
        self._by_key = {one.key: one for one in kept}
        self._find_excluded()
        self._keep_options()
        self._keep_states()
        self._read_numbers()

    def forget(self) -> None:
        """Be as before `build`."""
        self._excluded = [one.known.variable for one in self.kept if one.key in self._excluded_keys]
        self.kept, self.own, self.added, self.products = [], [], {}, {}
        self._known, self._by_key, self._given, self._numbers = KnownVariables(), {}, None, {}

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
                self.own += self.optimizer._listed([one.slots[slot] for slot in wanted])
        for one in self.kept:
            for name in one.rule.op.running if one.rule is not None else ():
                if name not in self.products:
                    self.products[name] = Scalar(1.0, name, np.float64)
                    self.own.append(self.products[name])

    def find(self, variable: Any) -> Kept:
        """What is kept for a variable. ValueError for one that the optimizer was not built with."""
        known = self._known.find(variable)
        if known is None:
            raise AttributeValueError(
                f"Unknown variable: {variable!r}. This optimizer can only be called for the variables it was "
                "originally built with. When working with a new set of variables, you should recreate a new "
                "optimizer instance."
            )
        return self._by_key[known.key]

    @property
    def given(self) -> list[Any]:
        """The variables, as they were given."""
        if self._given is None:
            self._given = [one.known.variable for one in self.kept]
        return self._given

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
        known = self._known.find(variable)
        path = (
            str(getattr(variable, "name", None) or "variable")
            if known is None
            else self._by_key[known.key].path
        )
        place = place_of_array(variable.value if isinstance(variable, Variable) else variable)
        stem = path.partition(":")[0].replace("/", "_")
        return self.add(variable.shape, initializer, variable.dtype, f"{stem}_{name}", place)

    # ---- configuration

    def change(self, name: str, value: Any) -> None:
        """An attribute of the optimizer was set."""
        if f"@{name}" in self._numbers and isinstance(value, (int, float)) and not isinstance(value, bool):
            self._numbers[f"@{name}"] = float(value)
        else:
            self._is_stale = True

    def exclude(self, variables: list[Any], patterns: list[str]) -> None:
        """See Optimizer.exclude_from_weight_decay."""
        self._pattern = re.compile("|".join(patterns)) if patterns else None
        self._excluded = variables
        self._excluded_keys = set()
        self._find_excluded()
        self._is_stale = True

    def _find_excluded(self) -> None:
        if self.kept:
            known = map(self._known.find, self._excluded)
            self._excluded_keys = {one.key for one in known if one is not None}
            self._excluded = []

    def decaying(self) -> dict[str, str]:
        """By key of a variable, the optimizer's attribute that is its weight decay."""
        found = {}
        for one in self.kept:
            name = one.rule.decay if one.rule is not None else "weight_decay"
            if (
                getattr(self.optimizer, name) is not None
                and not one.overwritten
                and not self.is_excluded(one)
            ):
                found[one.key] = name
        return found

    def is_excluded(self, one: Kept) -> bool:
        """Whether no weight decay acts on a variable."""
        is_named = self._pattern is not None and self._pattern.search(one.known.name) is not None
        return is_named or one.key in self._excluded_keys

    def renew(self) -> None:
        """Ask for the rules again."""
        rules = {k.key: self.optimizer._rule_of(k.shown) for k in self.kept if k.rule is not None}
        for one in self.kept:
            lacking = [s for s in (rules[one.key].slots if one.key in rules else ()) if s not in one.slots]
            lacking += ["average"] * (
                self.optimizer.use_ema and "average" not in one.bound and not one.overwritten
            )
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
        self._read_numbers()
        self._is_stale = False

    def _read_numbers(self) -> None:
        """The optimizer's attributes that are numbers of the graph."""
        names = set(self.decaying().values())
        for one in self.kept:
            if one.rule is not None:
                names |= {*one.rule.keys.values(), one.rule.lr_factor} - {""}
        self._numbers = {f"@{name}": float(getattr(self.optimizer, name)) for name in names}

    def multiply(self, numbers: dict[str, float]) -> None:
        """Running products as this step's formulas take them."""
        for name, product in self.products.items():
            rule = next(k.rule for k in self.kept if k.rule is not None and name in k.rule.op.running)
            running = rule.op.running[name]
            numbers[f"@{name}!"] = product.value * running.factor(**_arguments(rule, running.factor, numbers))
            numbers[f"@{name}"] = numbers[f"@{name}!"] if running.inclusive else product.value

    def look_at_sums(self) -> None:
        """Values were given to the accumulators: those that are not 0 are sums of gradients."""
        every = self.optimizer.gradient_accumulation_steps or 1
        is_between = int(self.optimizer._iterations) % every != 0
        for one in self.kept:
            if "accumulator" in one.bound:
                with one.place.current():
                    one.has_sum = is_between and bool(one.bound["accumulator"].any())


def _arguments(rule: FullRule, factor: Any, numbers: dict[str, float]) -> dict[str, float]:
    """What a running product's factor is a function of. Keras has the base of Nadam's schedule exact here."""
    fixed = {name: value for name, value in rule.attrs.items() if name != "schedule_base"}
    known = {**{n: a.default for n, a in rule.op.attrs.items()}, **fixed}
    known.update({attr: numbers[f"@{key}"] for attr, key in rule.keys.items()})
    known[count_of(rule.op)] = numbers["@step"]
    return {name: known[name] for name in inspect.signature(factor).parameters}
