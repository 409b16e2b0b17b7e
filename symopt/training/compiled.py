"""A step for named parameters: what `so.compile` returns."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import is_
from typing import Any

from ..errors import MissingArgumentError
from ..executor import Executor
from ..places import Place
from ..state import Commit, Differences, as_view, exchange, load_state
from ..symbol import Symbol
from .assigned import Assigned
from .graph import arrays_of, stype_of, variable_name
from .groups import Group
from .names import Like, Tree
from .plan import Options, assemble
from .runner import Runner, Runners
from .scaling import LossScale
from .update import copy_beside, new_states, zeros_beside

FORMAT = 1  # of state_dict


class CompiledStep:
    """The update of all parameters as one call: `step(grads)`. Made by `so.compile`.

    Attributes: `params`, the weights by name, updated in place; `states`, by name, then by state; `updates`, how many
    updates were made; `loss_scale`, None or a LossScale. Safe to call from several threads: each call is a whole step.
    """

    def __init__(
        self, params: dict[str, Any], groups: Mapping[str, Group | None], options: Options, place: Place
    ) -> None:
        self.params = params
        self.updates = 0
        self.loss_scale: LossScale | None = options.loss_scale
        self._options, self._place = options, place
        self._assigned = Assigned(groups, options)
        self._groups = self._assigned.groups
        self._trained = list(self._groups)
        self._like = Like(self._trained, self._assigned.frozen)
        self._micro = 0  # gradients taken in since the last update
        self.states = {n: new_states(group.update(), params[n]) for n, group in self._groups.items()}
        self._kept = {n: self._extra(params[n]) for n in self._trained}
        self._runners = Runners()
        self._last: tuple[list[Any], tuple[str | None, ...], bool] = ([], (), False)
        self._current: Runner | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        rules = dict.fromkeys(group.hyper.op.name for group in self._groups.values())
        return f"<step of {len(self._trained)} parameters by {', '.join(rules)}, {self.updates} updates done>"

    def _extra(self, weight: Any) -> dict[str, Any]:
        """Arrays kept for a parameter beside the states of its rule."""
        kept = {}
        if self._options.accumulate > 1:
            kept["accumulator"] = zeros_beside(weight)
        if self._options.ema is not None:
            kept["average"] = copy_beside(weight)
        return kept

    # ---- stepping

    def __call__(self, grads: Tree, /, **numbers: Any) -> bool:
        """Take in the gradients of all trained parameters, of the structure that `params` had, and update in place.

        None is the gradient of a parameter that has none this time: it stays. Keywords are attributes with new values
        from this step on, as in `set`. False if nothing was updated: gradients were only added up, or one was not
        finite. Bad input raises before anything is written.
        """
        with self._lock:
            leaves = self._like.leaves(grads, "gradients")
            if numbers:
                self.set(**numbers)
            runner = self._runner_for(leaves)
            values = self._numbers()
            is_update = self._micro + 1 == self._options.accumulate
            live = [g for g in leaves if g is not None] if self._last[2] else leaves
            outputs = runner.run(live, values)
            self._micro = 0 if is_update else self._micro + 1
            return is_update and self._count(outputs)

    def _runner_for(self, leaves: list[Any]) -> Runner:
        """The graph for the gradients that there are, stored as they are."""
        seen, kinds, _ = self._last
        if len(seen) != len(leaves) or not all(map(is_, leaves, seen)):
            kinds = tuple([None if g is None else stype_of(g) for g in leaves])
            if not any(kinds):
                raise MissingArgumentError("gradients: every one is None; there is nothing to update")
            self._last = (leaves, kinds, None in kinds)
        key = (self._micro + 1 == self._options.accumulate, kinds)
        self._current = self._runners.get(key, lambda: self._bind(leaves, *key))
        return self._current

    def _bind(self, leaves: list[Any], is_update: bool, kinds: Sequence[str | None]) -> Runner:
        symbol = self._symbol(is_update, kinds)
        grads = {
            variable_name(name, "grad"): g
            for name, g in zip(self._trained, leaves, strict=True)
            if g is not None
        }
        ctx, options = self._place.context, self._options
        return Runner(symbol, self._arrays(), grads, self._numbers(), ctx, options.engine, options.nan_guard)

    def _arrays(self) -> dict[str, Any]:
        """All arrays that stay, by the names of their variables."""
        found = {name: self.params[name] for name in self._trained}
        for name in self._trained:
            found |= arrays_of(name, {**self.states[name], **self._kept[name]})
        return found

    def _numbers(self) -> dict[str, float]:
        """The numbers of the next step by the names of their variables."""
        return self._assigned.numbers(self.updates)

    def _count(self, outputs: Sequence[Any]) -> bool:
        """Count an update, unless one that may be left out was."""
        if self._options.is_skipping:
            is_taken = bool(self._place.to_host(outputs[0])[0])
            if self.loss_scale is not None:
                self.loss_scale.update(is_taken)
            if not is_taken:
                return False
        self._assigned.advance(self.updates)
        self.updates += 1
        return True

    # ---- changing

    def set(self, pattern: str | None = None, /, **attrs: Any) -> None:
        """Give attributes other values, from the next step on: of all groups that have them and have no value of their
        own, or of the group made by `pattern`. Numbers and schedules cost nothing; flags make another graph.

        UnknownAttributeError for what no rule has, AttributeValueError: then none is changed.
        """
        with self._lock:
            if self._assigned.set(pattern, attrs):
                self._runners.clear()

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers of the next update: learning rates, step counts, and so on; those of groups as `lr:1`."""
        return {name[1:]: value for name, value in self._numbers().items()}

    @contextmanager
    def averaged(self) -> Iterator[Mapping[str, Any]]:
        """The averages in place of the weights, for as long as the block lasts; then the weights come back.

        MissingArgumentError without `ema=`.
        """
        if self._options.ema is None:
            raise MissingArgumentError("averaged: there are no averages; give compile ema=")
        with self._lock:
            self._swap()
            try:
                yield self.params
            finally:
                self._swap()

    def _swap(self) -> None:
        for name in self._trained:
            exchange(as_view(self.params[name], name), self._kept[name]["average"])

    @property
    def averages(self) -> dict[str, Any]:
        """The averages of the weights by name, the arrays in use; empty without `ema=`."""
        return {n: kept["average"] for n, kept in self._kept.items() if "average" in kept}

    # ---- looking inside

    @property
    def executor(self) -> Executor:
        """What ran last, or would run if all gradients were dense: to print, draw, profile."""
        if self._current is None:
            leaves = [zeros_beside(self.params[name]) for name in self._trained]
            self._current = self._bind(leaves, True, ("default",) * len(leaves))
        return self._current.executor

    def symbol(self, row_sparse: Sequence[str] = ()) -> Symbol:
        """The graph of an update. `row_sparse`: names of the parameters whose gradients are stored so."""
        return self._symbol(True, ["row_sparse" if n in row_sparse else "default" for n in self._trained])

    def _symbol(self, is_update: bool, kinds: Sequence[str | None]) -> Symbol:
        return assemble(dict(zip(self._trained, kinds, strict=True)), self._groups, self._options, is_update)

    def synchronize(self) -> None:
        """Wait until all steps are done, on a GPU."""
        if self._current is not None:
            self._current.executor.synchronize()

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """All but the weights, by parameter name; the arrays are the ones in use. See `so.save`."""
        parameters = {}
        for name, group in self._groups.items():
            parameters[name] = {
                "rule": group.hyper.op.name,
                "shape": list(self.params[name].shape),
                "dtype": self._place.view(self.params[name], name).dtype.name,
                "hyper": group.hyper.described(),
                "products": dict(group.hyper.products),
                "states": {**self.states[name], **self._kept[name]},
            }
        state = {
            "format": FORMAT,
            "updates": self.updates,
            "micro_steps": self._micro,
            "parameters": parameters,
        }
        return state | ({} if self.loss_scale is None else {"loss_scale": self.loss_scale.state()})

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Differences:
        """Take over a state of the same parameters and rules, whole or not at all. StateError lists what does not fit.

        Hyper-parameters are configuration: those given to `compile` stay. With strict=False, parameters that only one
        side has are left as they are; the result lists them.
        """
        with self._lock:
            return load_state(self, state, strict, "this step")

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """What `load_state_dict` does, in two moves; see symopt.state."""
        from .restore import plan_step

        return plan_step(self, state, found, path)

    def _restore(self, updates: int, micro: int, products: Mapping[str, Mapping[str, float]]) -> None:
        self.updates, self._micro = updates, micro
        for name, values in products.items():
            self._groups[name].hyper.products.update(values)
