"""A state to load: compared whole with the groups and parameters it is for, then copied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch

from ..errors import StateError
from ..state import Differences
from ..training.update import state_types
from .classes import IGNORED, TorchClass, class_of
from .counters import STEP, Counter, history
from .groups import Rule, rule_called
from .part import Group, Parameter
from .planning import Planner, axis_of, state_key, update_for_states

Loaded = tuple[dict[torch.Tensor, dict[str, Any]], list[dict[str, Any]]]


def fitted(
    given: Mapping[str, Any], groups: Sequence[Group], names: Sequence[Sequence[str]], planner: Planner
) -> Loaded:
    """The state and the groups that a state_dict gives these parameters: all of it new. StateError lists what does not
    fit."""
    found = Differences()
    _check_sizes(given, groups)
    state: dict[torch.Tensor, dict[str, Any]] = defaultdict(dict)
    loaded = []
    for position, (own, other) in enumerate(zip(groups, given["param_groups"])):
        fitted_group = _group(own, other, found, f"param_groups/{position}")
        loaded.append(fitted_group)
        for name, tensor, key in zip(names[position], own["params"], other["params"]):
            kept = given["state"].get(key)
            if kept:
                p = planner.parameter(name, tensor, position, fitted_group)
                state[tensor] = _state(p, kept, fitted_group, found, f"state/{name}")
    found.different += [f"{line}: missing in the state" for line in found.missing]
    found.different += [f"{line}: only in the state" for line in found.unexpected]
    found.check("the optimizer", strict=False)
    for key, kept in given["state"].items():
        if not any(key in group["params"] for group in given["param_groups"]):
            state[key] = kept  # what torch keeps too: state of no parameter
    return state, loaded


def _check_sizes(given: Mapping[str, Any], groups: Sequence[Group]) -> None:
    state: Any = given.get("state")
    saved: Any = given.get("param_groups")
    is_right = isinstance(state, Mapping) and isinstance(saved, (list, tuple)) and all(map(_is_group, saved))
    if not is_right or not all(isinstance(kept, Mapping) for kept in state.values()):
        raise StateError(
            "an optimizer's state_dict has 'state' and 'param_groups', as torch makes them; nothing was changed"
        )
    sizes = [len(group["params"]) for group in saved]
    own = [len(group["params"]) for group in groups]
    if sizes != own:
        raise StateError(
            f"the state is of groups with {sizes} parameters, the optimizer has groups with {own}; nothing was changed"
        )


def _is_group(group: Any) -> bool:
    numbers = group.get("params") if isinstance(group, Mapping) else None
    return isinstance(numbers, (list, tuple)) and all(isinstance(key, (int, str)) for key in numbers)


def _group(own: Group, other: Group, found: Differences, path: str) -> dict[str, Any]:
    """A group with the options of a saved one, if that is of the same rule."""
    rule = rule_called(own["rule"])
    if "rule" in other:
        found.compare(path, "rule", own["rule"], other["rule"])
    else:
        _compare_class(rule, other, found, path)
    for field in rule.fields:
        if field.option not in other and "rule" in other and not field.is_optional:
            found.missing.append(f"{path}/{field.option}")
    kept = {name: deepcopy(value) for name, value in other.items() if name not in ("params", "param_names")}
    return {**own, **kept}


def _compare_class(rule: Rule, other: Group, found: Differences, path: str) -> None:
    """Notes what a group saved by torch has otherwise than the class whose rule this is."""
    known = class_of(rule.op.name)
    if known is None:
        found.different.append(
            f"{path}: the state is of an optimizer of torch, and the rule here is {rule.name!r}"
        )
        return
    for name, value in known.options.items():
        if name in other:
            found.compare(path, name, value, other[name])
    words = {f.option for f in rule.fields} | known.options.keys() | known.defaults.keys() | IGNORED
    found.unexpected += [
        f"{path}/{name}" for name in other if name not in words and not _is_neutral(other[name])
    ]
    options = {f.option for f in rule.fields if not f.is_optional}
    found.missing += [f"{path}/{name}" for name in options if name not in other and name not in LATE]


LATE = ("maximize", "decoupled_weight_decay", "nesterov", "eps")  # older states lack them: as here


def _is_neutral(value: Any) -> bool:
    return value is None or value is False or value == 0


def _state(
    p: Parameter, kept: Mapping[str, Any], group: Group, found: Differences, path: str
) -> dict[str, Any]:
    """The state of one parameter, copied, in the dtypes that it has here."""
    op, known = p.rule.op, class_of(p.rule.op.name)
    if known is not None and known.name in ("SGD", "Muon") and STEP not in kept:
        if kept.get("momentum_buffer") is None:
            return {}
        kept = {**kept, STEP: 1}  # torch does not count: all that matters is that there was a first step
    kept = {n: x for n, x in kept.items() if x is not None}
    wanted = state_types(update_for_states(p, group, {}), *p.type())
    keys = {state_key(p.rule, name): name for name in wanted}
    own = {STEP: 0, **dict.fromkeys(op.running), **keys}
    both = found.names(path, own, {n: x for n, x in kept.items() if not _is_made(known, n)})
    bad = [n for n in (STEP, *op.running) if n in kept and not _is_number(kept[n])]
    bad += [n for n in keys if n in both and not isinstance(kept[n], torch.Tensor)]
    if bad:
        found.different += [
            f"{path}/{n}: expected a {'tensor' if n in keys else 'number'}, got {kept[n]!r}" for n in bad
        ]
        return {}
    step, *products = history(op, kept)
    made: dict[str, Any] = dict(Counter(op, step, dict(zip(op.running, products))).kept)
    for key, name in keys.items():
        if key not in both:
            continue
        (shape, dtype), tensor = wanted[name], kept[key]
        if found.compare(f"{path}/{key}", "shape", _shape(p, name, shape), tuple(tensor.shape)):
            is_complex = p.tensor.is_complex() and p.pairs and len(shape) > tensor.ndim
            kind = p.tensor.dtype if is_complex else getattr(torch, dtype)
            made[key] = tensor.detach().to(device=p.tensor.device, dtype=kind, copy=True).contiguous()
    return made


def _is_number(x: Any) -> bool:
    if isinstance(x, torch.Tensor):
        return bool(x.numel() == 1)
    return isinstance(x, (int, float)) and not isinstance(x, bool)


def _is_made(known: TorchClass | None, name: str) -> bool:
    return known is not None and name in known.made


def _shape(p: Parameter, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a state's tensor: with torch's axis, and without that of pairs."""
    if p.pairs and p.tensor.is_complex():
        return shape[:-1]
    axis = axis_of(p.rule, name)
    if axis is None:
        return shape
    at = axis + len(shape) + 1
    return (*shape[:at], 1, *shape[at:])
