"""From a state_dict of torch.optim to the state of a step of `so.compile`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import StateError
from ..state import Differences, as_view
from ..torch.classes import CLASSES
from ..torch.groups import Rule
from ..training.compiled import FORMAT
from ..training.names import Tree, flatten
from ..training.update import Update, count_of, new_states
from .torchgroups import attributes_of, refuse, rule_of

COUNT = "step"
UNCOUNTED = ("SGD", "Muon")  # torch keeps no count for them


def from_torch(
    state_dict: Mapping[str, Any], params: Tree | Sequence[str], rule: str | None = None
) -> dict[str, Any]:
    """The state of `so.compile(rule, params, ...)` that goes on where an optimizer of torch was.

    `state_dict`: of any optimizer of torch.optim that has a `torch_` rule, or of `so.torch.optim`; its arrays may be
    tensors, or NumPy's where torch is not. `params`: what is given to `so.compile`, or the names of its parameters, in
    the order in which torch's optimizer had them. `rule`: which one it must be; needed for Adam and AdamW of torch
    before 2.8, whose states look the same. Arrays are shared, not copied: loading copies.

    StateError lists what cannot be taken over: classes and options without a rule here, parameters that torch has
    counted differently, missing states.

        step = so.compile("torch_adamw", dict(model.named_parameters()), lr=1e-3)
        step.load_state_dict(so.convert.from_torch(optimizer.state_dict(), dict(model.named_parameters())))
    """
    found = Differences()
    names, given = _named(params)
    groups, keys = _groups(state_dict, names)
    parameters, counts = {}, {}
    for (position, key), name in zip(keys, names):
        path = f"param_groups/{position}"
        kept = {n: x for n, x in state_dict["state"].get(key, {}).items() if x is not None}
        ndim = _ndim(kept, given.get(name))
        chosen = rule_of(groups[position], rule, ndim, found, path)
        if chosen is None:
            break
        parameters[name] = _parameter(chosen, groups[position], kept, given.get(name), found, f"state/{name}")
        counts[name] = _count(chosen, kept)
    updates = _common(parameters, counts, found)
    refuse(found, "from_torch")
    return {"format": FORMAT, "updates": updates, "micro_steps": 0, "parameters": parameters}


def _named(params: Any) -> tuple[list[str], dict[str, Any]]:
    """Names, and the arrays where there are any."""
    if isinstance(params, Sequence) and all(isinstance(name, str) for name in params):
        return list(params), {}
    arrays = {
        name: x.detach() if hasattr(x, "detach") else x for name, x in flatten(params, "params").items()
    }
    return list(arrays), arrays


def _groups(state_dict: Mapping[str, Any], names: Sequence[str]) -> tuple[list[Any], list[tuple[int, Any]]]:
    try:
        groups = list(state_dict["param_groups"])
        keys = [(position, key) for position, group in enumerate(groups) for key in group["params"]]
        _ = state_dict["state"].get
    except (AttributeError, KeyError, TypeError):
        raise StateError("from_torch: a state_dict of torch.optim has 'state' and 'param_groups'") from None
    if len(keys) != len(names):
        raise StateError(f"from_torch: the state is of {len(keys)} parameters, and {len(names)} are named")
    return groups, keys


def _ndim(kept: Mapping[str, Any], given: Any) -> int:
    """How many axes a parameter has, as far as can be told."""
    if given is not None:
        return len(given.shape)
    return max((len(getattr(x, "shape", ())) for x in kept.values()), default=0)


def _parameter(
    rule: Rule, group: Mapping[str, Any], kept: Mapping[str, Any], given: Any, found: Differences, path: str
) -> dict[str, Any]:
    """The entry of one parameter."""
    known = CLASSES[rule.name]
    states = {}
    for name in rule.op.states:
        key = known.states[name]
        if key not in kept:
            if kept or given is None:
                found.missing.append(f"{path}/{key}")
            continue
        array = as_view(kept[key].detach() if hasattr(kept[key], "detach") else kept[key], f"{path}/{key}")
        if array.dtype.kind == "c":
            found.different.append(
                f"{path}/{key}: is complex, which torch takes as pairs of reals: so.torch.optim does"
            )
        axis = known.axes.get(name)
        states[name] = array if axis is None else array.squeeze(axis)
    if given is None and not states:
        found.different.append(f"{path}: there is nothing to tell the shape by: give params as arrays")
        return {}
    dtype = (given if given is not None else next(iter(states.values()))).dtype
    attrs = attributes_of(rule, group, str(dtype).removeprefix("torch."))
    if given is not None and not kept:
        states = new_states(Update(rule.op, attrs, {n: group[o] for n, o in known.first.items()}), given)
    return {
        "rule": rule.op.name,
        "shape": list(_shape(rule, given, states)),
        "hyper": attrs,
        "products": {name: float(kept.get(name, 1.0)) for name in rule.op.running},
        "states": states,
    }


def _shape(rule: Rule, given: Any, states: Mapping[str, Any]) -> tuple[int, ...]:
    if given is not None:
        return tuple(given.shape)
    if rule.op.is_matrix and "row_var" in states:
        return (*states["row_var"].shape, states["col_var"].shape[-1])
    return tuple(next(iter(states.values())).shape)


def _count(rule: Rule, kept: Mapping[str, Any]) -> int | None:
    """Steps done; None if nothing depends on it and torch did not count."""
    if COUNT in kept:
        return int(kept[COUNT])
    if rule.op.states and CLASSES[rule.name].name in UNCOUNTED:
        return 1 if kept else 0  # what matters is whether there was a first step
    return 0 if count_of(rule.op) else None


def _common(parameters: Mapping[str, Any], counts: Mapping[str, int | None], found: Differences) -> int:
    """The count of all parameters; lines in `found` if rules count and parameters differ."""
    known = {name: count for name, count in counts.items() if count is not None}
    if len(set(known.values())) > 1:
        first = next(iter(known))
        for name, count in known.items():
            if count != known[first]:
                found.different.append(
                    f"state/{name}: was stepped {count} times, {first} {known[first]} times, and so.compile has one "
                    "count: so.torch.optim counts for each"
                )
    return max(known.values(), default=0)
