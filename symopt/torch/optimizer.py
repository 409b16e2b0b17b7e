"""The optimizer: torch's interface around a plan of what has a gradient. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import torch
from torch.optim import Optimizer

from ..opdef import OpDef
from ..training.runner import Runners
from ..training.update import find_op
from .gradients import Stale
from .groups import name_of, options_of, rule_called
from .loading import fitted
from .planning import Plan, Planner
from .tensors import check_updatable

_gradient = attrgetter("grad")


class Optim(Optimizer):  # type: ignore[misc]
    """What `so.torch.optim` gives; see there."""

    def __init__(
        self, params: Any, rule: str | Callable[..., Any] | OpDef, *, multi_precision: bool,
        initial: Mapping[str, float | str], engine: str, hyper: Mapping[str, Any],
    ) -> None:  # fmt: skip
        known = rule_called(name_of(find_op(rule)))
        self._multi_precision, self._initial, self._engine = bool(multi_precision), dict(initial), engine
        self._hyper = dict(hyper)
        self._forget()
        super().__init__(params, {"rule": known.name, **options_of(known, hyper)})

    def _forget(self) -> None:
        """Whatever was planned is planned anew."""
        self._plan: Plan | None = None
        self._runners = Runners()

    # ---- groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, with its own `rule` and attributes if it names them."""
        if isinstance(param_group, dict):
            param_group = self._completed(param_group)
        own = set(param_group)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        if group["rule"] != self.defaults["rule"]:
            for name in self.defaults.keys() - own:
                del group[name]
        for tensor, name in zip(group["params"], self._names(len(self.param_groups) - 1)):
            if tensor.device.type != "meta":
                check_updatable(tensor, name)
        self._plan = None

    def _completed(self, group: dict[str, Any]) -> dict[str, Any]:
        """A group with all options of its rule, in the words that groups have."""
        rule = rule_called(name_of(find_op(group.get("rule", self.defaults["rule"]))))
        words = rule.words()
        shared = self._hyper
        if rule.name != self.defaults["rule"]:
            shared = {name: value for name, value in shared.items() if name in words}
        given = {name: value for name, value in group.items() if name in words}
        others = {name: value for name, value in group.items() if name not in words}
        return {**others, "rule": rule.name, **options_of(rule, {**shared, **given})}

    def _names(self, position: int) -> list[str]:
        """What errors and graphs call the parameters of a group."""
        group = self.param_groups[position]
        if "param_names" in group:
            return list(group["param_names"])
        first = sum(len(g["params"]) for g in self.param_groups[:position])
        return [f"parameter{first + k}" for k in range(len(group["params"]))]

    # ---- stepping

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, in place. `closure` computes the loss anew, and gives it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = self.param_groups
        tensors: list[torch.Tensor] = []
        for group in groups:
            tensors += group["params"]
        grads = list(map(_gradient, tensors))
        plan = self._plan
        if plan is None or not plan.fits(tensors, grads, groups, self.state):
            plan = self._planned()
        try:
            plan.run(grads)
        except Stale:
            self._planned().run(grads)
        return loss

    def _planned(self) -> Plan:
        names = [self._names(position) for position in range(len(self.param_groups))]
        self._plan = self._planner().plan(self.param_groups, names, self.state)
        return self._plan

    def _planner(self) -> Planner:
        return Planner(self._runners, self._engine, self._multi_precision, self._initial)

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """torch's: `state` by number of the parameter, and `param_groups`. Tensors are those in use, counts copies."""
        found: dict[str, Any] = super().state_dict()
        found["state"] = {
            key: {n: x.clone() if _is_counted(x) else x for n, x in kept.items()}
            if isinstance(kept, dict)
            else kept
            for key, kept in found["state"].items()
        }
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state: copies of it, in the dtypes and on the devices of the parameters.

        That of the class of torch.optim whose rule this is loads as well; `so.convert.to_torch` makes one that the
        class loads. StateError lists what does not fit, and then nothing was changed.
        """
        state_dict = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        names = [self._names(position) for position in range(len(self.param_groups))]
        state, groups = fitted(state_dict, self.param_groups, names, self._planner())
        self.__setstate__({"state": state, "param_groups": groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        own = ("_multi_precision", "_initial", "_engine", "_hyper")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()


def _is_counted(x: Any) -> bool:
    """Whether an entry of a state is a number that parameters share."""
    return isinstance(x, torch.Tensor) and x.ndim == 0 and x.device.type == "cpu"
