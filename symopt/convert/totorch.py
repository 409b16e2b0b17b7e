"""From the state of a step of `so.compile`, or of `so.torch.optim`, to a state_dict of torch.optim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DependencyError, StateError
from ..places import place_of_array
from ..state import Differences, as_view
from ..torch.classes import CLASSES, class_of
from ..torch.groups import Rule, rule_called
from .fromtorch import COUNT, UNCOUNTED
from .torchgroups import attributes_of, group_of


def to_torch(
    state: Mapping[str, Any],
    groups: Sequence[Sequence[str]] | None = None,
    tensors: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """A state_dict that the class of torch.optim loads whose rule this is: it goes on where we were.

    `state`: the state_dict of a step of `so.compile`, or of `so.torch.optim`. `groups`: names of the parameters of each
    group of torch's optimizer; as a rule all in one, in our order. `tensors`: torch's tensors, copies on the processor;
    False gives NumPy arrays and needs no torch. `options`: of torch's groups, such as `lr` where it was a schedule.
    StateError for rules that torch does not have, DependencyError without torch.
    """
    found = _of_optim(state, options) if "param_groups" in state else _of_step(state, groups, options)
    return (
        {**found, "state": {k: _as_tensors(kept) for k, kept in found["state"].items()}} if tensors else found
    )


def _of_optim(state: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    groups, kept = [], {}
    for group in state["param_groups"]:
        rule = _torch_rule(str(group.get("rule")))
        attrs = {f.attr: f.read(group) for f in rule.fields if f.option in group}
        others = {n: v for n, v in group.items() if n not in ("rule", *(f.option for f in rule.fields))}
        whole = group_of(rule, attrs, {**others, **options})
        groups.append(whole)
        for key in group["params"]:
            if state["state"].get(key):
                kept[key] = _made(rule, state["state"][key], whole)
    return {"state": kept, "param_groups": groups}


def _of_step(
    state: Mapping[str, Any], names: Sequence[Sequence[str]] | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    parameters = state["parameters"]
    names = [list(parameters)] if names is None else names
    given = [name for group in names for name in group]
    if sorted(given) != sorted(parameters):
        raise StateError(f"to_torch: groups name {sorted(given)}, and the state is of {sorted(parameters)}")
    numbers = {name: k for k, name in enumerate(given)}
    groups, kept = [], {}
    for group in names:
        rules = {name: _torch_rule(parameters[name]["rule"].removesuffix("_update")) for name in group}
        wholes = [group_of(rules[n], parameters[n]["hyper"], options) for n in group]
        _check_alike(group, wholes)
        groups.append({**(wholes[0] if wholes else {}), "params": [numbers[name] for name in group]})
        for name in group:
            own = parameters[name]
            entry = {COUNT: state["updates"], **own["products"], **_states(rules[name], own["states"])}
            if state["updates"]:
                kept[numbers[name]] = _made(rules[name], entry, groups[-1])
    return {"state": kept, "param_groups": groups}


def _torch_rule(name: str) -> Rule:
    if name not in CLASSES:
        raise StateError(
            f"to_torch: torch.optim has no class for the rule {name!r}; it has some for {', '.join(CLASSES)}"
        )
    return rule_called(name)


def _check_alike(names: Sequence[str], wholes: Sequence[Mapping[str, Any]]) -> None:
    found = Differences()
    for name, whole in zip(names[1:], wholes[1:]):
        for option in wholes[0]:
            found.compare(f"{name}/{option}", option, wholes[0][option], whole.get(option))
    if found:
        raise StateError(
            "to_torch: parameters of one group differ: give groups=\n    " + "\n    ".join(found.different)
        )


def _states(rule: Rule, states: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays by torch's words, with torch's axes."""
    known = CLASSES[rule.name]
    found = {}
    for name, key in known.states.items():
        place = place_of_array(states[name])
        array = as_view(states[name], name)
        axis = known.axes.get(name)
        found[key] = array if axis is None else place.xp.expand_dims(array, axis)
    return found


def _made(rule: Rule, kept: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's state with what torch keeps beside; without the count where it keeps none."""
    known = class_of(rule.op.name)
    found = dict(kept)
    step = float(found[COUNT])
    if known is not None and known.name in UNCOUNTED:
        del found[COUNT]
    else:
        found[COUNT] = step
    if known is not None and known.name == "ASGD":
        attrs = attributes_of(rule, group, "float64")
        found["eta"] = attrs["lr"] / (1 + attrs["lambd"] * attrs["lr"] * step) ** attrs["alpha"]
        found["mu"] = 1 / max(1.0, step - attrs["t0"])
    return found


def _as_tensors(kept: Mapping[str, Any]) -> dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        raise DependencyError(
            "to_torch makes tensors, with PyTorch: pip install symopt[torch]; or give tensors=False"
        ) from error
    made = {}
    for name, value in kept.items():
        if isinstance(value, torch.Tensor):
            made[name] = value.detach().clone()
        elif isinstance(value, float):
            made[name] = torch.tensor(value, dtype=torch.get_default_dtype())
        else:
            made[name] = torch.as_tensor(place_of_array(value).to_host(value))
    return made
